"""The blob-store drivers that the contract is asked of. A new driver adds one line to ``DRIVERS``."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from entrepot.storage.blobstore import BlobReader, BlobStore
from entrepot.storage.drivers.memory import MemoryStore
from entrepot.storage.open import open_store

T = TypeVar("T")

MEMORY_LIMIT = 64 * 1024 * 1024

_damages = count(-1, -1)


class Driver(msgspec.Struct, frozen=True):
    """How a test gets at one driver."""

    open: Callable[[Path], BlobStore]
    """A store that keeps what it must in a folder."""
    damage: Callable[[Path, BlobStore, str, bytes], None]
    """Replaces the bytes under a location behind the store's back."""
    is_shared: bool
    """Whether two stores opened on one folder, in two processes too, are one."""


def by_name(name: str) -> Callable[[Path], BlobStore]:
    return lambda folder: open_store(name, folder=folder, memory_limit=MEMORY_LIMIT).inner


def damage_file(folder: Path, _store: BlobStore, location: str, content: bytes) -> None:
    path = folder / "content" / location
    fresh = path.with_name(secrets.token_hex(4))
    fresh.write_bytes(content)
    os.rename(fresh, path)


def damage_memory(_folder: Path, store: BlobStore, location: str, content: bytes) -> None:
    kept = cast("MemoryStore", store)._content
    kept[location] = (next(_damages), content)


DRIVERS = {
    "filesystem": Driver(by_name("filesystem"), damage_file, is_shared=True),
    "memory": Driver(by_name("memory"), damage_memory, is_shared=False),
}


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end."""
    return asyncio.run(work)


async def read_all(reader: BlobReader, piece: int = 65_536) -> bytes:
    """The whole content, read in pieces."""
    parts: list[bytes] = []
    offset = 0
    while offset < reader.size:
        part = bytes(await reader.read(offset, min(piece, reader.size - offset)))
        assert part, "a read inside the content gave nothing"
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


async def content_at(store: BlobStore, location: str) -> bytes | None:
    """What is under a location, or ``None``."""
    reader = await store.open(location)
    if reader is None:
        return None
    try:
        return await read_all(reader)
    finally:
        reader.close()


async def stage(store: BlobStore, key: str, *parts: bytes) -> None:
    """Append ``parts`` to a staging entry and let go of it."""
    writer = await store.append(key)
    try:
        await writer.write(parts)
    finally:
        await writer.close()


async def store_staged(store: BlobStore, key: str, digest: str, *parts: bytes) -> str:
    """Bring content in through staging; its location."""
    writer = await store.append(key)
    try:
        await writer.write(parts)
        return await writer.commit(digest)
    finally:
        await writer.close()
