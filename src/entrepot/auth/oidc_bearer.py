"""Tokens of an OpenID provider that programs show to REST: ID tokens, and access tokens."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
import structlog

from entrepot.auth.issuer_keys import audiences_of, issuer_of
from entrepot.auth.oidc_claims import ClaimReader, with_userinfo
from entrepot.auth.oidc_client import OidcClient
from entrepot.auth.options import OidcOptions
from entrepot.auth.provider import ProviderUnreachable, ProviderUser
from entrepot.errors import NotAuthenticated
from entrepot.kit import clock
from entrepot.kit.expiring import ExpiringMap

_REMEMBERED = 8192
_SECONDS = 60.0
_REFUSED_SECONDS = 10.0
_OPAQUE = re.compile(r"[A-Za-z0-9._~+/-]{16,4096}=*")
"""RFC 6750, 2.1; shorter ones could be guessed."""

log = structlog.get_logger()


class Shown(msgspec.Struct, frozen=True):
    """A person, and until when the token counts (seconds since the epoch); no person: the token is none of ours."""

    person: ProviderUser | None
    expires_at: float


class Bearers:
    """Checks tokens; what was checked a moment ago is remembered."""

    def __init__(self, options: OidcOptions, client: OidcClient, reader: ClaimReader) -> None:
        self._options = options
        self._client = client
        self._reader = reader
        self._seen: ExpiringMap[bytes, Shown] = ExpiringMap(_REMEMBERED, clock.now)

    async def person(self, token: str) -> tuple[ProviderUser, float] | None:
        """See ``OidcProvider.of_bearer``."""
        issuer = issuer_of(token)
        if issuer != self._options.endpoint and (issuer or not self._may_be_opaque(token)):
            return None
        key = hashlib.sha256(token.encode()).digest()
        shown = self._seen.get(key)
        if shown is None:
            shown = await (self._of_jwt(token) if issuer else self._of_opaque(token))
            seconds = _SECONDS if shown.person else _REFUSED_SECONDS
            self._seen.put(key, shown, min(shown.expires_at, clock.now() + seconds))
        return (shown.person, shown.expires_at) if shown.person else None

    def _may_be_opaque(self, token: str) -> bool:
        return self._options.introspect and _OPAQUE.fullmatch(token) is not None

    async def _of_jwt(self, token: str) -> Shown:
        ours = self._options.client_id, *self._options.api_audiences
        claims = await self._client.keys.verify(token, audiences=ours)
        if "events" in claims:
            raise NotAuthenticated("The token tells of an event: it is no sign of who somebody is.")
        if not set(self._options.api_audiences) & set(audiences_of(claims)):
            check_party(claims, self._options.client_id)
        else:
            claims = await self._more(claims, token)
        return Shown(self._reader.person(claims, are_all=False), float(claims["exp"]))

    async def _of_opaque(self, token: str) -> Shown:
        claims = await self._client.introspect(token)
        now = clock.now()
        if claims is None:
            return Shown(None, now + _REFUSED_SECONDS)
        if str(claims.get("token_type", "bearer")).lower() not in {"bearer", "access_token"} or not claims.get("sub"):
            raise NotAuthenticated("The token is no access token of a person.")
        if claims.get("iss", self._options.endpoint) != self._options.endpoint:
            raise NotAuthenticated("The token is another issuer's.")
        ours = {self._options.client_id, *self._options.api_audiences}
        parties = audiences_of(claims) if claims.get("aud") is not None else [claims.get("client_id")]
        if not ours & {party for party in parties if isinstance(party, str)}:
            raise NotAuthenticated("The token is not for this registry: its audience is another.")
        until = claims.get("exp")
        expires_at = float(until) if isinstance(until, int | float) else now + _SECONDS
        if expires_at <= now:
            raise NotAuthenticated("The token has expired: fetch a new one.")
        named = {"preferred_username": claims["username"]} if "username" in claims else {}
        return Shown(self._reader.person(await self._more({**named, **claims}, token), are_all=False), expires_at)

    async def _more(self, claims: dict[str, Any], access_token: str) -> dict[str, Any]:
        """What the provider says beside an access token, if it says anything."""
        if self._reader.is_complete(claims):
            return claims
        try:
            userinfo = await self._client.userinfo(access_token)
        except ProviderUnreachable as error:
            # The token may be for an API and not for that endpoint; it is good without.
            log.info("no userinfo for a token", provider=self._options.name, error=error.message)
            return claims
        return with_userinfo(claims, userinfo) if userinfo.get("sub") == claims.get("sub") else claims


def check_party(claims: dict[str, Any], client_id: str) -> None:
    """Refuse an ID token that was made for another client, though it names us among others.

    Raises:
        NotAuthenticated: it was.
    """
    party = claims.get("azp")
    if party is None and len(audiences_of(claims)) == 1:
        return
    if party != client_id:
        raise NotAuthenticated("The ID token was made for another client.")
