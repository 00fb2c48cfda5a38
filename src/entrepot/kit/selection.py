"""Conditions of a list request as SQL.

A slice says once which of its columns a list shows::

    FIELDS = Fields({"name": text(repositories.c.name), "creation_time": time(repositories.c.created_at)})

and then asks for clauses. Values travel beside them, as ``q0``, ``q1``…: the text of a statement depends on
``Selection.shape`` and on the sort keys alone, so that a compiled statement can be kept for each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import msgspec
from sqlalchemy import BigInteger, BindParameter, Boolean, ColumnElement, String, Text, bindparam, cast, false

from entrepot.errors import InvalidInput
from entrepot.kit.listing import Condition, Kind, SortKey

# Not the backslash: SQLite and PostgreSQL disagree on how it is written in a statement.
ESCAPE = "!"

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")
_LARGEST = 2**63 - 1
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_STORABLE_TEXT = "text without NUL and without half of a surrogate pair"
_EVERY: frozenset[Kind] = frozenset({"exact", "fuzzy", "range", "any"})


class Field(msgspec.Struct, frozen=True):
    """A column that lists can be filtered and ordered by."""

    column: ColumnElement[Any]
    read: Callable[[str], Any]
    """The column's value for a text; ``ValueError`` where there is none."""
    wanted: str
    """What the texts should be, for the message that refuses another."""
    kinds: frozenset[Kind] = _EVERY
    nullable: bool = True


class Fields(msgspec.Struct, frozen=True):
    """The fields of one list by their names in the API; ``elsewhere`` are filters that its slice answers itself."""

    columns: Mapping[str, Field]
    elsewhere: frozenset[str] = frozenset()


class Selection(msgspec.Struct, frozen=True):
    """Clauses that must all hold, the values they need, and what their text depends on."""

    clauses: tuple[ColumnElement[bool], ...] = ()
    values: dict[str, Any] = {}
    shape: tuple[tuple[str, str, int], ...] = ()


def text(column: ColumnElement[Any]) -> Field:
    """A field of text."""
    return _field(column, _storable, _STORABLE_TEXT)


def integer(column: ColumnElement[Any]) -> Field:
    """A field of whole numbers; ``=~`` looks for digits among theirs, as Harbor does."""
    return _field(column, _whole_number, "a whole number of 64 bits")


def time(column: ColumnElement[Any]) -> Field:
    """A field of times, held as microseconds since the epoch."""
    return _field(column, microseconds, "a time in UTC such as 2006-01-02T15:04:05", _EVERY - {"fuzzy"})


def boolean(column: ColumnElement[Any]) -> Field:
    """A field that is true or false; its column holds truth values, or 0 and 1."""
    read = _truth if isinstance(column.type, Boolean) else lambda value: int(_truth(value))
    return _field(column, read, "true or false", frozenset({"exact", "any"}))


def coded(column: ColumnElement[Any], read: Callable[[str], Any], wanted: str) -> Field:
    """A field whose column holds another value than the API shows: ``read`` gives it, or raises ``ValueError``."""
    return _field(column, lambda value: read(_storable(value)), wanted, frozenset({"exact", "any"}))


def select_by(conditions: Iterable[Condition], fields: Fields) -> Selection:
    """The clauses for ``conditions``, but for those on ``fields.elsewhere``. A row that has no value meets none.

    Raises:
        InvalidInput: ``BAD_REQUEST``: no such field, a value of another type, a kind that the field does not know.
    """
    clauses: list[ColumnElement[bool]] = []
    values: dict[str, Any] = {}
    shape: list[tuple[str, str, int]] = []
    for condition in conditions:
        if condition.key in fields.elsewhere:
            continue
        field = _find(condition.key, fields.columns, fields.elsewhere, "filter by")
        if condition.kind not in field.kinds:
            _refuse_kind(condition)
        before = len(values)
        clauses.extend(_clauses(condition, field, values))
        # Which side of a range is open changes the text; how many values were bound tells the rest.
        side = "from" if condition.kind == "range" and condition.values[0] is not None else ""
        shape.append((condition.key, condition.kind + side, len(values) - before))
    return Selection(tuple(clauses), values, tuple(shape))


def order_by(
    sort: Sequence[SortKey], fields: Fields, default: Sequence[SortKey], last: ColumnElement[Any]
) -> list[ColumnElement[Any]]:
    """What to order by: ``sort``, or else ``default``; then ``last``, which is unique, so that pages do not overlap.

    Rows that have no value come last in both directions. ``last`` runs in the direction of the key before it, so that
    one index on both can be read either way.

    Raises:
        InvalidInput: ``BAD_REQUEST``: no such field.
    """
    order: dict[str, ColumnElement[Any]] = {}
    descending = False
    for key in sort or default:
        field = _find(key.key, fields.columns, (), "sort by")
        if key.key in order:
            continue
        descending = key.descending
        directed = field.column.desc() if descending else field.column.asc()
        order[key.key] = directed.nulls_last() if field.nullable else directed
        if field.column is last:
            return list(order.values())
    return [*order.values(), last.desc() if descending else last.asc()]


def contains(value: str) -> str:
    """The ``LIKE`` pattern for what contains ``value``, to be used with ``ESCAPE``."""
    return f"%{re.sub('[!%_]', lambda found: ESCAPE + found[0], value)}%"


def microseconds(value: str) -> int:
    """Microseconds since the epoch of ``2006-01-02T15:04:05``.

    A blank may stand for the ``T``, a fraction and an offset may follow; without an offset it is UTC.

    Raises:
        ValueError: it is no time.
    """
    value = value.strip()
    if not _TIME.fullmatch(value):
        raise ValueError(value)
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _field(
    column: ColumnElement[Any], read: Callable[[str], Any], wanted: str, kinds: frozenset[Kind] = _EVERY
) -> Field:
    return Field(column, read, wanted, kinds, getattr(column, "nullable", True))


def _clauses(condition: Condition, field: Field, values: dict[str, Any]) -> list[ColumnElement[bool]]:
    """The clauses of one condition; what they bind is put into ``values``."""
    column = field.column

    def bind(value: Any) -> BindParameter[Any]:
        name = f"q{len(values)}"
        values[name] = value
        # PostgreSQL is told the type: a number too large for the column must compare, not fail.
        whole = isinstance(value, int) and not isinstance(value, bool)
        return bindparam(name, type_=BigInteger() if whole else column.type)

    def read(value: str | None) -> BindParameter[Any]:
        return bind(_read(value or "", condition.key, field.read, field.wanted))

    match condition.kind:
        case "fuzzy":
            if not isinstance(column.type, String):
                column = cast(column, Text)
            part = _read(condition.value, condition.key, _storable, _STORABLE_TEXT)
            return [column.ilike(bind(contains(part)), escape=ESCAPE)]
        case "range":
            least, greatest = condition.values
            lower = [column >= read(least)] if least is not None else []
            return lower + ([column <= read(greatest)] if greatest is not None else [])
        case "any":
            return [column.in_([read(value) for value in _padded(condition.values)]) if condition.values else false()]
        case _:
            return [column == read(condition.value)]


def _padded(values: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """As many values as the next power of two, the last one repeated: few lengths make few statements."""
    return values + values[-1:] * ((1 << (len(values) - 1).bit_length()) - len(values))


def _read(value: str, key: str, read: Callable[[str], Any], wanted: str) -> Any:
    try:
        return read(value)
    except ValueError:
        raise _refusal(f"{key} must be {wanted}.") from None


def _storable(value: str) -> str:
    if _UNSTORABLE.search(value):
        raise ValueError(value)
    return value


def _whole_number(value: str) -> int:
    value = value.strip()
    if not _WHOLE_NUMBER.fullmatch(value) or not -_LARGEST - 1 <= int(value) <= _LARGEST:
        raise ValueError(value)
    return int(value)


def _truth(value: str) -> bool:
    folded = value.strip().lower()
    if folded not in {"true", "1", "false", "0"}:
        raise ValueError(value)
    return folded in {"true", "1"}


def _find(key: str, columns: Mapping[str, Field], others: Iterable[str], verb: str) -> Field:
    field = columns.get(key)
    if field is None:
        known = ", ".join(sorted({*columns, *others}))
        raise _refusal(f"This list cannot {verb} {key[:64]!r}: use {known}.")
    return field


def _refuse_kind(condition: Condition) -> NoReturn:
    key = condition.key
    if condition.kind == "all":
        raise _refusal(f"{key} holds one value, never several: write {key}={{one two}} for any of them.")
    raise _refusal(f"{key} can only be compared with whole values: write {key}=value.")


def _refusal(message: str) -> InvalidInput:
    return InvalidInput(message, code="BAD_REQUEST")
