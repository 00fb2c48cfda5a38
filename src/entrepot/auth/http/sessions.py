"""Logging in and out with a cookie: ``/c/login``, ``/c/log_out``, ``/c/userExists``."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs

import msgspec

from entrepot.auth.model import is_user_name
from entrepot.auth.service import Users
from entrepot.auth.sessions import COOKIE, Sessions
from entrepot.errors import Denied, InvalidInput, NotAllowed, NotAuthenticated, NotFound
from entrepot.journal.model import Origin
from entrepot.kit.listing import Condition, Listing
from entrepot.web.exchange import JSON, Exchange

_FORM_LIMIT = 64 * 1024
_NO_STORE = (b"cache-control", b"no-store")


class SessionRoutes:
    """Answers everything below ``/c/``; ``token_of`` gives the token that protects a session with this cookie."""

    def __init__(self, users: Users, sessions: Sessions, token_of: Callable[[str], str]) -> None:
        self._users = users
        self._sessions = sessions
        self._token_of = token_of

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request.

        Raises:
            NotFound: there is no such path.
        """
        answer = {"/c/login": self.log_in, "/c/log_out": self.log_out, "/c/userExists": self.user_exists}.get(
            exchange.path
        )
        if answer is None:
            raise NotFound("There is nothing here: sessions begin at /c/login.", code="NOT_FOUND")
        await answer(exchange)

    async def log_in(self, exchange: Exchange) -> None:
        """Begin a session for the name and password of a form.

        Raises:
            NotAuthenticated: they do not belong together.
            TooManyRequests: too many attempts failed.
        """
        exchange.operation = "session.login"
        form = await _form(exchange)
        name = form.get("principal", "")
        origin = _origin(exchange, name)
        user = await self._users.log_in(name, form.get("password", ""), origin, begins_session=True)
        exchange.principal = user.name
        if exchange.budget is not None:
            exchange.budget.charge(exchange, user.principal.key)
        cookie = await self._sessions.begin(user, origin)
        headers = [
            _set_cookie(exchange, cookie),
            (b"x-harbor-csrf-token", self._token_of(cookie).encode()),
            _NO_STORE,
        ]
        await exchange.respond(200, headers)

    async def log_out(self, exchange: Exchange) -> None:
        """End the session, if there is one."""
        exchange.operation = "session.logout"
        if exchange.method not in {"GET", "HEAD"}:
            raise NotAllowed("/c/log_out answers GET.", headers=((b"allow", b"GET"),))
        _refuse_other_sites(exchange)
        await self._sessions.end(exchange.cookie(COOKIE), _origin(exchange, ""))
        await exchange.respond(200, [_set_cookie(exchange, ""), _NO_STORE])

    async def user_exists(self, exchange: Exchange) -> None:
        """Say whether there is a user of a name or an e-mail address; administrators only, since others would guess.

        Raises:
            NotAuthenticated: there is no session.
            Denied: it is not an administrator's.
        """
        exchange.operation = "session.user_exists"
        form = await _form(exchange)
        user = await self._sessions.find(exchange.cookie(COOKIE))
        if user is None:
            raise NotAuthenticated("Log in first.")
        exchange.principal = user.name
        if not user.administers:
            raise Denied("Only an administrator may ask which users there are.", code="FORBIDDEN")
        found = await self._exists(form.get("target", ""), form.get("value", ""))
        await exchange.respond(200, [JSON, _NO_STORE], msgspec.json.encode(found))

    async def _exists(self, target: str, value: str) -> bool:
        if target == "username":
            return is_user_name(value) and await self._users.find_by_name(value) is not None
        if target == "email":
            _, total = await self._users.list(Listing(conditions=(Condition("email", "exact", (value,)),)))
            return total > 0
        raise InvalidInput("target is username or email.", code="BAD_REQUEST")


async def _form(exchange: Exchange) -> dict[str, str]:
    """The last value of each field of a form that was posted."""
    if exchange.method != "POST":
        raise NotAllowed(f"{exchange.path} answers POST.", headers=((b"allow", b"POST"),))
    _refuse_other_sites(exchange)
    try:
        fields = parse_qs((await exchange.read(_FORM_LIMIT)).decode(), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise InvalidInput(
            "The form cannot be read: send application/x-www-form-urlencoded.", code="BAD_REQUEST"
        ) from None
    return {name: values[-1] for name, values in fields.items()}


def _refuse_other_sites(exchange: Exchange) -> None:
    """Another site must not log anybody in or out: browsers say where a request comes from (Fetch Metadata)."""
    if exchange.text(b"sec-fetch-site") == "cross-site":
        raise Denied("Another site may not do this: open the registry's own page.", code="FORBIDDEN")


def _origin(exchange: Exchange, principal: str) -> Origin:
    return Origin(principal, exchange.client_address, exchange.text(b"user-agent"), exchange.request_id)


def _set_cookie(exchange: Exchange, value: str) -> tuple[bytes, bytes]:
    secure = "; Secure" if exchange.scheme == "https" else ""
    gone = "" if value else "; Max-Age=0"
    return b"set-cookie", f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax{gone}{secure}".encode()
