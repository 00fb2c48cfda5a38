"""Principals and callers."""

from __future__ import annotations

import re

import msgspec

from entrepot.journal.model import Event, Origin

_USER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._@-]{0,254}")


USER = "user"
ROBOT = "robot"
FIRST = 1
"""The id of the account that the first start makes; it always stays."""
RESERVED = frozenset({"anonymous", "system"})
"""How the journal names those who have no account."""


class ScopeEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of what a robot account may do, or of what a personal access token is limited to."""

    kind: str
    """``system`` or ``project``."""
    permissions: tuple[tuple[str, str], ...]
    """Pairs of resource and action."""
    project_id: int | None = None
    """Rights are judged on ids, so that a project may be renamed; none: every project."""
    repositories: tuple[str, ...] = ()
    """Patterns of paths inside the project; empty: every repository."""
    tags: tuple[str, ...] = ()
    """Patterns of tags for push, tag and delete; empty: every tag."""


Scope = tuple[ScopeEntry, ...]


class Principal(msgspec.Struct, frozen=True, gc=False):
    """Who asks; rights are judged on it, never on a name that was sent."""

    id: int | None
    name: str
    is_admin: bool = False
    kind: str = USER
    is_auditor: bool = False
    scope: Scope | None = None
    """All that a robot account may do; what a user's token is limited to; ``None``: no limit."""
    token_id: int | None = None
    """The personal access token that a user came with."""

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody was named."""
        return self.id is None

    @property
    def key(self) -> tuple[str, int | None]:
        """The account, however it came: what it does is counted under this."""
        return self.kind, self.id

    @property
    def is_robot(self) -> bool:
        """Whether this is a robot account."""
        return self.kind == ROBOT


ANONYMOUS = Principal(None, "anonymous", kind="anonymous")


class Caller(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A principal making one request."""

    principal: Principal
    client_address: str = ""
    user_agent: str = ""
    request_id: str = ""
    bound: frozenset[str] | None = None
    """The resources that the caller's token names (``repository:library/app``); ``None`` is no bound."""
    credential: str = ""
    """How the principal was shown: ``basic``, ``bearer``, ``session``, ``cli-secret``, ``certificate``, ``expired`` (a
    token past its time) or not."""

    @property
    def origin(self) -> Origin:
        """How the journal names this caller."""
        return Origin(self.principal.name, self.client_address, self.user_agent, self.request_id)


class User(msgspec.Struct, frozen=True):
    """A person's account; times in microseconds since the epoch."""

    id: int
    name: str
    password_hash: str
    is_admin: bool
    is_disabled: bool
    credential_version: int
    """Moves with every change of the password; what was issued under an older one no longer counts."""
    is_auditor: bool = False
    email: str = ""
    real_name: str = ""
    comment: str = ""
    created_at: int = 0
    updated_at: int = 0
    source: str = ""
    """The identity provider that keeps the account; empty: it is kept here."""
    is_source_admin: bool = False
    """Whether a provider has it among its administrators."""

    @property
    def administers(self) -> bool:
        """Whether it administers the system, by a flag of ours or by a provider's group."""
        return self.is_admin or self.is_source_admin

    @property
    def principal(self) -> Principal:
        """The principal that this account is."""
        return Principal(self.id, self.name, self.administers, is_auditor=self.is_auditor)


class PersonalToken(msgspec.Struct, frozen=True):
    """A personal access token, without its secret; times in microseconds since the epoch."""

    id: int
    user_id: int
    name: str
    secret_hash: bytes
    scope: Scope | None
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    last_used_address: str | None


class Robot(msgspec.Struct, frozen=True):
    """A robot account; times in microseconds since the epoch."""

    id: int
    project_id: int | None
    """The project that it belongs to; none: a system robot."""
    name: str
    description: str
    scope: Scope
    networks: tuple[str, ...]
    """Where it may come from, in CIDR notation; empty: from everywhere."""
    created_at: int
    updated_at: int
    expires_at: int | None
    duration: int
    """Days; -1: it never expires."""
    is_disabled: bool
    credential_version: int
    creator_kind: str
    creator_id: int
    last_used_at: int | None
    last_used_address: str | None


class RobotSecret(msgspec.Struct, frozen=True):
    """One of the secrets that a robot account may show; several overlap while one replaces another."""

    id: int
    secret_hash: str
    created_at: int
    expires_at: int | None


class Group(msgspec.Struct, frozen=True):
    """A group of users."""

    id: int
    name: str
    kind: int
    """Harbor's ``group_type``: 1 LDAP, 2 made here, 3 OIDC."""
    ldap_dn: str
    provider: str = ""
    """The identity provider that says who is in it; empty: it is made here, or no provider has named it yet."""
    key: str = ""
    """How the provider names it: a normalised DN, a claim's value."""


def is_user_name(name: str) -> bool:
    """Whether ``name`` may name an account."""
    return _USER_NAME.fullmatch(name) is not None


class UserEvent(Event, frozen=True, kw_only=True):
    """Something happened to an account."""

    resource_type = "user"
    user: str
    user_id: int | None = None

    @property
    def resource(self) -> str:
        """The account's name."""
        return self.user


class UserCreated(UserEvent, frozen=True, kw_only=True):
    """An account came to be."""

    operation = "create"


class UserUpdated(UserEvent, frozen=True, kw_only=True):
    """An account's profile changed; ``changes`` holds the new values by name."""

    operation = "update"
    changes: dict[str, str]


class UserDeleted(UserEvent, frozen=True, kw_only=True):
    """An account is gone."""

    operation = "delete"


class PasswordChanged(UserEvent, frozen=True, kw_only=True):
    """An account has another password; everything that was issued under the old one has ended."""

    operation = "update"


class AdminChanged(UserEvent, frozen=True, kw_only=True):
    """An account administers the system, or no longer."""

    operation = "update"
    is_admin: bool


class AuditorChanged(UserEvent, frozen=True, kw_only=True):
    """An account audits the system, or no longer."""

    operation = "update"
    is_auditor: bool


class LoggedIn(UserEvent, frozen=True, kw_only=True):
    """Somebody showed the right password or secret."""

    operation = "login"
    provider: str = ""
    """The identity provider that vouched for it; empty: the credential is kept here."""


class LoggedOut(UserEvent, frozen=True, kw_only=True):
    """Somebody ended a session."""

    operation = "logout"


class IdentityLinked(UserEvent, frozen=True, kw_only=True):
    """An account is tied to a person at an identity provider."""

    operation = "update"
    provider: str


class IdentityGone(UserEvent, frozen=True, kw_only=True):
    """An identity provider does not know an account's person any more."""

    operation = "update"
    provider: str
    is_disabled: bool
    """Whether that ends the account."""


class MembershipsChanged(UserEvent, frozen=True, kw_only=True):
    """An identity provider says that an account is in other groups than before."""

    operation = "update"
    provider: str
    added: tuple[str, ...]
    removed: tuple[str, ...]


class LoginFailed(UserEvent, frozen=True, kw_only=True):
    """A password, a secret or a personal access token was wrong; ``user`` is the name that was tried."""

    operation = "login"
    is_refused = True


class PersonalTokenEvent(Event, frozen=True, kw_only=True):
    """Something happened to a personal access token."""

    resource_type = "personal-token"
    token_id: int
    token: str
    """Its name, never its secret."""

    @property
    def resource(self) -> str:
        """The token's name."""
        return self.token


class PersonalTokenCreated(PersonalTokenEvent, frozen=True, kw_only=True):
    """A user made a personal access token; ``expires_at`` in microseconds since the epoch, none: never."""

    operation = "create"
    expires_at: int | None = None
    is_limited: bool = False
    """Whether it may do less than its user."""


class PersonalTokenRevoked(PersonalTokenEvent, frozen=True, kw_only=True):
    """A personal access token no longer works."""

    operation = "delete"


class GroupEvent(Event, frozen=True, kw_only=True):
    """Something happened to a group."""

    resource_type = "user-group"
    group_id: int
    group: str

    @property
    def resource(self) -> str:
        """The group's name."""
        return self.group


class GroupCreated(GroupEvent, frozen=True, kw_only=True):
    """A group came to be."""

    operation = "create"


class GroupRenamed(GroupEvent, frozen=True, kw_only=True):
    """A group has another name."""

    operation = "update"
    previous: str


class GroupDeleted(GroupEvent, frozen=True, kw_only=True):
    """A group is gone, with the rights that it gave."""

    operation = "delete"


class GroupUserAdded(GroupEvent, frozen=True, kw_only=True):
    """A user is in a group, and has the rights that it gives."""

    operation = "update"
    user: str


class GroupUserRemoved(GroupEvent, frozen=True, kw_only=True):
    """A user is no longer in a group."""

    operation = "update"
    user: str
