"""What one process only may do is done by one, whoever comes and goes."""

from __future__ import annotations

import asyncio
import os

from entrepot.app import Periodic
from entrepot.serve.chores import Chores, new_turn

SHORT = 0.01


async def nothing() -> None:
    return


def test_the_turn_goes_over_once_what_was_begun_is_done() -> None:
    async def run() -> None:
        turn, doing, done = new_turn(), asyncio.Event(), asyncio.Event()
        at_work: list[str] = []

        async def long() -> None:
            doing.set()
            at_work.append("former")
            await done.wait()
            at_work.remove("former")

        async def next_one() -> None:
            assert at_work == []

        former = Chores([Periodic("long", SHORT, long)], turn)
        later = Chores([Periodic("next", SHORT, next_one)], turn)
        former.start()
        await doing.wait()
        later.start()
        former.leave()
        await asyncio.sleep(0.7)
        assert at_work == ["former"], "it is still at it"
        done.set()
        await asyncio.sleep(0.7)
        reached = later._had_turn
        assert reached is not None
        assert not reached.done()
        await former.end()
        await later.end()
        os.close(turn)

    asyncio.run(run())


def test_two_at_a_time_never_have_the_turn() -> None:
    async def run() -> None:
        turn = new_turn()
        counts = {"a": 0, "b": 0}

        def chores(name: str) -> Chores:
            async def count() -> None:
                counts[name] += 1

            return Chores([Periodic(name, SHORT, count)], turn)

        first, second = chores("a"), chores("b")
        first.start()
        second.start()
        await asyncio.sleep(0.3)
        assert min(counts.values()) == 0
        assert max(counts.values()) > 5
        first.leave()
        await asyncio.sleep(1.2)
        assert counts["a"] > 0
        assert counts["b"] > 0
        await first.end()
        await second.end()
        os.close(turn)

    asyncio.run(run())


def test_what_every_worker_does_goes_on_while_it_leaves_and_once_more_at_the_end() -> None:
    async def run() -> None:
        done = [0]

        async def count() -> None:
            done[0] += 1

        chores = Chores([Periodic("count", SHORT, count, everywhere=True), Periodic("alone", SHORT, nothing)], None)
        chores.start()
        chores.leave()
        await asyncio.sleep(0.1)
        before = done[0]
        assert before > 2
        await chores.end()
        assert done[0] == before + 1

    asyncio.run(run())


def test_a_task_that_fails_is_tried_again() -> None:
    async def run() -> None:
        tries = [0]

        async def fail() -> None:
            tries[0] += 1
            raise OSError("disk")

        chores = Chores([Periodic("fail", SHORT, fail, everywhere=True)], None)
        chores.start()
        async with asyncio.timeout(10):
            while tries[0] < 2:  # noqa: ASYNC110 - nothing else is to be waited for
                await asyncio.sleep(0.01)
        await chores.end()

    asyncio.run(run())
