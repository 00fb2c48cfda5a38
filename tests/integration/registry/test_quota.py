"""Quotas: exact to the byte, whoever pushes what in which order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot.errors import EntrepotError
from entrepot.kit import clock
from entrepot.oci import digest as digests
from entrepot.projects import ledger
from entrepot.projects.ledger import QuotaExceededError
from entrepot.registry.errors import UploadUnknown
from entrepot.registry.uploads import Chunk
from tests.integration.registry.recount import limit, usage
from tests.integration.rig import Bench, Rig, body, child, descriptor, image, index, name_of

APP = name_of("team/app")
OTHER = name_of("team/other")
ELSEWHERE = name_of("else/app")
KIB = os.urandom(1024)
BIG = os.urandom(3 * 1024 * 1024 + 11)


def pieces(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


async def figures(rig: Rig, name: str = "team") -> tuple[int, int]:
    found = await usage(rig, name)
    return found.used, found.reserved


def size_of(*contents: bytes) -> int:
    return sum(map(len, contents))


# reservations


def test_bytes_are_reserved_from_the_first_on_and_given_back_by_cancelling(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await limit(rig, "team", 10_000_000)
        session = await rig.uploads.start(rig.admin, APP)
        assert await figures(rig) == (0, 0)
        await rig.uploads.append(rig.admin, APP, session, body(b"x"), None, 1)
        assert await figures(rig) == (0, 1)
        await rig.uploads.append(rig.admin, APP, session, body(KIB), Chunk(1, 1024), 1024)
        assert await figures(rig) == (0, 1025)
        await rig.uploads.cancel(rig.admin, APP, session)
        assert await figures(rig) == (0, 0)

    run(work)


def test_a_stream_of_unknown_length_reserves_while_it_grows_and_in_the_end_what_it_is(run: Bench) -> None:
    seen: list[int] = []

    async def work(rig: Rig) -> None:
        async def slowly() -> AsyncIterator[bytes]:
            for part in pieces(BIG, 300_000):
                yield part
                seen.append((await figures(rig))[1])

        await limit(rig, "team", 40_000_000)
        session = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, session, slowly(), None)
        arrived = [size_of(*pieces(BIG, 300_000)[: n + 1]) for n in range(len(seen))]
        assert all(reserved >= size for reserved, size in zip(seen, arrived, strict=True))
        assert seen == sorted(seen)
        assert seen[0] < len(BIG)
        await rig.uploads.finish(rig.admin, APP, session, digests.of(BIG), body(), None)
        assert await figures(rig) == (0, len(BIG))

    run(work)


@pytest.mark.parametrize("length", [None, len(BIG)], ids=["unknown length", "known length"])
@pytest.mark.parametrize("way", ["one POST", "PATCH then PUT", "one PUT"])
@pytest.mark.parametrize("content", [KIB, BIG], ids=["small", "big"])
def test_what_fits_exactly_is_taken_and_a_byte_more_is_refused(
    run: Bench, content: bytes, way: str, length: int | None
) -> None:
    known = len(content) if length else None

    async def push(rig: Rig, stream: AsyncIterator[bytes]) -> None:
        digest = digests.of(content)
        if way == "one POST":
            await rig.uploads.push(rig.admin, APP, digest, stream, known)
            return
        session = await rig.uploads.start(rig.admin, APP)
        if way == "one PUT":
            await rig.uploads.finish(rig.admin, APP, session, digest, stream, None, known)
        else:
            await rig.uploads.append(rig.admin, APP, session, stream, None, known)
            await rig.uploads.finish(rig.admin, APP, session, digest, body(), None, 0)

    async def work(rig: Rig) -> None:
        await limit(rig, "team", len(content) - 1)
        with pytest.raises(QuotaExceededError):
            await push(rig, body(*pieces(content, 50_000)))
        assert await figures(rig) == (0, 0)
        assert await rig.uploads.count() == 0
        assert await rig.store.list_staged() == []
        await limit(rig, "team", len(content))
        await push(rig, body(*pieces(content, 50_000)))
        assert await figures(rig) == (0, len(content))

    run(work)


def test_an_upload_whose_length_cannot_fit_is_refused_before_its_bytes_are_taken(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await limit(rig, "team", 2_000_000)

        async def never() -> AsyncIterator[bytes]:
            raise AssertionError("nothing may be read")
            yield b""

        for attempt in ("finish", "append"):
            session = await rig.uploads.start(rig.admin, APP)
            pushing: Awaitable[Any] = (
                rig.uploads.finish(rig.admin, APP, session, digests.of(BIG), never(), None, len(BIG))
                if attempt == "finish"
                else rig.uploads.append(rig.admin, APP, session, never(), None, len(BIG))
            )
            with pytest.raises(QuotaExceededError):
                await pushing
            with pytest.raises(UploadUnknown):
                await rig.uploads.offset(rig.admin, APP, session)
        assert await figures(rig) == (0, 0)

    run(work)


class HungUp(Exception):
    pass


def test_a_push_that_fails_costs_nothing(run: Bench) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield BIG
        raise HungUp

    async def work(rig: Rig) -> None:
        await limit(rig, "team", 10_000_000)
        with pytest.raises(HungUp):
            await rig.uploads.push(rig.admin, APP, digests.of(BIG), broken())
        assert await figures(rig) == (0, 0)
        with pytest.raises(EntrepotError):
            await rig.uploads.push(rig.admin, APP, digests.of(KIB), body(BIG), len(BIG))
        assert await figures(rig) == (0, 0)

    run(work)


def test_an_upload_that_expires_costs_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await limit(rig, "team", 10_000_000)
        session = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, session, body(BIG), None)
        assert (await figures(rig))[1] >= len(BIG)
        await asyncio.sleep(0.15)
        assert await rig.uploads.expire() == 1
        assert await figures(rig) == (0, 0)

    run(work, ENTREPOT_REGISTRY_UPLOAD_EXPIRY="0.1")


def test_a_reservation_ends_after_its_time(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await limit(rig, "team", 10_000)
        await rig.push_blob("team/app", KIB)
        assert await rig.app.quotas.expire() == 0
        assert await figures(rig) == (0, 1024)
        hours = await rig.app.settings.number("entrepot_reservation_hours")
        assert await ledger.expire(rig.database, clock.now_us() + hours * 3_600_000_000 - 60_000_000) == 0
        assert await ledger.expire(rig.database, clock.now_us() + hours * 3_600_000_000 + 60_000_000) == 1
        assert await figures(rig) == (0, 0)
        # It is still there, and counts once a manifest names it.
        payload = image(KIB, [])
        await rig.push("team/app", "v1", payload)
        assert await figures(rig) == (1024 + len(payload), 0)

    run(work)


# what counts


def test_a_blob_counts_once_however_often_and_wherever_in_the_project_it_is_pushed(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await limit(rig, "team", 1024 + 2000)
        for name in ("team/app", "team/app", "team/other"):
            await rig.push_blob(name, KIB)
            assert await figures(rig) == (0, 1024)
        await rig.blobs.mount(rig.admin, name_of("team/third"), digests.of(KIB), APP)
        assert await figures(rig) == (0, 1024)
        payload = image(KIB, [])
        for name in ("team/app", "team/other", "team/third"):
            await rig.push(name, "v1", payload)
            assert await figures(rig) == (1024 + len(payload), 0)
        await rig.push_blob("team/fourth", KIB)
        assert await figures(rig) == (1024 + len(payload), 0)

    run(work)


def test_a_mount_counts_in_its_own_project_and_is_refused_without_room(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_blob("team/app", KIB)
        await limit(rig, "else", 1023)
        with pytest.raises(QuotaExceededError):
            await rig.blobs.mount(rig.admin, ELSEWHERE, digests.of(KIB), APP)
        assert await figures(rig, "else") == (0, 0)
        await limit(rig, "else", 1024)
        for _ in range(3):
            assert await rig.blobs.mount(rig.admin, ELSEWHERE, digests.of(KIB), APP) is not None
            assert await figures(rig, "else") == (0, 1024)

    run(work)


def test_a_manifest_takes_over_what_was_reserved_and_gives_it_back_when_it_goes(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        config = b"{}"
        payload = image(config, [KIB])
        total = size_of(config, KIB, payload)
        await limit(rig, "team", total)
        await rig.push_blob("team/app", config)
        await rig.push_blob("team/app", KIB)
        assert await figures(rig) == (0, 1026)
        digest = await rig.push("team/app", "v1", payload)
        assert await figures(rig) == (total, 0)
        await rig.push("team/app", "v2", payload)
        assert await figures(rig) == (total, 0)
        await rig.tags.delete(rig.admin, APP, "v2")
        assert await figures(rig) == (total, 0)
        await rig.manifests.delete(rig.admin, APP, digest)
        assert await figures(rig) == (0, 0)

    run(work)


def test_what_two_manifests_share_counts_until_both_are_gone(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        for content in (b"{}", b"[]", KIB):
            await rig.push_blob("team/app", content)
        first, second = image(b"{}", [KIB]), image(b"[]", [KIB])
        await rig.push("team/app", "v1", first)
        await rig.push("team/app", "v2", second)
        assert await figures(rig) == (size_of(b"{}", b"[]", KIB, first, second), 0)
        await rig.manifests.delete(rig.admin, APP, digests.of(first))
        assert await figures(rig) == (size_of(b"[]", KIB, second), 0)
        await rig.manifests.delete(rig.admin, APP, digests.of(second))
        assert await figures(rig) == (0, 0)

    run(work)


def test_deleting_a_blob_gives_back_its_reservation_with_the_last_repository_that_holds_it(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_blob("team/app", KIB)
        await rig.push_blob("team/other", KIB)
        await rig.blobs.delete(rig.admin, APP, digests.of(KIB))
        assert await figures(rig) == (0, 1024)
        await rig.blobs.delete(rig.admin, OTHER, digests.of(KIB))
        assert await figures(rig) == (0, 0)

    run(work)


def test_deleting_a_repository_gives_back_what_nothing_else_in_the_project_names(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        first, payload = await rig.push_image("team/app", "v1", "shared")
        await rig.push_image("team/app", "v2", "own")
        await rig.push("team/app", "all", index([child(payload)]))
        await rig.push_image("team/other", "v1", "shared")
        alone = (await usage(rig, "team")).used
        session = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, session, body(KIB), None)
        await rig.push_blob("team/app", b"not named")
        await rig.repositories.delete(rig.admin, APP)
        left = await usage(rig, "team")
        assert left.used == size_of(b"config shared", b"layer shared", payload) < alone
        assert first == digests.of(payload)
        await rig.repositories.delete(rig.admin, OTHER)
        assert (await usage(rig, "team")).used == 0

    run(work)


def test_deleting_a_repository_gives_back_what_is_reserved_for_it_alone(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await limit(rig, "team", 10_000_000)
        session = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, session, body(BIG), None, len(BIG))
        await rig.push_blob("team/app", KIB)
        await rig.push_blob("team/app", b"in both")
        await rig.push_blob("team/other", b"in both")
        await rig.repositories.delete(rig.admin, APP)
        assert await figures(rig) == (0, 7)

    run(work)


def test_an_index_counts_itself_and_its_children_once(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, payload = await rig.push_image("team/app", "v1")
        before = (await usage(rig)).used
        listing = index([child(payload)])
        await rig.push("team/app", "all", listing)
        assert await figures(rig) == (before + len(listing), 0)
        await rig.manifests.delete(rig.admin, APP, digests.of(listing))
        assert await figures(rig) == (before, 0)
        await rig.manifests.delete(rig.admin, APP, digest)
        assert await figures(rig) == (0, 0)

    run(work)


def test_a_cache_whose_index_lists_layers_counts_them(run: Bench) -> None:
    """As BuildKit writes it (protocol.md 2.5.3)."""

    async def work(rig: Rig) -> None:
        for content in (KIB, b"{}"):
            await rig.push_blob("team/app", content)
        listing = index([descriptor(KIB), descriptor(b"{}", "application/vnd.buildkit.cacheconfig.v0")])
        digest = await rig.push("team/app", "cache", listing)
        assert await figures(rig) == (size_of(KIB, b"{}", listing), 0)
        await rig.manifests.delete(rig.admin, APP, digest)
        assert await figures(rig) == (0, 0)

    run(work)


def test_a_child_whose_bytes_are_pushed_as_a_blob_too_counts_until_the_last_of_it_goes(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, payload = await rig.push_image("team/app", "v1")
        before = (await usage(rig)).used
        listing = await rig.push("team/app", "all", index([child(payload)]))
        await rig.push_blob("team/app", payload)
        await rig.manifests.delete(rig.admin, APP, listing)
        assert (await usage(rig)).used == before
        await rig.manifests.delete(rig.admin, APP, digest)
        assert (await usage(rig)).used == 0

    run(work)


def test_content_that_is_named_before_it_comes_counts_when_it_comes(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        payload = image(b"{}", [KIB])
        listing = index([child(payload), descriptor(b"cache")])
        await rig.push("team/app", "all", listing)
        await rig.push("team/app", "v1", payload)
        assert await figures(rig) == (size_of(listing, payload), 0)
        await rig.push_blob("team/app", KIB)
        assert await figures(rig) == (size_of(listing, payload, KIB), 0)
        await rig.push_blob("team/app", b"cache")
        assert await figures(rig) == (size_of(listing, payload, KIB, b"cache"), 0)
        second = image(b"[]", [KIB])
        await rig.push("team/app", "v2", second)
        assert await figures(rig) == (size_of(listing, payload, KIB, b"cache", second), 0)
        for content in (listing, payload, second):
            await rig.manifests.delete(rig.admin, APP, digests.of(content))
            await usage(rig)
        assert (await usage(rig)).used == 0

    run(work, ENTREPOT_REGISTRY_SPARSE="true")


# a full project


def test_a_manifest_that_does_not_fit_is_refused_and_leaves_everything_as_it_was(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        payload = image(b"{}", [KIB])
        await limit(rig, "team", size_of(b"{}", KIB, payload) - 1)
        await rig.push_blob("team/app", b"{}")
        await rig.push_blob("team/app", KIB)
        with pytest.raises(QuotaExceededError) as refused:
            await rig.push("team/app", "v1", payload)
        assert refused.value.needed == len(payload)
        assert await figures(rig) == (0, 1026)

    run(work)


def test_blobs_that_no_manifest_names_give_way_to_a_finished_artifact(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        payload = image(b"{}", [KIB])
        total = size_of(b"{}", KIB, payload)
        await limit(rig, "team", total)
        await rig.push_blob("team/app", b"d" * (len(payload) - 3))
        await rig.push_blob("team/app", b"{}")
        await rig.push_blob("team/app", KIB)
        await rig.push("team/app", "v1", payload)
        assert await figures(rig) == (total, 0)

    run(work)


def test_a_refusal_is_recorded_with_who_and_how_much(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await limit(rig, "team", 1500)
        await rig.push_blob("team/app", KIB)
        before = len(await rig.events())
        with pytest.raises(QuotaExceededError) as refused:
            await rig.push_blob("team/app", KIB + KIB)
        assert refused.value.status == 403
        found = [event for event in await rig.events(before) if event["kind"] == "QuotaExceeded"]
        assert len(found) == 1
        assert {key: found[0][key] for key in ("principal", "project", "used", "limit", "needed")} == {
            "principal": "admin",
            "project": "team",
            "used": 1024,
            "limit": 1500,
            "needed": 2048,
        }

    run(work)


def test_a_project_that_comes_near_its_limit_is_warned_of_once_each_time(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        async def warnings() -> int:
            return (await rig.kinds()).count("QuotaWarned")

        first, second = image(b"{}", [b"a" * 3000]), image(b"{}", [b"b" * 4900])
        await limit(rig, "team", 10_000)
        await rig.push_blob("team/app", b"{}")
        await rig.push_blob("team/app", b"a" * 3000)
        await rig.push("team/app", "v1", first)
        assert await warnings() == 0
        for expected in (1, 2):
            await rig.push_blob("team/app", b"b" * 4900)
            await rig.push("team/app", "v2", second)
            assert await warnings() == expected
            await rig.push("team/app", "v3", second)
            assert await warnings() == expected
            await rig.manifests.delete(rig.admin, APP, digests.of(second))

    run(work)


# many at once

SIZES = {"1 KB": 1024, "1 MB": 1024 * 1024}


class Push:
    """One client's image, of the same size as every other's."""

    def __init__(self, number: int, size: int, config: int) -> None:
        self.name = f"team/app-{number % 8}"
        self.number = number
        self.config = f"{number:04}".encode() * (config // 4)
        self.layer = f"{number:08}".encode() * (size // 8)
        self.payload = image(self.config, [self.layer])

    @property
    def total(self) -> int:
        return size_of(self.config, self.layer, self.payload)

    async def run(self, rig: Rig, *, config_first: bool, known: bool) -> None:
        contents = [self.config, self.layer] if config_first else [self.layer, self.config]
        for content in contents:
            length = len(content) if known else None
            stream = body(*pieces(content, 100_000))
            await rig.uploads.push(rig.admin, name_of(self.name), digests.of(content), stream, length)
        await rig.push(self.name, f"v{self.number}", self.payload)


async def race(rigs: list[Rig], pushes: list[Push], fitting: int, **how: Any) -> None:
    total = pushes[0].total
    assert {push.total for push in pushes} == {total}
    await limit(rigs[0], "team", fitting * total)
    results = await asyncio.gather(
        *(push.run(rigs[n % len(rigs)], **how) for n, push in enumerate(pushes)), return_exceptions=True
    )
    refused = [result for result in results if result is not None]
    assert all(isinstance(result, QuotaExceededError) for result in refused), refused
    assert len(refused) == len(pushes) - fitting
    for rig in rigs:
        assert await figures(rig) == (fitting * total, 0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("known", [True, False], ids=["known length", "unknown length"])
@pytest.mark.parametrize("config_first", [True, False], ids=["config first", "layer first"])
def test_as_many_as_fit_succeed_of_64_pushes_at_once(run: Bench, size: str, known: bool, config_first: bool) -> None:
    async def work(rig: Rig) -> None:
        pushes = [Push(number, SIZES[size], 256) for number in range(64)]
        await race([rig], pushes, 40, config_first=config_first, known=known)

    run(work)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("config_first", [True, False], ids=["config first", "layer first"])
def test_as_many_as_fit_succeed_in_two_processes(run: Bench, size: str, config_first: bool) -> None:
    async def work(one: Rig, two: Rig) -> None:
        pushes = [Push(number, SIZES[size], 256) for number in range(64)]
        await race([one, two], pushes, 40, config_first=config_first, known=False)

    run.both(work)


@pytest.mark.parametrize("config_first", [True, False], ids=["config first", "layer first"])
def test_as_many_as_fit_succeed_when_configs_are_large(run: Bench, config_first: bool) -> None:
    async def work(rig: Rig) -> None:
        pushes = [Push(number, 8 * 1024, 4 * 1024) for number in range(64)]
        await race([rig], pushes, 40, config_first=config_first, known=True)

    run(work)


# whatever is done in whichever order

NAMES = ["team/app", "team/other", "else/app"]
BLOBS = [b"", b"{}", b"a" * 100, b"b" * 250, b"c" * 700]
IMAGES = [image(BLOBS[1], []), image(BLOBS[1], [BLOBS[2]]), image(BLOBS[0], [BLOBS[2], BLOBS[3], BLOBS[2]])]
INDEXES = [
    index([child(IMAGES[0])]),
    index([child(IMAGES[0]), child(IMAGES[1])]),
    index([descriptor(BLOBS[3]), descriptor(BLOBS[4])]),
    index([], subject=child(IMAGES[0])),
]
ODD = b'{"schemaVersion":2,"mediaType":"application/vnd.acme.odd.v1+json",' + b'"layers":[%s],"manifests":[%s]}' % (
    (json.dumps(descriptor(BLOBS[2])).encode(),) * 2
)
MANIFESTS = [*IMAGES, *INDEXES, ODD, index([child(INDEXES[1], "application/vnd.oci.image.index.v1+json")])]

Step = Callable[[Rig], Awaitable[Any]]

names = st.sampled_from(NAMES)
contents = st.sampled_from([*BLOBS, IMAGES[0]])
manifests = st.sampled_from(MANIFESTS)


def pushes_blob(name: str, content: bytes) -> Step:
    return lambda rig: rig.push_blob(name, content)


def mounts(name: str, source: str, content: bytes) -> Step:
    return lambda rig: rig.blobs.mount(rig.admin, name_of(name), digests.of(content), name_of(source))


def pushes_image(name: str, content: bytes, tag: str) -> Step:
    return lambda rig: rig.push(name, tag or digests.of(content), content)


def pushes_all(name: str) -> Step:
    async def step(rig: Rig) -> None:
        for content in BLOBS:
            await rig.push_blob(name, content)
        for content in MANIFESTS:
            await rig.push(name, digests.of(content), content)

    return step


def deletes_manifest(name: str, content: bytes) -> Step:
    return lambda rig: rig.manifests.delete(rig.admin, name_of(name), digests.of(content))


def deletes_blob(name: str, content: bytes) -> Step:
    return lambda rig: rig.blobs.delete(rig.admin, name_of(name), digests.of(content))


def deletes_repository(name: str) -> Step:
    return lambda rig: rig.repositories.delete(rig.admin, name_of(name))


def copies(name: str, source: str, content: bytes) -> Step:
    return lambda rig: rig.manifests.copy(rig.admin, name_of(name), name_of(source), digests.of(content))


def uploads(name: str, content: bytes, end: str) -> Step:
    async def step(rig: Rig) -> None:
        session = await rig.uploads.start(rig.admin, name_of(name))
        await rig.uploads.append(rig.admin, name_of(name), session, body(content), None)
        if end == "finished":
            await rig.uploads.finish(rig.admin, name_of(name), session, digests.of(content), body(), None)
        elif end == "cancelled":
            await rig.uploads.cancel(rig.admin, name_of(name), session)

    return step


def expires() -> Step:
    return lambda rig: ledger.expire(rig.database, clock.now_us() * 2)


steps = st.one_of(
    st.builds(pushes_blob, names, contents),
    st.builds(mounts, names, names, contents),
    st.builds(pushes_image, names, manifests, st.sampled_from(["", "v1", "v2"])),
    st.builds(pushes_all, names),
    st.builds(deletes_manifest, names, manifests),
    st.builds(deletes_blob, names, contents),
    st.builds(deletes_repository, names),
    st.builds(copies, names, names, manifests),
    st.builds(uploads, names, contents, st.sampled_from(["finished", "cancelled", "left"])),
    st.builds(expires),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger")


@pytest.mark.parametrize("sparse", ["false", "true"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, max_size=25), st.sampled_from([-1, 0, 1500, 4000, 20_000]), st.booleans())
def test_the_ledger_says_what_the_tables_hold_whatever_was_done(
    prepared: Bench, folders: Path, sparse: str, done: list[Step], size: int, both: bool
) -> None:
    run = prepared.copy_to(Path(tempfile.mkdtemp(dir=folders)) / "data")

    async def work(one: Rig, two: Rig) -> None:
        await limit(one, "team", size)
        await limit(one, "else", size * 2 if size > 0 else size)
        for number, step in enumerate(done):
            rig = two if both and number % 2 else one
            with contextlib.suppress(EntrepotError):
                await step(rig)
            for name in ("team", "else"):
                await usage(one, name, is_whole=sparse == "false")
        for name in NAMES:
            with contextlib.suppress(EntrepotError):
                await one.repositories.delete(one.admin, name_of(name))
        await ledger.expire(one.database, clock.now_us() * 2)
        for name in ("team", "else"):
            assert await figures(one, name) == (0, 0)

    run.both(work, ENTREPOT_REGISTRY_SPARSE=sparse)
