"""The catalog shows what the caller may pull; referrers show what hangs on a manifest."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest

from entrepot.access.errors import TokenNeeded
from entrepot.auth.model import Caller
from entrepot.errors import InvalidInput
from entrepot.oci import digest as digests
from entrepot.oci.manifest import fallback_tag
from entrepot.oci.mediatype import OCI_INDEX, OCI_MANIFEST
from entrepot.registry.referrers import PAGE
from tests.integration.rig import CONFIG_TYPE, Bench, Rig, caller, child, descriptor, image, index, name_of

APP = name_of("team/app")

# the catalog


async def catalog(rig: Rig, as_: Caller | None = None, size: int = 1000) -> list[str]:
    """Every page, one after the other."""
    found: list[str] = []
    while page := await rig.repositories.catalog(as_ or rig.admin, found[-1] if found else "", size):
        assert len(page) <= size
        found += page
    return found


async def fill(rig: Rig, names: list[str]) -> None:
    for name in names:
        await rig.push(name, "v1", index([]))


def test_the_catalog_is_in_byte_order_of_full_names_page_by_page(run: Bench) -> None:
    chance = random.Random(3)
    projects = ["a", "a-b", "a.b", "a_b", "a0", "ab", "b", "library", "0"]
    names = sorted(
        {f"{chance.choice(projects)}/{'/'.join(chance.choices(['x', 'x-y', 'x.y', 'x0', 'z'], k=chance.randint(1, 3)))}"
         for _ in range(60)}
    )  # fmt: skip

    async def work(rig: Rig) -> None:
        await fill(rig, chance.sample(names, len(names)))
        for size in (1, 2, 7, 1000):
            assert await catalog(rig, size=size) == names
        lasts = ["", "a", "a/", "a-", "a/x", "a-b", "a-b/", "a.", "ab/x-", "zzz", "a//", "~", "é", *names]
        for last in lasts:
            assert await rig.repositories.catalog(rig.admin, last, 1000) == [name for name in names if name > last]

    run(work)


def test_a_short_name_is_shown_in_full(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await fill(rig, ["my-ubuntu"])
        assert await catalog(rig) == ["library/my-ubuntu"]

    run(work)


def test_a_repository_is_shown_while_it_holds_a_manifest(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_blob("team/blob-only", b"x")
        await rig.uploads.start(rig.admin, name_of("team/upload-only"))
        assert await catalog(rig) == []
        digest = await rig.push("team/app", "v1", index([]))
        await rig.tags.delete(rig.admin, APP, "v1")
        assert await catalog(rig) == ["team/app"]
        await rig.manifests.delete(rig.admin, APP, digest)
        assert await catalog(rig) == []

    run(work)


def test_the_catalog_holds_what_the_caller_may_pull(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.make_project("open", is_public=True)
        await rig.make_project("closed", is_public=False)
        await fill(rig, ["open/a", "closed/a", "open/b", "fresh/a"])
        jane = caller((await rig.add_user("jane")).principal)
        for size in (1, 100):
            assert await catalog(rig, size=size) == ["closed/a", "fresh/a", "open/a", "open/b"]
            assert await catalog(rig, jane, size) == ["open/a", "open/b"]
        with pytest.raises(TokenNeeded):
            await catalog(rig, rig.anonymous)

    run(work)


# referrers


def about(subject: bytes, text: str, **more: Any) -> bytes:
    """An artifact that hangs on ``subject``."""
    config = descriptor(b"{}", "application/vnd.oci.empty.v1+json")
    return image(config, [], subject=child(subject), annotations={"text": text}, **more)


async def listed(rig: Rig, subject: bytes, artifact_type: str | None = None, last: int = 0) -> list[dict[str, Any]]:
    page = await rig.referrers.list(rig.admin, APP, digests.of(subject), artifact_type, last)
    return [json.loads(bytes(text)) for text in page.descriptors]


def test_referrers_are_listed_in_the_order_of_their_push_with_type_size_and_annotations(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, subject = await rig.push_image("team/app", "v1")
        await rig.push_blob("team/app", b"{}")
        payloads = [about(subject, str(n), artifactType=f"application/x-{n}") for n in range(3)]
        for payload in payloads:
            await rig.push("team/app", digests.of(payload), payload)
        found = await listed(rig, subject)
        assert found == [
            {
                "mediaType": OCI_MANIFEST,
                "digest": digests.of(payload),
                "size": len(payload),
                "artifactType": f"application/x-{n}",
                "annotations": {"text": str(n)},
            }
            for n, payload in enumerate(payloads)
        ]

    run(work)


def test_the_push_of_a_referrer_names_its_subject(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, subject = await rig.push_image("team/app", "v1")
        await rig.push_blob("team/app", b"{}")
        pushed = await rig.manifests.push(
            rig.admin, APP, "sig", about(subject, ""), content_type=OCI_MANIFEST, more_tags=[]
        )
        assert pushed.subject == digests.of(subject)

    run(work)


def test_a_subject_may_come_later_or_never_or_go(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_blob("team/app", b"config")
        await rig.push_blob("team/app", b"{}")
        subject = image(b"config", [])
        payload = about(subject, "early")
        await rig.push("team/app", "sig", payload)
        assert [entry["digest"] for entry in await listed(rig, subject)] == [digests.of(payload)]
        await rig.push("team/app", "v1", subject)
        assert len(await listed(rig, subject)) == 1
        await rig.manifests.delete(rig.admin, APP, digests.of(subject))
        assert len(await listed(rig, subject)) == 1
        await rig.manifests.delete(rig.admin, APP, digests.of(payload))
        assert await listed(rig, subject) == []

    run(work)


def test_the_filter_keeps_one_type_and_the_type_falls_back_to_the_config(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, subject = await rig.push_image("team/app", "v1", "s")
        await rig.push_blob("team/app", b"{}")
        await rig.push_blob("team/app", b"config")
        await rig.push("team/app", "a", about(subject, "a", artifactType="application/a"))
        await rig.push("team/app", "b", image(b"config", [], subject=child(subject)))
        await rig.push("team/app", "c", index([], subject=child(subject)))
        assert len(await listed(rig, subject)) == 3
        for artifact_type in ("application/a", CONFIG_TYPE):
            assert [e["artifactType"] for e in await listed(rig, subject, artifact_type)] == [artifact_type]
        assert [e["mediaType"] for e in await listed(rig, subject, "")] == [OCI_INDEX]
        assert await listed(rig, subject, "application/none") == []

    run(work)


def test_referrers_of_what_is_not_there_are_none_and_of_what_is_no_digest_refused(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        assert await listed(rig, b"nothing") == []
        await rig.push_image("team/app", "v1")
        assert await listed(rig, b"nothing") == []
        zero = await rig.referrers.list(rig.admin, APP, "sha256:" + "0" * 64, None)
        assert (list(zero.descriptors), zero.next) == ([], None)
        with pytest.raises(InvalidInput):
            await rig.referrers.list(rig.admin, APP, "latest", None)
        with pytest.raises(TokenNeeded):
            await rig.referrers.list(rig.anonymous, APP, digests.of(b""), None)

    run(work)


def test_referrers_of_another_repository_are_not_shown(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, subject = await rig.push_image("team/app", "v1")
        await rig.push_image("team/other", "v1")
        await rig.push_blob("team/other", b"{}")
        await rig.push("team/other", "sig", about(subject, ""))
        assert await listed(rig, subject) == []

    run(work)


def test_what_an_older_client_listed_under_the_fallback_tag_is_merged_without_repetition(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, subject = await rig.push_image("team/app", "v1", "s")
        await rig.push_blob("team/app", b"{}")
        _, old = await rig.push_image("team/app", "old", "signature without a subject")
        known = about(subject, "known")
        await rig.push("team/app", digests.of(known), known)
        entries = [child(old) | {"artifactType": "application/old"}, child(known)]
        await rig.push("team/app", fallback_tag(digests.of(subject)), index(entries))
        found = await listed(rig, subject)
        assert [entry["digest"] for entry in found] == [digests.of(old), digests.of(known)]
        assert [e["digest"] for e in await listed(rig, subject, "application/old")] == [digests.of(old)]
        later = await rig.referrers.list(rig.admin, APP, digests.of(subject), None, 10**9)
        assert list(later.descriptors) == []

    run(work)


def test_a_fallback_tag_that_is_no_index_or_lists_what_is_gone_adds_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, subject = await rig.push_image("team/app", "v1", "s")
        _, other = await rig.push_image("team/app", fallback_tag(digests.of(subject)), "an image")
        assert await listed(rig, subject) == []
        gone = await rig.push("team/app", fallback_tag(digests.of(other)), index([child(b"gone")]))
        assert gone
        assert await listed(rig, other) == []

    run(work, ENTREPOT_REGISTRY_SPARSE="true")


def test_an_entry_listed_twice_under_the_fallback_tag_is_shown_once(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, subject = await rig.push_image("team/app", "v1", "s")
        _, old = await rig.push_image("team/app", "old", "o")
        await rig.push("team/app", fallback_tag(digests.of(subject)), index([child(old), child(old)]))
        assert [entry["digest"] for entry in await listed(rig, subject)] == [digests.of(old)]

    run(work)


def test_a_long_list_of_referrers_comes_in_pages(run: Bench) -> None:
    count = PAGE + 3

    async def work(rig: Rig) -> None:
        subject = index([])
        await rig.push("team/app", "v1", subject)
        payloads = [index([], subject=child(subject), annotations={"n": str(n)}) for n in range(count)]
        for payload in payloads:
            await rig.push("team/app", digests.of(payload), payload)
        found: list[str] = []
        lasts: list[int | None] = [0]
        while (last := lasts[-1]) is not None:
            page = await rig.referrers.list(rig.admin, APP, digests.of(subject), None, last)
            assert len(page.descriptors) <= PAGE
            found += [json.loads(bytes(text))["digest"] for text in page.descriptors]
            lasts.append(page.next)
        assert found == [digests.of(payload) for payload in payloads]
        assert len(lasts) == 3
        assert all((a or 0) < b for a, b in pairwise(lasts) if b is not None)

    run(work)
