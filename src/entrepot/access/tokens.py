"""Access and refresh tokens: JSON Web Tokens signed with a key of our own.

Sources: RFC 7519; the token specification of the distribution project ("Docker Registry v2 authentication").
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any, Protocol

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from entrepot.access.model import Access
from entrepot.auth.model import ANONYMOUS, USER, Principal
from entrepot.auth.trusts import Terms
from entrepot.errors import ConfigError, NotAuthenticated
from entrepot.kit import clock
from entrepot.kit.expiring import ExpiringMap

SERVICE = "entrepot"
_ALGORITHM = "ES256"
_SKEW = 10
"""Seconds that another machine's clock may be behind."""


_REGISTRY = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": SERVICE}, aud={"essential": True, "value": SERVICE}, leeway=10**12
)
# The leeway leaves judging the times to whoever asks: an expired token may still continue its own upload.


class TokenOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How long tokens live, in seconds."""

    access_seconds: int | None = None
    """``None``: what the setting ``token_expiration`` says."""
    refresh_seconds: int = 30 * 24 * 3600


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says; its signature has been checked."""

    subject: str
    kind: str
    """``user`` or ``robot``."""
    account_id: int | None
    """The account's id; none: anybody."""
    token_id: int | None
    """The personal access token that it was fetched with."""
    trust_id: int | None = None
    """The trust of a robot account that let its workload in."""
    is_cli_secret: bool = False
    """Whether it was fetched with a CLI secret, which opens less than the password."""
    token_seconds: int = 0
    """How long what a refresh token fetches lives at most; 0: it is not said."""
    credential_version: int
    expires_at: int
    """Seconds since the epoch."""
    is_refresh: bool
    access: tuple[Access, ...]


class Account(Protocol):
    """Whom a token is for."""

    @property
    def principal(self) -> Principal:
        """Who it is."""

    @property
    def credential_version(self) -> int:
        """Under which credentials."""

    @property
    def is_cli_secret(self) -> bool:
        """Whether one of them is a CLI secret."""


class TokenIssuer:
    """Signs and checks tokens."""

    def __init__(self, key: ECKey, options: TokenOptions) -> None:
        self._key = key
        self._kid = key.thumbprint()
        self._options = options
        self._checked: ExpiringMap[str, Claims] = ExpiringMap(16_384, clock.now)

    @property
    def access_seconds(self) -> int | None:
        """How long an access token lives, if the operator said so."""
        return self._options.access_seconds

    def issue_access(
        self,
        identity: Account | None,
        access: list[Access],
        now: int,
        seconds: int,
        terms: Terms | None = None,
    ) -> str:
        """An access token with the rights ``access`` for an account (``None`` is anybody), good for ``seconds``."""
        more = {"trust": terms.trust_id} if terms else {}
        return self._sign(identity, now, seconds, {"access": msgspec.to_builtins(access), **more})

    def issue_refresh(self, identity: Account, now: int, terms: Terms | None = None) -> str:
        """A token that stands for the password at the token endpoint; empty if ``terms`` leave no time for one."""
        seconds = self._options.refresh_seconds
        more: dict[str, Any] = {}
        if terms:
            seconds = min(seconds, int(terms.session_ends_at) - now)
            more = {"trust": terms.trust_id, "tok": terms.token_seconds}
        return self._sign(identity, now, seconds, {"use": "refresh", **more}) if seconds > 0 else ""

    def is_ours(self, token: str) -> bool:
        """Whether a token names this registry's key; whether it holds is another question."""
        header = token.partition(".")[0]
        try:
            decoded = base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))
            return msgspec.json.decode(decoded, type=dict[str, Any]).get("kid") == self._kid
        except (ValueError, RecursionError):
            return False

    def check(self, token: str) -> Claims:
        """The claims of a token of ours; they may have expired, the caller judges that.

        Raises:
            NotAuthenticated: it is not ours, or was changed.
        """
        claims = self._checked.get(token)
        if claims is None:
            claims = self._verify(token)
            # An ES256 verification costs 150 µs, a look-up one.
            self._checked.put(token, claims, claims.expires_at)
        return claims

    def _sign(self, identity: Account | None, now: int, seconds: int, more: dict[str, Any]) -> str:
        principal = identity.principal if identity else ANONYMOUS
        claims: dict[str, Any] = {
            "iss": SERVICE,
            "aud": SERVICE,
            "sub": principal.name,
            "iat": now,
            "nbf": now - _SKEW,
            "exp": now + seconds,
            "jti": secrets.token_hex(12),
            **more,
        }
        if identity:
            claims |= {"uid": principal.id, "ver": identity.credential_version}
            if principal.is_robot:
                claims["kind"] = principal.kind
            if principal.token_id is not None:
                claims["pat"] = principal.token_id
            if identity.is_cli_secret:
                claims["cli"] = True
        return jwt.encode({"alg": _ALGORITHM, "typ": "JWT", "kid": self._kid}, claims, self._key)

    def _verify(self, token: str) -> Claims:
        try:
            claims = jwt.decode(token, self._key, algorithms=[_ALGORITHM]).claims
            _REGISTRY.validate(claims)
            return Claims(
                subject=claims["sub"],
                kind=claims.get("kind", USER),
                account_id=claims.get("uid"),
                token_id=claims.get("pat"),
                trust_id=claims.get("trust"),
                is_cli_secret=claims.get("cli", False),
                token_seconds=claims.get("tok", 0),
                credential_version=claims.get("ver", 0),
                expires_at=claims["exp"],
                is_refresh=claims.get("use") == "refresh",
                access=tuple(msgspec.convert(claims.get("access", []), list[Access])),
            )
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise NotAuthenticated("The token is not valid: log in again.") from error


def load_key(path: Path) -> ECKey:
    """The signing key kept at ``path``; made at the first start, readable by its owner only.

    Raises:
        ConfigError: it cannot be read or made.
    """
    try:
        if not path.exists():
            _create_key(path)
        return ECKey.import_key(path.read_bytes())
    except (OSError, ValueError, JoseError) as error:
        raise ConfigError(f"The signing key {path} cannot be used: {error}.") from error


def _create_key(path: Path) -> None:
    """Write a new key whole, or keep the one that another process made meanwhile."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ECKey.generate_key("P-256")
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:  # created with mode 0600
        file.write(key.as_pem(private=True))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(file.name, path)
    except FileExistsError:
        return
    finally:
        os.unlink(file.name)


def derive_key(key: ECKey, purpose: str) -> bytes:
    """A secret of its own for another ``purpose``, the same in every process."""
    secret = hashlib.sha256(key.as_pem(private=True)).digest()
    return hmac.digest(secret, purpose.encode(), "sha256")
