"""Copying artifacts, setting tags, describing and deleting repositories, and the former names of projects."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from sqlalchemy import bindparam, select, text, update

from entrepot.access.model import PULL
from entrepot.access.permissions import GUEST, PROJECT_ADMIN, Role
from entrepot.auth.model import Caller, Principal, ScopeEntry
from entrepot.database import query
from entrepot.errors import Conflict, Denied, EntrepotError, InvalidInput
from entrepot.kit import clock
from entrepot.oci import digest as digests
from entrepot.oci.mediatype import OCI_INDEX
from entrepot.projects.ledger import QuotaExceededError
from entrepot.projects.tables import projects
from entrepot.registry.errors import BlobUnknown, ManifestUnknown, RepositoryUnknown, UploadUnknown
from entrepot.registry.tables import repositories
from tests.integration.registry.recount import limit, project_id, usage
from tests.integration.rig import Bench, Rig, body, caller, child, descriptor, image, index, name_of

APP = name_of("team/app")
OTHER = name_of("team/other")
ELSEWHERE = name_of("else/app")
EMPTY = descriptor(b"{}", "application/vnd.oci.empty.v1+json")

_DESCRIPTION = query(
    select(repositories.c.description, repositories.c.updated_at).where(repositories.c.path == bindparam("path"))
)
_RENAME = query(update(projects).where(projects.c.id == bindparam("project")).values({"name": bindparam("new_name")}))
_ALIAS = query(text("INSERT INTO project_aliases (name, project_id, expires_at) VALUES (:old, :project, :until)"))


async def get(rig: Rig, name: Any, reference: str) -> bytes:
    return (await rig.manifests.get(rig.admin, name, reference)).payload


async def has(rig: Rig, name: Any, reference: str) -> bool:
    try:
        await get(rig, name, reference)
    except (ManifestUnknown, RepositoryUnknown):
        return False
    return True


async def tags(rig: Rig, name: Any) -> list[str]:
    return await rig.tags.list(rig.admin, name, "", 1000)


async def holder(rig: Rig, *roles: tuple[str, Role]) -> Caller:
    """Somebody who holds these roles, by project."""
    scope = []
    for project, role in roles:
        id_ = await project_id(rig, project)
        scope.append(ScopeEntry("project", tuple(sorted(role.permissions)), id_, ()))
    return caller(Principal(7, "robot$ci", kind="robot", scope=tuple(scope)))


async def tree(rig: Rig) -> tuple[bytes, list[bytes]]:
    """An index of two images with a signature on the index, a note on an image, and a note on the note; all of it."""
    _, one = await rig.push_image("team/app", "one", "1")
    _, two = await rig.push_image("team/app", "two", "2")
    await rig.push_blob("team/app", b"{}")
    both = index([child(one), child(two)])
    await rig.push("team/app", "latest", both)
    signature = image(EMPTY, [])
    await rig.push("team/app", digests.of(both).replace(":", "-") + ".sig", signature)
    note = image(EMPTY, [EMPTY], subject=child(one))
    await rig.push("team/app", digests.of(note), note)
    remark = image(EMPTY, [EMPTY, EMPTY], subject=child(note))
    await rig.push("team/app", "remark", remark)
    await rig.push_image("team/app", "unrelated", "3")
    return both, [one, two, both, signature, note, remark]


# copying


@pytest.mark.parametrize("target", [OTHER, ELSEWHERE], ids=["in the project", "into another"])
def test_an_artifact_is_copied_with_its_children_and_what_hangs_on_them(run: Bench, target: Any) -> None:
    async def work(rig: Rig) -> None:
        both, all_of_it = await tree(rig)
        assert await rig.manifests.copy(rig.admin, target, APP, "latest") == digests.of(both)
        for payload in all_of_it:
            assert await get(rig, target, digests.of(payload)) == payload
        assert await tags(rig, target) == sorted(["latest", digests.of(both).replace(":", "-") + ".sig"])
        assert not await has(rig, target, "unrelated")
        for content in (b"config 1", b"layer 1", b"config 2", b"layer 2", b"{}"):
            assert (await rig.blobs.stat(rig.admin, target, digests.of(content))).size == len(content)
        with pytest.raises(BlobUnknown):
            await rig.blobs.stat(rig.admin, target, digests.of(b"layer 3"))
        assert len((await rig.referrers.list(rig.admin, target, digests.of(all_of_it[0]), None, 0)).descriptors) == 1
        await usage(rig, "team")
        await usage(rig, target.project)

    run(work)


def test_a_copy_by_digest_takes_no_tag_along(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, payload = await rig.push_image("team/app", "v1")
        assert await rig.manifests.copy(rig.admin, OTHER, APP, digest) == digest
        assert await get(rig, OTHER, digest) == payload
        assert await tags(rig, OTHER) == []

    run(work)


def test_a_copy_is_a_fact_that_says_where_it_came_from(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, _ = await rig.push_image("team/app", "v1")
        before = len(await rig.events())
        await rig.manifests.copy(rig.admin, ELSEWHERE, APP, "v1")
        events = await rig.events(before)
        pushed = [event for event in events if event["kind"] == "ManifestPushed"]
        assert [(e["repository"], e["digest"], e["copied_from"], e["tags"]) for e in pushed] == [
            ("else/app", digest, "team/app", ["v1"])
        ]
        assert pushed[0]["project_id"] == await project_id(rig, "else")

    run(work)


def test_a_repeated_copy_is_harmless_and_a_tag_follows(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        first, _ = await rig.push_image("team/app", "v1", "1")
        for _ in range(3):
            await rig.manifests.copy(rig.admin, ELSEWHERE, APP, "v1")
        once = await usage(rig, "else")
        second, _ = await rig.push_image("team/app", "v1", "2")
        before = len(await rig.events())
        await rig.manifests.copy(rig.admin, ELSEWHERE, APP, "v1")
        assert (await rig.manifests.get(rig.admin, ELSEWHERE, "v1")).digest == second
        assert await has(rig, ELSEWHERE, first)
        [moved] = [event for event in await rig.events(before) if event["kind"] == "TagMoved"]
        assert (moved["previous"], moved["digest"]) == (first, second)
        assert (await usage(rig, "else")).used > once.used

    run(work)


def test_a_copy_onto_itself_changes_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        both, all_of_it = await tree(rig)
        named, used = await tags(rig, APP), await usage(rig)
        assert await rig.manifests.copy(rig.admin, APP, APP, "latest") == digests.of(both)
        assert await tags(rig, APP) == named
        assert await usage(rig) == used
        for payload in all_of_it:
            assert await has(rig, APP, digests.of(payload))

    run(work)


def test_many_copies_at_once_end_in_one(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        await tree(one)
        await asyncio.gather(
            *((one, two)[n % 2].manifests.copy(one.admin, ELSEWHERE, APP, "latest") for n in range(12))
        )
        assert await usage(one, "else") == await usage(two, "else")
        assert len(await tags(two, ELSEWHERE)) == 2

    run.both(work)


def test_a_copy_that_does_not_fit_is_refused_and_leaves_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await tree(rig)
        await rig.manifests.copy(rig.admin, ELSEWHERE, APP, "latest")
        needed = (await usage(rig, "else")).used
        await rig.repositories.delete(rig.admin, ELSEWHERE)
        assert (await usage(rig, "else")).used == 0
        await limit(rig, "else", needed - 1)
        with pytest.raises(QuotaExceededError):
            await rig.manifests.copy(rig.admin, ELSEWHERE, APP, "latest")
        assert (await usage(rig, "else")).total == 0
        assert not await has(rig, ELSEWHERE, "latest")
        await limit(rig, "else", needed)
        await rig.manifests.copy(rig.admin, ELSEWHERE, APP, "latest")
        assert (await usage(rig, "else")).used == needed

    run(work)


def test_what_is_not_there_cannot_be_copied(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        for reference in ("nosuch", digests.of(b"nosuch")):
            with pytest.raises(ManifestUnknown):
                await rig.manifests.copy(rig.admin, OTHER, APP, reference)
        with pytest.raises(RepositoryUnknown):
            await rig.manifests.copy(rig.admin, OTHER, name_of("team/nosuch"), "v1")
        with pytest.raises(InvalidInput):
            await rig.manifests.copy(rig.admin, OTHER, APP, "not a tag")
        assert (await rig.repositories.find(OTHER)).repository_id is None

    run(work)


def test_a_copy_takes_the_right_to_pull_there_and_to_push_here(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        await rig.make_project("else", is_public=False)
        for roles, allowed in (
            ([], False),
            ([("team", GUEST)], False),
            ([("else", PROJECT_ADMIN)], False),
            ([("team", GUEST), ("else", GUEST)], False),
            ([("team", GUEST), ("else", PROJECT_ADMIN)], True),
        ):
            who = await holder(rig, *roles)
            if allowed:
                await rig.manifests.copy(who, ELSEWHERE, APP, "v1")
                assert await has(rig, ELSEWHERE, "v1")
            else:
                with pytest.raises(Denied):
                    await rig.manifests.copy(who, ELSEWHERE, APP, "v1")
                assert not await has(rig, ELSEWHERE, "v1")

    run(work)


def test_nested_indexes_are_copied_children_first(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, one = await rig.push_image("team/app", "one")
        inner = index([child(one)])
        await rig.push("team/app", "inner", inner)
        outer = index([child(inner, OCI_INDEX), child(one)])
        await rig.push("team/app", "outer", outer)
        await rig.manifests.copy(rig.admin, ELSEWHERE, APP, "outer")
        assert await get(rig, ELSEWHERE, digests.of(inner)) == inner
        assert await tags(rig, ELSEWHERE) == ["outer"]

    run(work)


def test_a_cache_whose_index_lists_layers_is_copied_with_them(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_blob("team/app", b"layer")
        listing = index([descriptor(b"layer")])
        await rig.push("team/app", "cache", listing)
        await rig.manifests.copy(rig.admin, ELSEWHERE, APP, "cache")
        assert (await rig.blobs.stat(rig.admin, ELSEWHERE, digests.of(b"layer"))).size == 5
        await usage(rig, "else")

    run(work)


# tags


def test_a_tag_can_be_given_to_what_is_there_once(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, _ = await rig.push_image("team/app", "v1")
        before = len(await rig.events())
        await rig.tags.create(rig.admin, APP, digest, "stable")
        await rig.tags.create(rig.admin, APP, "v1", "latest")
        assert await tags(rig, APP) == ["latest", "stable", "v1"]
        events = await rig.events(before)
        assert [(e["kind"], e["tag"], e["digest"]) for e in events] == [
            ("TagCreated", "stable", digest),
            ("TagCreated", "latest", digest),
        ]
        for reference in (digest, "v1"):
            with pytest.raises(Conflict, match="stable"):
                await rig.tags.create(rig.admin, APP, reference, "stable")
        with pytest.raises(ManifestUnknown):
            await rig.tags.create(rig.admin, APP, "nosuch", "new")
        with pytest.raises(RepositoryUnknown):
            await rig.tags.create(rig.admin, OTHER, "v1", "new")
        with pytest.raises(InvalidInput):
            await rig.tags.create(rig.admin, APP, "v1", "not a tag")

    run(work)


def test_a_tag_takes_the_right_to_create_it(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        with pytest.raises(Denied):
            await rig.tags.create(await holder(rig, ("team", GUEST)), APP, "v1", "new")
        await rig.tags.create(await holder(rig, ("team", PROJECT_ADMIN)), APP, "v1", "new")
        assert await tags(rig, APP) == ["new", "v1"]

    run(work)


def test_the_same_tag_created_twice_at_once_is_created_once(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        await one.push_image("team/app", "v1", "1")
        await one.push_image("team/app", "v2", "2")
        results = await asyncio.gather(
            *((one, two)[n % 2].tags.create(one.admin, APP, f"v{n % 2 + 1}", "new") for n in range(8)),
            return_exceptions=True,
        )
        assert sum(result is None for result in results) == 1
        assert sum(isinstance(result, Conflict) for result in results) == 7

    run.both(work)


# repositories


def test_a_repository_can_be_described(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        row = await rig.database.one(_DESCRIPTION, path="app")
        assert row is not None
        assert row[0] == ""
        before = len(await rig.events())
        await rig.repositories.describe(rig.admin, APP, "# What *it* is")
        described = await rig.database.one(_DESCRIPTION, path="app")
        assert described is not None
        assert described[0] == "# What *it* is"
        assert described[1] > row[1]
        [event] = await rig.events(before)
        assert (event["kind"], event["repository"], event["description"]) == (
            "RepositoryUpdated",
            "team/app",
            "# What *it* is",
        )
        with pytest.raises(RepositoryUnknown):
            await rig.repositories.describe(rig.admin, OTHER, "x")
        with pytest.raises(Denied):
            await rig.repositories.describe(await holder(rig, ("team", GUEST)), APP, "x")

    run(work)


def test_a_deleted_repository_is_gone_with_all_that_it_held(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        both, _ = await tree(one)
        await two.manifests.get(two.admin, APP, "latest")
        await limit(one, "team", 10_000_000)
        session = await one.uploads.start(one.admin, APP)
        await one.uploads.append(one.admin, APP, session, body(b"x" * 1000), None)
        await one.push_blob("team/app", b"not named")
        assert (await usage(one)).reserved >= 1000
        before = len(await one.events())
        await one.repositories.delete(one.admin, APP)
        assert await one.kinds(before) == ["RepositoryDeleted"]
        for rig in (one, two):
            assert (await usage(rig)).total == 0
            with pytest.raises(RepositoryUnknown):
                await rig.manifests.get(rig.admin, APP, "latest")
            with pytest.raises(RepositoryUnknown):
                await rig.blobs.stat(rig.admin, APP, digests.of(b"layer 1"))
            with pytest.raises(UploadUnknown):
                await rig.uploads.append(rig.admin, APP, session, body(b"x"), None)
            with pytest.raises(RepositoryUnknown):
                await rig.repositories.delete(rig.admin, APP)
            assert await rig.repositories.catalog(rig.admin, "", 10) == []
        await one.push_image("team/app", "v1", "again")
        assert await has(two, APP, "v1")
        assert not await has(two, APP, digests.of(both))

    run.both(work)


def test_an_upload_that_outlives_its_repository_stores_nothing_there(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await limit(rig, "team", 10_000_000)
        session = await rig.uploads.start(rig.admin, APP)
        await rig.uploads.append(rig.admin, APP, session, body(b"first"), None)
        await rig.repositories.delete(rig.admin, APP)
        await rig.push_image("team/app", "v1")
        with pytest.raises(UploadUnknown):
            await rig.uploads.finish(rig.admin, APP, session, digests.of(b"first"), body(), None)
        await usage(rig)

    run(work)


def test_deleting_while_others_push_leaves_the_ledger_true(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        async def pushes(rig: Rig, number: int) -> None:
            for again in range(4):
                await rig.push_image("team/app", f"v{number}", f"{number} {again % 2}")

        async def deletes(rig: Rig) -> None:
            for _ in range(6):
                await asyncio.sleep(0.01)
                await rig.repositories.delete(rig.admin, APP)

        await one.push_image("team/app", "v0")
        results = await asyncio.gather(
            *(pushes((one, two)[n % 2], n) for n in range(6)), deletes(one), deletes(two), return_exceptions=True
        )
        assert all(result is None or isinstance(result, EntrepotError) for result in results), results
        await usage(one)
        with contextlib.suppress(RepositoryUnknown):
            await one.repositories.delete(one.admin, APP)
        assert (await usage(two)).used == 0

    run.both(work)


def test_deleting_a_repository_takes_the_right_to(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        with pytest.raises(Denied):
            await rig.repositories.delete(await holder(rig, ("team", GUEST)), APP)
        await rig.repositories.delete(await holder(rig, ("team", PROJECT_ADMIN)), APP)
        assert not await has(rig, APP, "v1")

    run(work)


# former names


async def rename(rig: Rig, old: str, new: str, seconds: float) -> None:
    """As renaming a project does, whose former name leads to it for ``seconds``."""
    project = await project_id(rig, old)
    until = clock.now_us() + int(seconds * 1_000_000)

    async def work(tx: Any) -> None:
        await tx.run(_RENAME, project=project, new_name=new)
        await tx.run(_ALIAS, old=old, project=project, until=until)

    await rig.database.write(work)


def test_a_project_is_served_under_its_former_name_until_that_ends(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        digest, payload = await one.push_image("team/app", "v1")
        await get(two, APP, "v1")
        await rename(one, "team", "crew", 0.6)
        new = name_of("crew/app")
        for rig in (one, two):
            assert await get(rig, APP, "v1") == await get(rig, new, digest) == payload
            assert (await rig.blobs.stat(rig.admin, APP, digests.of(b"layer "))).size == 6
            assert await rig.repositories.catalog(rig.admin, "", 10) == ["crew/app"]
        await one.push_image("team/app", "v2", "2")
        assert await has(two, new, "v2")
        await asyncio.sleep(0.7)
        for rig in (one, two):
            assert not await has(rig, APP, "v1")
            with pytest.raises(RepositoryUnknown):
                await rig.repositories.enter_existing(rig.admin, PULL, APP)
            assert await has(rig, new, "v1")

    run.both(work)


def test_a_former_name_is_free_again_once_it_has_ended(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        await rename(rig, "team", "crew", 0.3)
        with pytest.raises(Conflict, match="crew"):
            await rig.make_project("team", is_public=False)
        assert await has(rig, APP, "v1")
        await asyncio.sleep(0.4)
        await rig.make_project("team", is_public=False)
        assert not await has(rig, APP, "v1")
        assert await has(rig, name_of("crew/app"), "v1")

    run(work)


def test_rights_are_judged_on_the_project_whatever_it_is_called(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        who = await holder(rig, ("team", GUEST))
        await rename(rig, "team", "crew", 3600)
        assert (await rig.manifests.get(who, APP, "v1")).payload
        with pytest.raises(Denied):
            await rig.push("team/app", "v9", index([]), as_=who)

    run(work)
