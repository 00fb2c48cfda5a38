"""Search over everything that a caller may see, and counts of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Executable, Text, bindparam, func, literal_column, select

from entrepot.access.model import LIST_REPOSITORIES, Places, decide_system
from entrepot.access.permissions import Permission
from entrepot.access.service import Guardian
from entrepot.auth.model import Caller
from entrepot.database import Database, query
from entrepot.kit.selection import ESCAPE, Selection, contains
from entrepot.projects.tables import projects
from entrepot.registry.listing import store
from entrepot.registry.listing.contents import ProjectContents
from entrepot.registry.listing.model import Counts, FoundProject, FoundRepository
from entrepot.registry.listing.pages import Pager, merged
from entrepot.registry.listing.repositories import HOLDS_MANIFESTS, NAME, WITH_PROJECT
from entrepot.registry.listing.scope import among, fingerprint, in_places
from entrepot.registry.tables import blobs, repositories

MOST_FOUND = 100
"""Projects, and repositories, that one search answers: the lists have pages."""

READ_PROJECT: Permission = ("project", "read")
_LIMIT: ColumnElement[int] = literal_column(str(MOST_FOUND))
_STORAGE = query(select(func.coalesce(func.sum(blobs.c.size), literal_column("0"))))


class Search:
    """Looks for names in all that a caller may see, and counts it."""

    def __init__(self, database: Database, guardian: Guardian, contents: ProjectContents) -> None:
        self._database = database
        self._guardian = guardian
        self._contents = contents
        self._pager = Pager(database)

    async def find(self, caller: Caller, text: str) -> tuple[list[FoundProject], list[FoundRepository]]:
        """Projects and repositories whose names contain ``text``, by name; at most ``MOST_FOUND`` of each."""
        repository_places = await self._guardian.places(caller, LIST_REPOSITORIES)
        project_places = await self._guardian.places(caller, READ_PROJECT)
        return await self._projects(project_places, text), await self._repositories(repository_places, text)

    async def count(self, caller: Caller) -> Counts:
        """How many projects and repositories the caller may see; for whoever may see all of them, totals too."""
        repository_places = await self._guardian.places(caller, LIST_REPOSITORIES)
        project_places = await self._guardian.places(caller, READ_PROJECT)
        counted = await self._by_publicity("count projects", _COUNT_PROJECTS, _visible(project_places))
        held = merged((in_places(repository_places).selection, HOLDS_MANIFESTS))
        found = await self._by_publicity("count repositories", _COUNT_REPOSITORIES, held)
        sees_all = project_places.everywhere and repository_places.everywhere
        return Counts(
            private_projects=counted.get(0, 0),
            private_repositories=found.get(0, 0),
            public_projects=counted.get(1, 0),
            public_repositories=found.get(1, 0),
            total_projects=sum(counted.values()) if sees_all else 0,
            total_repositories=sum(found.values()) if sees_all else 0,
            storage=await self._storage() if _sees_storage(caller) else 0,
        )

    async def _projects(self, places: Places, text: str) -> list[FoundProject]:
        where = merged((_visible(places), _named(projects.c.name, text)))
        rows = await self._database.survey(
            self._pager.statement(("find projects", where.shape), lambda: _find_projects(where)), **where.values
        )
        counts = await self._contents.repository_counts([row[0] for row in rows])
        return [
            FoundProject(
                id=row[0],
                name=row[1],
                is_public=bool(row[2]),
                owner_id=row[3],
                owner_name=row[4],
                created_at=row[5],
                updated_at=row[6],
                repository_count=counts.get(row[0], 0),
            )
            for row in rows
        ]

    async def _repositories(self, places: Places, text: str) -> list[FoundRepository]:
        where = merged((in_places(places).selection, HOLDS_MANIFESTS, _named(NAME, text)))
        found = await self._database.survey(
            self._pager.statement(("find repositories", where.shape), lambda: _find_repositories(where)), **where.values
        )
        ids = [row[0] for row in found]
        counts = await store.artifact_counts(self._database, ids)
        return [
            FoundRepository(
                project_id=row[1],
                project_name=row[2],
                is_public=bool(row[8]),
                name=f"{row[2]}/{row[3]}",
                pull_count=row[5],
                artifact_count=counts.get(row[0], 0),
            )
            for row in await store.repository_rows(self._database, ids)
        ]

    async def _by_publicity(self, name: str, statement: Any, where: Selection) -> dict[int, int]:
        counting = self._pager.statement((name, where.shape), lambda: statement.where(*where.clauses))
        return {int(row[0]): int(row[1]) for row in await self._database.survey(counting, **where.values)}

    async def _storage(self) -> int:
        return int((await self._database.survey(_STORAGE))[0][0])


_COUNT_PROJECTS = select(projects.c.is_public, func.count()).group_by(projects.c.is_public)
_COUNT_REPOSITORIES = (
    select(projects.c.is_public, func.count()).select_from(WITH_PROJECT).group_by(projects.c.is_public)
)


def _sees_storage(caller: Caller) -> bool:
    return (caller.principal.is_admin or caller.principal.is_auditor) and decide_system(
        caller.principal, ("project", "list")
    )


def _find_projects(where: Selection) -> Executable:
    columns = ("id", "name", "is_public", "owner_id", "owner_name", "created_at", "updated_at")
    return select(*(projects.c[name] for name in columns)).where(*where.clauses).order_by(projects.c.name).limit(_LIMIT)


def _find_repositories(where: Selection) -> Executable:
    return (
        select(repositories.c.id)
        .select_from(WITH_PROJECT)
        .where(*where.clauses)
        .order_by(projects.c.name, repositories.c.path)
        .limit(_LIMIT)
    )


def _visible(places: Places) -> Selection:
    """The projects of ``places``."""
    if places.everywhere:
        return Selection((), {}, (("every project", "", 0),))
    values: dict[str, Any] = {}
    ids = list(places.projects)
    condition = among(projects.c.id, ids, values, "s")
    return Selection((condition,), values, (("projects", fingerprint(ids) if ids and not values else "", len(values)),))


def _named(column: ColumnElement[Any], text: str) -> Selection:
    condition = column.ilike(bindparam("part", type_=Text()), escape=ESCAPE)
    return Selection((condition,), {"part": contains(text)}, (("named", "", 0),))
