"""What a blob store is.

Bytes arrive in a *staging* area under a key of the caller's, grow at their end, and become content by one
``commit``, which hands back the *location* under which they are read from then on. A location is the store's own
word: it is kept in the metadata and never made up elsewhere, so a store is free to leave bytes where they
were first written.

Whatever ``commit`` or ``put`` has returned survives a power cut.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

import msgspec


class Staged(msgspec.Struct, frozen=True):
    """What is in staging under one key."""

    size: int
    modified_at: float
    """Seconds since the epoch."""


class StagingWriter(Protocol):
    """Holds one staging entry for itself until it is closed; nobody else can write to it meanwhile."""

    offset: int
    """Bytes in the entry when it was opened."""

    async def write(self, parts: Sequence[bytes]) -> None:
        """Append ``parts`` in order."""

    async def commit(self, digest: str) -> str:
        """Make the entry the content of ``digest``; the location. Replaces damaged content."""

    async def close(self) -> None:
        """Let go; what was written stays in staging unless it was committed."""


class BlobReader(Protocol):
    """Reads one blob."""

    @property
    def size(self) -> int:
        """Bytes of the blob."""

    @property
    def identity(self) -> Hashable:
        """Equal for two readers only if nothing has replaced or touched the bytes in between."""

    async def read(self, offset: int, length: int) -> bytes | bytearray:
        """Up to ``length`` bytes from ``offset``, at least one; valid until the next ``read``."""

    def close(self) -> None:
        """Let go."""


class BlobStore(Protocol):
    """A place for bytes. Every method raises ``StorageFull`` or ``Unavailable`` when the medium fails."""

    chunk_min_length: int
    """Bytes that every chunk but the last should have (``OCI-Chunk-Min-Length``); 0 if any will do."""

    async def append(self, key: str) -> StagingWriter:
        """Open the staging entry ``key``, made if there is none, for writing at its end.

        Raises:
            Conflict: somebody is writing to it.
        """

    async def staged(self, key: str) -> Staged | None:
        """Size and age of the staging entry, or ``None``."""

    async def read_staged(self, key: str, offset: int, length: int) -> bytes:
        """Bytes of a staging entry; fewer at its end."""

    async def put(self, digest: str, content: bytes) -> str:
        """Store small content at once; the location."""

    async def discard(self, key: str) -> None:
        """Drop a staging entry, if it is there."""

    async def list_staged(self) -> list[str]:
        """The keys of all staging entries."""

    async def open(self, location: str) -> BlobReader | None:
        """Open content for reading, or ``None`` if it is not there."""

    async def size(self, location: str) -> int | None:
        """Bytes of the content, or ``None`` if it is not there."""

    async def delete(self, location: str) -> None:
        """Remove content, if it is there."""

    async def probe(self) -> None:
        """Prove that the store takes and gives back bytes."""
