"""A connection to SQLite, a transaction on it, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from entrepot.database.bulk import BulkInsert
from entrepot.database.query import Query
from entrepot.errors import StorageFull, Unavailable

Row = tuple[Any, ...]

DIALECT = "sqlite"
RETRY = ((b"retry-after", b"2"),)
_BUSY_MS = 20_000


class Transaction:
    """The open transaction of one piece of work; all of it becomes visible at once, or nothing."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def one(self, statement: Query, **values: Any) -> Row | None:
        """The first row, or ``None``."""
        row: Row | None = self._connection.execute(*statement.bind(DIALECT, values)).fetchone()
        return row

    async def all(self, statement: Query, **values: Any) -> list[Row]:
        """Every row."""
        return self._connection.execute(*statement.bind(DIALECT, values)).fetchall()

    async def run(self, statement: Query, **values: Any) -> int:
        """Execute; the number of rows that changed."""
        return self._connection.execute(*statement.bind(DIALECT, values)).rowcount

    async def many(self, statement: Query, rows: Iterable[dict[str, Any]]) -> None:
        """Execute once for each of ``rows``."""
        text, constants = statement.bind(DIALECT, {})
        self._connection.executemany(text, [constants | row for row in rows] if constants else rows)

    async def insert(self, bulk: BulkInsert, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert many rows."""
        for text, values in bulk.statements(DIALECT, rows):
            self._connection.execute(text, values)


def connect(path: Path, *, synchronous: str = "FULL") -> sqlite3.Connection:
    """A connection with the settings that the promises of this package rest on."""
    connection = sqlite3.connect(
        path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA temp_store=MEMORY")
    return connection


def translate(error: sqlite3.Error) -> Exception:
    """What a driver's error means to a user."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_FULL:
        return StorageFull("The registry's disk is full: nothing was stored. Free space and push again.", headers=RETRY)
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable("The database is busy: try again.", headers=RETRY)
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        return Unavailable("The database cannot be written: tell the registry's operator.", headers=RETRY)
    return error
