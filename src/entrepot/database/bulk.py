"""An insert of many rows with few statements: half the time a row of one statement each (bench: GET manifest)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Table

_AT_ONCE = 50
"""Rows a statement; larger ones gain nothing more."""
_MARKS = {"sqlite": "?", "postgresql": "%s"}


class BulkInsert:
    """Inserts tuples with the values of ``columns``, in that order."""

    __slots__ = ("_columns", "_table", "_texts")

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self._table = table.name
        self._columns = tuple(columns)
        self._texts: dict[tuple[str, int], str] = {}

    def statements(self, dialect: str, rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, list[Any]]]:
        """SQL and values for ``rows``."""
        for begin in range(0, len(rows), _AT_ONCE):
            part = rows[begin : begin + _AT_ONCE]
            yield self._text(dialect, len(part)), list(chain.from_iterable(part))

    def _text(self, dialect: str, count: int) -> str:
        text = self._texts.get((dialect, count))
        if text is None:
            one = f"({', '.join([_MARKS[dialect]] * len(self._columns))})"
            names = ", ".join(self._columns)
            text = f"INSERT INTO {self._table} ({names}) VALUES {', '.join([one] * count)}"  # noqa: S608 - names of ours
            self._texts[dialect, count] = text
        return text
