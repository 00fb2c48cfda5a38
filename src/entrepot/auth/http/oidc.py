"""Logging in at an OpenID provider: everything below ``/c/oidc/``."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from urllib.parse import parse_qs, urlencode

import msgspec

from entrepot.auth.browser_login import AFTER_LOGIN, LOGIN_SECONDS, ONBOARDING_SECONDS, Arrived, Returned
from entrepot.auth.browser_logins import BrowserLogins
from entrepot.auth.sessions import COOKIE
from entrepot.errors import Denied, EntrepotError, InvalidInput, NotAllowed, NotFound
from entrepot.journal.model import Origin
from entrepot.web.exchange import JSON, Exchange

LOGIN_COOKIE = "entrepot_login"
"""Ties a login to the browser that it began in."""
ONBOARDING_COOKIE = "entrepot_onboarding"
"""Lets a person choose the name of a new account; the pages below ``/account`` read it too."""
ONBOARDING_PAGE = "/account/onboard"

_FORM = "application/x-www-form-urlencoded"
_BODY_LIMIT = 16 * 1024
_NO_STORE = (b"cache-control", b"no-store")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Login failed · Entrepôt</title>
<link rel="stylesheet" href="/account/style.css"></head>
<body><header class="bar"><div class="inside"><a class="brand" href="/account">Entrepôt</a></div></header>
<main id="content"><div class="narrow"><h1>Login failed</h1>
<section class="card"><p role="alert">{message}</p><p><a href="/account">Choose how to log in</a></p></section>
</div></main></body></html>
"""


class OidcRoutes:
    """Answers below ``/c/oidc/``; ``token_of`` gives the token that protects a session with this cookie."""

    def __init__(self, logins: BrowserLogins, token_of: Callable[[str], str]) -> None:
        self._logins = logins
        self._token_of = token_of

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request.

        Raises:
            EntrepotError: as the verbs do; to a browser it is shown as a page instead.
        """
        try:
            await self._answer(exchange)
        except EntrepotError as error:
            if "text/html" not in exchange.text(b"accept"):
                raise
            await _show(exchange, error)

    async def _answer(self, exchange: Exchange) -> None:
        answers = {
            "/c/oidc/login": ("GET", self.log_in),
            "/c/oidc/callback": ("GET", self.callback),
            "/c/oidc/onboard": ("POST", self.onboard),
            "/c/oidc/logout": ("GET", self.log_out),
        }
        method, answer = answers.get(exchange.path, ("", None))
        if answer is None:
            raise NotFound("There is nothing here: logins begin at /c/oidc/login.", code="NOT_FOUND")
        if exchange.method != method:
            raise NotAllowed(f"{exchange.path} answers {method}.", headers=((b"allow", method.encode()),))
        await answer(exchange)

    async def log_in(self, exchange: Exchange) -> None:
        """Send the browser to a provider."""
        exchange.operation = "session.oidc_login"
        asked = exchange.parameters()
        going = await self._logins.begin(
            _last(asked, "provider") or "",
            _last(asked, "redirect_url") or "",
            exchange.cookie(LOGIN_COOKIE),
            site=exchange.origin_url(),
        )
        cookie = cookie_line(exchange, LOGIN_COOKIE, going.cookie, path="/c/oidc", seconds=LOGIN_SECONDS)
        await _go(exchange, going.url, [cookie])

    async def callback(self, exchange: Exchange) -> None:
        """Take the browser back from a provider."""
        exchange.operation = "session.oidc_callback"
        sent = exchange.parameters()
        if any(len(values) > 1 for name, values in sent.items() if name in {"state", "code", "error", "iss"}):
            raise InvalidInput("The provider's answer says something twice: begin again.", code="BAD_REQUEST")
        returned = Returned(_last(sent, "state") or "", _last(sent, "code"), _last(sent, "error"), _last(sent, "iss"))
        arrived = await self._logins.finish(returned, exchange.cookie(LOGIN_COOKIE), origin_of(exchange))
        if arrived.user is not None:
            exchange.principal = arrived.user.name
            await _go(exchange, arrived.redirect, [cookie_line(exchange, COOKIE, arrived.session)])
            return
        cookie = cookie_line(exchange, ONBOARDING_COOKIE, arrived.onboarding, seconds=ONBOARDING_SECONDS)
        asked = urlencode({"redirect_url": arrived.redirect, "username": arrived.suggestion})
        await _go(exchange, f"{ONBOARDING_PAGE}?{asked}", [cookie])

    async def onboard(self, exchange: Exchange) -> None:
        """Take the name that a new account is to have: JSON, or a form."""
        exchange.operation = "session.oidc_onboard"
        refuse_other_sites(exchange)
        is_form = exchange.text(b"content-type").partition(";")[0].strip().lower() == _FORM
        name = _name_of(await exchange.read(_BODY_LIMIT), is_form=is_form)
        arrived = await self._logins.onboard(exchange.cookie(ONBOARDING_COOKIE), name, origin_of(exchange))
        exchange.principal = arrived.user.name if arrived.user else "-"
        headers = [*arrival_cookies(exchange, arrived), _NO_STORE]
        if is_form:
            await exchange.respond(303, [*headers, (b"location", arrived.redirect.encode())])
            return
        headers += [JSON, (b"x-harbor-csrf-token", self._token_of(arrived.session).encode())]
        await exchange.respond(200, headers, msgspec.json.encode({"redirect_url": arrived.redirect}))

    async def log_out(self, exchange: Exchange) -> None:
        """End the session here, and at the provider if that is wished."""
        exchange.operation = "session.oidc_logout"
        refuse_other_sites(exchange)
        there = await self._logins.log_out(exchange.cookie(COOKIE), origin_of(exchange), site=exchange.origin_url())
        await _go(exchange, there or AFTER_LOGIN, [cookie_line(exchange, COOKIE, "")])


def arrival_cookies(exchange: Exchange, arrived: Arrived) -> list[tuple[bytes, bytes]]:
    """The cookies of a browser whose person has chosen a name."""
    return [cookie_line(exchange, COOKIE, arrived.session), cookie_line(exchange, ONBOARDING_COOKIE, "")]


def cookie_line(
    exchange: Exchange, name: str, value: str, *, path: str = "/", seconds: int | None = None
) -> tuple[bytes, bytes]:
    """A header that sets a cookie, or with an empty value removes it."""
    secure = "; Secure" if exchange.scheme == "https" else ""
    kept = f"; Max-Age={seconds if value else 0}" if seconds is not None or not value else ""
    return b"set-cookie", f"{name}={value}; Path={path}; HttpOnly; SameSite=Lax{kept}{secure}".encode()


def origin_of(exchange: Exchange) -> Origin:
    """Who asks; nobody is known yet."""
    return Origin("anonymous", exchange.client_address, exchange.text(b"user-agent"), exchange.request_id)


def refuse_other_sites(exchange: Exchange) -> None:
    """Another site must not do this in somebody's name: browsers say where a request comes from (Fetch Metadata).

    Raises:
        Denied: it comes from there.
    """
    if exchange.text(b"sec-fetch-site") == "cross-site":
        raise Denied("Another site may not do this: open the registry's own page.", code="FORBIDDEN")


def _name_of(body: bytes, *, is_form: bool) -> str:
    try:
        if is_form:
            return parse_qs(body.decode(), max_num_fields=100).get("username", [""])[-1]
        return msgspec.json.decode(body, type=_Onboarding).username
    except (ValueError, msgspec.DecodeError, RecursionError):
        raise InvalidInput('Send {"username": "…"}.', code="BAD_REQUEST") from None


class _Onboarding(msgspec.Struct, frozen=True):
    username: str


def _last(parameters: dict[str, list[str]], name: str) -> str | None:
    values = parameters.get(name)
    return values[-1] if values else None


async def _go(exchange: Exchange, url: str, cookies: list[tuple[bytes, bytes]]) -> None:
    headers = [*cookies, (b"location", url.encode()), _NO_STORE, (b"referrer-policy", b"no-referrer")]
    await exchange.respond(302, headers)


async def _show(exchange: Exchange, error: EntrepotError) -> None:
    """A failure as a page, with the way on."""
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", b"default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        _NO_STORE,
        *error.headers,
    ]
    page = _PAGE.format(message=escape(error.message))
    await exchange.respond(error.status, headers, page.encode("utf-8", "replace"))
