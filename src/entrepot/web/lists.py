"""Lists with filters, an order and pages: a statement for each shape, compiled once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, bindparam, func, select

from entrepot.database import Database, Query, query
from entrepot.database.connection import Row
from entrepot.kit.listing import Listing, SortKey
from entrepot.kit.selection import Fields, order_by, select_by

_MOST_SHAPES = 256


class Lister:
    """The list over one table; what callers write shapes the statements, so only so many of them are kept."""

    def __init__(
        self,
        columns: Sequence[ColumnElement[Any]],
        fields: Fields,
        default: Sequence[SortKey],
        last: ColumnElement[Any],
        source: FromClause,
    ) -> None:
        self._columns = columns
        self._fields = fields
        self._default = default
        self._last = last
        self._source = source
        self._statements: dict[object, tuple[Query, Query]] = {}

    async def page(
        self,
        database: Database,
        listing: Listing,
        *,
        within: Sequence[ColumnElement[bool]] = (),
        name: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> tuple[list[Row], int]:
        """The rows of a page, and how many rows there are in all.

        Args:
            database: where to look.
            listing: what was asked for.
            within: clauses that hold whatever was asked for.
            name: tells the ``within`` of one caller from another's.
            values: what ``within`` binds.

        Raises:
            InvalidInput: ``BAD_REQUEST``: a field or a value that the list does not know.
        """
        selection = select_by(listing.conditions, self._fields)
        shape = (name, selection.shape, listing.sort)
        if shape not in self._statements:
            if len(self._statements) >= _MOST_SHAPES:
                self._statements.clear()
            clauses = (*within, *selection.clauses)
            order = order_by(listing.sort, self._fields, self._default, self._last)
            rows = select(*self._columns).select_from(self._source).where(*clauses).order_by(*order)
            self._statements[shape] = (
                query(select(func.count()).select_from(self._source).where(*clauses)),
                query(rows.limit(bindparam("row_limit")).offset(bindparam("row_offset"))),
            )
        count, page = self._statements[shape]
        bound = {**(values or {}), **selection.values}
        total = int((await database.survey(count, **bound))[0][0])
        if total <= listing.offset:
            return [], total
        return await database.survey(page, **bound, row_limit=listing.limit, row_offset=listing.offset), total
