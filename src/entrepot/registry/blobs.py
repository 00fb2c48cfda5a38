"""Blobs: stat, read, mount, delete."""

from __future__ import annotations

import uuid

from entrepot.access.model import DELETE_ARTIFACT, PULL, PUSH
from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction
from entrepot.database.cache import VersionedCache
from entrepot.errors import NotAllowed
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.oci import digest as digests
from entrepot.oci.name import RepositoryName
from entrepot.projects import ledger
from entrepot.projects.quota import Quotas
from entrepot.registry import repositories, store
from entrepot.registry.errors import BlobUnknown
from entrepot.registry.model import BlobDeleted, BlobPushed, StoredBlob
from entrepot.registry.repositories import Repositories
from entrepot.storage.verified import Content, VerifiedStore


async def arrive(
    tx: Transaction, origin: Origin, project_id: int, reservation_id: str, blob: StoredBlob, deadline: int
) -> None:
    """A repository of the project has got a blob: it is reserved until a manifest names it, or counts at once.

    Raises:
        QuotaExceededError: the project has no room for it.
    """
    counted = await ledger.settle(tx, project_id, reservation_id, blob.digest, blob.size, deadline)
    if counted is not None and counted < blob.size:
        late = await store.count_late(tx, project_id, blob.digest, blob.size)
        await ledger.charge_manifest(tx, origin, project_id, late, 0)


class Blobs:
    """The verbs on blobs that are there already; ``uploads.py`` brings new ones."""

    def __init__(self, database: Database, content: VerifiedStore, places: Repositories, quotas: Quotas) -> None:
        self._database = database
        self._quotas = quotas
        self._content = content
        self._repositories = places
        self._cache: VersionedCache[StoredBlob] = VersionedCache(database, 50_000)

    async def stat(self, caller: Caller, name: RepositoryName, digest: str) -> StoredBlob:
        """A blob whose bytes are really there: a client that is told so will not push them again.

        Raises:
            BlobUnknown: the repository does not hold it, or its bytes have vanished.
        """
        blob = await self._find(caller, name, digest)
        if not await self._content.holds(blob.location, blob.size):
            raise BlobUnknown(name.full, digest)
        return blob

    async def open(self, caller: Caller, name: RepositoryName, digest: str) -> Content:
        """A blob's bytes, to be closed after reading.

        Raises:
            BlobUnknown: the repository does not hold it, or its bytes have vanished.
        """
        blob = await self._find(caller, name, digest)
        content = await self._content.open(blob.location, digest, blob.size)
        if content is None:
            raise BlobUnknown(name.full, digest)
        return content

    async def _find(self, caller: Caller, name: RepositoryName, digest: str) -> StoredBlob:
        repository_id = (await self._repositories.enter_existing(caller, PULL, name)).repository_id
        key = (repository_id, digest)
        blob, version = self._cache.lookup(key)
        if blob is None:
            blob = await store.find_blob(self._database, repository_id, digests.parse(digest))
            if blob is None:
                raise BlobUnknown(name.full, digest)
            self._cache.fill(key, blob, version)
        return blob

    async def mount(
        self, caller: Caller, name: RepositoryName, digest: str, source: RepositoryName | None
    ) -> StoredBlob | None:
        """Make a blob of ``source`` visible in ``name``; ``None`` if the client has to push it.

        Without a source any repository will do that the caller may pull from. That a blob exists elsewhere must not
        show: every reason against a mount looks alike.
        """
        await self._repositories.enter(caller, PUSH, name)
        digests.parse(digest)
        if source is None:
            is_admin = caller.principal.is_admin and caller.principal.scope is None
            source = await store.find_holder(self._database, digest, public_only=not is_admin)
        source_id = await self._repositories.may_pull(caller, source) if source else None
        if source is None or source_id is None:
            return None
        blob = await store.find_blob(self._database, source_id, digest)
        if blob is None or not await self._content.holds(blob.location, blob.size):
            return None
        mounted_from = source.full
        reservation_id, deadline = str(uuid.uuid4()), await self._quotas.deadline()
        quota = await self._quotas.default()

        async def work(tx: Transaction) -> bool:
            if not await store.has_blob(tx, source_id, digest):
                return False
            place = await repositories.ensure(tx, caller.origin, name, quota)
            await store.link_blob(tx, place.repository_id, digest)
            await arrive(tx, caller.origin, place.project_id, reservation_id, blob, deadline)
            event = BlobPushed(
                repository=name.full,
                digest=digest,
                size=blob.size,
                mounted_from=mounted_from,
                project_id=place.project_id,
            )
            await journal.append(tx, caller.origin, event)
            return True

        return blob if await self._quotas.write(caller.origin, work) else None

    async def delete(self, caller: Caller, name: RepositoryName, digest: str) -> None:
        """Take a blob out of a repository.

        Raises:
            BlobUnknown: it is not there.
            NotAllowed: a manifest of the repository names it.
        """
        place = await self._repositories.enter_existing(caller, DELETE_ARTIFACT, name, tags=("",))
        repository_id = place.repository_id
        digests.parse(digest)

        async def work(tx: Transaction) -> None:
            if not await store.has_blob(tx, repository_id, digest):
                raise BlobUnknown(name.full, digest)
            naming = await store.find_naming(tx, repository_id, digest)
            if naming is not None:
                raise NotAllowed(
                    f"The manifest {naming} in {name.full} names this blob: delete the manifest first.",
                    detail={"manifest": naming},
                )
            await store.unlink_blob(tx, repository_id, digest)
            if not await store.count_holders(tx, place.project_id, digest):
                await ledger.release_content(tx, place.project_id, digest)
            event = BlobDeleted(repository=name.full, digest=digest, project_id=place.project_id)
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)
