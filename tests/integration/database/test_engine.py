"""Transactions: many with one commit, each for itself."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import bindparam, delete, func, insert, literal_column, select

from entrepot.database import Database, Transaction, query
from entrepot.errors import Conflict, NotFound, StorageFull, Unavailable
from entrepot.projects.tables import projects
from tests.integration.rig import Bench, Rig

ADD = query(
    insert(projects).values(
        name=bindparam("name"), is_public=bindparam("is_public"), created_at=bindparam("created_at")
    )
)
# "library" is there from the first start on.
MADE = projects.c.name != literal_column("'library'")
NAMES = query(select(projects.c.name).where(MADE).order_by(projects.c.name))
COUNT = query(select(func.count()).select_from(projects).where(MADE))
CLEAR = query(delete(projects))

Body = Callable[[Transaction], Awaitable[None]]


async def add(tx: Transaction, name: str) -> None:
    await tx.run(ADD, name=name, is_public=0, created_at=0)


def adding(name: str) -> Body:
    return lambda tx: add(tx, name)


def adding_then_failing(name: str, error: Exception) -> Body:
    async def work(tx: Transaction) -> None:
        await add(tx, name)
        raise error

    return work


async def names(database: Database) -> list[str]:
    return [row[0] for row in await database.all(NAMES)]


def test_many_writes_at_once_are_all_there_afterwards_and_after_opening_again(run: Bench) -> None:
    expected = sorted(f"p{number}" for number in range(500))

    async def work(rig: Rig) -> None:
        await asyncio.gather(*(rig.database.write(adding(name)) for name in expected))
        assert await names(rig.database) == expected

    run(work)

    async def later(rig: Rig) -> None:
        assert await names(rig.database) == expected

    run(later)


def test_a_write_is_seen_by_another_connection_once_it_returned(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        for number in range(20):
            await (one if number % 2 else two).database.write(adding(f"p{number:02}"))
            assert await names(one.database) == await names(two.database)
            assert len(await names(one.database)) == number + 1

    run.both(work)


def test_a_write_returns_what_its_work_returned(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        async def body(tx: Transaction) -> int:
            await add(tx, "a")
            row = await tx.one(COUNT)
            return int(row[0]) if row else 0

        assert await rig.database.write(body) == 1

    run(work)


def test_a_failing_write_rolls_back_alone_and_its_error_reaches_its_caller(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        jobs: list[Body] = []
        for number in range(40):
            jobs.append(adding(f"good-{number}"))
            jobs.append(adding_then_failing(f"bad-{number}", NotFound(f"number {number}")))
        results = await asyncio.gather(*(rig.database.write(job) for job in jobs), return_exceptions=True)
        assert all(result is None for result in results[::2])
        assert [str(result) for result in results[1::2]] == [f"number {number}" for number in range(40)]
        assert sorted(await names(rig.database)) == sorted(f"good-{number}" for number in range(40))

    run(work)


def test_a_broken_constraint_fails_its_own_write_only(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        results = await asyncio.gather(
            *(rig.database.write(adding(name)) for name in ("a", "a", "b")), return_exceptions=True
        )
        assert results[0] is None
        assert isinstance(results[1], sqlite3.IntegrityError)
        assert results[2] is None
        assert await names(rig.database) == ["a", "b"]

    run(work)


def test_work_that_awaits_something_else_is_refused_and_rolled_back(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        async def dawdles(tx: Transaction) -> None:
            await add(tx, "dawdler")
            await asyncio.sleep(0)

        async def asks_elsewhere(tx: Transaction) -> None:
            await add(tx, "asker")
            await asyncio.get_running_loop().run_in_executor(None, int)

        results = await asyncio.gather(
            rig.database.write(dawdles),
            rig.database.write(asks_elsewhere),
            rig.database.write(adding("a")),
            return_exceptions=True,
        )
        assert isinstance(results[0], RuntimeError)
        assert isinstance(results[1], RuntimeError)
        assert results[2] is None
        assert await names(rig.database) == ["a"]

    run(work)


def test_a_caller_who_gives_up_does_not_disturb_the_others(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        tasks = [asyncio.ensure_future(rig.database.write(adding(f"p{number:02}"))) for number in range(30)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        kept = [f"p{number:02}" for number, result in enumerate(results) if result is None]
        assert len(kept) >= 20
        await rig.database.write(adding("z"))
        assert set(kept) | {"z"} <= set(await names(rig.database))

    run(work)


def test_a_half_done_write_is_never_seen(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        async def replace(tx: Transaction) -> None:
            await tx.run(CLEAR)
            for name in ("a", "b", "c"):
                await add(tx, name)

        await one.database.write(replace)
        writing = asyncio.gather(*(one.database.write(replace) for _ in range(100)))
        while not writing.done():
            for rig in (one, two):
                assert await names(rig.database) == ["a", "b", "c"]
            await asyncio.sleep(0)
        await writing

    run.both(work)


def test_the_version_moves_with_every_write_of_this_database_and_stays_otherwise(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        seen = {rig.database.version()}
        for number in range(200):
            await rig.database.write(adding(f"p{number}"))
            assert rig.database.version() not in seen
            seen.add(rig.database.version())
        before = rig.database.version()
        await names(rig.database)
        assert rig.database.version() == before

    run(work)


def test_the_version_moves_with_every_write_of_another_database_on_the_file(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        seen = {one.database.version()}
        for number in range(100):
            await two.database.write(adding(f"p{number}"))
            assert one.database.version() not in seen
            seen.add(one.database.version())

    run.both(work)


def test_the_version_moves_with_a_commit_of_another_process(run: Bench) -> None:
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute(\"INSERT INTO projects (name, is_public, created_at) VALUES ('there', 0, 0)\"); c.close()"
    )

    async def work(rig: Rig) -> None:
        before = rig.database.version()
        await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", program, str(run.database_file)], check=True, timeout=30
        )
        assert rig.database.version() != before
        assert await names(rig.database) == ["there"]

    run(work)


def test_an_open_database_keeps_its_locks_on_the_shared_index(run: Bench) -> None:
    """SQLite's rule: a process that finds byte 128 of the -shm file unlocked takes itself for the first and truncates
    the index, under the feet of those that use it: lost commits, or SIGBUS. Closing any descriptor of that file in a
    process drops the locks of the whole process (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    program = (
        "import fcntl, os, sys\n"
        "fd = os.open(sys.argv[1] + '-shm', os.O_RDWR)\n"
        "try: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 128)\n"
        "except BlockingIOError: sys.exit(0)\n"
        "sys.exit('nobody holds the lock')\n"
    )

    async def work(rig: Rig) -> None:
        await rig.database.write(adding("a"))
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", program, str(run.database_file)],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.stderr.strip() == ""

    run(work)


def locks() -> list[str]:
    return Path("/proc/locks").read_text("ascii").splitlines()


def test_closing_one_database_leaves_the_locks_of_another_in_the_process(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        async def nothing(_: Rig) -> None:
            return

        await run.using(nothing)
        inode = run.database_file.with_name("entrepot.db-shm").stat().st_ino
        held = [line for line in locks() if f":{inode} " in line and " POSIX " in line]
        assert held

    run(work)


def full(database: Database, pages: int) -> Awaitable[None]:
    """Let the database grow by ``pages`` at most: to SQLite that is a full disk."""

    async def work(tx: Transaction) -> None:
        connection = tx._connection
        now = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={now + pages}")

    return database.write(work)


def test_a_full_disk_is_storage_full_and_the_database_works_once_there_is_room(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.database.write(adding("before"))
        await full(rig.database, 1)
        results = await asyncio.gather(
            *(rig.database.write(adding(f"{number}-" + "x" * 3000)) for number in range(10)), return_exceptions=True
        )
        refused = [result for result in results if result is not None]
        assert refused
        assert all(isinstance(result, StorageFull) for result in refused)
        stored = [f"{n}-" + "x" * 3000 for n, result in enumerate(results) if result is None]
        assert sorted(await names(rig.database)) == sorted(["before", *stored])
        await full(rig.database, 10_000)
        await rig.database.write(adding("after"))
        assert {"before", "after"} <= set(await names(rig.database))
        await rig.database.probe()

    run(work)


def test_a_closed_database_says_so(run: Bench) -> None:
    async def keep(rig: Rig) -> Database:
        return rig.database

    database = run(keep)

    async def after() -> None:
        with pytest.raises(Unavailable):
            await names(database)
        with pytest.raises(Unavailable):
            await database.write(adding("a"))
        with pytest.raises(Unavailable):
            database.version()
        await database.close()

    asyncio.run(after())


def test_closing_finishes_what_was_queued(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        writing = asyncio.gather(*(rig.database.write(adding(f"p{number}")) for number in range(200)))
        await asyncio.sleep(0)
        await rig.database.close()
        await writing

    run(work)

    async def later(rig: Rig) -> None:
        assert len(await names(rig.database)) == 200

    run(later)


def test_a_probe_leaves_no_trace(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await asyncio.gather(*(rig.database.probe() for _ in range(10)))
        assert await names(rig.database) == []

    run(work)


def test_a_refusal_inside_a_write_keeps_its_kind(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        with pytest.raises(Conflict, match="taken"):
            await rig.database.write(adding_then_failing("a", Conflict("taken")))

    run(work)
