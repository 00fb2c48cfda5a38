"""Repositories: where a name leads, who may go there, the catalog."""

from __future__ import annotations

from collections.abc import Iterable

from entrepot.access.model import PULL
from entrepot.access.permissions import Permission
from entrepot.access.service import Guardian
from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction
from entrepot.database.cache import VersionedCache
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.oci.name import RepositoryName
from entrepot.projects import ledger
from entrepot.projects import service as projects
from entrepot.registry import store
from entrepot.registry.errors import RepositoryUnknown
from entrepot.registry.model import HeldPlace, Place, RepositoryDeleted, RepositoryUpdated

UPDATE: Permission = ("repository", "update")
DELETE_REPOSITORY: Permission = ("repository", "delete")


class Repositories:
    """The door to every other verb: all of them come through ``enter``."""

    def __init__(self, database: Database, guardian: Guardian) -> None:
        self._database = database
        self._guardian = guardian
        self._places: VersionedCache[Place] = VersionedCache(database, 50_000)
        self._entered: VersionedCache[HeldPlace] = VersionedCache(database, 50_000)

    async def find(self, name: RepositoryName) -> Place:
        """Project and repository behind ``name``, as of now."""
        place, version = self._places.lookup(name)
        if place is None:
            place = await store.find_place(self._database, name)
            if place.project is None or place.project.name == name.project:
                # What a former name leads to may end with time, without a commit.
                self._places.fill(name, place, version)
        return place

    async def enter(
        self,
        caller: Caller,
        permission: Permission,
        name: RepositoryName,
        *,
        tags: Iterable[str | None] = (None,),
        expired_token_will_do: bool = False,
    ) -> Place:
        """The place behind ``name``, if the caller holds ``permission`` there, on each of ``tags``.

        Raises:
            TokenNeeded: other credentials could help.
            Denied: nothing could.
        """
        place = await self.find(name)
        await self._guardian.require(
            caller, permission, name, place.project, tags=tags, expired_token_will_do=expired_token_will_do
        )
        return place

    async def enter_existing(
        self, caller: Caller, permission: Permission, name: RepositoryName, *, tags: Iterable[str | None] = (None,)
    ) -> HeldPlace:
        """An existing repository in which the caller holds ``permission``.

        Raises:
            RepositoryUnknown: there is none (and the caller may know that).
        """
        # Who was let in once is let in until the next commit: one look-up instead of three (bench: GET manifest). Not
        # where the address counts too.
        key = (caller.principal, caller.bound, permission, name)
        held, version = self._entered.lookup(key)
        if held is not None and tags == (None,) and caller.credential != "expired":
            return held
        place = await self.enter(caller, permission, name, tags=tags)
        if place.repository_id is None or place.project is None:
            raise RepositoryUnknown(name.full)
        held = HeldPlace(place.repository_id, place.project.id)
        if tags == (None,) and place.project.name == name.project and place.project.addresses is None:
            self._entered.fill(key, held, version)
        return held

    async def may_pull(self, caller: Caller, name: RepositoryName) -> int | None:
        """The id of an existing repository that the caller may pull from, or ``None``."""
        place = await self.find(name)
        if place.repository_id is None or not await self._guardian.may(caller, PULL, name, place.project):
            return None
        return place.repository_id

    async def catalog(self, caller: Caller, last: str, count: int) -> list[str]:
        """Names after ``last`` of the repositories that the caller may pull from, in byte order.

        Raises:
            TokenNeeded: the caller may not list.
        """
        self._guardian.require_listing(caller)
        places = await self._guardian.places(caller, PULL)
        return await store.list_repositories(self._database, last, count, None if places.everywhere else places)

    async def describe(self, caller: Caller, name: RepositoryName, description: str) -> None:
        """Give a repository a description.

        Raises:
            RepositoryUnknown: there is none.
        """
        place = await self.enter_existing(caller, UPDATE, name)

        async def work(tx: Transaction) -> None:
            await store.set_description(tx, place.repository_id, description)
            event = RepositoryUpdated(repository=name.full, description=description, project_id=place.project_id)
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)

    async def delete(self, caller: Caller, name: RepositoryName) -> None:
        """Delete a repository with all that it holds.

        Raises:
            RepositoryUnknown: there is none.
        """
        # Rights that are limited to tags never reach all that a repository holds.
        place = await self.enter_existing(caller, DELETE_REPOSITORY, name, tags=("",))

        async def work(tx: Transaction) -> None:
            freed = await store.uncount_repository(tx, place.project_id, place.repository_id)
            for session_id in await store.list_uploads_of(tx, place.repository_id):
                await ledger.release(tx, session_id)
            reserved = await store.release_repository(tx, place.project_id, place.repository_id)
            if not await store.delete_repository(tx, place.repository_id):
                raise RepositoryUnknown(name.full)
            await ledger.uncharge(tx, place.project_id, freed, reserved)
            await journal.append(
                tx, caller.origin, RepositoryDeleted(repository=name.full, project_id=place.project_id)
            )

        await self._database.write(work)


async def leftovers_give_way(database: Database, repository_id: int) -> None:
    """A push was refused for want of room: what it leaves behind must not hold room for long."""
    until = ledger.last_hour()
    await database.write(lambda tx: store.shorten_reservations(tx, repository_id, until), durable=False)


async def ensure(tx: Transaction, origin: Origin, name: RepositoryName, quota: int = -1) -> HeldPlace:
    """A repository, made together with its project if there is none (the caller has been let in).

    ``quota`` is for a new project; bytes, -1 for no limit.
    """
    place = await store.find_place(tx, name)
    project = place.project or await projects.ensure(tx, origin, name.project, quota=quota)
    return HeldPlace(place.repository_id or await store.ensure_repository(tx, project.id, name.path), project.id)
