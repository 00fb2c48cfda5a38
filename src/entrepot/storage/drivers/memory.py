"""Blobs in the memory of one process: for trials and tests, gone when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from entrepot.errors import Conflict, StorageFull, Unavailable
from entrepot.kit import clock
from entrepot.storage.blobstore import BlobReader, Staged, StagingWriter


class MemoryStore:
    """The driver ``memory``; ``limit`` bounds its bytes."""

    chunk_min_length = 0

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._staging: dict[str, tuple[bytearray, float]] = {}
        self._content: dict[str, tuple[int, bytes]] = {}
        self._versions = count()
        self._busy: set[str] = set()

    async def append(self, key: str) -> StagingWriter:
        """See ``BlobStore.append``."""
        if key in self._busy:
            raise Conflict("Another request is writing to this upload: wait for it to end.", code="BLOB_UPLOAD_INVALID")
        self._busy.add(key)
        return _Writer(self, key, self._staging.setdefault(key, (bytearray(), clock.now()))[0])

    async def staged(self, key: str) -> Staged | None:
        """See ``BlobStore.staged``."""
        entry = self._staging.get(key)
        return Staged(len(entry[0]), entry[1]) if entry else None

    async def read_staged(self, key: str, offset: int, length: int) -> bytes:
        """See ``BlobStore.read_staged``."""
        entry = self._staging.get(key)
        if entry is None:
            raise Unavailable("The upload's bytes are gone.")
        return bytes(memoryview(entry[0])[offset : offset + length])

    async def put(self, digest: str, content: bytes) -> str:
        """See ``BlobStore.put``."""
        return self._keep(digest, content)

    async def discard(self, key: str) -> None:
        """See ``BlobStore.discard``."""
        entry = self._staging.pop(key, None)
        if entry:
            self._used -= len(entry[0])

    async def list_staged(self) -> list[str]:
        """See ``BlobStore.list_staged``."""
        return list(self._staging)

    async def open(self, location: str) -> BlobReader | None:
        """See ``BlobStore.open``."""
        entry = self._content.get(location)
        return _Reader(*entry) if entry else None

    async def size(self, location: str) -> int | None:
        """See ``BlobStore.size``."""
        entry = self._content.get(location)
        return len(entry[1]) if entry else None

    async def delete(self, location: str) -> None:
        """See ``BlobStore.delete``."""
        entry = self._content.pop(location, None)
        if entry:
            self._used -= len(entry[1])

    async def probe(self) -> None:
        """See ``BlobStore.probe``."""
        self.reserve(0)

    def reserve(self, size: int) -> None:
        """Account for ``size`` more bytes, if there is room."""
        if self._used + size > self._limit:
            raise StorageFull("The registry's memory store is full: nothing was stored.")
        self._used += size

    def commit(self, key: str, buffer: bytearray, digest: str) -> str:
        """Move a staging entry to the content."""
        self._require(key, buffer)
        del self._staging[key]
        self._used -= len(buffer)
        return self._keep(digest, bytes(buffer))

    def grow(self, key: str, buffer: bytearray, parts: Sequence[bytes]) -> None:
        """Append to a staging entry, if there is room."""
        self._require(key, buffer)
        self.reserve(sum(map(len, parts)))
        for part in parts:
            buffer += part
        self._staging[key] = (buffer, clock.now())

    def _require(self, key: str, buffer: bytearray) -> None:
        entry = self._staging.get(key)
        if entry is None or entry[0] is not buffer:
            raise Unavailable("The upload was cancelled.")

    def release(self, key: str) -> None:
        """Let others write to a staging entry."""
        self._busy.discard(key)

    def _keep(self, digest: str, content: bytes) -> str:
        old = self._content.get(digest)
        self.reserve(len(content) - (len(old[1]) if old else 0))
        self._content[digest] = (next(self._versions), content)
        return digest


class _Writer:
    def __init__(self, store: MemoryStore, key: str, buffer: bytearray) -> None:
        self._store = store
        self._key = key
        self._buffer = buffer
        self._closed = False
        self.offset = len(buffer)

    async def write(self, parts: Sequence[bytes]) -> None:
        self._store.grow(self._key, self._buffer, parts)

    async def commit(self, digest: str) -> str:
        return self._store.commit(self._key, self._buffer, digest)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._store.release(self._key)


class _Reader:
    def __init__(self, version: int, content: bytes) -> None:
        self._content = content
        self.size = len(content)
        self.identity = version

    async def read(self, offset: int, length: int) -> bytes:
        piece = self._content[offset : offset + length]
        if not piece:
            raise Unavailable("The content ends before its size: tell the registry's operator.")
        return piece

    def close(self) -> None:
        self._content = b""
