"""The surveyor: a thread with a connection of its own for reads that look at many rows."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from entrepot.database.connection import Row, connect, translate


class Surveyor:
    """Runs one read after another; its connection is made at the first one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="database-survey")

    async def all(self, text: str, values: dict[str, Any]) -> list[Row]:
        """Every row."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, text, values)

    def stop(self) -> None:
        """Finish what runs and disconnect."""
        self._pool.submit(self._close).result()
        self._pool.shutdown()

    def _run(self, text: str, values: dict[str, Any]) -> list[Row]:
        try:
            if self._connection is None:
                self._connection = connect(self._path)
            return self._connection.execute(text, values).fetchall()
        except sqlite3.OperationalError as error:
            raise translate(error) from error

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
