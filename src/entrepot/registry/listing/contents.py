"""What projects ask of the registry: how much of it is theirs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, exists, func, literal_column, not_, or_, select

from entrepot.database import Database, Transaction, query
from entrepot.projects.tables import project_content
from entrepot.registry.listing.store import ByIds
from entrepot.registry.store.parts import ONE
from entrepot.registry.tables import blobs, manifests, repositories, repository_blobs

_HOLDS_MANIFESTS = exists(select(ONE).where(manifests.c.repository_id == repositories.c.id))
_COUNTS = ByIds(
    lambda ids: (
        select(repositories.c.project_id, func.count())
        .where(repositories.c.project_id.in_(ids), _HOLDS_MANIFESTS)
        .group_by(repositories.c.project_id)
    )
)
_FIRST = query(
    select(repositories.c.id)
    .where(repositories.c.project_id == bindparam("project_id"), _HOLDS_MANIFESTS)
    .limit(literal_column("1"))
)
_OF_PROJECT = select(repositories.c.id).where(repositories.c.project_id == bindparam("project_id"))
# As a float: sizes are what documents claim, and their sum must not overflow.
_LOGICAL = query(
    select(func.coalesce(func.sum(manifests.c.total_size * literal_column("1.0")), literal_column("0"))).where(
        manifests.c.repository_id.in_(_OF_PROJECT),
        or_(manifests.c.is_listed == literal_column("1"), manifests.c.accessory_of.is_not(None)),
    )
)
_UNNAMED = (
    select(repository_blobs.c.digest)
    .where(
        repository_blobs.c.repository_id.in_(_OF_PROJECT),
        not_(
            exists(
                select(ONE).where(
                    project_content.c.project_id == bindparam("project_id"),
                    project_content.c.digest == repository_blobs.c.digest,
                )
            )
        ),
    )
    .distinct()
    .subquery()
)
_RECLAIMABLE = query(
    select(func.coalesce(func.sum(blobs.c.size), literal_column("0"))).select_from(
        _UNNAMED.join(blobs, blobs.c.digest == _UNNAMED.c.digest)
    )
)
_AT_ONCE = 100


class ProjectContents:
    """Answers for the projects floor, which does not know the registry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def repository_counts(self, ids: Sequence[int]) -> dict[int, int]:
        """How many repositories with manifests each project has; those without any are left out."""
        counts: dict[int, int] = {}
        for at in range(0, len(ids), _AT_ONCE):
            rows = await _COUNTS.rows(self._database, ids[at : at + _AT_ONCE])
            counts |= {int(row[0]): int(row[1]) for row in rows}
        return counts

    async def is_empty(self, tx: Transaction, project_id: int) -> bool:
        """Whether no repository of a project holds a manifest."""
        return await tx.one(_FIRST, project_id=project_id) is None

    async def sizes(self, project_id: int) -> tuple[int, int]:
        """Logical and reclaimable bytes of a project.

        Logical: the sizes of its artifacts and of what hangs on them, each counted in full. Reclaimable: blobs that its
        repositories hold and that none of its manifests names.
        """
        logical = await self._database.survey(_LOGICAL, project_id=project_id)
        reclaimable = await self._database.survey(_RECLAIMABLE, project_id=project_id)
        return int(logical[0][0]), int(reclaimable[0][0])
