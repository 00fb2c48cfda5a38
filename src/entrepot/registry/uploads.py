"""Uploads: how blobs come in (distribution-spec, "Pushing blobs").

An upload session is a row; its bytes are a staging entry of the store under the session's id, and that entry's size
is the only truth about its offset. So any process can go on where another stopped.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import msgspec
import structlog

from entrepot.access.model import PUSH
from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction
from entrepot.errors import Conflict, InvalidInput, RangeNotSatisfiable
from entrepot.journal import store as journal
from entrepot.kit import clock
from entrepot.kit.expiring import ExpiringMap
from entrepot.oci import digest as digests
from entrepot.oci.name import RepositoryName
from entrepot.projects import ledger
from entrepot.projects.ledger import QuotaExceededError
from entrepot.projects.quota import Quotas, Room
from entrepot.registry import repositories, store
from entrepot.registry.blobs import arrive
from entrepot.registry.errors import UploadUnknown
from entrepot.registry.model import BlobPushed, StoredBlob, UploadSession
from entrepot.registry.repositories import Repositories
from entrepot.storage.blobstore import StagingWriter
from entrepot.storage.ingest import Ingest, Tally, tally_staged
from entrepot.storage.verified import VerifiedStore

SMALL = 1024 * 1024
"""Bytes up to which a whole blob is taken in one piece: one thread hop instead of many (bench: 4 KiB blobs, images)."""

_HASH_IN_LINE = 32 * 1024

_LOCK_SECONDS = 3.0
_LOCK_STEP = 0.05
_OTHER_FINISH = 0.5
_SMALL_SECONDS = 0.5
_SWEEP = 10_000

log = structlog.get_logger()

Body = AsyncIterator[bytes]


class Chunk(msgspec.Struct, frozen=True):
    """Where a chunk says it belongs: first and last byte, inclusive."""

    first: int
    last: int


class UploadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chose."""

    expiry: float = 24 * 3600.0
    """Seconds after which an upload that nobody touches is dropped."""
    sparse: bool = False
    """Whether manifests may name content that comes later."""


class Uploads:
    """The verbs on upload sessions."""

    def __init__(
        self,
        database: Database,
        content: VerifiedStore,
        places: Repositories,
        quotas: Quotas,
        options: UploadOptions,
    ) -> None:
        self._database = database
        self._quotas = quotas
        self._content = content
        self._store = content.inner
        self._repositories = places
        self._options = options
        self._tallies: ExpiringMap[str, Tally] = ExpiringMap(4096, clock.monotonic)

    @property
    def chunk_min_length(self) -> int:
        """Bytes that every chunk but the last should have; 0 if any will do."""
        return self._store.chunk_min_length

    async def start(self, caller: Caller, name: RepositoryName, algorithm: str = "sha256") -> str:
        """Begin an upload; the session's id. The repository is made if there is none."""
        place = await self._repositories.enter(caller, PUSH, name)
        digests.hasher(algorithm)
        session_id = str(uuid.uuid4())
        quota = await self._quotas.default()

        async def work(tx: Transaction) -> None:
            repository_id = place.repository_id
            if repository_id is None or not await store.has_repository(tx, repository_id):
                repository_id = (await repositories.ensure(tx, caller.origin, name, quota)).repository_id
            await store.add_upload(tx, UploadSession(session_id, repository_id, caller.principal.name, algorithm))

        # After a power cut the client begins again; the fsync would cost a third of a small push (bench: 4 KiB blobs).
        await self._database.write(work, durable=False)
        return session_id

    async def offset(self, caller: Caller, name: RepositoryName, session_id: str) -> int:
        """How many bytes have arrived.

        Raises:
            UploadUnknown: there is no such session in this repository.
        """
        await self._find(caller, name, session_id)
        staged = await self._store.staged(session_id)
        return staged.size if staged else 0

    async def append(
        self,
        caller: Caller,
        name: RepositoryName,
        session_id: str,
        body: Body,
        chunk: Chunk | None,
        length: int | None = None,
    ) -> int:
        """Take more bytes (``length``, if that is known); how many there are now.

        What arrives before a connection breaks is kept.

        Raises:
            QuotaExceededError: the project has no room for them; the upload is dropped.
            UploadUnknown: there is no such session in this repository.
            RangeNotSatisfiable: the chunk does not continue the upload; nothing has changed.
        """
        session, project_id, is_limited = await self._find(caller, name, session_id)
        writer = await self._write_to(session)
        try:
            _check_order(chunk, writer.offset)
            room = await self._room_for(caller, project_id, session) if is_limited else None
            return (await self._take(session, writer, body, room, length)).offset
        except QuotaExceededError:
            await self._drop(session_id)  # a push that cannot end must not hold room for itself
            raise
        finally:
            await writer.close()

    async def finish(
        self,
        caller: Caller,
        name: RepositoryName,
        session_id: str,
        digest: str,
        body: Body,
        chunk: Chunk | None,
        length: int | None = None,
    ) -> StoredBlob:
        """Take the last bytes (``length``, if that is known) and make the upload the blob ``digest``.

        1. the session, room in the project, and the rest of the bytes
        2. the digest must agree
        3. the bytes become content, durable
        4. in one transaction: blob, link to the repository, session gone, journal

        Raises:
            UploadUnknown: there is no such session in this repository.
            RangeNotSatisfiable: the last chunk does not continue the upload; nothing has changed.
            InvalidInput: ``DIGEST_INVALID``; the upload is dropped.
            QuotaExceededError: the project has no room for it; the upload is dropped.
        """
        try:
            return await self._finish(caller, name, session_id, digest, body, chunk, length)
        except QuotaExceededError:
            await self._drop(session_id)  # a push that cannot end must not hold room for itself
            raise

    async def _finish(
        self,
        caller: Caller,
        name: RepositoryName,
        session_id: str,
        digest: str,
        body: Body,
        chunk: Chunk | None,
        length: int | None,
    ) -> StoredBlob:
        # 1
        session, project_id, is_limited = await self._find(caller, name, session_id)
        digests.parse(digest)
        room = await self._room_for(caller, project_id, session) if is_limited else None
        if (chunk is None or chunk.first == 0) and await self._store.staged(session_id) is None:
            if room is not None:
                await room.cover(length or 0, exactly=True)
            head, is_whole = await _take_small(body)
            if is_whole:
                if room is not None:
                    await room.cover(len(head), exactly=True)
                return await self._finish_small(caller, name, session, project_id, digest, head)
            body = _chain(head, body)
        writer = await self._write_to(session)
        try:
            _check_order(chunk, writer.offset)
            tally = await self._take(session, writer, body, room, length)
            # 2
            if tally.algorithm != digests.algorithm_of(digest):
                tally = await tally_staged(self._store, session_id, digests.algorithm_of(digest), tally.offset)
            if tally.digest != digest:
                if tally.offset == 0 and await self._ends(session):
                    await self._store.discard(session_id)
                    raise UploadUnknown(session_id)
                await self._drop(session_id)
                raise _digest_differs(digest, tally.digest)
            # 3
            location = await writer.commit(digest)
        finally:
            await writer.close()
        # 4
        return await self._record(caller, name, session, project_id, StoredBlob(digest, tally.offset, location))

    async def _finish_small(
        self,
        caller: Caller,
        name: RepositoryName,
        session: UploadSession,
        project_id: int,
        digest: str,
        content: bytes,
    ) -> StoredBlob:
        """Steps 2 to 4 of ``finish`` for a blob that came in one small piece."""
        algorithm = digests.algorithm_of(digest)
        if len(content) <= _HASH_IN_LINE:
            actual = digests.of(content, algorithm)
        else:
            actual = await asyncio.get_running_loop().run_in_executor(None, digests.of, content, algorithm)
        if actual != digest:
            if content:
                await self._drop(session.id)
            elif await self._ends(session):
                raise UploadUnknown(session.id)
            raise _digest_differs(digest, actual)
        location = await self._store.put(digest, content)
        return await self._record(caller, name, session, project_id, StoredBlob(digest, len(content), location))

    async def _ends(self, session: UploadSession) -> bool:
        """Whether another request is just finishing this upload: nothing came, and nothing is staged any more."""
        deadline = clock.monotonic() + _OTHER_FINISH
        while await store.find_upload(self._database, session.id) is not None:
            if clock.monotonic() > deadline:
                return False
            await asyncio.sleep(_LOCK_STEP)
        return True

    async def push(
        self, caller: Caller, name: RepositoryName, digest: str, body: Body, length: int | None = None
    ) -> StoredBlob:
        """Push a blob with a single request (distribution-spec end-4b)."""
        digests.parse(digest)
        session_id = await self.start(caller, name, digests.algorithm_of(digest))
        try:
            return await self.finish(caller, name, session_id, digest, body, None, length)
        except BaseException:
            # Nobody knows this session's id, so nobody could go on with it.
            await self._drop(session_id)
            raise

    async def cancel(self, caller: Caller, name: RepositoryName, session_id: str) -> None:
        """Drop an upload and its bytes.

        Raises:
            UploadUnknown: there is no such session in this repository.
        """
        await self._find(caller, name, session_id)
        await self._drop(session_id)

    async def expire(self) -> int:
        """Drop the uploads that nobody has touched for ``options.expiry``, and staging entries of none; how many."""
        cutoff = clock.now() - self._options.expiry
        dropped = 0
        for session_id in await store.list_uploads_before(self._database, int(cutoff * 1_000_000), _SWEEP):
            staged = await self._store.staged(session_id)
            if staged is None or staged.modified_at < cutoff:
                await self._drop(session_id)
                dropped += 1
        for key in await self._store.list_staged():
            staged = await self._store.staged(key)
            if staged and staged.modified_at < cutoff and await store.find_upload(self._database, key) is None:
                await self._store.discard(key)
                dropped += 1
        if dropped:
            log.info("expired uploads dropped", count=dropped)
        return dropped

    async def count(self) -> int:
        """How many upload sessions are open."""
        return await store.count_uploads(self._database)

    async def _find(self, caller: Caller, name: RepositoryName, session_id: str) -> tuple[UploadSession, int, bool]:
        """The session, its project's id, and whether that has a quota, if the caller may go on with it.

        Whoever began it goes on even with a token that has expired since (not with rights that were withdrawn): a
        client cannot fetch a new one in the middle of a body.
        """
        session = await store.find_upload(self._database, session_id)
        begun_by_caller = session is not None and session.principal == caller.principal.name
        place = await self._repositories.enter(caller, PUSH, name, expired_token_will_do=begun_by_caller)
        if session is None or place.project is None or session.repository_id != place.repository_id:
            raise UploadUnknown(session_id)
        return session, place.project.id, place.is_limited

    async def _write_to(self, session: UploadSession) -> StagingWriter:
        """Open the staging entry; a request that has just lost its connection gets a moment to let go of it."""
        deadline = clock.monotonic() + _LOCK_SECONDS
        while True:
            try:
                return await self._store.append(session.id)
            except Conflict:
                if clock.monotonic() > deadline:
                    raise
                await asyncio.sleep(_LOCK_STEP)

    async def _take(
        self, session: UploadSession, writer: StagingWriter, body: Body, room: Room | None, length: int | None
    ) -> Tally:
        """Write and hash what comes; the hash goes on from where this process knows it, else over the staged bytes."""
        tally = self._tallies.get(session.id)
        self._tallies.discard(session.id)
        if tally is None or tally.offset != writer.offset:
            tally = await tally_staged(self._store, session.id, session.algorithm, writer.offset)
        size = writer.offset
        if room is not None:
            await room.cover(size + (length or 0), exactly=True)
        ingest = Ingest(writer, tally)
        try:
            async for part in body:
                if room is not None:
                    size += len(part)
                    await room.cover(size)
                await ingest.feed(part)
        finally:
            # Also when the connection broke: what has arrived is kept, and the client may go on from there.
            if await ingest.finish():
                self._tallies.put(session.id, tally, clock.monotonic() + self._options.expiry)
        return tally

    async def _record(
        self, caller: Caller, name: RepositoryName, session: UploadSession, project_id: int, blob: StoredBlob
    ) -> StoredBlob:
        self._tallies.discard(session.id)
        await self._content.vouch(blob.location)
        deadline = await self._quotas.deadline()

        async def work(tx: Transaction) -> None:
            if not await store.delete_upload(tx, session.id):
                raise UploadUnknown(session.id)
            await store.add_blob(tx, blob)
            await store.link_blob(tx, session.repository_id, blob.digest)
            await arrive(tx, caller.origin, project_id, session.id, blob, deadline)
            event = BlobPushed(repository=name.full, digest=blob.digest, size=blob.size, project_id=project_id)
            await journal.append(tx, caller.origin, event)

        await self._quotas.write(caller.origin, work)
        return blob

    async def _room_for(self, caller: Caller, project_id: int, session: UploadSession) -> Room | None:
        """Where the upload takes its room from; when there is none, what its repository holds unnamed gives way."""

        async def leftovers(tx: Transaction) -> None:
            await store.shorten_reservations(tx, session.repository_id, ledger.last_hour())

        return await self._quotas.room_for(caller.origin, project_id, session.id, leftovers)

    async def _drop(self, session_id: str) -> None:
        # Bytes first: on a full disk they make the room that the row's end needs.
        self._tallies.discard(session_id)
        await self._store.discard(session_id)

        async def work(tx: Transaction) -> None:
            await store.delete_upload(tx, session_id)
            await ledger.release(tx, session_id)

        await self._database.write(work)


def _check_order(chunk: Chunk | None, offset: int) -> None:
    if chunk is not None and chunk.first != offset:
        raise RangeNotSatisfiable(
            f"The chunk begins at byte {chunk.first}, but the upload goes on at byte {offset}: "
            "ask for the upload's status and continue there.",
            code="BLOB_UPLOAD_INVALID",
            detail={"offset": offset},
        )


def _digest_differs(expected: str, actual: str) -> InvalidInput:
    return InvalidInput(
        f"The bytes that arrived have the digest {actual}, not {expected}: push them again.",
        code="DIGEST_INVALID",
        detail={"digest": expected, "actual": actual},
    )


async def _take_small(body: Body) -> tuple[bytes, bool]:
    """The beginning of a body, and whether that is all of it; what comes slowly is better staged."""
    parts = []
    size = 0
    deadline = clock.monotonic() + _SMALL_SECONDS
    async for part in body:
        parts.append(part)
        size += len(part)
        if size > SMALL or clock.monotonic() > deadline:
            return b"".join(parts), False
    return b"".join(parts), True


async def _chain(head: bytes, body: Body) -> Body:
    yield head
    async for part in body:
        yield part
