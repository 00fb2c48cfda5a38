"""Bounded reads: the first few rows of a kind, and how many there are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, bindparam, func

from entrepot.database import Database, Query, query
from entrepot.kit.finding import MOST_RESOURCES


def bounded(statement: Select[Any]) -> Query:
    """``statement``, an ordered select, with the count of all its rows as the last column and a limit."""
    return query(statement.add_columns(func.count().over()).limit(bindparam("most")))


async def first_rows(database: Database, statement: Query, **values: Any) -> tuple[list[Any], int]:
    """The first rows of a ``bounded`` statement without their count, and the count; no request waits for it."""
    rows = await database.survey(statement, most=MOST_RESOURCES, **values)
    return [row[:-1] for row in rows], int(rows[0][-1]) if rows else 0
