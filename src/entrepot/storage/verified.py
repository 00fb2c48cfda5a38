"""A layer that never serves bytes which fail their digest.

Content is hashed while it is first read whole, and its last piece is held back until the hash agrees. What was found
good is remembered by the file's identity (inode, time of change, size), so only the first whole read after a start or
a change pays for it. Content found damaged reads as absent until something replaces it: a client that pushes again
heals it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable

from entrepot.errors import Unreadable
from entrepot.kit import clock
from entrepot.kit.expiring import ExpiringMap
from entrepot.oci import digest as digests
from entrepot.storage.blobstore import BlobReader, BlobStore

PIECE = 256 * 1024
"""Bytes of one read: larger ones cost page faults, smaller ones more calls (bench: GET blob)."""

_SMALL_PIECE = 32 * 1024
_CAREFUL = 8 * 1024 * 1024
"""Bytes of a large blob that go out in small pieces: the server queues some fifteen of them for a client that takes
nothing, once the sockets are full. Whoever takes this much gets large ones."""

_TRUST_SECONDS = 24 * 3600.0
_REMEMBERED = 65_536
_IN_LINE = 32 * 1024


class Content:
    """An open blob of known digest."""

    __slots__ = ("_reader", "_store", "digest", "size")

    def __init__(self, store: VerifiedStore, reader: BlobReader, digest: str) -> None:
        self._store = store
        self._reader = reader
        self.digest = digest
        self.size = reader.size

    async def stream(self, start: int, end: int) -> AsyncIterator[bytes | bytearray]:
        """The bytes from ``start`` to ``end`` (exclusive); a piece is valid until the next is asked for.

        Raises:
            Unreadable: before the last piece, when the whole content fails its digest.
        """
        if start == 0 and end == self.size and not self._store.trusts(self._reader):
            async for checked in self._verified():
                yield checked
            return
        async for piece in self._pieces(start, end):
            yield piece

    def close(self) -> None:
        """Let go of the blob."""
        self._reader.close()

    async def _pieces(self, start: int, end: int) -> AsyncIterator[bytes | bytearray]:
        offset = start
        small_until = start + _CAREFUL if end - start > _CAREFUL else start
        while offset < end:
            length = _SMALL_PIECE if offset < small_until else PIECE
            piece = await self._reader.read(offset, min(length, end - offset))
            offset += len(piece)
            yield piece

    async def _verified(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        state = digests.hasher(digests.algorithm_of(self.digest))
        held = b""
        async for part in self._pieces(0, self.size):
            piece = bytes(part)
            if len(piece) <= _IN_LINE:
                state.update(piece)
                hashing = None
            else:
                hashing = loop.run_in_executor(None, state.update, piece)
            if held:
                yield held
            if hashing is not None:
                await hashing
            held = piece
        if state.hexdigest() != self.digest.partition(":")[2]:
            self._store.condemn(self._reader)
            raise Unreadable("The stored content no longer matches its digest: push it again, and tell the operator.")
        self._store.trust(self._reader)
        if held:
            yield held


class VerifiedStore:
    """The store inside, plus reading by digest."""

    def __init__(self, inner: BlobStore) -> None:
        self.inner = inner
        self._good: ExpiringMap[Hashable, bool] = ExpiringMap(_REMEMBERED, clock.monotonic)
        self._damaged: ExpiringMap[Hashable, bool] = ExpiringMap(_REMEMBERED, clock.monotonic)

    async def open(self, location: str, digest: str, size: int) -> Content | None:
        """Open the content for reading; ``None`` when it is gone, of another size, or known to be damaged."""
        reader = await self.inner.open(location)
        if reader is None:
            return None
        if reader.size != size or self._damaged.get(reader.identity):
            reader.close()
            return None
        return Content(self, reader, digest)

    async def holds(self, location: str, size: int) -> bool:
        """Whether the content is there, whole and not known to be damaged."""
        if await self.inner.size(location) != size:
            return False
        if not len(self._damaged):
            return True
        reader = await self.inner.open(location)
        if reader is None:
            return False
        try:
            return not self._damaged.get(reader.identity)
        finally:
            reader.close()

    def trusts(self, reader: BlobReader) -> bool:
        """Whether these very bytes were found good lately."""
        return self._good.get(reader.identity) is not None

    def trust(self, reader: BlobReader) -> None:
        """Remember that the bytes are good."""
        self._good.put(reader.identity, True, clock.monotonic() + _TRUST_SECONDS)

    def condemn(self, reader: BlobReader) -> None:
        """Remember that the bytes are damaged."""
        self._damaged.put(reader.identity, True, clock.monotonic() + _TRUST_SECONDS)

    async def vouch(self, location: str) -> None:
        """Remember as good what was hashed while it arrived."""
        reader = await self.inner.open(location)
        if reader is not None:
            self.trust(reader)
            reader.close()
