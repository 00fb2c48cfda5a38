"""Transactions on the embedded database.

A transaction body is an ``async`` function that awaits nothing but its own ``Transaction``; the embedded engine
drives it without suspending, in its writer thread, so the same body runs on a networked engine later.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from entrepot.database.change import ChangeWatch
from entrepot.database.query import Query
from entrepot.errors import StorageFull, Unavailable

T = TypeVar("T")
Row = tuple[Any, ...]
Work = Callable[["Transaction"], Awaitable[T]]

_DIALECT = "sqlite"
_BATCH = 64
_BUSY_MS = 20_000
_RETRY = ((b"retry-after", b"2"),)


class Transaction:
    """The open transaction of one piece of work; all of it becomes visible at once, or nothing."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def one(self, statement: Query, **values: Any) -> Row | None:
        """The first row, or ``None``."""
        row: Row | None = self._connection.execute(*statement.bind(_DIALECT, values)).fetchone()
        return row

    async def all(self, statement: Query, **values: Any) -> list[Row]:
        """Every row."""
        return self._connection.execute(*statement.bind(_DIALECT, values)).fetchall()

    async def run(self, statement: Query, **values: Any) -> int:
        """Execute; the number of rows that changed."""
        return self._connection.execute(*statement.bind(_DIALECT, values)).rowcount

    async def many(self, statement: Query, rows: Iterable[dict[str, Any]]) -> None:
        """Execute once for each of ``rows``."""
        text, constants = statement.bind(_DIALECT, {})
        self._connection.executemany(text, [constants | row for row in rows] if constants else rows)


class Database:
    """SQLite in WAL mode: readers inline on the event loop, one writer thread, full synchronous commits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: sqlite3.Connection | None = None
        self._watch: ChangeWatch | None = None
        self._writer: _Writer | None = None

    def open(self) -> None:
        """Connect; call it in the process and on the event loop that will use it."""
        self._reader = connect(self._path)
        self._watch = ChangeWatch(self._reader, self._path)
        self._writer = _Writer(self._path)

    async def close(self) -> None:
        """Finish what was queued, then disconnect."""
        if self._writer is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._writer.stop)
            self._writer = None
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def version(self) -> bytes:
        """Bytes that differ after every commit, of this process or another."""
        if self._watch is None:
            raise Unavailable("The database is not open.", headers=_RETRY)
        return self._watch.version()

    async def one(self, statement: Query, **values: Any) -> Row | None:
        """The first row of a read, or ``None``."""
        row: Row | None = self._read(*statement.bind(_DIALECT, values)).fetchone()
        return row

    async def all(self, statement: Query, **values: Any) -> list[Row]:
        """Every row of a read."""
        return self._read(*statement.bind(_DIALECT, values)).fetchall()

    async def write(self, work: Work[T], *, durable: bool = True) -> T:
        """Run ``work`` in a transaction and return its result once that is durable.

        Args:
            work: the transaction's body.
            durable: ``False`` where a power cut (never a crash of the process) may undo it, since losing it harms
                nobody: then no fsync is waited for. What is committed later carries it along.

        Raises:
            StorageFull: the disk has no room.
            Unavailable: the database cannot be written now.
        """
        if self._writer is None:
            raise Unavailable("The database is not open.", headers=_RETRY)
        return await self._writer.submit(work, durable=durable)

    async def probe(self) -> None:
        """Prove that the database can be read and its write lock be had.

        Raises:
            Unavailable: it cannot.
        """

        async def nothing(_tx: Transaction) -> None:
            return

        self._read("SELECT version_num FROM alembic_version", {}).fetchone()
        await self.write(nothing)

    def _read(self, text: str, values: dict[str, Any]) -> sqlite3.Cursor:
        if self._reader is None:
            raise Unavailable("The database is not open.", headers=_RETRY)
        try:
            return self._reader.execute(text, values)
        except sqlite3.OperationalError as error:
            raise translate(error) from error


class _Writer:
    """The writer thread: runs queued work in batches, each batch one commit (one fsync for all of it)."""

    def __init__(self, path: Path) -> None:
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._path = path
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
        connection = connect(self._path)
        transaction = Transaction(connection)
        open_ = True
        while open_:
            batch = []
            job = self._queue.get()
            while job is not None:
                batch.append(job)
                if len(batch) == _BATCH or self._queue.empty():
                    break
                job = self._queue.get()
            open_ = job is not None
            if batch:
                _commit(connection, transaction, batch)
        connection.close()


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


def _commit(connection: sqlite3.Connection, transaction: Transaction, batch: list[_Job]) -> None:
    """Run the batch in one transaction; a failing job is rolled back alone, to its savepoint."""
    durable = any(job.durable for job in batch)
    try:
        if not durable:
            connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        for job in batch:
            _attempt(connection, transaction, job)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        failure = translate(error)
        for job in batch:
            job.error = failure
    finally:
        if not durable:
            connection.execute("PRAGMA synchronous=FULL")
    loop = batch[0].loop

    def settle() -> None:
        for job in batch:
            job.settle()

    loop.call_soon_threadsafe(settle)


def _attempt(connection: sqlite3.Connection, transaction: Transaction, job: _Job) -> None:
    """Run one job inside a savepoint; what is wrong with the database itself fails the whole batch."""
    connection.execute("SAVEPOINT job")
    try:
        job.result = _drive(job.work(transaction))
    except sqlite3.OperationalError:
        raise
    except BaseException as error:  # noqa: BLE001 - it is handed to the caller of this job
        job.error = error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _drive(awaitable: Awaitable[T]) -> T:
    """Run a transaction body to its end; it may not wait for anything outside its transaction."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a transaction body may await its transaction only")


def connect(path: Path) -> sqlite3.Connection:
    """A connection with the settings that the promises of this module rest on."""
    connection = sqlite3.connect(
        path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA temp_store=MEMORY")
    return connection


def translate(error: sqlite3.Error) -> Exception:
    """What a driver's error means to a user."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_FULL:
        return StorageFull(
            "The registry's disk is full: nothing was stored. Free space and push again.", headers=_RETRY
        )
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable("The database is busy: try again.", headers=_RETRY)
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        return Unavailable("The database cannot be written: tell the registry's operator.", headers=_RETRY)
    return error
