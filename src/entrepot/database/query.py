"""A statement, named and compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.base import Executable

# The insert construct differs by dialect only in "on conflict".
Statement = Executable | Callable[[Callable[[Table], Any]], Executable]

_DIALECTS = {"sqlite": sqlite, "postgresql": postgresql}
_PARAMSTYLES = {"sqlite": "named", "postgresql": "pyformat"}


class Query:
    """A Core statement with named parameters, compiled to text for a raw driver at its first use."""

    __slots__ = ("_compiled", "_statement")

    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    def bind(self, dialect: str, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The SQL for ``sqlite`` (``:name`` parameters) or ``postgresql`` (``%(name)s``), and all its values."""
        compiled = self._compiled.get(dialect)
        if compiled is None:
            compiled = self._compiled[dialect] = self._compile(dialect)
        text, constants = compiled
        return (text, constants | values) if constants else (text, values)

    def _compile(self, name: str) -> tuple[str, dict[str, Any]]:
        module: Any = _DIALECTS[name]
        dialect = module.dialect(paramstyle=_PARAMSTYLES[name])
        insert = module.insert
        statement: Any = self._statement
        if not isinstance(statement, Executable):
            statement = statement(insert)
        compiled = statement.compile(dialect=dialect)
        # Constants that the statement itself holds, such as the OFFSET 0 that SQLite's LIMIT is given.
        constants = {key: bind.value for key, bind in compiled.binds.items() if bind.value is not None}
        return str(compiled), constants


def query(statement: Executable) -> Query:
    """Name ``statement``; every value in it must be a ``bindparam``."""
    return Query(statement)


def upsert(statement: Callable[[Callable[[Table], Any]], Executable]) -> Query:
    """Name an insert with an ``on conflict`` clause; ``statement`` is given the dialect's ``insert``."""
    return Query(statement)
