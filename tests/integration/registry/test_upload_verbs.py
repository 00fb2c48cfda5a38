"""Uploads: begun, continued anywhere, finished durably, cancelled, expired."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from entrepot.errors import Conflict, Denied, InvalidInput, RangeNotSatisfiable
from entrepot.oci import digest as digests
from entrepot.registry.errors import BlobUnknown, UploadUnknown
from entrepot.registry.uploads import SMALL, Chunk
from tests.integration.rig import Bench, Rig, body, caller, name_of, open_files

APP = name_of("team/app")
OTHER = name_of("team/other")
BIG = os.urandom(3 * 1024 * 1024 + 7)


class HungUp(Exception):
    pass


async def cut_after(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    raise HungUp


async def read(rig: Rig, digest: str) -> bytes:
    content = await rig.blobs.open(rig.admin, APP, digest)
    try:
        return b"".join([bytes(piece) async for piece in content.stream(0, content.size)])
    finally:
        content.close()


async def has(rig: Rig, digest: str) -> bool:
    try:
        await rig.blobs.stat(rig.admin, APP, digest)
    except BlobUnknown:
        return False
    return True


async def refuse_session(rig: Rig, session: str) -> None:
    for attempt in (
        rig.uploads.offset(rig.admin, APP, session),
        rig.uploads.append(rig.admin, APP, session, body(b"x"), None),
        rig.uploads.finish(rig.admin, APP, session, digests.of(b"x"), body(b"x"), None),
        rig.uploads.cancel(rig.admin, APP, session),
    ):
        with pytest.raises(UploadUnknown):
            await attempt


def pieces(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# the ways in


@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, len(BIG)])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("way", ["one PUT", "PATCH then PUT", "chunks", "one POST"])
def test_every_way_in_makes_the_same_blob(run: Bench, size: int, algorithm: str, way: str) -> None:
    content = BIG[:size]
    digest = digests.of(content, algorithm)

    async def work(rig: Rig) -> None:
        if way == "one POST":
            await rig.uploads.push(rig.admin, APP, digest, body(*pieces(content, 50_000)))
        else:
            session = await rig.uploads.start(rig.admin, APP)
            rest: list[bytes] = []
            if way == "one PUT":
                rest = pieces(content, 50_000)
            elif way == "PATCH then PUT":
                parts = pieces(content, 50_000)
                assert await rig.uploads.append(rig.admin, APP, session, body(*parts), None) == size
            else:
                offset = 0
                for part in pieces(content, size // 3 + 1):
                    chunk = Chunk(offset, offset + len(part) - 1)
                    offset = await rig.uploads.append(rig.admin, APP, session, body(part), chunk)
                    assert offset == await rig.uploads.offset(rig.admin, APP, session)
            blob = await rig.uploads.finish(rig.admin, APP, session, digest, body(*rest), None)
            assert (blob.digest, blob.size) == (digest, size)
            await refuse_session(rig, session)
        assert await read(rig, digest) == content
        assert await rig.uploads.count() == 0
        assert await rig.store.list_staged() == []
        assert await rig.kinds() == ["ProjectCreated", "BlobPushed"]

    run(work)


def test_a_body_of_very_small_parts_is_taken_as_well(run: Bench) -> None:
    """A client may send chunks of a few bytes each (HTTP/1.1, 7.1); more of them than one writev takes."""
    content = BIG[: 2 * SMALL]

    async def work(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, session, body(*pieces(content, 50)), None)
        await rig.uploads.finish(rig.admin, APP, session, digests.of(content), body(), None)
        assert await read(rig, digests.of(content)) == content

    run(work)


def test_a_session_says_which_algorithm_it_hashes_and_may_be_finished_with_another(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        with pytest.raises(InvalidInput):
            await rig.uploads.start(rig.admin, APP, "md5")
        session = await rig.uploads.start(rig.admin, APP, "sha512")
        await rig.uploads.append(rig.admin, APP, session, body(BIG), None)
        await rig.uploads.finish(rig.admin, APP, session, digests.of(BIG), body(), None)
        assert await read(rig, digests.of(BIG)) == BIG

    run(work)


def test_a_blob_pushed_again_is_the_same_blob(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        for _ in range(3):
            await rig.push_blob("team/app", BIG)
            await rig.push_blob("team/app", b"small")
        assert await read(rig, digests.of(BIG)) == BIG

    run(work)


def test_the_same_blob_pushed_by_many_at_once_is_there_for_all(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        await asyncio.gather(*((one, two)[n % 2].push_blob(f"team/app-{n % 5}", BIG) for n in range(16)))
        for number in range(5):
            await one.blobs.stat(one.admin, name_of(f"team/app-{number}"), digests.of(BIG))
        assert await one.store.list_staged() == []

    run.both(work)


# going on


def test_an_upload_goes_on_in_another_process_at_any_point(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        rigs = (one, two)
        session = await one.uploads.start(one.admin, APP)
        for number, part in enumerate(pieces(BIG, 400_000)):
            rig = rigs[(number + 1) % 2]
            await rig.uploads.append(rig.admin, APP, session, body(*pieces(part, 30_000)), None)
            for either in rigs:
                assert await either.uploads.offset(either.admin, APP, session) == min(400_000 * (number + 1), len(BIG))
        await two.uploads.finish(two.admin, APP, session, digests.of(BIG), body(), None)
        assert await read(one, digests.of(BIG)) == BIG

    run.both(work)


def test_an_upload_goes_on_after_a_restart(run: Bench) -> None:
    async def begin(rig: Rig) -> str:
        session = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, session, body(BIG[:2_000_000]), None)
        return session

    session = run(begin)

    async def go_on(rig: Rig) -> None:
        assert await rig.uploads.offset(rig.admin, APP, session) == 2_000_000
        await rig.uploads.finish(rig.admin, APP, session, digests.of(BIG), body(BIG[2_000_000:]), None)
        assert await read(rig, digests.of(BIG)) == BIG

    run(go_on)


@pytest.mark.parametrize("kept", [0, 10, SMALL, 2 * 1024 * 1024])
def test_what_arrived_before_the_client_hung_up_is_kept(run: Bench, kept: int) -> None:
    async def work(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, APP)
        with pytest.raises(HungUp):
            await rig.uploads.append(rig.admin, APP, session, cut_after(*pieces(BIG[:kept], 40_000)), None)
        assert await rig.uploads.offset(rig.admin, APP, session) == kept
        chunk = Chunk(kept, len(BIG) - 1)
        await rig.uploads.append(rig.admin, APP, session, body(BIG[kept:]), chunk)
        await rig.uploads.finish(rig.admin, APP, session, digests.of(BIG), body(), None)
        assert await read(rig, digests.of(BIG)) == BIG

    run(work)


def test_a_put_whose_client_hung_up_can_be_sent_again(run: Bench) -> None:
    digest = digests.of(BIG)

    async def work(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, APP)
        with pytest.raises(HungUp):
            await rig.uploads.finish(rig.admin, APP, session, digest, cut_after(BIG[:2_000_000]), None)
        offset = await rig.uploads.offset(rig.admin, APP, session)
        assert offset == 2_000_000
        chunk = Chunk(offset, len(BIG) - 1)
        await rig.uploads.finish(rig.admin, APP, session, digest, body(BIG[offset:]), chunk)
        assert await read(rig, digest) == BIG

    run(work)


def test_a_single_post_whose_client_hung_up_leaves_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        with pytest.raises(HungUp):
            await rig.uploads.push(rig.admin, APP, digests.of(BIG), cut_after(BIG[:2_000_000]))
        with pytest.raises(HungUp):
            await rig.uploads.push(rig.admin, APP, digests.of(BIG), cut_after(b"x"))
        assert await rig.uploads.count() == 0
        assert await rig.store.list_staged() == []
        assert "BlobPushed" not in await rig.kinds()

    run(work)


@pytest.mark.parametrize("first", [0, 2, 4, 100])
def test_a_chunk_that_does_not_continue_the_upload_is_refused_and_changes_nothing(run: Bench, first: int) -> None:
    async def work(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, session, body(b"abc"), Chunk(0, 2))
        for attempt in (
            rig.uploads.append(rig.admin, APP, session, body(b"x"), Chunk(first, first)),
            rig.uploads.finish(rig.admin, APP, session, digests.of(b"abcx"), body(b"x"), Chunk(first, first)),
        ):
            with pytest.raises(RangeNotSatisfiable) as refused:
                await attempt
            assert refused.value.status == 416
        assert await rig.uploads.offset(rig.admin, APP, session) == 3
        await rig.uploads.finish(rig.admin, APP, session, digests.of(b"abcd"), body(b"d"), Chunk(3, 3))
        assert await read(rig, digests.of(b"abcd")) == b"abcd"

    run(work)


def test_a_first_chunk_that_does_not_begin_at_nothing_is_refused(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, APP)
        with pytest.raises(RangeNotSatisfiable):
            await rig.uploads.append(rig.admin, APP, session, body(b"x"), Chunk(5, 5))
        with pytest.raises(RangeNotSatisfiable):
            await rig.uploads.finish(rig.admin, APP, session, digests.of(b"x"), body(b"x"), Chunk(5, 5))
        await rig.uploads.finish(rig.admin, APP, session, digests.of(b"x"), body(b"x"), None)

    run(work)


def test_two_that_write_to_one_session_at_once_do_not_mix(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        session = await one.uploads.start(one.admin, APP)
        opened, going = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"slow "
            opened.set()
            await going.wait()
            yield b"but first, "

        writing = asyncio.ensure_future(one.uploads.append(one.admin, APP, session, slow(), None))
        await opened.wait()
        waiting = asyncio.ensure_future(two.uploads.append(two.admin, APP, session, body(b"then I"), None))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        going.set()
        assert await writing == 16
        assert await waiting == 22
        whole = b"slow but first, then I"
        await two.uploads.finish(two.admin, APP, session, digests.of(whole), body(), None)
        assert await read(one, digests.of(whole)) == whole

    run.both(work)


def test_a_session_finished_twice_at_once_is_finished_once(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        session = await one.uploads.start(one.admin, APP)
        await one.uploads.append(one.admin, APP, session, body(BIG), None)
        results = await asyncio.gather(
            *(
                rig.uploads.finish(rig.admin, APP, session, digests.of(BIG), body(), None)
                for rig in (one, two, one, two)
            ),
            return_exceptions=True,
        )
        good = [result for result in results if not isinstance(result, BaseException)]
        assert len(good) == 1
        assert all(isinstance(r, (UploadUnknown, InvalidInput, Conflict)) for r in results if r not in good)
        assert (await one.kinds()).count("BlobPushed") == 1
        assert await read(one, digests.of(BIG)) == BIG

    run.both(work)


# ends


@pytest.mark.parametrize("content", [b"small", BIG], ids=["small", "big"])
@pytest.mark.parametrize("patched", [False, True])
def test_another_digest_is_refused_and_ends_the_upload_without_a_trace(
    run: Bench, content: bytes, patched: bool
) -> None:
    async def work(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, APP)
        before = await rig.events()
        if patched:
            await rig.uploads.append(rig.admin, APP, session, body(content), None)
        rest = b"" if patched else content
        with pytest.raises(InvalidInput) as refused:
            await rig.uploads.finish(rig.admin, APP, session, digests.of(b"other"), body(rest), None)
        assert refused.value.error_code == "DIGEST_INVALID"
        assert await rig.events() == before
        await refuse_session(rig, session)
        assert await rig.store.list_staged() == []
        assert not await has(rig, digests.of(b"other"))
        assert not await has(rig, digests.of(content))

    run(work)
    assert not [name for name in files(run.folder) if name.startswith(("content", "staging"))]


def test_a_digest_that_is_none_is_refused_and_the_upload_goes_on(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, session, body(b"abc"), None)
        for digest in ("", "sha256:xyz", "md5:" + "a" * 32):
            with pytest.raises(InvalidInput):
                await rig.uploads.finish(rig.admin, APP, session, digest, body(), None)
        await rig.uploads.finish(rig.admin, APP, session, digests.of(b"abc"), body(), None)

    run(work)


def test_a_cancelled_upload_is_gone_with_its_bytes(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, session, body(BIG), None)
        await rig.uploads.cancel(rig.admin, APP, session)
        await refuse_session(rig, session)
        assert await rig.store.list_staged() == []
        assert await rig.kinds() == ["ProjectCreated"]

    run(work)


def test_an_upload_cancelled_while_its_bytes_arrive_becomes_no_blob(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        session = await one.uploads.start(one.admin, APP)
        opened, going = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield BIG
            opened.set()
            await going.wait()

        finishing = asyncio.ensure_future(one.uploads.finish(one.admin, APP, session, digests.of(BIG), slow(), None))
        await opened.wait()
        await two.uploads.cancel(two.admin, APP, session)
        going.set()
        results = await asyncio.gather(finishing, return_exceptions=True)
        assert isinstance(results[0], Exception)
        assert not await has(one, digests.of(BIG))
        assert "BlobPushed" not in await one.kinds()
        assert await one.store.list_staged() == []

    run.both(work)


def test_no_order_of_put_cancel_and_patch_puts_other_bytes_under_a_digest(run: Bench) -> None:
    """The PATCH waits for the PUT, a cancel takes the entry away, the PATCH makes it anew, the PUT commits."""
    digest = digests.of(BIG)

    async def work(one: Rig, two: Rig) -> None:
        await one.push_blob("team/other", BIG)
        session = await one.uploads.start(one.admin, APP)
        opened, patched, going = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield BIG
            opened.set()
            await going.wait()

        async def junk() -> AsyncIterator[bytes]:
            yield b"junk" * 500_000
            patched.set()
            await going.wait()

        putting = asyncio.ensure_future(one.uploads.finish(one.admin, APP, session, digest, slow(), None))
        await opened.wait()
        patching = asyncio.ensure_future(two.uploads.append(two.admin, APP, session, junk(), None))
        await asyncio.sleep(0.02)
        await one.uploads.cancel(one.admin, APP, session)
        await asyncio.wait([asyncio.ensure_future(patched.wait())], timeout=0.5)
        going.set()
        await asyncio.gather(putting, patching, return_exceptions=True)
        content = await two.blobs.open(two.admin, OTHER, digest)
        assert b"".join([bytes(piece) async for piece in content.stream(0, content.size)]) == BIG
        content.close()

    run.both(work)


def test_a_session_belongs_to_its_repository(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.start(rig.admin, OTHER)
        for attempt in (
            rig.uploads.offset(rig.admin, OTHER, session),
            rig.uploads.append(rig.admin, OTHER, session, body(b"x"), None),
            rig.uploads.finish(rig.admin, OTHER, session, digests.of(b"x"), body(b"x"), None),
            rig.uploads.cancel(rig.admin, OTHER, session),
            rig.uploads.offset(rig.admin, name_of("nosuch/app"), session),
        ):
            with pytest.raises(UploadUnknown):
                await attempt
        assert await rig.uploads.offset(rig.admin, APP, session) == 0

    run(work)


@pytest.mark.parametrize("session", ["", "nonsense", "..", "../../entrepot.db", "a/b", "\x00", "x" * 5000, "é"])
def test_a_session_that_never_was_is_unknown_whatever_it_is_called(run: Bench, session: str) -> None:
    async def work(rig: Rig) -> None:
        await rig.uploads.start(rig.admin, APP)
        await refuse_session(rig, session)

    run(work)


def test_who_may_not_push_begins_nothing_and_touches_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.make_project("team", is_public=True)
        session = await rig.uploads.start(rig.admin, APP)
        jane = caller((await rig.add_user("jane")).principal)
        before = await rig.events()
        for attempt in (
            rig.uploads.start(jane, APP),
            rig.uploads.append(jane, APP, session, body(b"x"), None),
            rig.uploads.finish(jane, APP, session, digests.of(b"x"), body(b"x"), None),
            rig.uploads.cancel(jane, APP, session),
            rig.uploads.push(jane, APP, digests.of(b"x"), body(b"x")),
        ):
            with pytest.raises(Denied):
                await attempt
        assert await rig.events() == before
        assert await rig.uploads.offset(rig.admin, APP, session) == 0
        assert await rig.uploads.count() == 1

    run(work)


# what is left behind


def age(run: Bench, key: str, seconds: float) -> None:
    path = run.folder / "staging" / key
    os.utime(path, (time.time() - seconds,) * 2)


def test_an_upload_that_nobody_touches_expires_with_its_bytes(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        idle = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, idle, body(b"abc"), None)
        empty = await rig.uploads.start(rig.admin, APP)
        await asyncio.sleep(0.6)
        touched = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, touched, body(b"abc"), None)
        age(run, idle, 5)
        assert await rig.uploads.expire() == 2
        await refuse_session(rig, idle)
        await refuse_session(rig, empty)
        assert await rig.uploads.offset(rig.admin, APP, touched) == 3
        assert await rig.store.list_staged() == [touched]
        assert await rig.uploads.expire() == 0

    run(work, ENTREPOT_REGISTRY_UPLOAD_EXPIRY="0.5")


def test_an_upload_that_began_long_ago_and_still_grows_does_not_expire(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, APP)
        for _ in range(4):
            await asyncio.sleep(0.2)
            await rig.uploads.append(rig.admin, APP, session, body(b"abc"), None)
            assert await rig.uploads.expire() == 0
        assert await rig.uploads.offset(rig.admin, APP, session) == 12

    run(work, ENTREPOT_REGISTRY_UPLOAD_EXPIRY="0.5")


def test_staging_entries_of_no_session_are_dropped_once_they_are_old(run: Bench) -> None:
    """A process was killed between staging and its row, or in the middle of a put or a probe."""
    staging = run.folder / "staging"
    staging.mkdir()
    for name in ("put-0123", "probe-4567", "8c1f2a3e-0000-4000-8000-000000000000", "young"):
        (staging / name).write_bytes(b"orphan")
        if name != "young":
            age(run, name, 100_000)

    async def work(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, session, body(b"abc"), None)
        age(run, session, 80_000)
        assert await rig.uploads.expire() == 3
        assert sorted(await rig.store.list_staged()) == sorted(["young", session])

    run(work)


def test_content_without_a_row_is_not_served_and_a_push_takes_it_over(run: Bench) -> None:
    """A process was killed between the rename and the transaction."""

    async def work(rig: Rig) -> None:
        await rig.push_blob("team/app", b"x")
        await rig.store.put(digests.of(BIG), BIG)
        assert not await has(rig, digests.of(BIG))
        await rig.push_blob("team/app", BIG)
        assert await read(rig, digests.of(BIG)) == BIG

    run(work)


def test_a_session_without_bytes_and_bytes_of_a_finished_put_do_no_harm(run: Bench) -> None:
    """A process was killed after the rename of an upload, before its session's row was gone."""

    async def work(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, APP)
        writer = await rig.store.append(session)
        await writer.write([BIG])
        await writer.commit(digests.of(BIG))
        await writer.close()
        assert await rig.uploads.offset(rig.admin, APP, session) == 0
        await rig.uploads.finish(rig.admin, APP, session, digests.of(BIG), body(BIG), None)
        assert await read(rig, digests.of(BIG)) == BIG

    run(work)


def test_no_file_descriptor_is_left_open_whatever_goes_wrong(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_blob("team/app", BIG)
        before = open_files()
        for _ in range(5):
            session = await rig.uploads.start(rig.admin, APP)
            with pytest.raises(HungUp):
                await rig.uploads.append(rig.admin, APP, session, cut_after(BIG), None)
            with pytest.raises(RangeNotSatisfiable):
                await rig.uploads.append(rig.admin, APP, session, body(b"x"), Chunk(0, 0))
            with pytest.raises(InvalidInput):
                await rig.uploads.finish(rig.admin, APP, session, digests.of(b"other"), body(), None)
            await rig.push_blob("team/app", BIG)
        assert open_files() == before

    run(work)
