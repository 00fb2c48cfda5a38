"""Transactions on the embedded database.

A transaction body is an ``async`` function that awaits nothing but its own ``Transaction``; the embedded engine
drives it without suspending, in its writer thread, so the same body runs on a networked engine later.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, TypeVar

from entrepot.database.change import ChangeWatch
from entrepot.database.connection import DIALECT, RETRY, Row, Transaction, connect, translate
from entrepot.database.query import Query
from entrepot.database.surveyor import Surveyor
from entrepot.database.writer import Work, Writer
from entrepot.errors import Unavailable

T = TypeVar("T")


class Database:
    """SQLite in WAL mode: readers inline on the event loop, one writer thread, full synchronous commits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: sqlite3.Connection | None = None
        self._watch: ChangeWatch | None = None
        self._writer: Writer | None = None
        self._surveyor: Surveyor | None = None

    def open(self) -> None:
        """Connect; call it in the process and on the event loop that will use it."""
        self._reader = connect(self._path)
        self._watch = ChangeWatch(self._reader, self._path)
        self._writer = Writer(self._path)
        self._surveyor = Surveyor(self._path)

    async def close(self) -> None:
        """Finish what was queued, then disconnect."""
        if self._writer is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._writer.stop)
            self._writer = None
        if self._surveyor is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._surveyor.stop)
            self._surveyor = None
        self._watch = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def version(self) -> bytes:
        """Bytes that differ after every commit, of this process or another."""
        if self._watch is None:
            raise Unavailable("The database is not open.", headers=RETRY)
        return self._watch.version()

    async def one(self, statement: Query, **values: Any) -> Row | None:
        """The first row of a read, or ``None``."""
        row: Row | None = self._read(*statement.bind(DIALECT, values)).fetchone()
        return row

    async def all(self, statement: Query, **values: Any) -> list[Row]:
        """Every row of a read."""
        return self._read(*statement.bind(DIALECT, values)).fetchall()

    async def survey(self, statement: Query, **values: Any) -> list[Row]:
        """Every row of a read that looks at many: it runs in a thread of its own, so no request waits for it."""
        if self._surveyor is None:
            raise Unavailable("The database is not open.", headers=RETRY)
        return await self._surveyor.all(*statement.bind(DIALECT, values))

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
            raise Unavailable("The database is not open.", headers=RETRY)
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
            raise Unavailable("The database is not open.", headers=RETRY)
        try:
            return self._reader.execute(text, values)
        except sqlite3.OperationalError as error:
            raise translate(error) from error
