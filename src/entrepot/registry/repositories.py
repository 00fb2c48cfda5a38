"""Repositories: where a name leads, who may go there, the catalog."""

from __future__ import annotations

from entrepot.access.model import PULL
from entrepot.access.service import Guardian
from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction
from entrepot.database.cache import VersionedCache
from entrepot.journal.model import Origin
from entrepot.oci.name import RepositoryName
from entrepot.projects import service as projects
from entrepot.registry import store
from entrepot.registry.errors import RepositoryUnknown
from entrepot.registry.model import Place


class Repositories:
    """The door to every other verb: all of them come through ``enter``."""

    def __init__(self, database: Database, guardian: Guardian) -> None:
        self._database = database
        self._guardian = guardian
        self._places: VersionedCache[Place] = VersionedCache(database, 50_000)

    async def find(self, name: RepositoryName) -> Place:
        """Project and repository behind ``name``, as of now."""
        place, version = self._places.lookup(name)
        if place is None:
            place = await store.find_place(self._database, name)
            self._places.fill(name, place, version)
        return place

    async def enter(
        self, caller: Caller, action: str, name: RepositoryName, *, expired_token_will_do: bool = False
    ) -> Place:
        """The place behind ``name``, if the caller may do ``action`` there.

        Raises:
            TokenNeeded: other credentials could help.
            Denied: nothing could.
        """
        place = await self.find(name)
        self._guardian.require(caller, action, name, place.project, expired_token_will_do=expired_token_will_do)
        return place

    async def enter_existing(self, caller: Caller, action: str, name: RepositoryName) -> int:
        """The id of an existing repository in which the caller may do ``action``.

        Raises:
            RepositoryUnknown: there is none (and the caller may know that).
        """
        place = await self.enter(caller, action, name)
        if place.repository_id is None:
            raise RepositoryUnknown(name.full)
        return place.repository_id

    async def may_pull(self, caller: Caller, name: RepositoryName) -> int | None:
        """The id of an existing repository that the caller may pull from, or ``None``."""
        place = await self.find(name)
        if place.repository_id is None or not self._guardian.may(caller, PULL, name, place.project):
            return None
        return place.repository_id

    async def catalog(self, caller: Caller, last: str, count: int) -> list[str]:
        """Names after ``last`` of the repositories that the caller may pull from, in byte order.

        Raises:
            TokenNeeded: the caller may not list.
        """
        self._guardian.require_listing(caller)
        return await store.list_repositories(self._database, last, count, public_only=not caller.principal.is_admin)


async def ensure(tx: Transaction, origin: Origin, name: RepositoryName) -> int:
    """The id of a repository, made together with its project if there is none (the caller has been let in)."""
    place = await store.find_place(tx, name)
    if place.repository_id is not None:
        return place.repository_id
    project = place.project or await projects.ensure(tx, origin, name.project)
    return await store.ensure_repository(tx, project.id, name.path)


def origin_of(caller: Caller) -> Origin:
    """How the journal names a caller."""
    return Origin(caller.principal.name, caller.client_address, caller.user_agent, caller.request_id)
