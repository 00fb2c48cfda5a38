"""Pulls: one record each, counted and timed, written soon and once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import bindparam, select

from entrepot.auth.model import Caller, Principal
from entrepot.database import Transaction, query
from entrepot.errors import StorageFull
from entrepot.journal.store import journal
from entrepot.registry import pulls
from entrepot.registry.errors import ManifestUnknown
from entrepot.registry.tables import manifests, repositories
from tests.integration.rig import Bench, Rig, child, index, name_of

APP = name_of("team/app")
JANE = Caller(
    principal=Principal(1, "jane", is_admin=True),
    client_address="198.51.100.7",
    user_agent="skopeo/1",
    request_id="r-9",
)

_RECORDS = query(select(journal).where(journal.c.kind == bindparam("kind")).order_by(journal.c.id))
_COUNTS = query(select(repositories.c.path, repositories.c.pull_count))
_TIMES = query(select(manifests.c.pulled_at).order_by(manifests.c.id))


async def records(rig: Rig, kind: str = "ManifestPulled") -> list[dict[str, Any]]:
    names = [column.name for column in journal.columns]
    return [dict(zip(names, row, strict=True)) for row in await rig.database.all(_RECORDS, kind=kind)]


async def count(rig: Rig, path: str = "app") -> int:
    return int({row[0]: row[1] for row in await rig.database.all(_COUNTS)}[path])


async def times(rig: Rig) -> list[int | None]:
    return [row[0] for row in await rig.database.all(_TIMES)]


async def pull(rig: Rig, reference: str = "v1", caller: Caller = JANE) -> None:
    await rig.manifests.get(caller, APP, reference, is_pull=True)


def test_a_pull_is_one_record_with_who_from_where_and_by_which_reference(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, _ = await rig.push_image("team/app", "v1")
        project = (await rig.repositories.find(APP)).project
        assert project is not None
        before = time.time_ns() // 1000
        await pull(rig)
        await pull(rig, digest, rig.admin)
        await rig.app.pulls.flush()
        first, second = await records(rig)
        assert (first["principal"], first["client_address"], first["user_agent"], first["request_id"]) == (
            "jane",
            "198.51.100.7",
            "skopeo/1",
            "r-9",
        )
        assert (first["operation"], first["resource_type"], first["resource"]) == ("pull", "artifact", "team/app:v1")
        assert (first["project_id"], first["is_refused"]) == (project.id, 0)
        assert before <= first["occurred_at"] <= second["occurred_at"] <= time.time_ns() // 1000
        assert (second["principal"], second["resource"]) == ("admin", f"team/app@{digest}")

    run(work)


def test_what_many_pulls_have_in_common_does_not_mix_what_they_have_not(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1", "1")
        await rig.push_image("team/app", "v2", "2")
        made = [(f"user-{n % 3}", f"192.0.2.{n}", f"agent {n % 5}", f"r-{n}", ("v1", "v2")[n % 2]) for n in range(60)]
        for name, address, agent, request, tag in made:
            principal = Principal(1, name, is_admin=True)
            await pull(
                rig,
                tag,
                Caller(principal=principal, client_address=address, user_agent=agent, request_id=request),
            )
        await rig.app.pulls.flush()
        assert [
            (r["principal"], r["client_address"], r["user_agent"], r["request_id"], r["resource"].partition(":")[2])
            for r in await records(rig)
        ] == made

    run(work)


def test_a_pull_is_written_within_a_second_without_anybody_asking(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        await pull(rig)
        assert await records(rig) == []
        await asyncio.sleep(1.0)
        assert len(await records(rig)) == 1
        await pull(rig)
        await asyncio.sleep(1.0)
        assert len(await records(rig)) == 2

    run(work)


def test_counts_and_times_are_kept(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1", "1")
        await rig.push_image("team/app", "v2", "2")
        await rig.push_image("team/other", "v1", "3")
        before = time.time_ns() // 1000
        for _ in range(3):
            await pull(rig)
        await rig.app.pulls.flush()
        await pull(rig)
        await rig.app.pulls.flush()
        assert (await count(rig), await count(rig, "other")) == (4, 0)
        first, second, third = await times(rig)
        assert first is not None
        assert before <= first <= time.time_ns() // 1000
        assert (second, third) == (None, None)

    run(work)


def test_two_processes_count_together(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        await one.push_image("team/app", "v1")
        for _ in range(50):
            await pull(one)
            await pull(two)
        await asyncio.gather(one.app.pulls.flush(), two.app.pulls.flush())
        assert await count(one) == 100
        assert len(await records(two)) == 100

    run.both(work)


def test_only_what_was_got_and_only_manifests_are_pulls(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        digest, payload = await rig.push_image("team/app", "v1")
        await rig.manifests.get(JANE, APP, "v1")
        await rig.push("team/app", "all", index([child(payload)]))
        await rig.push_blob("team/app", b"content")
        blob = (await rig.manifests.get(JANE, APP, digest)).payload
        assert blob == payload
        with pytest.raises(ManifestUnknown):
            await pull(rig, "nosuch")
        await rig.app.pulls.flush()
        assert await records(rig) == []
        assert await count(rig) == 0

    run(work)


@pytest.mark.parametrize("setting", ["pull_audit_log_disable", "pull_count_update_disable", "pull_time_update_disable"])
def test_each_part_can_be_switched_off(run: Bench, setting: str) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        await rig.app.settings.update(JANE.origin, {setting: True})
        await pull(rig)
        await rig.app.pulls.flush()
        assert len(await records(rig)) == (setting != "pull_audit_log_disable")
        assert await count(rig) == (setting != "pull_count_update_disable")
        assert (await times(rig) != [None]) == (setting != "pull_time_update_disable")
        await rig.app.settings.update(JANE.origin, {setting: False})
        await pull(rig)
        await rig.app.pulls.flush()
        assert len(await records(rig)) == 1 + (setting != "pull_audit_log_disable")

    run(work)


def test_what_overflows_is_counted_and_the_count_is_recorded(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        for _ in range(pulls._MOST_PENDING + 25):
            await pull(rig)
        await rig.app.pulls.flush()
        assert len(await records(rig)) == pulls._MOST_PENDING
        [lost] = await records(rig, "PullsLost")
        assert (lost["operation"], lost["principal"]) == ("pull", "system")
        assert b"25" in lost["body"]
        await pull(rig)
        await rig.app.pulls.flush()
        assert len(await records(rig)) == pulls._MOST_PENDING + 1
        assert len(await records(rig, "PullsLost")) == 1

    run(work)


async def let_grow(rig: Rig, pages: int) -> None:
    """How far the database may grow where no fsync is waited for, as pulls are written; to SQLite 0 is a full disk."""

    async def work(tx: Transaction) -> None:
        now = tx._connection.execute("PRAGMA page_count").fetchone()[0]
        tx._connection.execute(f"PRAGMA max_page_count={now + pages}")

    await rig.database.write(work, durable=False)


def test_what_could_not_be_written_is_written_later_and_once(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        await let_grow(rig, 0)
        for _ in range(1200):
            await pull(rig)
        with pytest.raises(StorageFull):
            await rig.app.pulls.flush()
        written = len(await records(rig))
        assert written < 1200
        await let_grow(rig, 100_000)
        for _ in range(5):
            await pull(rig)
        await rig.app.pulls.flush()
        assert len(await records(rig)) == await count(rig) == 1205

    run(work)


def test_a_flush_that_failed_by_itself_is_tried_again_with_the_next_pull(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        await let_grow(rig, 0)
        for _ in range(600):
            await pull(rig)
        await asyncio.sleep(0.9)
        assert len(await records(rig)) < 600
        await let_grow(rig, 100_000)
        await pull(rig)
        await asyncio.sleep(0.9)
        assert len(await records(rig)) == await count(rig) == 601

    run(work)


def test_two_flushes_at_once_write_nothing_twice(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        for _ in range(1500):
            await pull(rig)
        await asyncio.gather(*(rig.app.pulls.flush() for _ in range(4)), pull(rig))
        await rig.app.pulls.flush()
        assert len(await records(rig)) == await count(rig) == 1501

    run(work)


def test_the_pull_of_what_is_deleted_meanwhile_is_recorded_all_the_same(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "v1")
        await pull(rig)
        await rig.repositories.delete(rig.admin, APP)
        await rig.app.pulls.flush()
        assert [r["resource"] for r in await records(rig)] == ["team/app:v1"]

    run(work)
