"""The writer thread: runs queued work in batches, each batch one commit (one fsync for all of it)."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from entrepot.database.connection import Transaction, connect, translate

T = TypeVar("T")
Work = Callable[[Transaction], Awaitable[T]]
"""A transaction's body. It may be run twice, so all that it does it does to the transaction."""

_BATCH = 64


class Writer:
    """Owns the connections that write."""

    def __init__(self, path: Path) -> None:
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # Two connections, since switching one between fsync and none costs two statements a batch. Made here, so
        # that a database which cannot be opened fails the start and not the first write.
        self._durable, self._quick = connect(path), connect(path, synchronous="NORMAL")
        self._thread = threading.Thread(target=self._run, name="database-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is queued and end the thread."""
        self._queue.put(None)
        self._thread.join()

    async def submit(self, work: Work[T], *, durable: bool) -> T:
        """Queue ``work`` and wait until it is committed."""
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future(), durable=durable)
        self._queue.put(job)
        result: T = await job.future
        return result

    def _run(self) -> None:
        batch, is_open = self._take()
        while batch:
            _commit(self._durable if any(job.durable for job in batch) else self._quick, batch)
            batch, is_open = self._take() if is_open else ([], False)
        self._durable.close()
        self._quick.close()

    def _take(self) -> tuple[list[_Job], bool]:
        """The next batch (empty at the end), and whether more can come."""
        batch: list[_Job] = []
        while not batch or (len(batch) < _BATCH and not self._queue.empty()):
            job = self._queue.get()
            if job is None:
                return batch, False
            batch.append(job)
        return batch, True


class _Job:
    """One piece of work on its way through the writer."""

    __slots__ = ("durable", "error", "future", "loop", "result", "work")

    def __init__(
        self, work: Work[Any], loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], *, durable: bool
    ) -> None:
        self.work = work
        self.loop = loop
        self.future = future
        self.durable = durable
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Hand the outcome to whoever still waits."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


def _commit(connection: sqlite3.Connection, batch: list[_Job]) -> None:
    """Commit the batch in one transaction and tell the jobs.

    Almost always every job succeeds. When one fails the batch is rolled back and run again with a savepoint around
    each, so that the failing one is undone alone.
    """
    try:
        if not _run_all(connection, batch):
            _run_each(connection, batch)
    except Exception as error:  # noqa: BLE001 - whatever it is, the jobs are told and the thread goes on
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        failure = translate(error) if isinstance(error, sqlite3.Error) else error
        for job in batch:
            job.error = failure

    def settle() -> None:
        for job in batch:
            job.settle()

    batch[0].loop.call_soon_threadsafe(settle)


def _run_all(connection: sqlite3.Connection, batch: list[_Job]) -> bool:
    """Whether every job succeeded; else nothing has been done, but the error of a job that was alone."""
    transaction = Transaction(connection)
    connection.execute("BEGIN IMMEDIATE")
    for job in batch:
        try:
            job.result = _drive(job.work(transaction))
        except sqlite3.OperationalError:
            raise
        except BaseException as error:  # noqa: BLE001 - it is handed to the caller of this job
            connection.execute("ROLLBACK")
            job.error = error
            return len(batch) == 1
    connection.execute("COMMIT")
    return True


def _run_each(connection: sqlite3.Connection, batch: list[_Job]) -> None:
    transaction = Transaction(connection)
    connection.execute("BEGIN IMMEDIATE")
    for job in batch:
        job.error = None
        connection.execute("SAVEPOINT job")
        try:
            job.result = _drive(job.work(transaction))
        except sqlite3.OperationalError:
            # What is wrong with the database itself fails the whole batch.
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            job.error = error
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
    connection.execute("COMMIT")


def _drive(awaitable: Awaitable[T]) -> T:
    """Run a transaction body to its end; it may not wait for anything outside its transaction."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a transaction body may await its transaction only")
