"""What lists of projects, and new projects, need of rights: the ``Sight`` and the ``Admins`` of the projects floor."""

from __future__ import annotations

from collections.abc import Sequence

from entrepot.access.model import LIST_REPOSITORIES, Places
from entrepot.access.permissions import PROJECT_ADMIN, Permission
from entrepot.access.service import Guardian
from entrepot.access.store.members import add_grant
from entrepot.access.store.reach import member_counts, roles_everywhere
from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction
from entrepot.kit import clock


class Sight:
    """Answers for many projects at once."""

    def __init__(self, database: Database, guardian: Guardian) -> None:
        self._database = database
        self._guardian = guardian

    async def places(self, caller: Caller, permission: Permission = LIST_REPOSITORIES) -> Places:
        """Where a caller holds a permission."""
        return await self._guardian.places(caller, permission)

    async def roles_in(self, caller: Caller, ids: Sequence[int]) -> dict[int, list[int]]:
        """The ids of the roles that a caller has, by the project's id; an administrator has the first everywhere."""
        principal = caller.principal
        if principal.is_admin:
            return {project_id: [PROJECT_ADMIN.id] for project_id in ids}
        if principal.is_anonymous or principal.is_robot or principal.id is None:
            return {}
        held = await roles_everywhere(self._database, principal.id)
        return {project_id: held[project_id] for project_id in ids if project_id in held}

    async def member_counts(self, project_id: int) -> dict[int, int]:
        """How many members a project has, by the role's id."""
        return await member_counts(self._database, project_id)

    async def add_admin(self, tx: Transaction, project_id: int, user_id: int) -> None:
        """Make a user an administrator of a new project."""
        await add_grant(tx, project_id, "u", user_id, PROJECT_ADMIN.id, (), (), clock.now_us())
