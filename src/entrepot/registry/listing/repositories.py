"""Repositories: the lists of a project and of all projects, and one of them.

As in the catalog, lists show repositories that hold manifests: one that only blobs were pushed to is not there yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, literal_column, select

from entrepot.access.model import LIST_REPOSITORIES
from entrepot.access.service import Guardian
from entrepot.auth.model import Caller
from entrepot.database import Database
from entrepot.errors import NotFound
from entrepot.kit.listing import Listing, SortKey
from entrepot.kit.selection import Fields, Selection, integer, select_by, text, time
from entrepot.oci.name import RepositoryName
from entrepot.projects import store as projects_store
from entrepot.projects.tables import projects
from entrepot.registry.errors import RepositoryUnknown
from entrepot.registry.listing import store
from entrepot.registry.listing.model import ListedRepository
from entrepot.registry.listing.pages import Pager, Rows
from entrepot.registry.listing.scope import Scope, in_places, in_project
from entrepot.registry.repositories import Repositories
from entrepot.registry.store.parts import ONE
from entrepot.registry.tables import manifests, repositories

WITH_PROJECT = repositories.join(projects, projects.c.id == repositories.c.project_id)
NAME = projects.c.name.concat(literal_column("'/'")).concat(repositories.c.path)
HOLDS_MANIFESTS = Selection(
    (exists(select(ONE).where(manifests.c.repository_id == repositories.c.id)),), {}, (("holds manifests", "", 0),)
)
FIELDS = Fields(
    {
        "id": integer(repositories.c.id),
        "project_id": integer(repositories.c.project_id),
        "name": text(NAME),
        "description": text(repositories.c.description),
        "pull_count": integer(repositories.c.pull_count),
        "creation_time": time(repositories.c.created_at),
        "update_time": time(repositories.c.updated_at),
    }
)
_ROWS = Rows("repositories", repositories.c.id, WITH_PROJECT, FIELDS, (SortKey("creation_time", descending=True),))


class RepositoryLists:
    """Reads repositories."""

    def __init__(self, database: Database, guardian: Guardian, places: Repositories) -> None:
        self._database = database
        self._guardian = guardian
        self._repositories = places
        self._pager = Pager(database)

    async def list_everywhere(self, caller: Caller, listing: Listing) -> tuple[list[ListedRepository], int]:
        """A page of the repositories that the caller may list, and how many there are.

        Raises:
            InvalidInput: the list cannot be filtered or sorted so.
        """
        return await self._list(in_places(await self._guardian.places(caller, LIST_REPOSITORIES)), listing)

    async def list_in_project(
        self, caller: Caller, project_name: str, listing: Listing
    ) -> tuple[list[ListedRepository], int]:
        """A page of the repositories of a project that the caller may list, and how many there are.

        Raises:
            InvalidInput: the list cannot be filtered or sorted so.
            NotFound: there is no such project.
        """
        project = await projects_store.find_by_reference(self._database, project_name, by_name=True)
        if project is None:
            raise NotFound(f"There is no project {project_name}.")
        rights = await self._guardian.rights(caller.principal, project)
        return await self._list(in_project(project.id, rights.patterns(LIST_REPOSITORIES)), listing)

    async def get(self, name: RepositoryName) -> ListedRepository:
        """One repository; the caller has been let in.

        Raises:
            RepositoryUnknown: there is none.
        """
        place = await self._repositories.find(name)
        found = await self._shown([place.repository_id]) if place.repository_id is not None else []
        if not found:
            raise RepositoryUnknown(name.full)
        return found[0]

    async def _list(self, scope: Scope, listing: Listing) -> tuple[list[ListedRepository], int]:
        chosen = (scope.selection, HOLDS_MANIFESTS, select_by(listing.conditions, FIELDS))
        ids, total = await self._pager.ids(_ROWS, listing, chosen)
        return await self._shown(ids), total

    async def _shown(self, ids: Sequence[int]) -> list[ListedRepository]:
        rows = await store.repository_rows(self._database, ids)
        counts = await store.artifact_counts(self._database, ids)
        return [
            ListedRepository(
                id=row[0],
                project_id=row[1],
                name=f"{row[2]}/{row[3]}",
                description=row[4],
                pull_count=row[5],
                created_at=row[6],
                updated_at=row[7],
                artifact_count=counts.get(row[0], 0),
            )
            for row in rows
        ]
