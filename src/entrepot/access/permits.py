"""Which permissions there are to give, and which of them a caller holds."""

from __future__ import annotations

import re

from entrepot.access.model import decide_system
from entrepot.access.permissions import (
    PROJECT_ADMIN,
    PROJECT_PERMISSIONS,
    PROJECT_SELF,
    SYSTEM_PERMISSIONS,
    Permission,
)
from entrepot.access.service import Guardian
from entrepot.access.store import reach
from entrepot.auth.model import Caller
from entrepot.database import Database
from entrepot.errors import Denied

_SYSTEM = re.compile(r"/system(?:/.*)?")
_PROJECT = re.compile(r"/project/([0-9]{1,15})(?:/.*)?", re.ASCII)
_IN_PROJECT = tuple(sorted(PROJECT_ADMIN.permissions | set(PROJECT_PERMISSIONS)))


class Permits:
    """Answers about permissions."""

    def __init__(self, database: Database, guardian: Guardian) -> None:
        self._database = database
        self._guardian = guardian

    async def grantable(self, caller: Caller) -> tuple[tuple[Permission, ...], tuple[Permission, ...]]:
        """What robot accounts can be given over the whole registry (for administrators of it only) and in projects.

        Raises:
            Denied: the caller administers nothing.
        """
        principal = caller.principal
        if decide_system(principal, ("robot", "create")):
            return SYSTEM_PERMISSIONS, PROJECT_PERMISSIONS
        is_user = principal.id is not None and not principal.is_robot
        if is_user and principal.id and await reach.administers_any(self._database, principal.id):
            return (), PROJECT_PERMISSIONS
        raise Denied("Only administrators of the registry or of a project see which permissions there are.")

    async def held(self, caller: Caller, scope: str, *, relative: bool) -> list[Permission]:
        """What the caller may do in ``scope``: ``/system``, or ``/project/1``; nothing where there is no such scope.

        Args:
            caller: who asks.
            scope: where.
            relative: name resources as seen from there: ``repository`` for ``/project/1/repository``, ``.`` for itself.
        """
        if _SYSTEM.fullmatch(scope):
            system = [p for p in SYSTEM_PERMISSIONS if decide_system(caller.principal, p)]
            return [(_named("/system", resource, relative=relative), action) for resource, action in system]
        matched = _PROJECT.fullmatch(scope)
        found = await reach.projects_by_id(self._database, [int(matched[1])]) if matched else []
        if not found:
            return []
        rights = await self._guardian.rights(caller.principal, found[0])
        base = f"/project/{found[0].id}"
        return [
            (_named(base, "" if resource == PROJECT_SELF else resource, relative=relative), action)
            for resource, action in _IN_PROJECT
            if rights.allows((resource, action))
        ]


def _named(base: str, resource: str, *, relative: bool) -> str:
    if relative:
        return resource or "."
    return f"{base}/{resource}" if resource else base
