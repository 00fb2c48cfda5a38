"""Forms: what a browser posts, and the token that no other site can know.

Whoever is logged in has the token of the session; before, it is the token of a cookie that holds nothing else.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from entrepot.auth.sessions import COOKIE
from entrepot.errors import Denied, InvalidInput
from entrepot.web.exchange import Exchange

FORM_COOKIE = "entrepot_form"
TOKEN_FIELD = "csrf"  # noqa: S105 - a field's name

_LIMIT = 64 * 1024
_KIND = "application/x-www-form-urlencoded"
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")
_OWN_SITE = frozenset({"", "same-origin", "none"})

TokenOf = Callable[[str], str]
"""The token that belongs to a cookie."""


async def read_form(exchange: Exchange) -> Mapping[str, str]:
    """The last value of each field of a form that was posted.

    Raises:
        Denied: another site's page sent it.
        InvalidInput: it is no form.
        TooLarge: it is larger than any of ours.
    """
    if exchange.text(b"sec-fetch-site") not in _OWN_SITE:
        raise Denied("Another site may not do this: open the registry's own page.", code="FORBIDDEN")
    body = await exchange.read(_LIMIT)
    if exchange.text(b"content-type").partition(";")[0].strip().lower() != _KIND:
        raise InvalidInput("Send the form of the page.", code="BAD_REQUEST")
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise InvalidInput("The form cannot be read: send that of the page.", code="BAD_REQUEST") from None
    return {name: values[-1] for name, values in fields.items()}


def form_cookie(exchange: Exchange) -> str:
    """The cookie of a browser that has not logged in; empty if it has none that could be ours."""
    value = exchange.cookie(FORM_COOKIE)
    return value if _COOKIE.fullmatch(value) else ""


def new_form_cookie() -> str:
    """A cookie for a browser that has none."""
    return secrets.token_urlsafe(32)


def cookie_line(exchange: Exchange, name: str, value: str, path: str = "/") -> tuple[bytes, bytes]:
    """A header that sets a cookie for as long as the browser runs, or with an empty value removes it."""
    secure = "; Secure" if exchange.scheme == "https" else ""
    gone = "" if value else "; Max-Age=0"
    return b"set-cookie", f"{name}={value}; Path={path}; HttpOnly; SameSite=Lax{gone}{secure}".encode()


def require_token(form: Mapping[str, str], cookie: str, token_of: TokenOf) -> None:
    """Refuse a form that does not come from a page of ours in this browser.

    Raises:
        Denied: its token is missing or another cookie's.
    """
    if not cookie or not hmac.compare_digest(form.get(TOKEN_FIELD, "").encode(), token_of(cookie).encode()):
        raise Denied("This page was open for too long, or cookies are off: try again.", code="FORBIDDEN")


def session_cookie(exchange: Exchange) -> str:
    """The session's cookie, or nothing."""
    return exchange.cookie(COOKIE)
