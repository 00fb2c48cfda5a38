"""Custom roles beside the built-in ones."""

from __future__ import annotations

import re
from collections.abc import Iterable

from entrepot.access.events import RoleCreated, RoleDeleted, RoleUpdated
from entrepot.access.permissions import BUILT_IN, PROJECT_PERMISSIONS, Permission, Role
from entrepot.access.scopes import refusal
from entrepot.access.store import roles as store
from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction
from entrepot.errors import Conflict, Denied, InUse, NotFound
from entrepot.journal import store as journal
from entrepot.kit import clock

MOST_ROLES = 1000

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[ ._-][A-Za-z0-9]+)*")
_LONGEST_NAME = 64
_GRANTABLE = frozenset(PROJECT_PERMISSIONS)
_TAKEN = frozenset({"public", "auditor", *(role.name.lower() for role in BUILT_IN.values())})


class Roles:
    """The roles that grants can name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_all(self) -> list[Role]:
        """Every role: the built-in ones first."""
        return [*BUILT_IN.values(), *await store.list_roles(self._database)]

    async def get(self, role_id: int) -> Role:
        """A role by its id.

        Raises:
            NotFound: there is no such role.
        """
        role = await store.find_role(self._database, role_id)
        if role is None:
            raise _unknown(role_id)
        return role

    async def create(self, caller: Caller, name: str, description: str, permissions: Iterable[Permission]) -> Role:
        """Make a role of permissions in a project.

        Raises:
            InvalidInput: the name is not valid, or a permission cannot be given.
            Conflict: there is a role of that name.
        """
        name, held = _check_name(name), _check_permissions(permissions)

        async def work(tx: Transaction) -> Role:
            await _require_free(tx, name, None)
            if await store.count_roles(tx) >= MOST_ROLES:
                raise Conflict(f"There are {MOST_ROLES} custom roles already: delete one first.")
            role_id = await store.add_role(tx, name, description, held, clock.now_us())
            event = RoleCreated(role_id=role_id, role=name, permissions=_written(held))
            await journal.append(tx, caller.origin, event)
            return Role(role_id, name, held, description, is_built_in=False)

        return await self._database.write(work)

    async def update(
        self, caller: Caller, role_id: int, name: str, description: str, permissions: Iterable[Permission]
    ) -> None:
        """Replace what a custom role is; whoever has it has the new permissions with the next request.

        Raises:
            InvalidInput: the name is not valid, or a permission cannot be given.
            NotFound: there is no such role.
            Denied: it is built in.
            Conflict: there is another role of that name.
        """
        name, held = _check_name(name), _check_permissions(permissions)
        _refuse_built_in(role_id)

        async def work(tx: Transaction) -> None:
            before = await store.find_role(tx, role_id)
            if before is None:
                raise _unknown(role_id)
            await _require_free(tx, name, role_id)
            await store.set_role(tx, role_id, name, description, held)
            event = RoleUpdated(
                role_id=role_id,
                role=name,
                previous=before.name,
                added=_written(held - before.permissions),
                removed=_written(before.permissions - held),
            )
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)

    async def delete(self, caller: Caller, role_id: int) -> None:
        """Delete a custom role that nobody has.

        Raises:
            NotFound: there is no such role.
            Denied: it is built in.
            InUse: somebody has it.
        """
        _refuse_built_in(role_id)

        async def work(tx: Transaction) -> None:
            role = await store.find_role(tx, role_id)
            if role is None:
                raise _unknown(role_id)
            uses = await store.count_grants(tx, role_id)
            if uses:
                raise InUse(f"The role {role.name} is in use by {uses} members: give them another role first.")
            await store.remove_role(tx, role_id)
            await journal.append(tx, caller.origin, RoleDeleted(role_id=role_id, role=role.name))

        await self._database.write(work)


def _check_name(name: str) -> str:
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise refusal(
            "A role's name begins with a letter and holds letters and digits with single blanks, dots, dashes or "
            f"underscores between, at most {_LONGEST_NAME} characters."
        )
    if name.lower() in _TAKEN:
        raise Conflict(f"{name} is the name of a built-in role: choose another.")
    return name


def _check_permissions(permissions: Iterable[Permission]) -> frozenset[Permission]:
    held = frozenset(permissions)
    unknown = sorted(held - _GRANTABLE)
    if unknown:
        named = ":".join(unknown[0])[:130]
        raise refusal(f"There is no permission {named} in a project: GET /permissions lists those that there are.")
    if not held:
        raise refusal("A role needs at least one permission.")
    return held


async def _require_free(tx: Transaction, name: str, role_id: int | None) -> None:
    other = await store.find_role_called(tx, name)
    if other is not None and other.id != role_id:
        raise Conflict(f"There is a role {other.name} already: choose another name.")


def _refuse_built_in(role_id: int) -> None:
    if role_id in BUILT_IN:
        raise Denied(f"{BUILT_IN[role_id].name} is built in and stays as it is: make a role of your own.")


def _unknown(role_id: int) -> NotFound:
    return NotFound(f"There is no role {role_id}.")


def _written(permissions: Iterable[Permission]) -> tuple[str, ...]:
    return tuple(":".join(permission) for permission in sorted(permissions))
