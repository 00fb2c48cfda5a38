"""Pages of ids: how many rows meet what was asked for, and the ids of one page of them.

The ids come from indexes alone where they can; what the page shows is read by id afterwards. In the second half of a
list the rows are counted from its end, so that the last page costs what the first one does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, FromClause, bindparam, func, select
from sqlalchemy.sql.base import Executable

from entrepot.database import Database, Query, query
from entrepot.database.connection import Row
from entrepot.kit.listing import Listing, SortKey
from entrepot.kit.selection import Fields, Selection, order_by

_KEPT = 512


class Rows(msgspec.Struct, frozen=True):
    """What a list is made of."""

    name: str
    id: ColumnElement[Any]
    source: FromClause
    fields: Fields
    order: tuple[SortKey, ...]
    """How it is ordered unless something else is asked for."""
    shown: tuple[ColumnElement[Any], ...] = ()
    """What is read beside the id."""


class Pager:
    """Reads pages; a statement is compiled once for each shape that it takes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[Hashable, Query] = {}

    async def ids(self, rows: Rows, listing: Listing, selections: Sequence[Selection]) -> tuple[list[int], int]:
        """The ids of a page, in order, and the number of all rows; raises as ``page``."""
        page, total = await self.page(rows, listing, selections)
        return [int(row[0]) for row in page], total

    async def page(self, rows: Rows, listing: Listing, selections: Sequence[Selection]) -> tuple[list[Row], int]:
        """The rows of a page, id first, in order, and the number of all rows.

        Raises:
            InvalidInput: the list cannot be sorted so.
        """
        where = merged(selections)
        key = (rows.name, where.shape)
        order = listing.sort or rows.order
        order_by(order, rows.fields, rows.order, rows.id)  # refuses unknown fields, whatever the page
        counted = await self._database.survey(
            self.statement((*key, "count"), lambda: _count(rows, where)), **where.values
        )
        total = int(counted[0][0])
        if listing.offset >= total:
            return [], total
        skip, count = listing.offset, min(listing.limit, total - listing.offset)
        is_reversed = skip > total // 2 and _is_reversible(order, rows.fields)
        if is_reversed:
            skip = total - skip - count
            order = tuple(SortKey(by.key, not by.descending) for by in order)
        found = await self._database.survey(
            self.statement((*key, order), lambda: _page(rows, where, order)),
            page_skip=skip,
            page_count=count,
            **where.values,
        )
        return (found[::-1] if is_reversed else found), total

    def statement(self, key: Hashable, build: Callable[[], Executable]) -> Query:
        """The statement for ``key``, built and compiled at its first use."""
        kept = self._kept.get(key)
        if kept is None:
            kept = query(build())
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = kept
        return kept


def merged(selections: Sequence[Selection]) -> Selection:
    """All of ``selections`` together; the names of their values must differ."""
    return Selection(
        tuple(clause for part in selections for clause in part.clauses),
        {name: value for part in selections for name, value in part.values.items()},
        tuple(item for part in selections for item in part.shape),
    )


def _is_reversible(order: Sequence[SortKey], fields: Fields) -> bool:
    # Rows without a value come last in both directions: there the reverse is another order.
    return all(not fields.columns[key.key].nullable for key in order)


def _count(rows: Rows, where: Selection) -> Executable:
    return select(func.count()).select_from(rows.source).where(*where.clauses)


def _page(rows: Rows, where: Selection, order: Sequence[SortKey]) -> Executable:
    return (
        select(rows.id, *rows.shown)
        .select_from(rows.source)
        .where(*where.clauses)
        .order_by(*order_by(order, rows.fields, rows.order, rows.id))
        .limit(bindparam("page_count"))
        .offset(bindparam("page_skip"))
    )
