"""The keys of an issuer of JSON Web Tokens, and the check of a token with them.

Sources: RFC 7515, 7517, 7519; RFC 8725 (best current practices); OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import os
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from entrepot.auth.fetched import Fetched
from entrepot.auth.issuer_http import LARGEST_ANSWER, IssuerHttp
from entrepot.auth.oidc_metadata import discover
from entrepot.auth.provider import ProviderUnreachable
from entrepot.errors import NotAuthenticated
from entrepot.kit import clock

LONGEST_TOKEN = 16 * 1024
"""Characters of a token that is looked at."""
_FRESH_SECONDS = 3600.0
_FILE_SECONDS = 60.0
_MOST_KEYS = 200
_LEAST_RSA_BYTES = 256
_PARTS = 3

_ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA", "Ed25519", "Ed448"),
}
"""By the key's type: a public RSA key must never become an HMAC's secret, and ``none`` is nobody's."""
_CURVES = {"P-256", "P-384", "P-521", "Ed25519", "Ed448"}
_TYPES = frozenset({"", "jwt", "application/jwt", "at+jwt", "application/at+jwt"})
"""A logout token, or another statement of the issuer's, is no sign of who somebody is (RFC 8725, 3.11)."""

PublicKey = RSAKey | ECKey | OKPKey


class KeySource(msgspec.Struct, frozen=True, kw_only=True):
    """Where an issuer's keys are."""

    issuer: str
    """As tokens name it in ``iss``, to the letter."""
    jwks_url: str = ""
    """Empty: found by discovery below the issuer."""
    jwks_file: str = ""
    """Read instead of asking anybody."""
    ca_file: str = ""
    verify_certificate: bool = True
    bearer_file: str = ""
    """A token shown when keys are fetched; read each time, since it is renewed."""
    timeout: float = 10.0
    """Seconds for one request."""


class IssuerKeys:
    """The keys of one issuer, remembered for an hour; a day, if it cannot be reached."""

    def __init__(self, source: KeySource, *, http: IssuerHttp | None = None, renew_seconds: float = 30.0) -> None:
        """``http`` is closed by whoever brings it; unknown keys are asked for once in ``renew_seconds``."""
        self._source = source
        self._http = http or IssuerHttp(
            source.issuer,
            ca_file=source.ca_file,
            verify_certificate=source.verify_certificate,
            timeout=source.timeout,
        )
        self._owns_http = http is None
        self._keys: Fetched[list[_Key]] = Fetched(
            self._fetch,
            fresh_seconds=_FILE_SECONDS if source.jwks_file else _FRESH_SECONDS,
            renew_seconds=1.0 if source.jwks_file else renew_seconds,
        )

    @property
    def issuer(self) -> str:
        """Whose keys they are."""
        return self._source.issuer

    async def verify(self, token: str, *, audiences: Collection[str], leeway: float = 60) -> dict[str, Any]:
        """The claims of ``token``: this issuer's, for one of ``audiences``, and of now, within ``leeway`` seconds.

        Raises:
            NotAuthenticated: it is not; the sentence says what is wrong.
            ProviderUnreachable: there are no keys to check it with.
        """
        parts = _split(token)
        check_claims(parts.claims, self._source.issuer, audiences, leeway)  # before keys are fetched for nothing
        keys = await self._keys.get()
        if _fits(parts, keys):
            return parts.claims
        # The key may be younger than what is remembered; one that is known by name and does not fit is not.
        is_known = parts.header.kid is not None and any(key.kid == parts.header.kid for key in keys)
        if is_known or not await self._keys.renew() or not _fits(parts, await self._keys.get()):
            raise NotAuthenticated("The token is not signed with a key of its issuer: fetch a new one.")
        return parts.claims

    async def load(self) -> int:
        """Fetch the keys now; how many can be used.

        Raises:
            ProviderUnreachable: they cannot be had.
        """
        return len(await self._fetch())

    async def close(self) -> None:
        """End the connections."""
        if self._owns_http:
            await self._http.close()

    async def _fetch(self) -> list[_Key]:
        source = self._source
        if source.jwks_file:
            document = _document(await self._file(source.jwks_file))
        else:
            bearer = (await self._file(source.bearer_file)).decode("latin-1").strip() if source.bearer_file else ""
            url = source.jwks_url or (await discover(self._http, source.issuer, bearer=bearer)).jwks_uri
            document = await self._http.get(url, bearer=bearer)
        listed = document.get("keys")
        keys = [key for one in listed[:_MOST_KEYS] if (key := _import(one))] if isinstance(listed, list) else []
        if not keys:
            raise ProviderUnreachable(f"{source.issuer} has no key that tokens can be checked with.")
        return keys

    async def _file(self, path: str) -> bytes:
        try:
            return await asyncio.to_thread(_read, path)
        except OSError as error:
            raise ProviderUnreachable(f"{self._source.issuer}: {path} cannot be read: {error.strerror}.") from None


class _Header(msgspec.Struct, frozen=True):
    """A token's header, as far as it is believed: where it says that a key could be had is not looked at."""

    alg: str
    kid: str | None = None
    typ: str = ""
    crit: Any = None


class _Parts(msgspec.Struct, frozen=True):
    header: _Header
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


class _Key(msgspec.Struct, frozen=True):
    kid: str | None
    algorithms: tuple[str, ...]
    key: PublicKey


def issuer_of(token: str) -> str:
    """Who issued a token according to itself, unchecked; empty if it is none."""
    try:
        issuer = _split(token).claims.get("iss")
    except NotAuthenticated:
        return ""
    return issuer if isinstance(issuer, str) else ""


def algorithm_of(token: str) -> str:
    """The algorithm of a token that was verified.

    Raises:
        NotAuthenticated: it is none.
    """
    return _split(token).header.alg


def check_claims(claims: dict[str, Any], issuer: str, audiences: Collection[str], leeway: float) -> None:
    """Compare what a token says of itself with who asks and with the clock.

    Raises:
        NotAuthenticated: they do not fit.
    """
    if claims.get("iss") != issuer:
        raise NotAuthenticated("The token is another issuer's.")
    if not set(audiences_of(claims)) & set(audiences):
        raise NotAuthenticated("The token is not for this registry: its audience is another.")
    now = clock.now()
    expires = _time(claims.get("exp"))
    if expires is None or expires <= now - leeway:
        raise NotAuthenticated("The token has expired: fetch a new one.")
    for name in ("nbf", "iat"):
        begins = _time(claims.get(name, now))
        if begins is None or begins > now + leeway:
            raise NotAuthenticated("The token does not hold yet: compare the clocks.")


def audiences_of(claims: dict[str, Any]) -> list[str]:
    """Whom a token is for."""
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    return [one for one in listed if isinstance(one, str)]


def _time(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if good else None


def _split(token: str) -> _Parts:
    pieces = token.split(".")
    if len(token) > LONGEST_TOKEN or len(pieces) != _PARTS or not token.isascii():
        raise NotAuthenticated("The token is no signed JSON Web Token.")
    try:
        parts = _Parts(
            msgspec.json.decode(_bytes(pieces[0]), type=_Header),
            msgspec.json.decode(_bytes(pieces[1]), type=dict[str, Any]),
            f"{pieces[0]}.{pieces[1]}".encode("ascii"),
            _bytes(pieces[2]),
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error, ValueError):
        raise NotAuthenticated("The token is no signed JSON Web Token.") from None
    if parts.header.crit is not None or parts.header.typ.lower() not in _TYPES:
        raise NotAuthenticated("The token is of a kind that opens nothing here.")
    return parts


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _fits(parts: _Parts, keys: Sequence[_Key]) -> bool:
    """Whether one of ``keys`` signed a token; its name narrows the choice, its algorithm must be the key's."""
    header = parts.header
    for key in keys:
        if header.alg not in key.algorithms or (header.kid is not None and key.kid not in {header.kid, None}):
            continue
        try:
            # The algorithm itself, since asking the registry for EdDSA warns that it has got a second name (RFC 9864).
            algorithm = JWSRegistry.algorithms[header.alg]
            algorithm.check_key(key.key)
            if algorithm.verify(parts.signed, parts.signature, key.key):
                return True
        except (JoseError, ValueError, TypeError):
            continue  # a key of another curve, or a signature of another length
    return False


def _import(document: Any) -> _Key | None:
    """A key that signatures can be checked with; ``None`` for every other one."""
    if not isinstance(document, dict) or document.get("use", "sig") != "sig":
        return None
    names = _ALGORITHMS.get(str(document.get("kty")), ())
    chosen = document.get("alg")
    algorithms = tuple(name for name in names if chosen in {None, name})
    operations = document.get("key_ops")
    if not algorithms or (isinstance(operations, list) and "verify" not in operations):
        return None
    kid = document.get("kid")
    try:
        if document.get("crv", "P-256") not in _CURVES:
            return None  # for keys that are agreed on, or of a coin
        if names[0] == "RS256" and len(_bytes(document["n"]).lstrip(b"\0")) < _LEAST_RSA_BYTES:
            return None  # too short to be worth anything
        # Only what makes the public key: neither a private part nor other members are of use here.
        public = {name: document[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in document}
        key = JWKRegistry.import_key(public)
        key.get_op_key("verify")
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return _Key(kid if isinstance(kid, str) else None, algorithms, key)  # type: ignore[arg-type]  # no oct: see above


def _document(content: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > LARGEST_ANSWER:
            return b""
        return file.read(LARGEST_ANSWER)
