"""Bytes of one upload on their way in: received, hashed and written at the same time, in bounded memory.

While one batch is being hashed in one thread and written in another, the next is received. At most two batches are in
memory, whatever the size of the upload.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from entrepot.kit import clock
from entrepot.oci import digest as digests
from entrepot.storage.blobstore import BlobStore, StagingWriter

if TYPE_CHECKING:
    from hashlib import _Hash

BATCH = 512 * 1024
"""Bytes; smaller batches spend their time in thread hops, larger ones in memory (bench: push 400 MB)."""

_LONGEST_HELD = 0.5
"""Seconds after which what a slow client has sent is written: it is then safe, and shows that the upload lives."""

_hashing = ThreadPoolExecutor(8, thread_name_prefix="hash")


class Tally:
    """The hash of the first ``offset`` bytes of an upload."""

    __slots__ = ("algorithm", "offset", "state")

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.state: _Hash = digests.hasher(algorithm)
        self.offset = 0

    @property
    def digest(self) -> str:
        """The digest of what has been hashed."""
        return f"{self.algorithm}:{self.state.hexdigest()}"


async def tally_staged(store: BlobStore, key: str, algorithm: str, size: int) -> Tally:
    """Hash ``size`` staged bytes again: an upload goes on in a process that did not receive its beginning."""
    tally = Tally(algorithm)
    loop = asyncio.get_running_loop()
    while tally.offset < size:
        piece = await store.read_staged(key, tally.offset, min(BATCH, size - tally.offset))
        if not piece:
            break
        await loop.run_in_executor(_hashing, tally.state.update, piece)
        tally.offset += len(piece)
    return tally


class Ingest:
    """Feeds one staging writer and one tally."""

    def __init__(self, writer: StagingWriter, tally: Tally) -> None:
        self._writer = writer
        self._tally = tally
        self._parts: list[bytes] = []
        self._size = 0
        self._running: asyncio.Future[Any] | None = None
        self._failed = False
        self._due = clock.monotonic() + _LONGEST_HELD

    async def feed(self, part: bytes) -> None:
        """Take the next bytes; waits only while the batch before is still being hashed and written."""
        self._parts.append(part)
        self._size += len(part)
        if self._size >= BATCH or clock.monotonic() > self._due:
            await self._turn()

    async def finish(self) -> bool:
        """Hash and write what is left; whether all that was fed is in the tally and in the store."""
        if self._failed:
            return False
        if self._parts:
            await self._turn()
        await self._settle()
        return True

    async def _turn(self) -> None:
        await self._settle()
        parts, self._parts, self._size = self._parts, [], 0
        self._due = clock.monotonic() + _LONGEST_HELD
        hashing = asyncio.get_running_loop().run_in_executor(_hashing, _update, self._tally, parts)
        self._running = asyncio.gather(hashing, self._writer.write(parts))

    async def _settle(self) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        try:
            await running
        except BaseException:
            # Nothing may be written behind a gap.
            self._failed = True
            self._parts = []
            raise


def _update(tally: Tally, parts: Sequence[bytes]) -> None:
    for part in parts:
        tally.state.update(part)
        tally.offset += len(part)
