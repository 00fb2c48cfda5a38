"""What is said to an OpenID provider: codes, tokens and questions (OpenID Connect Core 1.0; RFC 6749, 7636, 7662)."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from entrepot.auth.fetched import Fetched
from entrepot.auth.issuer_http import Answer, IssuerHttp
from entrepot.auth.issuer_keys import IssuerKeys, KeySource
from entrepot.auth.oidc_claims import text_of
from entrepot.auth.oidc_metadata import Metadata, discover
from entrepot.auth.options import OidcOptions
from entrepot.auth.provider import ProviderUnreachable, RegistryRefused

_METADATA_SECONDS = 3600.0
_LONGEST_HINT = 4096
"""Characters of an ID token that still fits into a URL."""
_OK = 200
_OURS = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"})
"""Refusals that only the operator can do something about."""
_KEPT = frozenset(
    {"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method"}
)
"""What ``extra_parameters`` cannot replace."""


class Begun(msgspec.Struct, frozen=True):
    """A login that goes on at the provider."""

    url: str
    state: str
    nonce: str
    code_verifier: str


class Tokens(msgspec.Struct, frozen=True):
    """What the token endpoint gives; empty: it does not."""

    access_token: str = ""
    id_token: str = ""
    refresh_token: str = ""


class GrantRefused(Exception):
    """The provider does not take a code or a token (any more); the argument is its word for that."""


class OidcClient:
    """One registered client of one provider."""

    def __init__(self, options: OidcOptions) -> None:
        self._options = options
        self._http = IssuerHttp(
            options.title or options.name,
            ca_file=options.ca_file,
            verify_certificate=options.verify_certificate,
            timeout=options.timeout,
        )
        self._metadata: Fetched[Metadata] = Fetched(
            lambda: discover(self._http, options.endpoint), fresh_seconds=_METADATA_SECONDS
        )
        source = KeySource(issuer=options.endpoint, timeout=options.timeout)
        self.keys = IssuerKeys(source, http=self._http)
        """What its tokens are signed with."""

    async def metadata(self) -> Metadata:
        """What it says of itself.

        Raises:
            ProviderUnreachable: it does not.
        """
        return await self._metadata.get()

    async def probe(self) -> None:
        """Ask it now, whatever is remembered.

        Raises:
            ProviderUnreachable: it does not answer as it should.
        """
        found = await discover(self._http, self._options.endpoint)
        self._endpoint(found, "authorization_endpoint")
        self._endpoint(found, "token_endpoint")
        await self.keys.load()

    async def begin(self, redirect_uri: str) -> Begun:
        """Where to send a browser, and what to compare with when it comes back.

        Raises:
            ProviderUnreachable: it does not say where.
        """
        metadata = await self.metadata()
        url = self._endpoint(metadata, "authorization_endpoint")
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        more = {name: value for name, value in self._options.extra_parameters.items() if name not in _KEPT}
        asked = {
            **more,
            "response_type": "code",
            "client_id": self._options.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._options.scope.replace(",", " ").split()),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return Begun(with_parameters(url, asked), state, nonce, verifier)

    async def redeem(self, code: str, redirect_uri: str, code_verifier: str) -> Tokens:
        """The tokens for a code.

        Raises:
            GrantRefused: it was used, or is another's.
            ProviderUnreachable: there is no answer, or not to us.
        """
        return await self._grant(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_uri,
                "code_verifier": code_verifier,
            }
        )

    async def refresh(self, token: str) -> Tokens:
        """New tokens for a refresh token; raises as ``redeem``."""
        return await self._grant({"grant_type": "refresh_token", "refresh_token": token})

    async def userinfo(self, access_token: str) -> dict[str, Any]:
        """The claims that the userinfo endpoint makes; empty if there is no such endpoint.

        Raises:
            ProviderUnreachable: it does not answer, or does not take the token.
        """
        url = (await self.metadata()).userinfo_endpoint
        return await self._http.get(url, bearer=access_token) if url and access_token else {}

    async def introspect(self, token: str) -> dict[str, Any] | None:
        """What the provider says of an access token; ``None``: it is not active, or not its.

        Raises:
            ProviderUnreachable: it does not answer, or not to us.
        """
        metadata = await self.metadata()
        url = self._endpoint(metadata, "introspection_endpoint")
        status, document = await self._post(metadata, url, {"token": token, "token_type_hint": "access_token"})
        if status != _OK:
            raise ProviderUnreachable(f"{self._title} refuses to look at a token ({_word(document)}).")
        return document if document.get("active") is True else None

    async def end_session_url(self, id_token: str, back_to: str) -> str:
        """Where a browser ends its session at the provider; empty if there is no such place."""
        url = (await self.metadata()).end_session_endpoint
        if not url:
            return ""
        asked = {"client_id": self._options.client_id, "post_logout_redirect_uri": back_to}
        hint = {"id_token_hint": id_token} if 0 < len(id_token) <= _LONGEST_HINT else {}
        return with_parameters(url, asked | hint)

    async def close(self) -> None:
        """End the connections."""
        await self._http.close()

    @property
    def _title(self) -> str:
        return self._options.title or self._options.name

    async def _grant(self, form: dict[str, str]) -> Tokens:
        metadata = await self.metadata()
        status, document = await self._post(metadata, self._endpoint(metadata, "token_endpoint"), form)
        if status == _OK:
            names = ("access_token", "id_token", "refresh_token")
            return Tokens(*(value if isinstance(value := document.get(name), str) else "" for name in names))
        word = _word(document)
        if word in _OURS:
            raise RegistryRefused(
                f"{self._title} refuses this registry ({word}): check client_id, client_secret and what the client "
                "is registered for there."
            )
        raise GrantRefused(word)

    async def _post(self, metadata: Metadata, url: str, form: Mapping[str, str]) -> Answer:
        client_id, secret = self._options.client_id, self._options.client_secret
        if not secret:
            return await self._http.post(url, {**form, "client_id": client_id})
        methods = metadata.token_endpoint_auth_methods_supported
        if "client_secret_post" in methods and "client_secret_basic" not in methods:
            return await self._http.post(url, {**form, "client_id": client_id, "client_secret": secret})
        return await self._http.post(url, form, basic=(client_id, secret))

    def _endpoint(self, metadata: Metadata, name: str) -> str:
        url: str = getattr(metadata, name)
        if not url:
            raise ProviderUnreachable(f"{self._title} names no {name}.")
        return url


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """``url`` with more parameters in its query."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*kept, *parameters.items()])))


def _word(document: Mapping[str, Any]) -> str:
    """The code of an OAuth error."""
    word = text_of(document.get("error"))
    return word if word.isidentifier() else "no reason given"
