"""Blobs: seen only where they were pushed or mounted, deleted by the rules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from entrepot.access.errors import TokenNeeded
from entrepot.errors import Denied, InvalidInput, NotAllowed, Unreadable
from entrepot.oci import digest as digests
from entrepot.registry.errors import BlobUnknown, RepositoryUnknown
from tests.integration.rig import Bench, Rig, caller, descriptor, index, name_of, open_files

APP = name_of("team/app")
OTHER = name_of("team/other")


async def read(rig: Rig, digest: str, name: str = "team/app", as_: Any = None) -> bytes:
    content = await rig.blobs.open(as_ or rig.admin, name_of(name), digest)
    try:
        return b"".join([bytes(piece) async for piece in content.stream(0, content.size)])
    finally:
        content.close()


def content_file(run: Bench, digest: str) -> Path:
    algorithm, _, encoded = digest.partition(":")
    return run.folder / "content" / algorithm / encoded[:2] / encoded


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("content", [b"", b"{}", b"content", os.urandom(700_000)], ids=["empty", "{}", "small", "big"])
def test_a_pushed_blob_can_be_read_and_is_a_fact(run: Bench, content: bytes, algorithm: str) -> None:
    async def work(one: Rig, two: Rig) -> None:
        digest = await one.push_blob("team/app", content, algorithm)
        for rig in (one, two):
            assert (await rig.blobs.stat(rig.admin, APP, digest)).size == len(content)
            assert await read(rig, digest) == content
        event = (await one.events())[-1]
        assert (event["kind"], event["repository"], event["digest"]) == ("BlobPushed", "team/app", digest)
        assert (event["size"], event.get("mounted_from")) == (len(content), None)

    run.both(work)


def test_a_blob_is_seen_in_its_own_repository_only(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest = await rig.push_blob("team/app", b"content")
        await rig.push_blob("team/other", b"something else")
        with pytest.raises(BlobUnknown):
            await rig.blobs.stat(rig.admin, OTHER, digest)
        with pytest.raises(BlobUnknown):
            await rig.blobs.open(rig.admin, OTHER, digest)
        with pytest.raises(RepositoryUnknown):
            await rig.blobs.stat(rig.admin, name_of("team/nosuch"), digest)
        with pytest.raises(InvalidInput):
            await rig.blobs.stat(rig.admin, APP, "sha256:xyz")

    run(work)


def test_a_manifest_s_digest_is_no_blob(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, _ = await rig.push_image("team/app", "v1")
        with pytest.raises(BlobUnknown):
            await rig.blobs.stat(rig.admin, APP, digest)

    run(work)


# mounting


def test_a_mounted_blob_is_seen_in_both_and_the_fact_names_its_source(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest = await rig.push_blob("team/app", b"content")
        before = len(await rig.events())
        mounted = await rig.blobs.mount(rig.admin, OTHER, digest, APP)
        assert mounted is not None
        assert mounted.size == 7
        assert await read(rig, digest, "team/other") == b"content"
        assert await read(rig, digest) == b"content"
        event = (await rig.events(before))[-1]
        assert (event["kind"], event["repository"], event["mounted_from"]) == ("BlobPushed", "team/other", "team/app")

    run(work)


def test_a_mount_without_a_source_finds_one(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest = await rig.push_blob("team/app", b"content")
        assert await rig.blobs.mount(rig.admin, OTHER, digest, None) is not None
        assert await read(rig, digest, "team/other") == b"content"

    run(work)


def test_a_mount_into_a_new_project_creates_it(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest = await rig.push_blob("team/app", b"content")
        before = len(await rig.events())
        assert await rig.blobs.mount(rig.admin, name_of("fresh/app"), digest, APP) is not None
        assert await rig.kinds(before) == ["ProjectCreated", "BlobPushed"]

    run(work)


def test_what_cannot_be_mounted_is_none_and_leaves_no_trace(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest = await rig.push_blob("team/app", b"content")
        await rig.push_blob("team/other", b"something else")
        vanished = await rig.push_blob("team/app", b"vanished")
        content_file(run, vanished).unlink()
        before = await rig.events()
        for attempt in (
            rig.blobs.mount(rig.admin, OTHER, digests.of(b"nowhere"), APP),
            rig.blobs.mount(rig.admin, OTHER, digests.of(b"nowhere"), None),
            rig.blobs.mount(rig.admin, APP, digests.of(b"something elsewhere"), OTHER),
            rig.blobs.mount(rig.admin, OTHER, digest, name_of("team/nosuch")),
            rig.blobs.mount(rig.admin, OTHER, digest, name_of("nosuch/app")),
            rig.blobs.mount(rig.admin, OTHER, vanished, APP),
            rig.blobs.mount(rig.admin, name_of("fresh/app"), vanished, APP),
        ):
            assert await attempt is None
        assert await rig.events() == before
        with pytest.raises(InvalidInput):
            await rig.blobs.mount(rig.admin, OTHER, "sha256:xyz", APP)

    run(work)


def test_a_token_that_does_not_name_the_source_mounts_nothing_from_it(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest = await rig.push_blob("team/app", b"content")
        principal = rig.admin.principal
        narrow = caller(principal, bound=frozenset({"repository:team/other"}), credential="bearer")
        wide = caller(principal, bound=frozenset({"repository:team/other", "repository:team/app"}), credential="bearer")
        for source in (APP, None):
            assert await rig.blobs.mount(narrow, OTHER, digest, source) is None
        with pytest.raises(TokenNeeded):
            await rig.blobs.mount(narrow, name_of("team/third"), digest, APP)
        assert await rig.blobs.mount(wide, OTHER, digest, APP) is not None

    run(work)


# deleting


def test_a_deleted_blob_is_gone_from_its_repository_and_from_no_other(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        digest = await one.push_blob("team/app", b"content")
        await one.blobs.mount(one.admin, OTHER, digest, APP)
        before = len(await one.events())
        await one.blobs.delete(one.admin, APP, digest)
        for rig in (one, two):
            with pytest.raises(BlobUnknown):
                await rig.blobs.stat(rig.admin, APP, digest)
            assert await read(rig, digest, "team/other") == b"content"
        event = (await one.events(before))[-1]
        assert (event["kind"], event["repository"], event["digest"]) == ("BlobDeleted", "team/app", digest)
        with pytest.raises(BlobUnknown):
            await one.blobs.delete(one.admin, APP, digest)
        assert len(await one.events()) == before + 1

    run.both(work)


def test_a_blob_that_a_manifest_names_cannot_be_deleted_and_the_manifest_is_named(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        manifest, _ = await rig.push_image("team/app", "v1", "1")
        await rig.push_blob("team/app", b"cached")
        cache = await rig.push("team/app", "cache", index([descriptor(b"cached")]))
        before = await rig.events()
        for content, naming in ((b"config 1", manifest), (b"layer 1", manifest), (b"cached", cache)):
            with pytest.raises(NotAllowed, match=naming) as refused:
                await rig.blobs.delete(rig.admin, APP, digests.of(content))
            assert (refused.value.status, refused.value.error_code) == (405, "UNSUPPORTED")
        assert await rig.events() == before
        await rig.manifests.delete(rig.admin, APP, manifest)
        await rig.blobs.delete(rig.admin, APP, digests.of(b"config 1"))

    run(work)


def test_a_manifest_of_another_repository_keeps_no_blob_here(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1", "1")
        layer = digests.of(b"layer 1")
        await rig.blobs.mount(rig.admin, OTHER, layer, APP)
        await rig.blobs.delete(rig.admin, OTHER, layer)
        assert await read(rig, layer) == b"layer 1"

    run(work)


def test_who_may_only_pull_deletes_and_mounts_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.make_project("team", is_public=True)
        digest = await rig.push_blob("team/app", b"content")
        jane = caller((await rig.add_user("jane")).principal)
        assert await read(rig, digest, as_=jane) == b"content"
        assert await read(rig, digest, as_=rig.anonymous) == b"content"
        with pytest.raises(Denied):
            await rig.blobs.delete(jane, APP, digest)
        with pytest.raises(Denied):
            await rig.blobs.mount(jane, OTHER, digest, APP)

    run(work)


# what the disk did


def test_a_blob_whose_file_has_vanished_is_unknown_and_a_push_heals_it(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest = await rig.push_blob("team/app", b"content")
        content_file(run, digest).unlink()
        for attempt in (rig.blobs.stat(rig.admin, APP, digest), rig.blobs.open(rig.admin, APP, digest)):
            with pytest.raises(BlobUnknown):
                await attempt
        await rig.push_blob("team/app", b"content")
        assert await read(rig, digest) == b"content"

    run(work)


def test_a_blob_with_a_flipped_bit_is_refused_then_unknown_and_a_push_heals_it(run: Bench) -> None:
    content = os.urandom(600_000)

    async def work(rig: Rig) -> None:
        digest = await rig.push_blob("team/app", content)
        path = content_file(run, digest)
        damaged = bytearray(content)
        damaged[300_000] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(Unreadable):
            await read(rig, digest)
        with pytest.raises(BlobUnknown):
            await rig.blobs.stat(rig.admin, APP, digest)
        await rig.push_blob("team/app", content)
        assert await read(rig, digest) == content

    run(work)


def test_no_file_descriptor_is_left_open_whatever_goes_wrong(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest = await rig.push_blob("team/app", b"content")
        await rig.push_blob("team/other", b"x")
        await read(rig, digest)
        before = open_files()
        for _ in range(20):
            await read(rig, digest)
            await rig.blobs.stat(rig.admin, APP, digest)
            await rig.blobs.mount(rig.admin, OTHER, digest, APP)
            with pytest.raises(BlobUnknown):
                await rig.blobs.open(rig.admin, APP, digests.of(b"nowhere"))
            await rig.push_blob("team/app", b"content")
        assert open_files() == before

    run(work)
