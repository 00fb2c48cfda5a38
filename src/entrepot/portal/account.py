"""The page ``/account``: logging in, one's secrets and tokens, and a name for a new account. It needs no script."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from entrepot.access.identity import Identifier
from entrepot.auth.browser_logins import BrowserLogins
from entrepot.auth.cli_secrets import CliSecrets
from entrepot.auth.directory import Directory
from entrepot.auth.http.oidc import ONBOARDING_COOKIE
from entrepot.auth.identities import Identities
from entrepot.auth.model import Caller, User
from entrepot.auth.personal_tokens import PersonalTokens
from entrepot.auth.service import Users
from entrepot.auth.sessions import COOKIE, Sessions
from entrepot.errors import EntrepotError, InvalidInput, NotAllowed, NotAuthenticated, NotFound
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.portal.forms import (
    FORM_COOKIE,
    cookie_line,
    form_cookie,
    new_form_cookie,
    read_form,
    require_token,
    session_cookie,
)
from entrepot.portal.pages import STYLE, Pages
from entrepot.portal.views import READ_ONLY, Made, account_view, login_view
from entrepot.settings.service import Settings
from entrepot.web.exchange import Exchange, Headers

HOME = "/account"
ONBOARDING = "/account/onboard"

_DAY = 86_400_000_000
_LONGEST_DAYS = 3650
_DONE = {
    "token-revoked": "The token works no longer.",
    "cli-secret-revoked": "The CLI secret works no longer.",
    "logged-out": "You are logged out.",
}
"""What a page says after the form before it: words in the address stand for sentences, so that nobody else's get in."""


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """What the pages ask."""

    users: Users
    identifier: Identifier
    sessions: Sessions
    tokens: PersonalTokens
    cli_secrets: CliSecrets
    identities: Identities
    directory: Directory
    browser_logins: BrowserLogins
    settings: Settings


class AccountPages:
    """Answers ``/account`` and everything below; ``token_of`` gives the token that protects a cookie's forms."""

    def __init__(self, services: Services, token_of: Callable[[str], str]) -> None:
        self._services = services
        self._token_of = token_of
        self._pages = Pages()

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request; a refusal is a page with a sentence, and the status that it has everywhere."""
        exchange.operation = "portal.account"
        try:
            await self._find(exchange)(exchange)
        except EntrepotError as error:
            if exchange.status:
                raise
            await self._show(exchange, error.status, error=error.message, headers=list(error.headers))

    def _find(self, exchange: Exchange) -> Callable[[Exchange], Awaitable[None]]:
        reads: dict[str, Callable[[Exchange], Awaitable[None]]] = {
            HOME: self.home,
            f"{HOME}/": self.home,
            ONBOARDING: self.newcomer,
            STYLE: self._pages.show_style,
        }
        posts: dict[str, Callable[[Exchange], Awaitable[None]]] = {
            f"{HOME}/login": self.log_in,
            f"{HOME}/logout": self.log_out,
            f"{HOME}/tokens": self.make_token,
            f"{HOME}/tokens/revoke": self.revoke_token,
            f"{HOME}/cli-secret": self.make_cli_secret,
            f"{HOME}/cli-secret/revoke": self.revoke_cli_secret,
            ONBOARDING: self.onboard,
        }
        reading = exchange.method in {"GET", "HEAD"}
        found = (reads if reading else posts).get(exchange.path)
        if found is not None and (reading or exchange.method == "POST"):
            return found
        if reading and exchange.path in posts:
            return self._go_home  # somebody loads the address of a form again
        if exchange.path in reads | posts:
            raise NotAllowed("This page is not reached so: go back to your account.", headers=((b"allow", b"GET"),))
        raise NotFound("There is no such page: your account is at /account.", code="NOT_FOUND")

    async def _go_home(self, exchange: Exchange) -> None:
        await _go(exchange, HOME, [])

    # reading

    async def home(self, exchange: Exchange) -> None:
        """Show the account of whoever is logged in, else the ways to log in."""
        done = exchange.parameters().get("done", [""])[-1]
        await self._show(exchange, 200, notice=_DONE.get(done, ""))

    async def newcomer(self, exchange: Exchange) -> None:
        """Ask somebody without an account for a user name."""
        newcomer = await self._services.browser_logins.newcomer(exchange.cookie(ONBOARDING_COOKIE))
        if newcomer is None:
            raise NotAuthenticated("This login was used or is too old: begin again.")
        await self._show_onboarding(exchange, 200, newcomer.suggestion)

    # logging in and out

    async def log_in(self, exchange: Exchange) -> None:
        """Begin a session for a name and a password."""
        form = await self._form(exchange, form_cookie(exchange))
        name = form.get("username", "").strip()
        try:
            user = await self._services.users.log_in(
                name, form.get("password", ""), _origin(exchange, name), begins_session=True
            )
        except EntrepotError as error:
            await self._show(exchange, error.status, error=error.message, headers=list(error.headers), username=name)
            return
        self._charge(exchange, user)
        await self._services.sessions.end(session_cookie(exchange), _origin(exchange, user.name))
        session = await self._services.sessions.begin(user, _origin(exchange, user.name))
        await _go(exchange, HOME, [cookie_line(exchange, COOKIE, session), _without_form_cookie(exchange)])

    async def log_out(self, exchange: Exchange) -> None:
        """End the session, and lead on to the provider where that is wished.

        The way on is a refresh: what a form leads to is bound to this site by the page's policy.
        """
        caller, _ = await self._sender(exchange)
        there = await self._services.browser_logins.log_out(
            session_cookie(exchange), caller.origin, site=exchange.origin_url()
        )
        gone = cookie_line(exchange, COOKIE, "")
        if not there:
            await _go(exchange, f"{HOME}?{urlencode({'done': 'logged-out'})}", [gone])
            return
        headers = [gone, (b"refresh", b"0;url=" + there.encode("ascii", "ignore"))]
        await self._pages.show(exchange, 200, "leaving.html", headers, there=there)

    async def onboard(self, exchange: Exchange) -> None:
        """Make an account with the chosen name, and begin a session."""
        form = await self._form(exchange, form_cookie(exchange))
        name = form.get("username", "").strip()
        logins = self._services.browser_logins
        try:
            arrived = await logins.onboard(exchange.cookie(ONBOARDING_COOKIE), name, _origin(exchange, ""))
        except EntrepotError as error:
            if await logins.newcomer(exchange.cookie(ONBOARDING_COOKIE)) is None:
                raise
            await self._show_onboarding(exchange, error.status, name, error.message, list(error.headers))
            return
        if arrived.user is not None:
            self._charge(exchange, arrived.user)
        cookies = [cookie_line(exchange, COOKIE, arrived.session), cookie_line(exchange, ONBOARDING_COOKIE, "")]
        await _go(exchange, arrived.redirect, [*cookies, _without_form_cookie(exchange)])

    # secrets

    async def make_token(self, exchange: Exchange) -> None:
        """Make a personal access token, and show it this once."""
        caller, form = await self._sender(exchange)
        user_id = caller.principal.id or 0
        name = form.get("name", "").strip()
        expires_at = _expiry(form.get("days", ""))
        scope = READ_ONLY if form.get("read_only") else None
        token, secret = await self._services.tokens.create(caller, user_id, name, scope, expires_at)
        await self._show(exchange, 200, made=Made("token", token.name, secret, token.expires_at))

    async def revoke_token(self, exchange: Exchange) -> None:
        """Let a token work no longer."""
        caller, form = await self._sender(exchange)
        text = form.get("id", "")
        token_id = int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0  # noqa: PLR2004 - digits
        await self._services.tokens.revoke(caller, caller.principal.id or 0, token_id)
        await _go(exchange, f"{HOME}?{urlencode({'done': 'token-revoked'})}", [])

    async def make_cli_secret(self, exchange: Exchange) -> None:
        """Make a CLI secret in place of the present one, and show it this once."""
        caller, _ = await self._sender(exchange)
        made = await self._services.cli_secrets.set(caller, caller.principal.id or 0)
        await self._show(exchange, 200, made=Made("cli", "", made.secret, made.expires_at))

    async def revoke_cli_secret(self, exchange: Exchange) -> None:
        """Let the CLI secret work no longer."""
        caller, _ = await self._sender(exchange)
        await self._services.cli_secrets.revoke(caller, caller.principal.id or 0)
        await _go(exchange, f"{HOME}?{urlencode({'done': 'cli-secret-revoked'})}", [])

    # who, and what is shown

    async def _caller(self, exchange: Exchange) -> Caller | None:
        """Whoever is logged in here; a session that has ended is nobody's."""
        cookie = session_cookie(exchange)
        if not cookie:
            return None
        try:
            caller = await self._services.identifier.identify("", _origin(exchange, ""), session=cookie)
        except NotAuthenticated:
            return None
        if caller.principal.is_anonymous:
            return None
        exchange.principal = caller.principal.name
        return caller

    async def _sender(self, exchange: Exchange) -> tuple[Caller, Mapping[str, str]]:
        """Who posts a form, and the form.

        Raises:
            NotAuthenticated: nobody is logged in any more.
            Denied: the form is not of a page of ours.
        """
        form = await read_form(exchange)
        caller = await self._caller(exchange)
        if caller is None:
            raise NotAuthenticated("Your session is over: log in again.")
        require_token(form, session_cookie(exchange), self._token_of)
        if exchange.budget is not None:
            exchange.budget.charge(exchange, caller.principal.key)
        return caller, form

    async def _form(self, exchange: Exchange, cookie: str) -> Mapping[str, str]:
        form = await read_form(exchange)
        require_token(form, cookie, self._token_of)
        return form

    def _charge(self, exchange: Exchange, user: User) -> None:
        exchange.principal = user.name
        if exchange.budget is not None:
            exchange.budget.charge(exchange, user.principal.key)

    async def _show(
        self,
        exchange: Exchange,
        status: int,
        *,
        error: str = "",
        notice: str = "",
        headers: Headers | None = None,
        made: Made | None = None,
        username: str = "",
    ) -> None:
        """The page of whoever asks: the account, or the ways to log in."""
        said: dict[str, Any] = {"error": error, "notice": notice}
        caller = await self._caller(exchange)
        user = await self._services.users.find_by_id(caller.principal.id or 0) if caller else None
        if user is None:
            cookie, more = self._form_token(exchange)
            view = await login_view(self._services)
            values = {"view": view, "csrf": self._token_of(cookie), "username": username}
            await self._pages.show(exchange, status, "login.html", [*(headers or []), *more], **said, **values)
            return
        values = {
            "view": await account_view(self._services, user),
            "csrf": self._token_of(session_cookie(exchange)),
            "made": made,
            "host": exchange.origin_url().partition("://")[2],
        }
        await self._pages.show(exchange, status, "account.html", headers or [], **said, **values)

    async def _show_onboarding(
        self, exchange: Exchange, status: int, username: str, error: str = "", headers: Headers | None = None
    ) -> None:
        cookie, more = self._form_token(exchange)
        values = {"csrf": self._token_of(cookie), "username": username, "error": error, "notice": ""}
        await self._pages.show(exchange, status, "onboard.html", [*(headers or []), *more], **values)

    def _form_token(self, exchange: Exchange) -> tuple[str, Headers]:
        """The cookie whose token the forms before login carry, and the header that sets it if it is new."""
        cookie = form_cookie(exchange)
        if cookie:
            return cookie, []
        cookie = new_form_cookie()
        return cookie, [cookie_line(exchange, FORM_COOKIE, cookie, HOME)]


def _origin(exchange: Exchange, principal: str) -> Origin:
    return Origin(principal, exchange.client_address, exchange.text(b"user-agent"), exchange.request_id)


def _without_form_cookie(exchange: Exchange) -> tuple[bytes, bytes]:
    return cookie_line(exchange, FORM_COOKIE, "", HOME)


async def _go(exchange: Exchange, path: str, cookies: Headers) -> None:
    """Lead on with a GET, so that a reload sends no form again."""
    headers = [*cookies, (b"location", path.encode("ascii", "ignore")), (b"cache-control", b"no-store")]
    await exchange.respond(303, headers)


def _expiry(text: str) -> int | None:
    """When a token ends that lives for ``text`` days; empty: never."""
    text = text.strip()
    if not text:
        return None
    days = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0  # noqa: PLR2004 - digits
    if not 1 <= days <= _LONGEST_DAYS:
        raise InvalidInput(f"A token lives for 1 to {_LONGEST_DAYS} days; leave the field empty for no end.")
    return clock.now_us() + days * _DAY
