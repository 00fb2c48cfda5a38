"""A cache that is never stale, whoever writes."""

from __future__ import annotations

import asyncio
import random

from sqlalchemy import bindparam, select

from entrepot.database import Database, Transaction, query, upsert
from entrepot.database.cache import VersionedCache
from entrepot.projects.tables import projects
from tests.integration.rig import Bench, Rig

SET = upsert(
    lambda insert: (
        insert(projects)
        .values(name=bindparam("name"), is_public=bindparam("is_public"), created_at=bindparam("created_at"))
        .on_conflict_do_update(index_elements=[projects.c.name], set_={"created_at": bindparam("created_at")})
    )
)
GET = query(select(projects.c.created_at).where(projects.c.name == bindparam("name")))


async def put(database: Database, name: str, value: int) -> None:
    async def work(tx: Transaction) -> None:
        await tx.run(SET, name=name, is_public=0, created_at=value)

    await database.write(work)


class Reader:
    """Reads through a cache, as verbs do."""

    def __init__(self, database: Database, capacity: int = 100) -> None:
        self.database = database
        self.cache: VersionedCache[int] = VersionedCache(database, capacity)
        self.queries = 0

    async def get(self, name: str) -> int | None:
        value, version = self.cache.lookup(name)
        if value is None:
            self.queries += 1
            row = await self.database.one(GET, name=name)
            if row is None:
                return None
            value = int(row[0])
            self.cache.fill(name, value, version)
        return value


def test_what_was_read_once_is_not_asked_again_until_somebody_commits(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await put(rig.database, "a", 1)
        reader = Reader(rig.database)
        for _ in range(5):
            assert await reader.get("a") == 1
        assert reader.queries == 1
        await put(rig.database, "b", 2)
        assert await reader.get("a") == 1
        assert reader.queries == 2

    run(work)


def test_two_databases_on_one_file_never_read_what_has_been_replaced(run: Bench) -> None:
    chance = random.Random(7)

    async def work(one: Rig, two: Rig) -> None:
        readers = [Reader(one.database), Reader(two.database)]
        truth: dict[str, int] = {}
        for step in range(600):
            name = chance.choice("abc")
            if chance.random() < 0.3:
                await put(chance.choice((one, two)).database, name, step)
                truth[name] = step
            assert await chance.choice(readers).get(name) == truth.get(name)
        assert all(reader.queries < 600 for reader in readers)

    run.both(work)


def test_a_read_begun_after_a_write_returned_sees_it_even_while_others_write(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        written = 0
        readers = [Reader(one.database), Reader(two.database)]

        async def write() -> None:
            nonlocal written
            for value in range(1, 150):
                await put((one, two)[value % 2].database, "a", value)
                written = value

        async def read(reader: Reader) -> None:
            while written < 149:
                at_least = written
                assert (await reader.get("a") or 0) >= at_least
                await asyncio.sleep(0)

        await asyncio.gather(write(), *(read(reader) for reader in readers))

    run.both(work)


def test_a_value_read_before_a_commit_is_not_kept_after_it(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        await put(one.database, "a", 1)
        cache: VersionedCache[int] = VersionedCache(one.database, 10)
        _, version = cache.lookup("a")
        await put(two.database, "a", 2)
        cache.lookup("other")
        cache.fill("a", 1, version)
        assert cache.lookup("a")[0] is None

    run.both(work)


def test_the_weights_of_what_is_kept_stay_within_the_capacity(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        cache: VersionedCache[str] = VersionedCache(rig.database, 10)
        _, version = cache.lookup("a")
        cache.fill("huge", "x", version, 11)
        assert cache.lookup("huge")[0] is None
        for number in range(100):
            cache.fill(number, "x", version, 3)
            assert cache.lookup(number)[0] == "x"
        assert sum(cache.lookup(number)[0] is not None for number in range(100)) <= 3

    run(work)
