"""Projects: made once, found by name, open or closed."""

from __future__ import annotations

import asyncio

import pytest

from entrepot.database import Transaction
from entrepot.errors import Conflict, InvalidInput, NotFound
from entrepot.journal.model import SYSTEM, Origin
from entrepot.projects import service, store
from tests.integration.rig import Bench, Rig

JANE = Origin("jane", "192.0.2.1", "curl", "r-7")


def test_a_project_is_made_once_and_the_journal_knows_by_whom(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await service.create(rig.database, JANE, "team", is_public=True)
        found = await store.find(rig.database, "team")
        assert found is not None
        assert found.is_public
        with pytest.raises(Conflict, match="team"):
            await service.create(rig.database, JANE, "team", is_public=False)
        assert await rig.events() == [
            {
                "kind": "ProjectCreated",
                "principal": "jane",
                "project": "team",
                "project_id": found.id,
                "is_public": True,
            }
        ]
        assert await store.find(rig.database, "team") == found

    run(work)


@pytest.mark.parametrize("name", ["", "A", "a/b", "a b", "-a", "a" * 256, "..", "a\n"])
def test_a_name_outside_the_grammar_is_refused_and_leaves_no_trace(run: Bench, name: str) -> None:
    async def work(rig: Rig) -> None:
        with pytest.raises(InvalidInput) as refused:
            await service.create(rig.database, SYSTEM, name, is_public=False)
        assert refused.value.error_code == "NAME_INVALID"
        assert await rig.events() == []

    run(work)


def test_a_project_made_by_many_at_once_is_made_by_one(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        results = await asyncio.gather(
            *(service.create((one, two)[n % 2].database, SYSTEM, "team", is_public=False) for n in range(20)),
            return_exceptions=True,
        )
        assert sum(result is None for result in results) == 1
        assert sum(isinstance(result, Conflict) for result in results) == 19
        assert await one.kinds() == ["ProjectCreated"]

    run.both(work)


def test_visibility_changes_and_the_journal_says_so(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await service.create(rig.database, SYSTEM, "team", is_public=False)
        await service.set_public(rig.database, JANE, "team", is_public=True)
        found = await store.find(rig.database, "team")
        assert found is not None
        assert found.is_public
        assert (await rig.events(1)) == [
            {
                "kind": "ProjectUpdated",
                "principal": "jane",
                "project": "team",
                "project_id": found.id,
                "changes": {"public": "true"},
            }
        ]
        with pytest.raises(NotFound, match="nosuch"):
            await service.set_public(rig.database, JANE, "nosuch", is_public=True)
        assert len(await rig.events()) == 2

    run(work)


def test_ensuring_makes_a_private_project_once(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        async def body(tx: Transaction) -> tuple[int, int]:
            first = await service.ensure(tx, JANE, "team")
            second = await service.ensure(tx, JANE, "team")
            assert not first.is_public
            return first.id, second.id

        first, second = await rig.database.write(body)
        assert first == second
        assert await rig.kinds() == ["ProjectCreated"]

    run(work)


def test_ensuring_in_a_write_that_fails_makes_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        async def body(tx: Transaction) -> None:
            await service.ensure(tx, JANE, "team")
            raise Conflict("something else was wrong")

        with pytest.raises(Conflict, match="something else"):
            await rig.database.write(body)
        assert await store.find(rig.database, "team") is None
        assert await rig.events() == []

    run(work)


def test_projects_are_listed_by_name(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        for name in ("b", "a-b", "a", "a.b", "0"):
            await service.create(rig.database, SYSTEM, name, is_public=False)
        assert [project.name for project in await store.list_all(rig.database)] == [
            "0",
            "a",
            "a-b",
            "a.b",
            "b",
            "library",
        ]

    run(work)
