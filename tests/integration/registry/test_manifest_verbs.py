"""Manifests and tags: stored byte for byte, in one transaction with their facts, deleted by the rules."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from entrepot.access.model import PULL
from entrepot.errors import Conflict, Denied, EntrepotError, InvalidInput, NotFound, StorageFull, TooMany
from entrepot.oci import digest as digests
from entrepot.oci.mediatype import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from entrepot.registry.errors import ContentMissing, ManifestUnknown, RepositoryUnknown
from entrepot.registry.manifests import MOST_TAGS
from tests.integration.rig import CONFIG_TYPE, Bench, Rig, caller, child, descriptor, image, index, name_of

APP = name_of("team/app")


async def get(rig: Rig, reference: str, name: str = "team/app") -> bytes:
    return (await rig.manifests.get(rig.admin, name_of(name), reference)).payload


async def gone(rig: Rig, reference: str, name: str = "team/app") -> bool:
    try:
        await rig.manifests.get(rig.admin, name_of(name), reference)
    except ManifestUnknown:
        return True
    return False


async def tags_of(rig: Rig, name: str = "team/app") -> list[str]:
    return await rig.tags.list(rig.admin, name_of(name), "", 1000)


async def state(rig: Rig) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """All that a failed verb could have left: facts, tags, names."""
    try:
        tags = await tags_of(rig)
    except RepositoryUnknown:
        tags = []
    return await rig.events(), tags, await rig.repositories.catalog(rig.admin, "", 100)


# pushing


def test_a_manifest_comes_back_byte_for_byte_by_tag_and_by_digest_in_every_process(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        digest, payload = await one.push_image("team/app", "v1")
        odd = payload.replace(b", ", b"  ,\n") + b"\n "
        odd_digest = await one.push("team/app", "odd", odd)
        for rig in (one, two):
            for reference, expected in (("v1", payload), (digest, payload), ("odd", odd), (odd_digest, odd)):
                assert await get(rig, reference) == expected
        found = await two.manifests.get(two.admin, APP, "v1")
        assert (found.digest, found.media_type) == (digest, OCI_MANIFEST)

    run.both(work)


def test_pushing_writes_its_facts_into_the_journal(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, _ = await rig.push_image("team/app", "v1")
        events = await rig.events()
        assert [event["kind"] for event in events] == ["ProjectCreated", "BlobPushed", "BlobPushed", "ManifestPushed"]
        assert {event["principal"] for event in events} == {"admin"}
        pushed = events[-1]
        assert (pushed["repository"], pushed["digest"], pushed["tags"]) == ("team/app", digest, ["v1"])
        assert pushed["media_type"] == OCI_MANIFEST

    run(work)


def test_pushing_the_same_again_changes_nothing_but_is_a_fact(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, payload = await rig.push_image("team/app", "v1")
        before = len(await rig.events())
        assert await rig.push("team/app", "v1", payload) == digest
        assert await rig.kinds(before) == ["ManifestPushed"]
        assert await tags_of(rig) == ["v1"]

    run(work)


def test_a_push_by_digest_needs_no_tag_and_may_set_many(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, payload = await rig.push_image("team/app", "v0")
        for algorithm in ("sha256", "sha512"):
            digest = digests.of(payload, algorithm)
            assert await rig.push("team/app", digest, payload, tags=["b", "a", "b"]) == digest
            assert await get(rig, digest) == payload
            assert (await rig.manifests.get(rig.admin, APP, "a")).digest == digest
        assert await tags_of(rig) == ["a", "b", "v0"]

    run(work)


def test_a_manifest_of_another_digest_is_refused(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, payload = await rig.push_image("team/app", "v1")
        before = await state(rig)
        with pytest.raises(InvalidInput) as refused:
            await rig.push("team/app", digests.of(payload), payload + b" ")
        assert refused.value.error_code == "DIGEST_INVALID"
        assert await state(rig) == before

    run(work)


def test_a_push_that_fails_leaves_no_trace_whatever_is_wrong(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, payload = await rig.push_image("team/app", "v1")
        jane = caller((await rig.add_user("jane")).principal)
        before = await state(rig)
        attempts: list[tuple[type[EntrepotError], Any]] = [
            (InvalidInput, rig.push("team/app", "v2", b"{}")),
            (InvalidInput, rig.push("team/app", "-bad", payload)),
            (InvalidInput, rig.push("team/app", "sha256:xyz", payload)),
            (InvalidInput, rig.push("team/app", digests.of(payload), payload, tags=["good", "-bad"])),
            (TooMany, rig.push("team/app", digests.of(payload), payload, tags=[f"t{n}" for n in range(MOST_TAGS + 1)])),
            (ContentMissing, rig.push("team/app", "v2", image(b"not there", []))),
            (ContentMissing, rig.push("new/app", "v1", payload)),
            (ContentMissing, rig.push("team/app", "v2", index([child(b"not there")]))),
            (Denied, rig.push("team/app", "v2", payload, as_=jane)),
        ]
        for kind, attempt in attempts:
            with pytest.raises(kind):
                await attempt
            assert await state(rig) == before

    run(work)


def test_a_full_disk_refuses_the_push_and_leaves_no_trace(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, payload = await rig.push_image("team/app", "v1")
        big = json.dumps({**json.loads(payload), "annotations": {"a": "x" * 500_000}}).encode()
        before = await state(rig)

        async def limit(tx: Any) -> None:
            tx._connection.execute("PRAGMA max_page_count=1")  # SQLite raises it to what is there

        async def no_limit(tx: Any) -> None:
            tx._connection.execute("PRAGMA max_page_count=1000000")

        await rig.database.write(limit)
        with pytest.raises(StorageFull):
            await rig.push("team/app", "v2", big)
        await rig.database.write(no_limit)
        assert await state(rig) == before
        assert await get(rig, await rig.push("team/app", "v2", big)) == big

    run(work)


def test_what_is_missing_is_named(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_blob("team/app", b"there")
        with pytest.raises(ContentMissing) as refused:
            await rig.push("team/app", "v1", image(b"config", [b"there", b"layer"]))
        assert refused.value.error_code == "MANIFEST_BLOB_UNKNOWN"
        assert refused.value.detail == [{"digest": digests.of(b"config")}, {"digest": digests.of(b"layer")}]

    run(work)


def test_a_blob_of_another_repository_does_not_count_as_pushed(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, payload = await rig.push_image("team/app", "v1")
        with pytest.raises(ContentMissing):
            await rig.push("team/other", "v1", payload)

    run(work)


def test_a_sparse_registry_accepts_what_names_missing_content(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        payload = image(b"not there", [b"neither"])
        await rig.push("team/app", "v1", payload)
        await rig.push("team/app", "all", index([child(b"not there")]))
        assert await get(rig, "v1") == payload

    run(work, ENTREPOT_REGISTRY_SPARSE="true")


def test_content_that_lies_elsewhere_need_not_be_pushed(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_blob("team/app", b"config")
        far = descriptor(
            b"far away", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls=["https://x.y/z"]
        )
        payload = image(b"config", [far])
        await rig.push("team/app", "v1", payload)
        assert await get(rig, "v1") == payload

    run(work)


def test_an_index_lists_manifests_or_layers_that_are_there(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        one, _ = await rig.push_image("team/app", "one", "1")
        inner = index([descriptor(b"", OCI_MANIFEST) | {"digest": one}])
        await rig.push("team/app", digests.of(inner), inner)
        await rig.push("team/app", "nested", index([child(inner, OCI_INDEX)]))
        await rig.push_blob("team/app", b"cached layer")
        await rig.push("team/app", "cache", index([descriptor(b"cached layer")]))
        await rig.push("team/app", "empty", index([]))
        assert await tags_of(rig) == ["cache", "empty", "nested", "one"]

    run(work)


def test_the_same_bytes_under_another_content_type_take_that_type(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        await one.push_blob("team/app", b"config")
        document = {"schemaVersion": 2, "config": descriptor(b"config", CONFIG_TYPE), "layers": []}
        payload = json.dumps(document).encode()
        for media_type in (OCI_MANIFEST, DOCKER_MANIFEST):
            await one.manifests.push(one.admin, APP, "v1", payload, content_type=media_type, more_tags=[])
            for rig in (one, two):
                assert (await rig.manifests.get(rig.admin, APP, "v1")).media_type == media_type

    run.both(work)


def test_many_pushes_at_once_all_arrive(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        images = await asyncio.gather(
            *((one, two)[n % 2].push_image("team/app", f"v{n:02}", str(n)) for n in range(30))
        )
        assert await tags_of(one) == [f"v{n:02}" for n in range(30)]
        for number, (_, payload) in enumerate(images):
            assert await get(two, f"v{number:02}") == payload
        kinds = await one.kinds()
        assert kinds.count("ManifestPushed") == 30
        assert kinds.count("ProjectCreated") == 1

    run.both(work)


# tags


def test_a_tag_that_moves_says_so_and_names_the_new_manifest_in_every_process(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        first, _ = await one.push_image("team/app", "latest", "1")
        assert (await two.manifests.get(two.admin, APP, "latest")).digest == first
        before = len(await one.events())
        second, _ = await one.push_image("team/app", "latest", "2")
        for rig in (one, two):
            assert (await rig.manifests.get(rig.admin, APP, "latest")).digest == second
            assert not await gone(rig, first)
        moved = (await one.events(before))[-1]
        assert moved == {
            "kind": "TagMoved",
            "principal": "admin",
            "repository": "team/app",
            "tag": "latest",
            "previous": first,
            "digest": second,
            "project_id": (await one.repositories.enter_existing(one.admin, PULL, APP)).project_id,
        }
        assert await one.kinds(before) == ["BlobPushed", "BlobPushed", "ManifestPushed", "TagMoved"]

    run.both(work)


def test_a_moving_tag_always_names_one_of_both(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        payloads = [(await one.push_image("team/app", "latest", str(n)))[1] for n in range(2)]

        async def move() -> None:
            for number in range(60):
                await (one, two)[number % 2].push("team/app", "latest", payloads[number % 2])

        moving = asyncio.ensure_future(move())
        while not moving.done():
            for rig in (one, two):
                assert await get(rig, "latest") in payloads
                assert await tags_of(rig) == ["latest"]
            await asyncio.sleep(0)
        await moving

    run.both(work)


def test_tags_are_listed_in_byte_order_page_by_page(run: Bench) -> None:
    names = ["0", "A", "Z", "_", "a", "a-1", "a.1", "a1", "a_1", "b", "v1", "v1.0", "v10", "v2"]

    async def work(rig: Rig) -> None:
        _, payload = await rig.push_image("team/app", "0")
        await rig.push("team/app", digests.of(payload), payload, tags=reversed(names))
        for size in (1, 3, len(names), 100):
            found: list[str] = []
            while page := await rig.tags.list(rig.admin, APP, found[-1] if found else "", size):
                assert len(page) <= size
                found += page
            assert found == sorted(names)
        assert await rig.tags.list(rig.admin, APP, "a.2", 2) == ["a1", "a_1"]
        assert await rig.tags.list(rig.admin, APP, "zzz", 5) == []
        assert await rig.tags.list(rig.admin, APP, "", 0) == []

    run(work)


def test_tags_of_a_repository_that_is_not_there_are_unknown(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        with pytest.raises(RepositoryUnknown):
            await rig.tags.list(rig.admin, APP, "", 10)

    run(work)


def test_deleting_a_tag_keeps_its_manifest_and_is_a_fact(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        digest, payload = await one.push_image("team/app", "v1")
        await two.manifests.get(two.admin, APP, "v1")
        before = len(await one.events())
        await one.tags.delete(one.admin, APP, "v1")
        for rig in (one, two):
            assert await gone(rig, "v1")
            assert await get(rig, digest) == payload
            assert await tags_of(rig) == []
        events = await one.events(before)
        assert [(event["kind"], event["tag"], event["digest"]) for event in events] == [("TagDeleted", "v1", digest)]
        with pytest.raises(ManifestUnknown):
            await one.tags.delete(one.admin, APP, "v1")
        with pytest.raises(InvalidInput):
            await one.tags.delete(one.admin, APP, "-bad")
        assert len(await one.events()) == before + 1

    run.both(work)


# deleting


def test_deleting_a_manifest_takes_its_tags_with_it_and_is_one_fact(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        digest, payload = await one.push_image("team/app", "v1")
        await one.push("team/app", digest, payload, tags=["v2", "v3"])
        kept, _ = await one.push_image("team/app", "other", "other")
        await two.manifests.get(two.admin, APP, "v2")
        before = len(await one.events())
        await one.manifests.delete(one.admin, APP, digest)
        for rig in (one, two):
            for reference in (digest, "v1", "v2", "v3"):
                assert await gone(rig, reference)
            assert await tags_of(rig) == ["other"]
            assert not await gone(rig, kept)
        events = await one.events(before)
        assert [(event["kind"], event["tags"]) for event in events] == [("ManifestDeleted", ["v1", "v2", "v3"])]
        with pytest.raises(ManifestUnknown):
            await one.manifests.delete(one.admin, APP, digest)
        assert len(await one.events()) == before + 1

    run.both(work)


def test_a_manifest_that_an_index_lists_cannot_be_deleted_and_the_index_is_named(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, payload = await rig.push_image("team/app", "v1")
        parent = await rig.push("team/app", "all", index([child(payload)]))
        before = await state(rig)
        with pytest.raises(Conflict, match=parent) as refused:
            await rig.manifests.delete(rig.admin, APP, digest)
        assert (refused.value.status, refused.value.error_code) == (409, "DENIED")
        assert await state(rig) == before
        await rig.manifests.delete(rig.admin, APP, parent)
        await rig.manifests.delete(rig.admin, APP, digest)
        assert await tags_of(rig) == []

    run(work)


def test_an_index_in_another_repository_holds_nothing_here(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, payload = await rig.push_image("team/app", "v1")
        await rig.push_image("team/other", "v1")
        await rig.push("team/other", "all", index([child(payload)]))
        await rig.manifests.delete(rig.admin, APP, digest)
        assert await gone(rig, digest)
        assert not await gone(rig, digest, "team/other")

    run(work)


def test_an_index_that_lists_itself_in_a_circle_of_absent_children_can_be_deleted(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest = await rig.push("team/app", "all", index([child(b"never pushed")]))
        await rig.manifests.delete(rig.admin, APP, digest)
        assert await gone(rig, digest)

    run(work, ENTREPOT_REGISTRY_SPARSE="true")


def test_who_may_only_pull_deletes_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.make_project("team", is_public=True)
        digest, _ = await rig.push_image("team/app", "v1")
        jane = caller((await rig.add_user("jane")).principal)
        before = await state(rig)
        for attempt in (rig.manifests.delete(jane, APP, digest), rig.tags.delete(jane, APP, "v1")):
            with pytest.raises(Denied):
                await attempt
        assert await state(rig) == before

    run(work)


def test_a_reference_that_is_neither_tag_nor_digest_is_refused(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        for reference, code in (
            ("-bad", "TAG_INVALID"),
            ("sha256:xyz", "DIGEST_INVALID"),
            ("md5:" + "a" * 32, "DIGEST_INVALID"),
        ):
            with pytest.raises(InvalidInput) as refused:
                await rig.manifests.get(rig.admin, APP, reference)
            assert refused.value.error_code == code
        with pytest.raises(NotFound):
            await rig.manifests.get(rig.admin, APP, digests.of(b"not there"))

    run(work)


def test_a_manifest_pushed_again_after_its_deletion_is_there(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, payload = await rig.push_image("team/app", "v1")
        for _ in range(3):
            await rig.manifests.delete(rig.admin, APP, digest)
            assert await gone(rig, "v1")
            await rig.push("team/app", "v1", payload)
            assert await get(rig, "v1") == payload

    run(work)
