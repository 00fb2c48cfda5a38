"""What a worker does by itself, again and again: some of it in every worker, the rest in one process only."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Sequence

import structlog

from entrepot.app import Periodic

log = structlog.get_logger()

_TRY_AGAIN = 0.5
"""Seconds between two looks whether the former holder of the turn has gone."""


def new_turn() -> int:
    """What the processes that are forked from now on take turns with: the descriptor of a file in memory."""
    return os.memfd_create("entrepot-turn")


class Chores:
    """The periodic tasks of one worker.

    Those of one process only are begun once their turn has come: the worker that had it before has stopped them or is
    dead, which the kernel knows best (flock(2)).
    """

    def __init__(self, tasks: Sequence[Periodic], turn: int | None) -> None:
        """Take ``tasks``; ``turn`` is what ``new_turn`` made, in the worker that may have the turn."""
        self._everywhere = [task for task in tasks if task.everywhere]
        self._alone = [task for task in tasks if not task.everywhere]
        self._turn = turn
        self._leaving = asyncio.Event()
        self._running: list[asyncio.Future[None]] = []
        self._had_turn: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Begin; each task is first done after its period."""
        self._running = [asyncio.ensure_future(_repeat(task, None)) for task in self._everywhere]
        if self._turn is not None:
            self._had_turn = asyncio.ensure_future(self._in_turn(self._turn))

    def leave(self) -> None:
        """Give the turn to another worker, as soon as what is being done is done."""
        self._leaving.set()

    async def end(self) -> None:
        """Stop everything, and do once more what every worker does for itself."""
        self.leave()
        for running in (*self._running, *filter(None, [self._had_turn])):
            running.cancel()
        for task in self._everywhere:
            await _try(task)

    async def _in_turn(self, turn: int) -> None:
        # A description of its own: those that are inherited share one lock.
        descriptor = os.open(f"/proc/self/fd/{turn}", os.O_RDWR | os.O_CLOEXEC)
        try:
            while not self._leaving.is_set():
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    await asyncio.gather(*(_repeat(task, self._leaving) for task in self._alone))
                    return
                await _pause(_TRY_AGAIN, self._leaving)
        finally:
            os.close(descriptor)


async def _repeat(task: Periodic, leaving: asyncio.Event | None) -> None:
    while not await _pause(task.seconds, leaving):
        await _try(task)


async def _pause(seconds: float, leaving: asyncio.Event | None) -> bool:
    """Wait; whether the wait was broken off because it is time to leave."""
    if leaving is None:
        await asyncio.sleep(seconds)
        return False
    try:
        await asyncio.wait_for(leaving.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def _try(task: Periodic) -> None:
    try:
        await task.work()
    except Exception:
        # It is tried again at its next turn.
        log.exception("periodic task failed", task=task.name)
