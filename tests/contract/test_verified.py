"""The layer that never serves bytes which fail their digest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.errors import Unreadable
from entrepot.oci import digest as digests
from entrepot.storage.blobstore import BlobStore
from entrepot.storage.drivers.memory import MemoryStore
from entrepot.storage.verified import PIECE, Content, VerifiedStore
from tests.contract.drivers import DRIVERS, MEMORY_LIMIT, Driver, run

BIG = os.urandom(2 * PIECE + 1000)
SIZES = [1, 1000, 16 * 1024, 16 * 1024 + 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1000]


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Driver:
    return DRIVERS[request.param]


@pytest.fixture
def inner(driver: Driver, tmp_path: Path) -> BlobStore:
    return driver.open(tmp_path)


@pytest.fixture
def store(inner: BlobStore) -> VerifiedStore:
    return VerifiedStore(inner)


async def opened(store: VerifiedStore, location: str, content: bytes, digest: str = "") -> Content:
    found = await store.open(location, digest or digests.of(content), len(content))
    assert found is not None
    return found


async def streamed(content: Content, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([bytes(piece) async for piece in content.stream(start, content.size if end is None else end)])


async def read_until_refused(content: Content) -> bytes:
    """What is served of damaged content before it is refused."""
    served: list[bytes] = []

    async def read() -> None:
        async for piece in content.stream(0, content.size):
            served.append(bytes(piece))  # noqa: PERF401 - what came before the refusal is the point

    with pytest.raises(Unreadable):
        await read()
    return b"".join(served)


def flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@pytest.mark.parametrize("size", [0, *SIZES])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_whole_content_of_any_size_comes_back_the_first_time_and_the_next(
    store: VerifiedStore, size: int, algorithm: str
) -> None:
    content = BIG[:size]
    digest = digests.of(content, algorithm)

    async def work() -> None:
        location = await store.inner.put(digest, content)
        for _ in range(2):
            found = await opened(store, location, content, digest)
            assert await streamed(found) == content
            found.close()

    run(work())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_flipped_bit_is_refused_before_the_last_piece(driver: Driver, tmp_path: Path, size: int, where: str) -> None:
    content = BIG[:size]
    position = {"first": 0, "middle": size // 2, "last": size - 1}[where]

    async def work() -> None:
        inner = driver.open(tmp_path)
        store = VerifiedStore(inner)
        location = await inner.put(digests.of(content), content)
        driver.damage(tmp_path, inner, location, flipped(content, position))
        found = await opened(store, location, content)
        served = await read_until_refused(found)
        found.close()
        assert len(served) <= (size - 1) // PIECE * PIECE

    run(work())


def test_damaged_content_is_absent_once_it_was_found_out(driver: Driver, tmp_path: Path) -> None:
    async def work() -> None:
        inner = driver.open(tmp_path)
        store = VerifiedStore(inner)
        digest = digests.of(BIG)
        location = await inner.put(digest, BIG)
        driver.damage(tmp_path, inner, location, flipped(BIG, 77))
        assert await store.holds(location, len(BIG))
        found = await opened(store, location, BIG)
        await read_until_refused(found)
        found.close()
        assert await store.open(location, digest, len(BIG)) is None
        assert not await store.holds(location, len(BIG))

    run(work())


@pytest.mark.parametrize("way", ["put", "commit"])
def test_pushing_again_heals_damaged_content(driver: Driver, tmp_path: Path, way: str) -> None:
    async def work() -> None:
        inner = driver.open(tmp_path)
        store = VerifiedStore(inner)
        digest = digests.of(BIG)
        location = await inner.put(digest, BIG)
        driver.damage(tmp_path, inner, location, flipped(BIG, 77))
        found = await opened(store, location, BIG)
        await read_until_refused(found)
        found.close()
        if way == "put":
            location = await inner.put(digest, BIG)
        else:
            writer = await inner.append("key")
            await writer.write([BIG])
            location = await writer.commit(digest)
            await writer.close()
        assert await store.holds(location, len(BIG))
        found = await opened(store, location, BIG)
        assert await streamed(found) == BIG
        found.close()

    run(work())


def test_content_that_was_found_good_and_is_replaced_by_damaged_bytes_is_checked_again(
    driver: Driver, tmp_path: Path
) -> None:
    async def work() -> None:
        inner = driver.open(tmp_path)
        store = VerifiedStore(inner)
        location = await inner.put(digests.of(BIG), BIG)
        found = await opened(store, location, BIG)
        assert await streamed(found) == BIG
        found.close()
        driver.damage(tmp_path, inner, location, flipped(BIG, len(BIG) - 1))
        found = await opened(store, location, BIG)
        await read_until_refused(found)
        found.close()

    run(work())


@pytest.mark.parametrize("change", [b"", b"more"])
def test_content_of_another_size_is_absent(driver: Driver, tmp_path: Path, change: bytes) -> None:
    async def work() -> None:
        inner = driver.open(tmp_path)
        store = VerifiedStore(inner)
        content = BIG[:5000]
        location = await inner.put(digests.of(content), content)
        driver.damage(tmp_path, inner, location, content + change if change else content[:-1])
        assert await store.open(location, digests.of(content), len(content)) is None
        assert not await store.holds(location, len(content))

    run(work())


def test_content_that_has_vanished_is_absent(store: VerifiedStore) -> None:
    async def work() -> None:
        location = await store.inner.put(digests.of(BIG), BIG)
        assert await store.holds(location, len(BIG))
        await store.inner.delete(location)
        assert await store.open(location, digests.of(BIG), len(BIG)) is None
        assert not await store.holds(location, len(BIG))
        await store.vouch(location)

    run(work())


def test_trust_belongs_to_these_very_bytes(store: VerifiedStore) -> None:
    async def work() -> None:
        location = await store.inner.put(digests.of(BIG), BIG)
        first = await store.inner.open(location)
        assert first is not None
        assert not store.trusts(first)
        await store.vouch(location)
        assert store.trusts(first)
        first.close()
        location = await store.inner.put(digests.of(BIG), BIG)
        second = await store.inner.open(location)
        assert second is not None
        assert not store.trusts(second)
        second.close()

    run(work())


def test_reading_whole_earns_trust_and_reading_a_part_does_not(store: VerifiedStore) -> None:
    async def work() -> None:
        location = await store.inner.put(digests.of(BIG), BIG)
        reader = await store.inner.open(location)
        assert reader is not None
        found = await opened(store, location, BIG)
        assert await streamed(found, 0, len(BIG) - 1) == BIG[:-1]
        assert not store.trusts(reader)
        assert await streamed(found) == BIG
        assert store.trusts(reader)
        found.close()
        reader.close()

    run(work())


@given(st.integers(0, len(BIG)), st.integers(0, len(BIG)), st.booleans())
@settings(max_examples=40, deadline=None, database=None, derandomize=True)
def test_any_range_is_those_bytes(one: int, two: int, trusted: bool) -> None:
    start, end = sorted((one, two))

    async def work() -> None:
        store = VerifiedStore(MemoryStore(MEMORY_LIMIT))
        location = await store.inner.put(digests.of(BIG), BIG)
        if trusted:
            await store.vouch(location)
        found = await opened(store, location, BIG)
        assert await streamed(found, start, end) == BIG[start:end]
        found.close()

    run(work())


@pytest.mark.parametrize(
    "span", [(0, 1), (0, 2 * PIECE), (PIECE - 1, PIECE + 1), (PIECE, len(BIG)), (len(BIG) - 1, len(BIG))]
)
def test_a_range_over_the_borders_of_pieces_is_those_bytes(store: VerifiedStore, span: tuple[int, int]) -> None:
    async def work() -> None:
        location = await store.inner.put(digests.of(BIG), BIG)
        found = await opened(store, location, BIG)
        assert await streamed(found, *span) == BIG[slice(*span)]
        found.close()

    run(work())


def test_no_file_descriptor_is_left_open(driver: Driver, tmp_path: Path) -> None:
    async def work() -> None:
        inner = driver.open(tmp_path)
        store = VerifiedStore(inner)
        location = await inner.put(digests.of(BIG), BIG)
        await store.holds(location, len(BIG))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            await store.vouch(location)
            await store.open(location, digests.of(BIG), 1)
            driver.damage(tmp_path, inner, location, flipped(BIG, 5))
            found = await opened(store, location, BIG)
            await read_until_refused(found)
            found.close()
            await store.holds(location, len(BIG))
            await store.open(location, digests.of(BIG), len(BIG))
            location = await inner.put(digests.of(BIG), BIG)
        assert len(os.listdir("/proc/self/fd")) == before

    run(work())
