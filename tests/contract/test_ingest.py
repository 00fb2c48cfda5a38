"""Bytes on their way in: hashed and written, in order, or stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.errors import InvalidInput, StorageFull
from entrepot.oci import digest as digests
from entrepot.storage import ingest
from entrepot.storage.blobstore import BlobStore
from entrepot.storage.drivers.memory import MemoryStore
from entrepot.storage.ingest import BATCH, Ingest, Tally, tally_staged
from tests.contract.drivers import DRIVERS, MEMORY_LIMIT, Driver, content_at, run, stage


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Driver:
    return DRIVERS[request.param]


@pytest.fixture
def store(driver: Driver, tmp_path: Path) -> BlobStore:
    return driver.open(tmp_path)


class Writer:
    """Keeps what it is given, and fails at one of its writes."""

    offset = 0

    def __init__(self, fails_at: int = -1) -> None:
        self.written = b""
        self.writes = 0
        self.most = 0
        self._fails_at = fails_at

    async def write(self, parts: Sequence[bytes]) -> None:
        number, self.writes = self.writes, self.writes + 1
        await asyncio.sleep(0)
        if number == self._fails_at:
            raise StorageFull("there is no room")
        self.most = max(self.most, sum(map(len, parts)))
        self.written += b"".join(parts)

    async def commit(self, digest: str) -> str:
        raise AssertionError("nobody commits here")

    async def close(self) -> None:
        return


async def feed_each(feeding: Ingest, parts: list[bytes]) -> None:
    for part in parts:
        await feeding.feed(part)


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, BATCH + BATCH // 2)), max_size=6),
    st.sampled_from(["sha256", "sha512"]),
)
@settings(max_examples=20, deadline=None, database=None, derandomize=True)
def test_however_the_bytes_are_split_hash_and_content_agree(pieces: list[tuple[int, int]], algorithm: str) -> None:
    parts = [bytes([value]) * length for value, length in pieces]
    whole = b"".join(parts)

    async def work() -> None:
        store = MemoryStore(MEMORY_LIMIT)
        writer = await store.append("key")
        tally = Tally(algorithm)
        feeding = Ingest(writer, tally)
        for part in parts:
            await feeding.feed(part)
        assert await feeding.finish()
        assert tally.offset == len(whole)
        assert tally.digest == digests.of(whole, algorithm)
        location = await writer.commit(tally.digest)
        await writer.close()
        assert (await content_at(store, location) or b"") == whole

    run(work())


def test_many_small_parts_are_written_in_few_large_writes() -> None:
    async def work() -> None:
        writer = Writer()
        tally = Tally("sha256")
        feeding = Ingest(writer, tally)
        for number in range(1500):
            await feeding.feed(bytes([number % 256]) * 2048)
        assert await feeding.finish()
        assert writer.writes <= 1500 * 2048 // BATCH + 1
        assert writer.most <= BATCH + 2048
        assert tally.digest == digests.of(writer.written)

    run(work())


def test_finishing_without_a_byte_is_the_digest_of_nothing() -> None:
    async def work() -> None:
        writer = Writer()
        tally = Tally("sha256")
        assert await Ingest(writer, tally).finish()
        assert writer.writes == 0
        assert tally.digest == digests.of(b"")

    run(work())


def test_finishing_twice_is_fine() -> None:
    async def work() -> None:
        writer = Writer()
        feeding = Ingest(writer, Tally("sha256"))
        await feeding.feed(b"abc")
        assert await feeding.finish()
        assert await feeding.finish()
        assert writer.written == b"abc"

    run(work())


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_after_a_failed_write_nothing_more_is_written(fails_at: int) -> None:
    async def work() -> None:
        writer = Writer(fails_at)
        feeding = Ingest(writer, Tally("sha256"))
        with pytest.raises(StorageFull):
            await feed_each(feeding, [bytes(BATCH)] * 6)
        assert await feeding.finish() is False
        assert len(writer.written) == fails_at * BATCH
        assert writer.writes == fails_at + 1

    run(work())


def test_a_write_that_fails_at_the_very_end_is_told() -> None:
    async def work() -> None:
        feeding = Ingest(Writer(0), Tally("sha256"))
        await feeding.feed(b"abc")
        with pytest.raises(StorageFull):
            await feeding.finish()
        assert await feeding.finish() is False

    run(work())


def test_an_upload_goes_on_elsewhere_from_its_staged_bytes(store: BlobStore) -> None:
    first, second = bytes(range(256)) * 9000, b"the rest" * 1000

    async def work() -> None:
        await stage(store, "key", first)
        writer = await store.append("key")
        tally = await tally_staged(store, "key", "sha256", writer.offset)
        assert tally.offset == len(first)
        assert tally.digest == digests.of(first)
        feeding = Ingest(writer, tally)
        await feeding.feed(second)
        assert await feeding.finish()
        location = await writer.commit(tally.digest)
        await writer.close()
        assert tally.digest == digests.of(first + second)
        assert await content_at(store, location) == first + second

    run(work())


def test_a_tally_counts_only_as_far_as_it_was_asked_and_as_there_are_bytes(store: BlobStore) -> None:
    async def work() -> None:
        await stage(store, "key", b"abcdef")
        part = await tally_staged(store, "key", "sha512", 3)
        assert (part.offset, part.digest) == (3, digests.of(b"abc", "sha512"))
        more = await tally_staged(store, "key", "sha256", 100)
        assert (more.offset, more.digest) == (6, digests.of(b"abcdef"))
        none = await tally_staged(store, "gone", "sha256", 0)
        assert (none.offset, none.digest) == (0, digests.of(b""))

    run(work())


def test_a_tally_is_of_a_known_algorithm() -> None:
    with pytest.raises(InvalidInput):
        Tally("md5")


def test_uploads_at_once_do_not_mix(store: BlobStore) -> None:
    async def one(number: int) -> None:
        content = [bytes([number]) * 300_000 for _ in range(10)]
        writer = await store.append(f"key-{number}")
        tally = Tally("sha256")
        feeding = Ingest(writer, tally)
        for part in content:
            await feeding.feed(part)
            await asyncio.sleep(0)
        assert await feeding.finish()
        location = await writer.commit(tally.digest)
        await writer.close()
        assert tally.digest == digests.of(b"".join(content))
        assert await content_at(store, location) == b"".join(content)

    async def work() -> None:
        await asyncio.gather(*(one(number) for number in range(6)))

    run(work())


def test_a_batch_is_small_against_the_memory_that_eight_uploads_may_take() -> None:
    assert ingest.BATCH * 2 * 8 <= 64 * 1024 * 1024
