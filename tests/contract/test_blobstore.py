"""What every blob store does, whichever driver it is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from entrepot.errors import Conflict, Unavailable
from entrepot.oci import digest as digests
from entrepot.storage.blobstore import BlobStore
from tests.contract.drivers import DRIVERS, Driver, content_at, read_all, run, stage, store_staged

CONTENT = b"the quick brown fox " * 50
DIGEST = digests.of(CONTENT)
EMPTY = digests.of(b"")


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Driver:
    return DRIVERS[request.param]


@pytest.fixture(params=[name for name, driver in DRIVERS.items() if driver.is_shared])
def shared(request: pytest.FixtureRequest) -> str:
    """The name of a driver whose stores are one when they are opened on one folder."""
    return str(request.param)


@pytest.fixture
def store(driver: Driver, tmp_path: Path) -> BlobStore:
    return driver.open(tmp_path)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# staging


def test_a_new_entry_begins_at_nothing_and_a_second_writer_goes_on_where_the_first_stopped(store: BlobStore) -> None:
    async def work() -> None:
        writer = await store.append("key")
        assert writer.offset == 0
        await writer.write([b"ab", b"c"])
        await writer.close()
        writer = await store.append("key")
        assert writer.offset == 3
        await writer.write([b"de"])
        await writer.close()
        assert await store.read_staged("key", 0, 100) == b"abcde"

    run(work())


def test_the_offset_of_an_open_writer_is_where_it_began(store: BlobStore) -> None:
    async def work() -> None:
        writer = await store.append("key")
        await writer.write([b"abc"])
        assert writer.offset == 0
        await writer.close()

    run(work())


def test_many_parts_of_every_size_arrive_in_order(store: BlobStore) -> None:
    parts = [bytes([n % 256]) * (n * 37 % 5000) for n in range(3000)]

    async def work() -> None:
        await stage(store, "key", *parts)
        whole = b"".join(parts)
        staged = await store.staged("key")
        assert staged is not None
        assert staged.size == len(whole)
        location = await store_staged(store, "key", digests.of(whole))
        assert await content_at(store, location) == whole

    run(work())


def test_writing_no_parts_or_empty_parts_changes_nothing(store: BlobStore) -> None:
    async def work() -> None:
        await stage(store, "key")
        await stage(store, "key", b"", b"a", b"")
        assert await store.read_staged("key", 0, 9) == b"a"

    run(work())


def test_only_one_writer_holds_an_entry_and_another_gets_a_conflict(store: BlobStore) -> None:
    async def work() -> None:
        writer = await store.append("key")
        with pytest.raises(Conflict):
            await store.append("key")
        other = await store.append("other")
        await other.close()
        await writer.write([b"a"])
        await writer.close()
        again = await store.append("key")
        assert again.offset == 1
        await again.close()

    run(work())


def test_closing_twice_does_not_let_go_of_the_next_writer_s_hold(store: BlobStore) -> None:
    async def work() -> None:
        first = await store.append("key")
        await first.close()
        second = await store.append("key")
        await first.close()
        with pytest.raises(Conflict):
            await store.append("key")
        await second.close()

    run(work())


def test_another_process_cannot_write_to_an_entry_that_is_held(shared: str, tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from entrepot.errors import Conflict\n"
        "from entrepot.storage.open import open_store\n"
        "async def main():\n"
        "    store = open_store(sys.argv[2], folder=Path(sys.argv[1]), memory_limit=0).inner\n"
        "    try:\n"
        "        writer = await store.append('key')\n"
        "    except Conflict:\n"
        "        return 'conflict'\n"
        "    await writer.write([b'there'])\n"
        "    await writer.close()\n"
        "    return str(writer.offset)\n"
        "print(asyncio.run(main()))\n"
    )

    def other() -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), shared],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return done.stdout.strip()

    async def work() -> None:
        store = DRIVERS[shared].open(tmp_path)
        writer = await store.append("key")
        await writer.write([b"here "])
        assert await asyncio.to_thread(other) == "conflict"
        await writer.close()
        assert await asyncio.to_thread(other) == "5"
        assert await store.read_staged("key", 0, 99) == b"here there"

    run(work())


def test_an_entry_knows_its_size_and_when_it_was_last_written(store: BlobStore) -> None:
    async def work() -> None:
        before = time.time() - 1
        await stage(store, "key", b"abc")
        first = await store.staged("key")
        assert first is not None
        assert first.size == 3
        assert before <= first.modified_at <= time.time() + 1
        await asyncio.sleep(0.02)
        await stage(store, "key", b"d")
        second = await store.staged("key")
        assert second is not None
        assert second.size == 4
        assert second.modified_at > first.modified_at

    run(work())


def test_an_entry_that_was_opened_and_not_written_is_there_and_empty(store: BlobStore) -> None:
    async def work() -> None:
        assert await store.staged("key") is None
        await stage(store, "key")
        staged = await store.staged("key")
        assert staged is not None
        assert staged.size == 0

    run(work())


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, 3, b"abc"), (2, 2, b"cd"), (4, 100, b"e"), (5, 10, b""), (100, 1, b""), (0, 0, b"")],
)
def test_reading_staged_bytes_gives_those_that_are_there(
    store: BlobStore, offset: int, length: int, expected: bytes
) -> None:
    async def work() -> None:
        await stage(store, "key", b"abcde")
        assert await store.read_staged("key", offset, length) == expected

    run(work())


def test_staged_bytes_can_be_read_while_a_writer_holds_the_entry(store: BlobStore) -> None:
    async def work() -> None:
        writer = await store.append("key")
        await writer.write([b"abc"])
        assert await store.read_staged("key", 1, 9) == b"bc"
        staged = await store.staged("key")
        assert staged is not None
        assert staged.size == 3
        await writer.close()

    run(work())


def test_reading_an_entry_that_is_not_there_is_a_clear_failure(store: BlobStore) -> None:
    with pytest.raises(Unavailable):
        run(store.read_staged("key", 0, 1))


def test_staging_lists_its_keys_and_a_new_store_has_none(store: BlobStore) -> None:
    async def work() -> None:
        assert await store.list_staged() == []
        for key in ("a", "b", "c"):
            await stage(store, key, b"x")
        await store.discard("b")
        assert sorted(await store.list_staged()) == ["a", "c"]

    run(work())


def test_a_discarded_entry_is_gone_and_discarding_what_is_not_there_is_fine(store: BlobStore) -> None:
    async def work() -> None:
        await store.discard("key")
        await stage(store, "key", b"abc")
        await store.discard("key")
        await store.discard("key")
        assert await store.staged("key") is None
        writer = await store.append("key")
        assert writer.offset == 0
        await writer.close()

    run(work())


def test_an_entry_discarded_under_its_writer_does_not_come_back(store: BlobStore) -> None:
    """An upload is cancelled while its bytes still arrive."""

    async def work() -> None:
        writer = await store.append("key")
        await writer.write([b"abc"])
        await store.discard("key")
        try:
            await writer.write([b"def"])
        except Unavailable:
            pass
        finally:
            await writer.close()
        assert await store.list_staged() == []

    run(work())


def test_committing_an_entry_that_was_discarded_fails_clearly(store: BlobStore) -> None:
    async def work() -> None:
        writer = await store.append("key")
        await writer.write([CONTENT])
        await store.discard("key")
        with pytest.raises((Unavailable, Conflict)):
            await writer.commit(DIGEST)
        await writer.close()

    run(work())


def test_a_commit_publishes_its_own_bytes_and_never_another_writer_s(store: BlobStore) -> None:
    """An upload is cancelled and written to again while a slow PUT commits it: good content must not be harmed."""

    async def work() -> None:
        location = await store.put(DIGEST, CONTENT)
        slow = await store.append("key")
        await slow.write([CONTENT])
        await store.discard("key")
        try:
            other = await store.append("key")
        except Conflict:
            await slow.close()
            return
        await other.write([b"something else"])
        try:
            await slow.commit(DIGEST)
        except (Unavailable, Conflict):
            pass
        finally:
            await slow.close()
            await other.close()
        assert await content_at(store, location) == CONTENT

    run(work())


def test_nothing_is_written_after_a_close_even_when_the_write_was_cancelled(store: BlobStore) -> None:
    """Else the bytes could end up in whatever is opened next under the same file descriptor."""
    parts = [bytes(64 * 1024)] * 900

    async def work() -> None:
        writer = await store.append("key")
        writing = asyncio.ensure_future(writer.write(parts))
        await asyncio.sleep(0.003)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await writer.close()
        at_close = await store.staged("key")
        await asyncio.sleep(0.2)
        later = await store.staged("key")
        assert at_close is not None
        assert later is not None
        assert later.size == at_close.size

    run(work())


# content


def test_a_commit_makes_the_bytes_readable_under_its_location_and_empties_staging(store: BlobStore) -> None:
    async def work() -> None:
        writer = await store.append("key")
        await writer.write([CONTENT[:100], CONTENT[100:]])
        location = await writer.commit(DIGEST)
        await writer.close()
        assert await content_at(store, location) == CONTENT
        assert await store.size(location) == len(CONTENT)
        assert await store.staged("key") is None
        assert await store.list_staged() == []

    run(work())


def test_a_key_that_was_committed_can_be_used_again(store: BlobStore) -> None:
    async def work() -> None:
        first = await store_staged(store, "key", DIGEST, CONTENT)
        other = digests.of(b"other")
        second = await store_staged(store, "key", other, b"other")
        assert await content_at(store, first) == CONTENT
        assert await content_at(store, second) == b"other"

    run(work())


def test_a_commit_of_what_is_there_already_is_fine(store: BlobStore) -> None:
    async def work() -> None:
        first = await store_staged(store, "one", DIGEST, CONTENT)
        second = await store_staged(store, "two", DIGEST, CONTENT)
        third = await store.put(DIGEST, CONTENT)
        for location in (first, second, third):
            assert await content_at(store, location) == CONTENT

    run(work())


@pytest.mark.parametrize("way", ["commit", "put"])
def test_storing_again_replaces_damaged_content(driver: Driver, tmp_path: Path, way: str) -> None:
    async def work() -> None:
        store = driver.open(tmp_path)
        location = await store.put(DIGEST, CONTENT)
        driver.damage(tmp_path, store, location, b"damaged")
        assert await content_at(store, location) == b"damaged"
        if way == "put":
            location = await store.put(DIGEST, CONTENT)
        else:
            location = await store_staged(store, "key", DIGEST, CONTENT)
        assert await content_at(store, location) == CONTENT
        assert await store.size(location) == len(CONTENT)

    run(work())


def test_put_stores_at_once_and_leaves_nothing_in_staging(store: BlobStore) -> None:
    async def work() -> None:
        location = await store.put(DIGEST, CONTENT)
        assert await content_at(store, location) == CONTENT
        assert await store.list_staged() == []

    run(work())


def test_nothing_at_all_is_content_too(store: BlobStore) -> None:
    async def work() -> None:
        put = await store.put(EMPTY, b"")
        committed = await store_staged(store, "key", EMPTY)
        for location in (put, committed):
            assert await store.size(location) == 0
            reader = await store.open(location)
            assert reader is not None
            assert reader.size == 0
            reader.close()

    run(work())


def test_sha512_content_lies_beside_sha256_content(store: BlobStore) -> None:
    async def work() -> None:
        long = digests.of(CONTENT, "sha512")
        put = await store.put(long, CONTENT)
        committed = await store_staged(store, "key", long, CONTENT)
        short = await store.put(DIGEST, CONTENT)
        await store.delete(short)
        assert await content_at(store, put) == CONTENT
        assert await content_at(store, committed) == CONTENT

    run(work())


def test_big_content_in_many_writes_comes_back_whole(store: BlobStore) -> None:
    piece = os.urandom(1024 * 1024 + 17)

    async def work() -> None:
        writer = await store.append("key")
        for _ in range(20):
            await writer.write([piece[:1000], piece[1000:]])
        whole = piece * 20
        location = await writer.commit(digests.of(whole))
        await writer.close()
        reader = await store.open(location)
        assert reader is not None
        assert await read_all(reader, 256 * 1024) == whole
        reader.close()

    run(work())


def test_many_at_once_do_not_get_in_each_other_s_way(store: BlobStore) -> None:
    async def one(number: int) -> None:
        content = bytes([number]) * (number * 1000)
        digest = digests.of(content)
        location = await (
            store.put(digest, content) if number % 2 else store_staged(store, f"key-{number}", digest, content)
        )
        assert await content_at(store, location) == content

    async def work() -> None:
        await asyncio.gather(*(one(number) for number in range(60)))
        await asyncio.gather(*(store_staged(store, f"same-{n}", DIGEST, CONTENT) for n in range(20)))
        assert await content_at(store, await store.put(DIGEST, CONTENT)) == CONTENT
        assert await store.list_staged() == []

    run(work())


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (0, 1000), (1, 998), (500, 10), (999, 1), (990, 500)])
def test_any_part_of_the_content_can_be_read(store: BlobStore, offset: int, length: int) -> None:
    async def work() -> None:
        reader = await store.open(await store.put(DIGEST, CONTENT))
        assert reader is not None
        piece = bytes(await reader.read(offset, length))
        assert piece
        assert CONTENT[offset:].startswith(piece)
        assert len(piece) == min(length, len(CONTENT) - offset)
        reader.close()

    run(work())


def test_two_reads_at_different_offsets_do_not_move_each_other(store: BlobStore) -> None:
    async def work() -> None:
        location = await store.put(DIGEST, CONTENT)
        one, two = await store.open(location), await store.open(location)
        assert one is not None
        assert two is not None
        first = await one.read(0, 10)
        second = await two.read(500, 10)
        assert bytes(first) == CONTENT[:10]
        assert bytes(second) == CONTENT[500:510]
        one.close()
        assert bytes(await two.read(0, 5)) == CONTENT[:5]
        two.close()

    run(work())


def test_a_read_behind_the_end_fails_instead_of_giving_nothing_for_ever(store: BlobStore) -> None:
    async def work() -> None:
        reader = await store.open(await store.put(DIGEST, CONTENT))
        assert reader is not None
        with pytest.raises(Unavailable):
            await reader.read(len(CONTENT), 1)
        reader.close()

    run(work())


def test_what_is_not_there_opens_as_none_and_has_no_size(store: BlobStore) -> None:
    async def work() -> None:
        location = await store.put(DIGEST, CONTENT)
        await store.delete(location)
        assert await store.open(location) is None
        assert await store.size(location) is None

    run(work())


def test_deleting_what_is_not_there_is_fine(store: BlobStore) -> None:
    async def work() -> None:
        location = await store.put(DIGEST, CONTENT)
        await store.delete(location)
        await store.delete(location)
        assert await content_at(store, await store.put(DIGEST, CONTENT)) == CONTENT

    run(work())


def test_a_reader_s_identity_stays_while_nothing_touches_the_bytes(store: BlobStore) -> None:
    async def work() -> None:
        location = await store.put(DIGEST, CONTENT)
        one, two = await store.open(location), await store.open(location)
        assert one is not None
        assert two is not None
        assert one.identity == two.identity
        hash(one.identity)
        one.close()
        two.close()

    run(work())


def test_a_reader_s_identity_changes_when_the_content_is_replaced(driver: Driver, tmp_path: Path) -> None:
    async def work() -> None:
        store = driver.open(tmp_path)
        location = await store.put(DIGEST, CONTENT)
        seen = set()
        for replace in ("none", "put", "commit", "damage"):
            if replace == "put":
                location = await store.put(DIGEST, CONTENT)
            elif replace == "commit":
                location = await store_staged(store, "key", DIGEST, CONTENT)
            elif replace == "damage":
                driver.damage(tmp_path, store, location, CONTENT[:-1] + b"!")
            reader = await store.open(location)
            assert reader is not None
            seen.add(reader.identity)
            reader.close()
        assert len(seen) == 4

    run(work())


@pytest.mark.parametrize("change", ["put", "commit", "delete"])
def test_a_reader_that_is_open_goes_on_reading_what_it_opened(store: BlobStore, change: str) -> None:
    async def work() -> None:
        location = await store.put(DIGEST, CONTENT)
        reader = await store.open(location)
        assert reader is not None
        begin = bytes(await reader.read(0, 10))
        if change == "put":
            await store.put(DIGEST, CONTENT)
        elif change == "commit":
            await store_staged(store, "key", DIGEST, CONTENT)
        else:
            await store.delete(location)
        assert begin + bytes(await reader.read(10, len(CONTENT) - 10)) == CONTENT
        reader.close()

    run(work())


def test_a_reader_may_be_closed_twice(store: BlobStore) -> None:
    async def work() -> None:
        reader = await store.open(await store.put(DIGEST, CONTENT))
        assert reader is not None
        reader.close()
        reader.close()

    run(work())


# the medium


def test_a_probe_succeeds_and_leaves_nothing_behind(store: BlobStore, tmp_path: Path) -> None:
    async def work() -> None:
        await store.put(DIGEST, CONTENT)
        before = files_below(tmp_path)
        await asyncio.gather(*(store.probe() for _ in range(20)))
        assert await store.list_staged() == []
        assert files_below(tmp_path) == before

    run(work())


def test_two_stores_on_one_folder_are_one(shared: str, tmp_path: Path) -> None:
    """As two worker processes are: an upload goes on in the other, and what one stores the other serves."""

    async def work() -> None:
        one, two = DRIVERS[shared].open(tmp_path), DRIVERS[shared].open(tmp_path)
        await stage(one, "key", CONTENT[:100])
        writer = await two.append("key")
        assert writer.offset == 100
        with pytest.raises(Conflict):
            await one.append("key")
        await writer.write([CONTENT[100:]])
        location = await writer.commit(DIGEST)
        await writer.close()
        assert await content_at(one, location) == CONTENT
        assert await one.staged("key") is None
        await one.delete(location)
        assert await two.open(location) is None
        assert await content_at(two, await two.put(DIGEST, CONTENT)) == CONTENT

    run(work())


def test_a_store_opened_again_has_what_was_stored_and_what_was_staged(shared: str, tmp_path: Path) -> None:
    async def before() -> str:
        store = DRIVERS[shared].open(tmp_path)
        await stage(store, "key", b"abc")
        return await store.put(DIGEST, CONTENT)

    async def after(location: str) -> None:
        store = DRIVERS[shared].open(tmp_path)
        assert await content_at(store, location) == CONTENT
        writer = await store.append("key")
        assert writer.offset == 3
        await writer.close()

    run(after(run(before())))


def test_no_file_descriptor_is_left_open(store: BlobStore) -> None:
    async def busy(number: int) -> None:
        key = f"key-{number}"
        await stage(store, key, CONTENT)
        await store.read_staged(key, 0, 10)
        writer = await store.append(key)
        with pytest.raises(Conflict):
            await store.append(key)
        location = await writer.commit(DIGEST)
        await writer.close()
        await content_at(store, location)
        await store.put(EMPTY, b"")
        await store.open("sha256/00/" + "0" * 64)
        await stage(store, key, b"x")
        await store.discard(key)
        await store.probe()

    async def work() -> None:
        await busy(0)
        before = open_files()
        await asyncio.gather(*(busy(number) for number in range(1, 30)))
        assert open_files() == before

    run(work())
