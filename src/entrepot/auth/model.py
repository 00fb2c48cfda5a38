"""Principals and callers."""

from __future__ import annotations

import re

import msgspec

_USER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._@-]{0,254}")


class Principal(msgspec.Struct, frozen=True):
    """Who asks; rights are judged on it, never on a name that was sent."""

    user_id: int | None
    name: str
    is_admin: bool = False

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody was named."""
        return self.user_id is None


ANONYMOUS = Principal(None, "anonymous")


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A principal making one request."""

    principal: Principal
    client_address: str = ""
    user_agent: str = ""
    request_id: str = ""
    bound: frozenset[str] | None = None
    """The resources that the caller's token names (``repository:library/app``); ``None`` is no bound."""
    credential: str = ""
    """How the principal was shown: ``basic``, ``bearer``, ``expired`` (a token past its time) or nothing."""


class User(msgspec.Struct, frozen=True):
    """A person's account."""

    id: int
    name: str
    password_hash: str
    is_admin: bool
    is_disabled: bool
    credential_version: int
    """Moves with every change of the password; what was issued under an older one no longer counts."""

    @property
    def principal(self) -> Principal:
        """The principal that this account is."""
        return Principal(self.id, self.name, self.is_admin)


def is_user_name(name: str) -> bool:
    """Whether ``name`` may name an account."""
    return _USER_NAME.fullmatch(name) is not None
