"""Groups: several users that are given rights at once."""

from __future__ import annotations

from entrepot.auth.dn import dn_key
from entrepot.auth.model import (
    Group,
    GroupCreated,
    GroupDeleted,
    GroupRenamed,
    GroupUserAdded,
    GroupUserRemoved,
    User,
)
from entrepot.auth.store import groups as store
from entrepot.auth.store import users
from entrepot.database import Database, Transaction
from entrepot.errors import Conflict, InvalidInput, NotFound, Precondition
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.kit.listing import Listing

LDAP, MADE_HERE, OIDC = 1, 2, 3
"""Harbor's ``group_type``."""

_LONGEST = 255


class Groups:
    """The groups of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, group_id: int) -> Group:
        """The group with this id.

        Raises:
            NotFound: there is none.
        """
        return _there(await store.find(self._database, group_id), group_id)

    async def create(self, origin: Origin, name: str, kind: int = MADE_HERE, ldap_dn: str = "") -> int:
        """Create a group without users; its id.

        Raises:
            InvalidInput: the name or the kind is no good.
            Conflict: the name is taken.
        """
        _check_name(name)
        if kind not in {LDAP, MADE_HERE, OIDC}:
            raise InvalidInput("group_type is 1 (LDAP), 2 (made here) or 3 (OIDC).", code="BAD_REQUEST")
        if (kind == LDAP) != bool(ldap_dn):
            raise InvalidInput("ldap_group_dn is for LDAP groups, which need it.", code="BAD_REQUEST")

        async def work(tx: Transaction) -> int:
            key = group_key(kind, name, ldap_dn)
            group_id = await store.add(tx, name, kind, ldap_dn, clock.now_us(), key=key)
            if group_id is None:
                raise _taken(name)
            await journal.append(tx, origin, GroupCreated(group_id=group_id, group=name))
            return group_id

        return await self._database.write(work)

    async def rename(self, origin: Origin, group_id: int, name: str) -> None:
        """Give a group another name.

        Raises:
            InvalidInput: the name is no good.
            NotFound: there is no such group.
            Conflict: the name is taken.
        """
        _check_name(name)

        async def work(tx: Transaction) -> None:
            group = _there(await store.find(tx, group_id), group_id)
            if group.name == name:
                return
            if await store.has_name(tx, name):
                raise _taken(name)
            await store.rename(tx, group_id, name)
            await journal.append(tx, origin, GroupRenamed(group_id=group_id, group=name, previous=group.name))

        await self._database.write(work)

    async def delete(self, origin: Origin, group_id: int) -> None:
        """Delete a group; its users lose the rights that it gave.

        Raises:
            NotFound: there is no such group.
        """

        async def work(tx: Transaction) -> None:
            group = _there(await store.find(tx, group_id), group_id)
            await store.delete_group(tx, group_id)
            await journal.append(tx, origin, GroupDeleted(group_id=group_id, group=group.name))

        await self._database.write(work)

    async def add_user(self, origin: Origin, group_id: int, user_id: int) -> None:
        """Put a user into a group made here; the others get theirs from where they come from.

        Raises:
            NotFound: there is no such group or user.
            Precondition: the group comes from elsewhere.
            Conflict: the user is in it.
        """

        async def work(tx: Transaction) -> None:
            group, user = await _group_and_user(tx, group_id, user_id)
            if group.kind != MADE_HERE:
                raise Precondition(f"{group.name} gets its users from LDAP or OIDC: change it there.")
            if not await store.add_user(tx, group_id, user_id):
                raise Conflict(f"{user.name} is in {group.name} already.")
            await journal.append(tx, origin, GroupUserAdded(group_id=group_id, group=group.name, user=user.name))

        await self._database.write(work)

    async def remove_user(self, origin: Origin, group_id: int, user_id: int) -> None:
        """Take a user out of a group.

        Raises:
            NotFound: there is no such group or user, or the user is not in it.
        """

        async def work(tx: Transaction) -> None:
            group, user = await _group_and_user(tx, group_id, user_id)
            if not await store.remove_user(tx, group_id, user_id):
                raise NotFound(f"{user.name} is not in {group.name}.")
            await journal.append(tx, origin, GroupUserRemoved(group_id=group_id, group=group.name, user=user.name))

        await self._database.write(work)

    async def list_users(self, group_id: int, listing: Listing) -> tuple[list[tuple[int, str]], int]:
        """A page of the ids and names of a group's users, and how many there are.

        Raises:
            NotFound: there is no such group.
        """
        await self.get(group_id)
        return await store.list_users(self._database, group_id, listing)

    async def search(self, listing: Listing) -> tuple[list[Group], int]:
        """A page of the groups, the shortest names first, and how many there are."""
        return await store.search(self._database, listing)

    async def list(self, listing: Listing) -> tuple[list[Group], int]:
        """A page of the groups, by name, and how many there are."""
        return await store.list_page(self._database, listing)


def group_key(kind: int, name: str, ldap_dn: str) -> str:
    """How the provider of a group that somebody enters will name it; empty for one made here."""
    if kind == MADE_HERE:
        return ""
    return dn_key(ldap_dn) if ldap_dn else name


async def _group_and_user(tx: Transaction, group_id: int, user_id: int) -> tuple[Group, User]:
    group = _there(await store.find(tx, group_id), group_id)
    user = await users.find_by_id(tx, user_id)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return group, user


def _there(group: Group | None, group_id: int) -> Group:
    if group is None:
        raise NotFound(f"There is no group {group_id}.")
    return group


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a group {name} already: choose another name.")


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > _LONGEST:
        raise InvalidInput(f"A group's name has 1 to {_LONGEST} characters.", code="BAD_REQUEST")
