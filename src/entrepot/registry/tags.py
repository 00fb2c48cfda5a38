"""Tags: list, delete. They are set by pushing a manifest."""

from __future__ import annotations

from entrepot.access.model import DELETE, PULL
from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction
from entrepot.journal import store as journal
from entrepot.oci.name import RepositoryName, parse_tag
from entrepot.registry import store
from entrepot.registry.errors import ManifestUnknown
from entrepot.registry.model import TagDeleted
from entrepot.registry.repositories import Repositories, origin_of


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
        repository_id = await self._repositories.enter_existing(caller, PULL, name)
        return await store.list_tags(self._database, repository_id, last, count)

    async def delete(self, caller: Caller, name: RepositoryName, tag: str) -> None:
        """Delete a tag; what it named stays.

        Raises:
            ManifestUnknown: there is no such tag.
        """
        repository_id = await self._repositories.enter_existing(caller, DELETE, name)
        parse_tag(tag)

        async def work(tx: Transaction) -> None:
            digest = await store.find_tagged(tx, repository_id, tag)
            if digest is None:
                raise ManifestUnknown(name.full, tag)
            await store.delete_tag(tx, repository_id, tag)
            await journal.append(tx, origin_of(caller), TagDeleted(repository=name.full, tag=tag, digest=digest))

        await self._database.write(work)
