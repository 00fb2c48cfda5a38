"""A login in a browser: where it goes, what comes back, what becomes of it."""

from __future__ import annotations

import re

import msgspec

from entrepot.auth.model import LoginFailed, User
from entrepot.errors import InvalidInput

CALLBACK = "/c/oidc/callback"
"""The path that is registered at the provider, behind the registry's own URL."""
AFTER_LOGIN = "/account"
LOGIN_SECONDS = 600
"""How long somebody may take at the provider."""
ONBOARDING_SECONDS = 900
"""How long somebody may take to choose a name."""
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path of our own: printable ASCII without a backslash, which browsers take for a slash."""
_LONGEST_PATH = 2048


class Going(msgspec.Struct, frozen=True):
    """A browser that is sent to the provider."""

    url: str
    cookie: str
    """What ties the login to the browser; kept for ``LOGIN_SECONDS``."""


class Returned(msgspec.Struct, frozen=True):
    """What the provider's answer says (RFC 6749, 4.1.2; RFC 9207); ``None``: it has no such parameter."""

    state: str
    code: str | None = None
    error: str | None = None
    issuer: str | None = None


class Arrived(msgspec.Struct, frozen=True):
    """A browser that has logged in, or whose person has to choose a name first."""

    redirect: str
    """Where it wanted to go."""
    user: User | None = None
    session: str = ""
    """The session's cookie."""
    onboarding: str = ""
    """The cookie to choose a name with; kept for ``ONBOARDING_SECONDS``."""
    suggestion: str = ""
    """What the person is called at the provider."""


class Newcomer(msgspec.Struct, frozen=True):
    """Somebody who has to choose a name."""

    provider: str
    suggestion: str
    email: str
    redirect: str


class BrowserLoginFailed(LoginFailed, frozen=True, kw_only=True):
    """A login in a browser came to nothing; ``reason`` is the kind of failure."""

    provider: str = ""
    reason: str


def local_path(text: str) -> str:
    """``text`` as a path of the registry's own; empty becomes the account's page.

    Raises:
        InvalidInput: it leads elsewhere, or might.
    """
    if not text:
        return AFTER_LOGIN
    if len(text) > _LONGEST_PATH or not _LOCAL.fullmatch(text):
        raise InvalidInput("redirect_url is a path of this registry, such as /account.", code="BAD_REQUEST")
    return text
