"""A small honest directory of people, in memory: what a provider is to the accounts that come from it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from entrepot.auth.options import LdapOptions, Options
from entrepot.auth.provider import (
    CannotTell,
    Link,
    PersonRefused,
    Policy,
    ProviderGroup,
    ProviderUnreachable,
    ProviderUser,
    check_groups,
)


class People:
    """Everybody whom one provider knows; it can fall silent, and counts how often it is asked."""

    def __init__(self, name: str = "corp") -> None:
        self.name = name
        self.passwords: dict[str, str] = {}
        self.known: dict[str, ProviderUser] = {}
        self.is_silent = False
        self.cannot_tell = False
        self.refuses = False
        self.asked = 0
        self.seconds = 0.0

    def add(self, login: str, password: str = "", *groups: str, **more: Any) -> None:
        self.passwords[login] = password
        listed = tuple(ProviderGroup(f"cn={group},dc=corp", group) for group in groups)
        self.known[login] = ProviderUser(
            **{"provider": self.name, "subject": f"id-of-{login}", "name": login, "groups": listed} | more
        )

    def change(self, name: str, **more: Any) -> None:
        self.known[name] = msgspec.structs.replace(self.known[name], **more)

    def options(self, **more: Any) -> LdapOptions:
        values: dict[str, Any] = {"name": self.name, "url": "ldaps://corp.test", "base_dn": "dc=corp"}
        return LdapOptions(**values | more)


class PeopleProvider:
    """The provider of some people; see ``auth.provider.Provider``."""

    kind = "ldap"

    def __init__(self, options: Options, people: People) -> None:
        assert isinstance(options, LdapOptions)
        self._options = options
        self._people = people
        self.is_closed = False

    @property
    def name(self) -> str:
        return self._options.name

    @property
    def policy(self) -> Policy:
        return self._options.policy

    async def log_in(self, name: str, password: str) -> ProviderUser | None:
        await self._wake()
        person = self._people.known.get(name)
        if person is None or not password or self._people.passwords[name] != password:
            return None
        check_groups(self.name, name, person.groups or ())
        return person

    async def look_up(self, link: Link, credential: str) -> ProviderUser | None:
        await self._wake()
        if self._people.cannot_tell:
            raise CannotTell(f"{self.name} cannot tell")
        if self._people.refuses:
            raise PersonRefused(f"{link.name} is in too many groups of {self.name}.")
        return next((person for person in self._people.known.values() if person.subject == link.subject), None)

    async def probe(self) -> None:
        await self._wake()

    async def close(self) -> None:
        self.is_closed = True

    async def _wake(self) -> None:
        self._people.asked += 1
        await asyncio.sleep(self._people.seconds)
        if self._people.is_silent:
            raise ProviderUnreachable(f"The directory {self.name} does not answer.")
