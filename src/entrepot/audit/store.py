"""The audit log's SQL: the journal's rows that have an operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import BindParameter, ColumnElement, bindparam, func, literal_column, select

from entrepot.audit.model import Record
from entrepot.database import Database, Query, query
from entrepot.journal.store import journal
from entrepot.kit.listing import SortKey
from entrepot.kit.selection import Fields, Selection, boolean, coded, integer, order_by, text, time

_c = journal.c
_IS_RECORD = _c.operation != ""
_MOST_STATEMENTS = 256


def _result(value: str) -> int:
    refused = {"true": 0, "1": 0, "false": 1, "0": 1}.get(value.strip().lower())
    if refused is None:
        raise ValueError(value)
    return refused


_OP_RESULT = coded(_c.is_refused, _result, "true or false")

FIELDS = Fields(
    {
        "id": integer(_c.id),
        "username": text(_c.principal),
        "operation": text(_c.operation),
        "resource": text(_c.resource),
        "resource_type": text(_c.resource_type),
        "project_id": integer(_c.project_id),
        "op_result": _OP_RESULT,
        "operation_result": _OP_RESULT,
        "op_time": time(_c.occurred_at),
    }
)
"""What Harbor's lists are asked by."""

OWN_FIELDS = Fields(
    {
        **FIELDS.columns,
        "kind": text(_c.kind),
        "principal": text(_c.principal),
        "client_address": text(_c.client_address),
        "user_agent": text(_c.user_agent),
        "request_id": text(_c.request_id),
        "is_refused": boolean(_c.is_refused),
        "time": time(_c.occurred_at),
    }
)
"""What our own list is asked by."""

BY_ID = frozenset({"id", "op_time", "time"})
"""Sort keys that are the order of the journal: it is written as things happen."""

INDEXED = frozenset({"username", "principal", "operation", "project_id"})
"""Fields for which, compared for equality, an index knows the rows in the order of the journal."""

_COLUMNS = [_c[name] for name in Record.__struct_fields__]
_ENDS = query(
    select(
        select(func.min(_c.id)).scalar_subquery(),
        select(func.max(_c.id)).scalar_subquery(),
    )
)
_COUNT_ALL = query(select(func.count()).select_from(journal).where(_c.operation > literal_column("''")))
_COUNT_OPERATION = query(select(func.count()).select_from(journal).where(_c.operation == bindparam("operation")))


def _edge(order: ColumnElement[Any]) -> Any:
    inside = _c.id.between(bindparam("least"), bindparam("greatest"))
    return select(_c.occurred_at).where(inside).order_by(order).limit(literal_column("1")).scalar_subquery()


_EDGES = query(select(_edge(_c.id.asc()), _edge(_c.id.desc())))


class Question(msgspec.Struct, frozen=True):
    """Which records are looked for."""

    selection: Selection = Selection()
    projects: tuple[int, ...] | None = None
    """Only records of these; ``None``: of all, and those that belong to no project."""
    hidden: tuple[str, ...] = ()
    """Event types that are left out."""
    sort: tuple[SortKey, ...] = ()
    fields: Fields = FIELDS

    @property
    def is_plain(self) -> bool:
        """Whether every record is meant."""
        return not self.selection.clauses and self.projects is None and not self.hidden

    @property
    def follows_journal(self) -> bool:
        """Whether the order asked for is that of the journal, or its reverse."""
        return not self.sort or self.sort[0].key in BY_ID

    @property
    def is_descending(self) -> bool:
        """Whether the newest come first; what is sorted otherwise is sought among the newest."""
        return not self.follows_journal or not self.sort or self.sort[0].descending

    @property
    def values(self) -> dict[str, Any]:
        """What its statements bind."""
        projects = {f"p{index}": value for index, value in enumerate(_padded(self.projects or ()))}
        hidden = {f"h{index}": value for index, value in enumerate(_padded(self.hidden))}
        return {**self.selection.values, **projects, **hidden}


class _Statements(msgspec.Struct, frozen=True):
    page: Query
    count: Query


_statements: dict[tuple[Any, ...], _Statements] = {}
"""Compiled once for each form of a question."""


async def ends(database: Database) -> tuple[int, int]:
    """The first and the last id of the journal; ``(1, 0)`` if it is empty."""
    row = (await database.survey(_ENDS))[0]
    return (row[0], row[1]) if row[0] is not None else (1, 0)


async def edges(database: Database, window: tuple[int, int]) -> tuple[int, int] | None:
    """When the first and the last row of a window occurred; ``None`` if nothing is left there."""
    row = (await database.survey(_EDGES, least=window[0], greatest=window[1]))[0]
    return (row[0], row[1]) if row[0] is not None else None


async def count_all(database: Database) -> int:
    """How many records there are, by index."""
    return int((await database.survey(_COUNT_ALL))[0][0])


async def count_operation(database: Database, operation: str) -> int:
    """How many records tell of an operation, by index."""
    return int((await database.survey(_COUNT_OPERATION, operation=operation))[0][0])


async def list_in(
    database: Database, question: Question, window: tuple[int, int], *, limit: int, offset: int
) -> list[Record]:
    """Records in a window of ids, in the question's order."""
    rows = await database.survey(
        _statements_for(question).page,
        least=window[0],
        greatest=window[1],
        limit=limit,
        offset=offset,
        **question.values,
    )
    return [Record(*(*row[:-2], bool(row[-2]), bytes(row[-1]))) for row in rows]


async def count_in(database: Database, question: Question, window: tuple[int, int]) -> int:
    """How many records in a window of ids answer the question."""
    statement = _statements_for(question).count
    return int((await database.survey(statement, least=window[0], greatest=window[1], **question.values))[0][0])


def _statements_for(question: Question) -> _Statements:
    shape = (
        question.fields is OWN_FIELDS,
        question.selection.shape,
        None if question.projects is None else len(_padded(question.projects)),
        len(_padded(question.hidden)),
        question.sort,
    )
    statements = _statements.get(shape)
    if statements is None:
        if len(_statements) >= _MOST_STATEMENTS:
            _statements.clear()
        statements = _statements[shape] = _build(question)
    return statements


def _build(question: Question) -> _Statements:
    clauses = [
        _IS_RECORD,
        _c.id >= bindparam("least"),
        _c.id <= bindparam("greatest"),
        *question.selection.clauses,
    ]
    if question.projects is not None:
        names = _names("p", question.projects)
        clauses.append(_c.project_id == names[0] if len(names) == 1 else _c.project_id.in_(names))
    if question.hidden:
        clauses.append((_c.operation + "_" + _c.resource_type).not_in(_names("h", question.hidden)))
    order: list[ColumnElement[Any]] = [_c.id.desc() if question.is_descending else _c.id.asc()]
    if not question.follows_journal:
        order = order_by(question.sort, question.fields, (), _c.id)
    page = select(*_COLUMNS).where(*clauses).order_by(*order).limit(bindparam("limit")).offset(bindparam("offset"))
    return _Statements(query(page), query(select(func.count()).select_from(journal).where(*clauses)))


def _names(prefix: str, values: Sequence[Any]) -> list[BindParameter[Any]]:
    return [bindparam(f"{prefix}{index}") for index in range(len(_padded(values)))]


def _padded(values: Sequence[Any]) -> tuple[Any, ...]:
    """As many values as the next power of two, the last one repeated: few lengths make few statements."""
    if not values:
        return ()
    return (*values, *([values[-1]] * ((1 << (len(values) - 1).bit_length()) - len(values))))
