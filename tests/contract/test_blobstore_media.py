"""What one kind of medium can do to its driver: a full disk, a folder that is none, a full memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.errors import StorageFull, Unavailable
from entrepot.oci import digest as digests
from entrepot.storage.blobstore import StagingWriter
from entrepot.storage.drivers.memory import MemoryStore
from tests.contract.drivers import DRIVERS, content_at, run, stage

CONTENT = b"the quick brown fox " * 50
DIGEST = digests.of(CONTENT)


async def write_each(writer: StagingWriter, pieces: list[bytes]) -> None:
    for piece in pieces:
        await writer.write([piece])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_storage_full_and_what_was_stored_before_stays(small_disk: Path) -> None:
    big = os.urandom(2 * 1024 * 1024)

    async def work() -> None:
        store = DRIVERS["filesystem"].open(small_disk)
        location = await store.put(DIGEST, CONTENT)
        with pytest.raises(StorageFull):
            await store.put(digests.of(big), big)
        assert await store.list_staged() == []
        pieces = [big[start : start + 100_000] for start in range(0, len(big), 100_000)]
        writer = await store.append("key")
        with pytest.raises(StorageFull):
            await write_each(writer, pieces)
        await writer.close()
        assert await content_at(store, location) == CONTENT
        await store.discard("key")
        again = digests.of(big[:500_000])
        assert await content_at(store, await store.put(again, big[:500_000])) == big[:500_000]
        await store.probe()

    run(work())


def test_a_probe_of_a_full_disk_says_so(small_disk: Path) -> None:
    async def work() -> None:
        store = DRIVERS["filesystem"].open(small_disk)
        await store.probe()
        with pytest.raises(StorageFull):
            await stage(store, "key", bytes(2 * 1024 * 1024))
        with pytest.raises(StorageFull):
            await store.probe()

    run(work())


def test_a_folder_that_is_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "staging").write_text("in the way")
    (tmp_path / "content").write_text("in the way")

    async def work() -> None:
        store = DRIVERS["filesystem"].open(tmp_path)
        for attempt in (store.probe(), store.put(DIGEST, CONTENT), store.append("key"), store.list_staged()):
            with pytest.raises(Unavailable):
                await attempt
        for look in (store.staged("key"), store.size("sha256/00/00"), store.open("sha256/00/00")):
            with pytest.raises(Unavailable):
                await look

    run(work())


def test_memory_that_is_full_is_storage_full_and_discarding_makes_room() -> None:
    async def work() -> None:
        store = MemoryStore(1000)
        location = await store.put(digests.of(b"x" * 600), b"x" * 600)
        with pytest.raises(StorageFull):
            await store.put(DIGEST, bytes(401))
        await stage(store, "key", bytes(400))
        with pytest.raises(StorageFull):
            await stage(store, "other", b"1")
        await store.discard("key")
        await store.discard("other")
        await store.delete(location)
        assert await content_at(store, await store.put(digests.of(bytes(1000)), bytes(1000))) == bytes(1000)

    run(work())


def test_memory_counts_a_replacement_once() -> None:
    async def work() -> None:
        store = MemoryStore(1000)
        content = bytes(900)
        for _ in range(3):
            await store.put(digests.of(content), content)

    run(work())
