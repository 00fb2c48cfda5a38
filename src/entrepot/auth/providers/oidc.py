"""An OpenID provider: people log in there, in their browsers, with the authorization code flow."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import structlog

from entrepot.auth.issuer_keys import algorithm_of
from entrepot.auth.oidc_bearer import Bearers, check_party
from entrepot.auth.oidc_claims import ClaimReader, with_userinfo
from entrepot.auth.oidc_client import Begun, GrantRefused, OidcClient, Tokens
from entrepot.auth.options import OidcOptions
from entrepot.auth.provider import CannotTell, Link, Policy, ProviderUnreachable, ProviderUser
from entrepot.errors import NotAuthenticated

_HASHES = {
    "256": hashlib.sha256,
    "384": hashlib.sha384,
    "512": hashlib.sha512,
    "DSA": hashlib.sha512,
    "519": hashlib.sha512,
}
"""By the end of the signature's algorithm (EdDSA is Ed25519)."""

log = structlog.get_logger()


class OidcProvider:
    """One OpenID provider; see ``auth.provider.Provider``."""

    kind = "oidc"

    def __init__(self, options: OidcOptions) -> None:
        self.options = options
        self._client = OidcClient(options)
        self._reader = ClaimReader(options)
        self._bearers = Bearers(options, self._client, self._reader)

    @property
    def name(self) -> str:
        """What the operator calls it."""
        return self.options.name

    @property
    def title(self) -> str:
        """What people choose at login."""
        return self.options.title or self.options.name

    @property
    def policy(self) -> Policy:
        """How far it is believed."""
        return self.options.policy

    async def log_in(self, name: str, password: str) -> ProviderUser | None:  # noqa: ARG002 - it takes no passwords
        """Nobody: passwords are typed at the provider only."""
        return None

    async def look_up(self, link: Link, credential: str) -> ProviderUser | None:
        """See ``Provider.look_up``: a refresh token is asked with."""
        if not credential:
            raise CannotTell(f"{self.title} has given no refresh token.")
        try:
            tokens = await self._client.refresh(credential)
        except GrantRefused as error:
            log.info("refresh token refused", provider=self.name, name=link.name, reason=str(error))
            if self.policy.ends_with_source and str(error) == "invalid_grant":
                return None
            raise CannotTell(f"{self.title} does not take the refresh token any more.") from None
        claims: dict[str, Any] = {}
        if tokens.id_token:
            claims = await self._check(tokens, nonce=None)
        claims = await self._completed(claims or {"sub": link.subject}, tokens)
        if claims["sub"] != link.subject:
            raise ProviderUnreachable(f"{self.title} answers for somebody else.")
        return self._reader.person(claims, credential=tokens.refresh_token)

    async def probe(self) -> None:
        """See ``Provider.probe``."""
        await self._client.probe()

    async def close(self) -> None:
        """End its connections."""
        await self._client.close()

    # a browser's way

    async def begin(self, redirect_uri: str) -> Begun:
        """Where to send a browser, and what to keep until it comes back to ``redirect_uri``.

        Raises:
            ProviderUnreachable: it does not say where.
        """
        return await self._client.begin(redirect_uri)

    async def finish(
        self, code: str, *, redirect_uri: str, nonce: str, code_verifier: str, issuer: str | None
    ) -> tuple[ProviderUser, str]:
        """The person who came back with ``code``, and the ID token that ends the session there.

        Args:
            code: from the callback's parameters, as is
            issuer: the callback's parameter ``iss`` (RFC 9207); none: it has none.
            redirect_uri: as it was at the beginning, as are
            nonce: and
            code_verifier: of ``Begun``.

        Raises:
            NotAuthenticated: something does not fit; the sentence says what.
            PersonRefused: the person cannot be let in.
            ProviderUnreachable: it does not answer as it should.
        """
        metadata = await self._client.metadata()
        if issuer is None and metadata.authorization_response_iss_parameter_supported:
            raise NotAuthenticated(f"The answer does not say that it is {self.title}'s: begin again.")
        if issuer is not None and issuer != metadata.issuer:
            raise NotAuthenticated("The answer is another provider's: begin again.")
        try:
            tokens = await self._client.redeem(code, redirect_uri, code_verifier)
        except GrantRefused:
            raise NotAuthenticated(f"{self.title} does not take the login's code: begin again.") from None
        if not tokens.id_token:
            raise ProviderUnreachable(f"{self.title} sends no ID token: its scope must hold openid.")
        claims = await self._completed(await self._check(tokens, nonce=nonce), tokens)
        return self._reader.person(claims, credential=tokens.refresh_token), tokens.id_token

    async def end_session_url(self, id_token: str, back_to: str) -> str:
        """Where a browser logs out there too, to come ``back_to`` us; empty if that is not wanted or cannot be."""
        if not self.options.logout:
            return ""
        try:
            return await self._client.end_session_url(id_token, back_to)
        except ProviderUnreachable as error:
            log.warning("no logout at the provider", provider=self.name, error=error.message)
            return ""

    # a program's way

    async def of_bearer(self, token: str) -> tuple[ProviderUser, float] | None:
        """The person behind a token shown to REST, and until when it counts (seconds since the epoch).

        Groups are ``None`` where the token does not tell them. ``None``: it is not this provider's.

        Raises:
            NotAuthenticated: it is, and does not hold.
            PersonRefused: the person cannot be let in.
            ProviderUnreachable: the provider had to be asked, and does not answer.
        """
        return await self._bearers.person(token)

    async def _check(self, tokens: Tokens, *, nonce: str | None) -> dict[str, Any]:
        """The claims of an ID token (OpenID Connect Core 1.0, 3.1.3.7)."""
        claims = await self._client.keys.verify(tokens.id_token, audiences=(self.options.client_id,))
        check_party(claims, self.options.client_id)
        if nonce is not None and not _same(claims.get("nonce"), nonce):
            raise NotAuthenticated("The ID token is of another login: begin again.")
        bound = claims.get("at_hash")
        chosen = _HASHES.get(algorithm_of(tokens.id_token)[-3:])
        if bound is not None and chosen is not None:
            digest = chosen(tokens.access_token.encode()).digest()
            expected = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
            if not _same(bound, expected):
                raise NotAuthenticated("The access token does not belong to the ID token: begin again.")
        return claims

    async def _completed(self, claims: dict[str, Any], tokens: Tokens) -> dict[str, Any]:
        if self._reader.is_complete(claims):
            return claims
        userinfo = await self._client.userinfo(tokens.access_token)
        if userinfo and userinfo.get("sub") != claims.get("sub"):
            raise NotAuthenticated(f"{self.title} answers for somebody else: begin again.")  # 5.3.2
        if not userinfo and len(claims) == 1:
            raise CannotTell(f"{self.title} says nothing about people without their browsers.")
        return with_userinfo(claims, userinfo)


def _same(one: Any, other: str) -> bool:
    return isinstance(one, str) and hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
