"""Tags: list, delete. They are set by pushing a manifest."""

from __future__ import annotations

from entrepot.access.model import DELETE_TAG, PULL
from entrepot.access.permissions import Permission
from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction
from entrepot.errors import Conflict
from entrepot.journal import store as journal
from entrepot.oci import artifact
from entrepot.oci.name import RepositoryName, parse_tag
from entrepot.registry import store
from entrepot.registry.errors import ManifestUnknown
from entrepot.registry.model import TagCreated, TagDeleted
from entrepot.registry.repositories import Repositories

CREATE: Permission = ("tag", "create")


async def reconsider(tx: Transaction, manifest_id: int, tag: str) -> None:
    """A manifest has got or lost ``tag``: do lists show it, and does it hang on another?"""
    if artifact.is_accessory_tag(tag) and not await store.has_subject(tx, manifest_id):
        await store.set_accessory(tx, manifest_id, artifact.accessory_by_tag(await store.tags_of(tx, manifest_id)))
    await store.relist(tx, manifest_id)


class Tags:
    """The verbs on tags."""

    def __init__(self, database: Database, places: Repositories) -> None:
        self._database = database
        self._repositories = places

    async def list(self, caller: Caller, name: RepositoryName, last: str, count: int) -> list[str]:
        """Tags after ``last`` in byte order, at most ``count``.

        Raises:
            RepositoryUnknown: there is no such repository.
        """
        place = await self._repositories.enter_existing(caller, PULL, name)
        return await store.list_tags(self._database, place.repository_id, last, count)

    async def create(self, caller: Caller, name: RepositoryName, reference: str, tag: str) -> None:
        """Let a new tag name what ``reference`` names.

        Raises:
            ManifestUnknown: there is nothing of that reference.
            Conflict: there is such a tag already.
        """
        parse_tag(tag)
        place = await self._repositories.enter_existing(caller, CREATE, name, tags=(tag,))

        async def work(tx: Transaction) -> None:
            manifest = await store.find_manifest(tx, place.repository_id, reference)
            if manifest is None:
                raise ManifestUnknown(name.full, reference)
            if await store.find_tagged_id(tx, place.repository_id, tag) is not None:
                raise Conflict(f"There is a tag {tag} in {name.full} already: delete it first, or push to it.")
            await store.set_tag(tx, place.repository_id, tag, manifest.id)
            await reconsider(tx, manifest.id, tag)
            await store.touch(tx, place.repository_id)
            event = TagCreated(repository=name.full, tag=tag, digest=manifest.digest, project_id=place.project_id)
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)

    async def delete(self, caller: Caller, name: RepositoryName, tag: str) -> None:
        """Delete a tag; what it named stays.

        Raises:
            ManifestUnknown: there is no such tag.
        """
        place = await self._repositories.enter_existing(caller, DELETE_TAG, name, tags=(tag,))
        parse_tag(tag)

        async def work(tx: Transaction) -> None:
            digest = await store.find_tagged(tx, place.repository_id, tag)
            manifest_id = await store.find_tagged_id(tx, place.repository_id, tag)
            if digest is None or manifest_id is None:
                raise ManifestUnknown(name.full, tag)
            await store.delete_tag(tx, place.repository_id, tag)
            await reconsider(tx, manifest_id, tag)
            await store.touch(tx, place.repository_id)
            event = TagDeleted(repository=name.full, tag=tag, digest=digest, project_id=place.project_id)
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)
