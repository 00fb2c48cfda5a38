"""The token endpoint: ``GET`` and ``POST /service/token``.

It never answers anything but 200, 400, 401, 405 or 429 (containerd falls back from POST to GET on few others), and 503
while an identity provider that is needed does not answer.
"""

from __future__ import annotations

from urllib.parse import parse_qs

import msgspec

from entrepot.access.identity import Identity, decode_basic
from entrepot.access.issue import TokenService
from entrepot.access.model import parse_scopes
from entrepot.access.token_exchange import GRANT, read_request, refusal
from entrepot.access.tokens import SERVICE
from entrepot.errors import EntrepotError, InvalidInput, NotAllowed, NotAuthenticated
from entrepot.journal.model import Origin
from entrepot.web.exchange import JSON, Exchange
from entrepot.web.render import render

_FORM_LIMIT = 64 * 1024
_NO_STORE = (b"cache-control", b"no-store")
_encoder = msgspec.json.Encoder()

Form = dict[str, list[str]]


class TokenEndpoint:
    """Decodes what clients send, asks the token service, encodes the token."""

    def __init__(self, tokens: TokenService) -> None:
        self._tokens = tokens

    async def __call__(self, exchange: Exchange) -> None:
        """Answer a token request; a wrong credential is challenged for Basic."""
        exchange.operation = "token"
        try:
            if exchange.method in {"GET", "HEAD"}:
                await self._get(exchange)
            elif exchange.method == "POST":
                await self._post(exchange)
            else:
                raise NotAllowed("The token endpoint answers GET and POST.", headers=((b"allow", b"GET, POST"),))
        except NotAuthenticated as error:
            error.headers = ((b"www-authenticate", f'Basic realm="{SERVICE}"'.encode()),)
            await render(exchange, error)

    async def _get(self, exchange: Exchange) -> None:
        form = exchange.parameters()
        identity, may_last = await self._shown(exchange)
        offline = may_last and _last(form, "offline_token") in {"true", "1"}
        await self._issue(exchange, form, identity, offline=offline)

    async def _post(self, exchange: Exchange) -> None:
        form = _parse_form(await exchange.read(_FORM_LIMIT))
        grant, may_last = _last(form, "grant_type"), True
        if grant == GRANT:
            await self._exchange(exchange, form)
            return
        if grant == "password":
            identity: Identity | None = await self._tokens.log_in(
                _last(form, "username"), _last(form, "password"), _origin(exchange)
            )
        elif grant == "refresh_token":
            identity = await self._tokens.refresh(_last(form, "refresh_token"), _origin(exchange))
        elif grant:
            raise InvalidInput(f"The grant_type {grant[:64]!r} is not known: use password, refresh_token or {GRANT}.")
        else:
            identity, may_last = await self._shown(exchange)
        await self._issue(exchange, form, identity, offline=may_last and _last(form, "access_type") == "offline")

    async def _exchange(self, exchange: Exchange, form: Form) -> None:
        """The token of a CI job or a pod for one of ours (RFC 8693)."""
        exchange.operation = "token exchange"
        try:
            wanted = read_request(form)
            identity = await self._tokens.exchange(wanted.token, wanted.account, _origin(exchange))
            await self._issue(exchange, form, identity, exchanged=True)
        except EntrepotError as error:
            status, headers, body = refusal(error)
            await exchange.respond(status, [JSON, _NO_STORE, *headers], _encoder.encode(body))

    async def _shown(self, exchange: Exchange) -> tuple[Identity | None, bool]:
        """Who asks, and whether a refresh token may be had: not for a certificate, which would be outlived by it."""
        authorization = exchange.text(b"authorization")
        if not authorization:
            return await self._tokens.certified(exchange, _origin(exchange)), False
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "basic":
            raise NotAuthenticated("Send name and password as Basic credentials.")
        name, password = decode_basic(value)
        return await self._tokens.log_in(name, password, _origin(exchange)), True

    async def _issue(
        self,
        exchange: Exchange,
        form: Form,
        identity: Identity | None,
        *,
        offline: bool = False,
        exchanged: bool = False,
    ) -> None:
        exchange.principal = identity.principal.name if identity else "anonymous"
        if exchange.budget is not None and identity is not None:
            exchange.budget.charge(exchange, identity.principal.key)
        scopes = parse_scopes(form.get("scope", []))
        origin = _origin(exchange, exchange.principal)
        issued = await self._tokens.issue(identity, scopes, origin, offline=offline, exchanged=exchanged)
        await exchange.respond(200, [JSON, _NO_STORE], _encoder.encode(issued))


def _origin(exchange: Exchange, principal: str = "") -> Origin:
    return Origin(principal, exchange.client_address, exchange.text(b"user-agent"), exchange.request_id)


def _parse_form(body: bytes) -> Form:
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise InvalidInput("The form cannot be read: send application/x-www-form-urlencoded.") from None


def _last(form: Form, name: str) -> str:
    return form.get(name, [""])[-1]
