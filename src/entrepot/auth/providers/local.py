"""Accounts that are kept here, seen as an identity provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from entrepot.auth.model import User
from entrepot.auth.provider import Link, Policy, ProviderUser

FindByName = Callable[[str], Awaitable[User | None]]
FindById = Callable[[int], Awaitable[User | None]]
Matches = Callable[[User, str], Awaitable[bool]]
"""Whether a password is an account's."""


class LocalProvider:
    """The accounts of this registry; groups and rights of theirs are given here, so it says nothing of them."""

    kind = "local"
    name = "local"
    policy = Policy(onboards=False)

    def __init__(self, find_by_name: FindByName, find_by_id: FindById, matches: Matches) -> None:
        self._find_by_name = find_by_name
        self._find_by_id = find_by_id
        self._matches = matches

    async def log_in(self, name: str, password: str) -> ProviderUser | None:
        """See ``Provider.log_in``."""
        user = await self._find_by_name(name)
        if user is None or not _has_password(user) or not password or not await self._matches(user, password):
            return None
        return _person(user)

    async def look_up(self, link: Link, credential: str) -> ProviderUser | None:  # noqa: ARG002 - it needs none
        """See ``Provider.look_up``; the subject is the account's id, which is never given to another."""
        user = await self._find_by_id(int(link.subject)) if link.subject.isdecimal() else None
        return _person(user) if user is not None and _has_password(user) else None

    async def probe(self) -> None:
        """It is always there: without the database nothing is."""

    async def close(self) -> None:
        """It holds nothing."""


def _has_password(user: User) -> bool:
    return bool(user.password_hash) and not user.is_disabled


def _person(user: User) -> ProviderUser:
    return ProviderUser(
        provider=LocalProvider.name,
        subject=str(user.id),
        name=user.name,
        email=user.email,
        real_name=user.real_name,
        is_admin=user.is_admin,
    )
