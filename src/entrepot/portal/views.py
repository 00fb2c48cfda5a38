"""What the pages show, put together from the services."""

from __future__ import annotations

from typing import Protocol

import msgspec

from entrepot.access.permissions import PROJECT_PERMISSIONS, READING
from entrepot.auth.cli_secrets import CliSecrets
from entrepot.auth.directory import Directory
from entrepot.auth.identities import Identities, Identity
from entrepot.auth.model import PersonalToken, Scope, ScopeEntry, User
from entrepot.auth.options import OidcOptions
from entrepot.auth.personal_tokens import PersonalTokens
from entrepot.kit import clock
from entrepot.settings.service import Settings

READ_ONLY: Scope = (
    ScopeEntry("project", tuple(each for each in PROJECT_PERMISSIONS if each[1] in READING or each[1] == "pull")),
)
"""The rights of a token that changes nothing."""


class Made(msgspec.Struct, frozen=True):
    """A secret that was made just now, to be shown this once."""

    kind: str
    """``token`` or ``cli``."""
    name: str
    secret: str
    expires_at: int | None


class TokenLine(msgspec.Struct, frozen=True):
    """A personal access token in the list."""

    token: PersonalToken
    may: str
    is_over: bool


class CliLine(msgspec.Struct, frozen=True):
    """The CLI secret that there is."""

    expires_at: int | None
    is_over: bool


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's account."""

    user: User
    identities: list[Identity]
    groups: list[str]
    tokens: list[TokenLine]
    cli_secret: CliLine | None


class Choice(msgspec.Struct, frozen=True):
    """A provider to log in at."""

    name: str
    title: str


class LoginView(msgspec.Struct, frozen=True):
    """What somebody can log in with."""

    choices: list[Choice]
    elsewhere_first: bool
    """Whether the providers stand above the form."""


class Known(Protocol):
    """Where the pages get what they show."""

    @property
    def identities(self) -> Identities:
        """Where accounts come from."""

    @property
    def tokens(self) -> PersonalTokens:
        """Personal access tokens."""

    @property
    def cli_secrets(self) -> CliSecrets:
        """CLI secrets."""

    @property
    def directory(self) -> Directory:
        """The identity providers."""

    @property
    def settings(self) -> Settings:
        """The settings."""


async def account_view(known: Known, user: User) -> AccountView:
    """What the page shows of ``user``."""
    now = clock.now_us()
    row = await known.cli_secrets.find(user.id) if user.source else None
    return AccountView(
        user=user,
        identities=await known.identities.of(user),
        groups=await known.identities.groups_of(user),
        tokens=[_line(token, now) for token in await known.tokens.list(user.id)],
        cli_secret=CliLine(row.expires_at, _is_over(row.expires_at, now)) if row else None,
    )


async def login_view(known: Known) -> LoginView:
    """What the page offers to somebody who has not logged in."""
    listed = await known.directory.options("oidc")
    choices = [Choice(each.name, each.title or each.name) for each in listed if isinstance(each, OidcOptions)]
    return LoginView(choices, bool(choices) and await known.settings.boolean("primary_auth_mode"))


def _line(token: PersonalToken, now: int) -> TokenLine:
    may = {None: "all that you may", READ_ONLY: "read and pull"}.get(token.scope, "less than you may")
    return TokenLine(token, may, _is_over(token.expires_at, now))


def _is_over(expires_at: int | None, now: int) -> bool:
    return expires_at is not None and expires_at <= now
