"""Tokens of CI jobs and pods: whose they are, and whether they hold."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from entrepot.auth.issuer_keys import LONGEST_TOKEN, IssuerKeys, KeySource, audiences_of
from entrepot.auth.options import Options, WorkloadOptions
from entrepot.errors import NotAuthenticated

_LATEST = 253_370_764_800
"""The year 9999 begins, in seconds since the epoch."""


class Sources(Protocol):
    """Where the options of providers are had from; the directory is one."""

    async def options(self, kind: str) -> list[Options]:
        """The options of all providers of ``kind``, the first to be asked first."""


class WorkloadClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says that was checked."""

    issuer_name: str
    """What the operator calls its issuer."""
    claims: dict[str, Any]
    expires_at: float
    """Seconds since the epoch."""
    token_seconds: int = 900
    """How long a registry token lives that is issued for it."""
    session_seconds: int = 3600
    """How long tokens can be fetched without it after it has expired; 0: not at all."""

    @property
    def subject(self) -> str:
        """Who showed it, as the issuer says."""
        subject = self.claims.get("sub")
        return subject if isinstance(subject, str) else ""


class WrongAudience(NotAuthenticated):
    """The token is for somebody else."""


class Workloads:
    """The issuers of one installation, each with its keys."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._keys: dict[str, tuple[WorkloadOptions, IssuerKeys]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def names(self) -> frozenset[str]:
        """What the operator calls the issuers whose tokens are taken."""
        return frozenset(options.name for options in await self._options())

    async def verify(self, token: str) -> WorkloadClaims:
        """What ``token`` says, if an issuer that is trusted issued it for this registry, and it holds now.

        Raises:
            NotAuthenticated: it is not so; the sentence says what to do.
            ProviderUnreachable: its issuer's keys cannot be had.
        """
        shown = peek(token)
        known = [options for options in await self._options() if options.issuer == shown.get("iss")]
        if not known:
            raise NotAuthenticated(
                "This registry takes no tokens of this issuer: its operator lists them in [[identity.workload]]."
            )
        audiences = set(audiences_of(shown))
        meant = [options for options in known if audiences.intersection(options.audiences)]
        if not meant:
            taken = ", ".join(dict.fromkeys(audience for options in known for audience in options.audiences))
            raise WrongAudience(f"The token is for somebody else: ask its issuer for one with the audience {taken}.")
        options = meant[0]
        claims = await self._keys_of(options).verify(token, audiences=options.audiences)
        return WorkloadClaims(
            issuer_name=options.name,
            claims=claims,
            expires_at=min(float(claims["exp"]), _LATEST),
            token_seconds=options.token_seconds,
            session_seconds=options.session_seconds,
        )

    async def close(self) -> None:
        """End the connections to the issuers."""
        kept, self._keys = self._keys, {}
        for _, keys in kept.values():
            self._retire(keys)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _options(self) -> Sequence[WorkloadOptions]:
        found = [one for one in await self._sources.options(WorkloadOptions.kind) if isinstance(one, WorkloadOptions)]
        for name in self._keys.keys() - {options.name for options in found}:
            self._retire(self._keys.pop(name)[1])
        return found

    def _keys_of(self, options: WorkloadOptions) -> IssuerKeys:
        known = self._keys.get(options.name)
        if known is not None:
            if known[0] == options:
                return known[1]
            self._retire(known[1])
        source = KeySource(
            issuer=options.issuer,
            jwks_url=options.jwks_url,
            jwks_file=options.jwks_file,
            ca_file=options.ca_file,
            verify_certificate=options.verify_certificate,
            bearer_file=options.bearer_file,
            timeout=options.timeout,
        )
        keys = IssuerKeys(source)
        self._keys[options.name] = options, keys
        return keys

    def _retire(self, keys: IssuerKeys) -> None:
        task = asyncio.ensure_future(keys.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def looks_like_jwt(text: str) -> bool:
    """Whether a password is a signed JSON Web Token by its form: three parts, the first and the second JSON objects."""
    try:
        return text.startswith("ey") and bool(peek(text))
    except NotAuthenticated:
        return False


def peek(token: str) -> dict[str, Any]:
    """What a token says of itself, unchecked.

    Raises:
        NotAuthenticated: it is none.
    """
    pieces = token.split(".", 3)
    if len(token) <= LONGEST_TOKEN and len(pieces) == 3 and token.isascii():  # noqa: PLR2004 - header, claims, signature
        try:
            header, claims = (msgspec.json.decode(_bytes(piece), type=dict[str, Any]) for piece in pieces[:2])
        except (ValueError, RecursionError):  # neither base64 nor UTF-8 nor JSON
            pass
        else:
            if "alg" in header:
                return claims
    raise NotAuthenticated("The token is no signed JSON Web Token.")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
