"""Conditions as SQL, on a real SQLite."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, SmallInteger, Table, Text, select
from sqlalchemy.dialects import postgresql, sqlite

from entrepot.errors import InvalidInput
from entrepot.kit.listing import Condition, Kind, SortKey
from entrepot.kit.selection import Fields, boolean, coded, integer, microseconds, order_by, select_by, text, time

things = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("size", BigInteger),
    Column("made_at", BigInteger),
    Column("is_public", SmallInteger, nullable=False),
    Column("kind", Integer, nullable=False),
)
KINDS = {"image": 1, "chart": 2}


def kind_of(value: str) -> int:
    if value not in KINDS:
        raise ValueError(value)
    return KINDS[value]


FIELDS = Fields(
    {
        "id": integer(things.c.id),
        "name": text(things.c.name),
        "size": integer(things.c.size),
        "creation_time": time(things.c.made_at),
        "public": boolean(things.c.is_public),
        "kind": coded(things.c.kind, kind_of, "image or chart"),
    },
    elsewhere=frozenset({"tags"}),
)
SECOND = 1_000_000
ROWS = [
    (1, "library/Web", 10, 0, 1, 1),
    (2, "library/web_2", None, SECOND, 0, 2),
    (3, "100%", 30, 2 * SECOND, 1, 1),
    (4, "a!b", 20, None, 0, 2),
]


@pytest.fixture(scope="module")
def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT, size, made_at, is_public, kind)")
    connection.executemany("INSERT INTO things VALUES (?, ?, ?, ?, ?, ?)", ROWS)
    return connection


def condition(key: str, kind: Kind, *values: str | None) -> Condition:
    return Condition(key, kind, values)


def sql(statement: Any, dialect: str = "sqlite") -> str:
    module: Any = {"sqlite": sqlite, "postgresql": postgresql}[dialect]
    style = {"sqlite": "named", "postgresql": "pyformat"}[dialect]
    return str(statement.compile(dialect=module.dialect(paramstyle=style)))


def ids(database: sqlite3.Connection, *conditions: Condition, sort: tuple[SortKey, ...] = ()) -> list[int]:
    chosen = select_by(conditions, FIELDS)
    order = order_by(sort, FIELDS, (), things.c.id)
    statement = select(things.c.id).where(*chosen.clauses).order_by(*order)
    return [row[0] for row in database.execute(sql(statement), chosen.values)]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], [1, 2, 3, 4]),
        ([condition("name", "exact", "library/Web")], [1]),
        ([condition("name", "exact", "library/web")], []),
        ([condition("name", "exact", "")], []),
        ([condition("name", "fuzzy", "WEB")], [1, 2]),
        ([condition("name", "fuzzy", "_")], [2]),
        ([condition("name", "fuzzy", "%")], [3]),
        ([condition("name", "fuzzy", "!")], [4]),
        ([condition("name", "any", "100%", "a!b", "none")], [3, 4]),
        ([condition("name", "any")], []),
        ([condition("name", "range", "a", "b")], [4]),
        ([condition("id", "exact", " 3 ")], [3]),
        ([condition("id", "fuzzy", "3")], [3]),
        ([condition("size", "range", "20", None)], [3, 4]),
        ([condition("size", "range", None, "20")], [1, 4]),
        ([condition("size", "range", "-5", "+10")], [1]),
        ([condition("size", "range", str(-(2**63)), str(2**63 - 1))], [1, 3, 4]),
        ([condition("size", "any", "10", "20", "30")], [1, 3, 4]),
        ([condition("creation_time", "exact", "1970-01-01T00:00:01")], [2]),
        ([condition("creation_time", "range", "1970-01-01 00:00:01", None)], [2, 3]),
        ([condition("creation_time", "range", None, "1970-01-01T00:00:01Z")], [1, 2]),
        ([condition("public", "exact", "true")], [1, 3]),
        ([condition("public", "exact", "False")], [2, 4]),
        ([condition("public", "any", "0", "1")], [1, 2, 3, 4]),
        ([condition("kind", "exact", "chart")], [2, 4]),
        ([condition("kind", "any", "chart", "image")], [1, 2, 3, 4]),
        ([condition("kind", "exact", "image"), condition("name", "fuzzy", "lib")], [1]),
        ([condition("id", "range", "2", None), condition("id", "range", None, "3")], [2, 3]),
        ([condition("tags", "exact", "nil")], [1, 2, 3, 4]),
    ],
)
def test_conditions_choose_rows(database: sqlite3.Connection, conditions: list[Condition], expected: list[int]) -> None:
    assert ids(database, *conditions) == expected


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        (condition("nmae", "exact", "a"), "creation_time, id, kind, name, public, size, tags"),
        (condition("id", "exact", "abc"), "whole number"),
        (condition("id", "exact", ""), "whole number"),
        (condition("id", "exact", "1_0"), "whole number"),
        (condition("id", "exact", "٣"), "whole number"),
        (condition("id", "exact", str(2**63)), "64 bits"),
        (condition("id", "range", str(-(2**63) - 1), None), "64 bits"),
        (condition("id", "any", "1", "9" * 5000), "64 bits"),
        (condition("creation_time", "exact", "yesterday"), "2006-01-02T15:04:05"),
        (condition("creation_time", "exact", "2023-02-30T00:00:00"), "2006-01-02T15:04:05"),
        (condition("creation_time", "exact", "2023-02-03T00:00:60"), "2006-01-02T15:04:05"),
        (condition("creation_time", "range", "20230203T000000", None), "2006-01-02T15:04:05"),
        (condition("creation_time", "fuzzy", "2023"), "whole values"),
        (condition("public", "exact", "yes"), "true or false"),
        (condition("public", "range", "0", "1"), "whole values"),
        (condition("kind", "exact", "car"), "image or chart"),
        (condition("kind", "fuzzy", "im"), "whole values"),
        (condition("kind", "exact", "\x00"), "image or chart"),
        (condition("name", "all", "a", "b"), "name={one two}"),
        (condition("name", "exact", "a\x00"), "text"),
        (condition("name", "fuzzy", "a\x00"), "NUL"),
        (condition("name", "any", "a", "\ud800"), "text"),
        (condition("name", "range", "\udfff", None), "text"),
    ],
)
def test_what_a_field_cannot_answer_is_refused(asked: Condition, hint: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(hint)) as caught:
        select_by([asked], FIELDS)
    assert caught.value.error_code == "BAD_REQUEST"


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ([], [1, 2, 3, 4]),
        ([SortKey("id", descending=True)], [4, 3, 2, 1]),
        ([SortKey("size")], [1, 4, 3, 2]),
        ([SortKey("size", descending=True)], [3, 4, 1, 2]),
        ([SortKey("kind"), SortKey("size", descending=True)], [3, 1, 4, 2]),
        ([SortKey("kind")], [1, 3, 2, 4]),
        ([SortKey("kind", descending=True)], [4, 2, 3, 1]),
        ([SortKey("kind"), SortKey("kind", descending=True)], [1, 3, 2, 4]),
    ],
)
def test_rows_are_ordered_and_those_without_a_value_come_last(
    database: sqlite3.Connection, sort: list[SortKey], expected: list[int]
) -> None:
    assert ids(database, sort=tuple(sort)) == expected


def test_the_default_order_counts_only_without_another() -> None:
    default = (SortKey("creation_time", descending=True),)
    assert [str(key) for key in order_by((), FIELDS, default, things.c.id)] == [
        "things.made_at DESC NULLS LAST",
        "things.id DESC",
    ]
    assert [str(key) for key in order_by((SortKey("name"),), FIELDS, default, things.c.id)] == [
        "things.name ASC",
        "things.id ASC",
    ]
    assert [str(key) for key in order_by((SortKey("id"), SortKey("name")), FIELDS, default, things.c.id)] == [
        "things.id ASC"
    ]


def test_an_unknown_sort_key_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="creation_time, id, kind, name, public, size") as caught:
        order_by((SortKey("tags"),), FIELDS, (), things.c.id)
    assert caught.value.error_code == "BAD_REQUEST"


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_text_depends_only_on_the_shape(dialect: str) -> None:
    def made(*asked: Condition) -> tuple[object, str]:
        chosen = select_by(asked, FIELDS)
        return chosen.shape, sql(select(things.c.id).where(*chosen.clauses), dialect)

    one = made(condition("name", "fuzzy", "a%"), condition("id", "any", "1", "2", "3"), condition("size", "exact", "1"))
    other = made(
        condition("name", "fuzzy", "b"), condition("id", "any", "4", "5", "6", "7"), condition("size", "exact", "2")
    )
    assert one == other
    open_left, open_right = made(condition("id", "range", None, "1")), made(condition("id", "range", "1", None))
    assert open_left[0] != open_right[0]
    assert open_left[1] != open_right[1]


def test_values_are_named_and_never_stand_in_the_text() -> None:
    chosen = select_by(
        [
            condition("name", "fuzzy", "'; drop"),
            condition("id", "any", "1", "2", "3"),
            condition("public", "exact", "true"),
        ],
        FIELDS,
    )
    assert chosen.values == {"q0": "%'; drop%", "q1": 1, "q2": 2, "q3": 3, "q4": 3, "q5": 1}
    statement = sql(select(things.c.id).where(*chosen.clauses), "postgresql")
    assert "drop" not in statement
    assert "ILIKE %(q0)s::VARCHAR ESCAPE '!'" in statement


def test_a_number_too_large_for_its_column_is_compared_and_not_cast_to_it() -> None:
    chosen = select_by([condition("id", "exact", str(2**40))], FIELDS)
    assert "::BIGINT" in sql(select(things.c.id).where(*chosen.clauses), "postgresql")


def test_a_column_of_truth_values_is_given_truth_values() -> None:
    flags = Table("flags", MetaData(), Column("flag", Boolean, nullable=False))
    chosen = select_by([condition("flag", "exact", "true")], Fields({"flag": boolean(flags.c.flag)}))
    assert chosen.values["q0"] is True


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01 00:00:01", SECOND),
        ("1970-01-01T00:00:00.25Z", SECOND // 4),
        ("1970-01-01T00:00:00.000001999", 1),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T23:59:59", -SECOND),
        ("2024-02-29T12:34:56", 1_709_210_096 * SECOND),
        ("0001-01-01T00:00:00+14:00", -62_135_596_800 * SECOND - 14 * 3600 * SECOND),
    ],
)
def test_times_are_read_in_utc(value: str, expected: int) -> None:
    assert microseconds(value) == expected


storable = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)


@given(storable | st.text(alphabet="%_!\\*?[a", max_size=6), st.text(alphabet="%_!\\*?[aA", max_size=4))
def test_contains_means_contains_whatever_the_characters(name: str, part: str) -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE things (id, name, size, made_at, is_public, kind)")
        connection.execute("INSERT INTO things (id, name) VALUES (1, ?)", (name,))
        assert (ids(connection, condition("name", "fuzzy", part)) == [1]) == (part.lower() in name.lower())
        assert ids(connection, condition("name", "exact", name)) == [1]
    connection.close()


@given(
    st.text(max_size=30),
    st.sampled_from(["exact", "fuzzy", "any", "all", "range"]),
    st.sampled_from([*FIELDS.columns, "x"]),
)
def test_nothing_but_invalid_input_is_ever_raised(value: str, kind: Kind, key: str) -> None:
    values = (value, None) if kind == "range" else (value,)
    try:
        chosen = select_by([Condition(key, kind, values)], FIELDS)
    except InvalidInput:
        return
    assert all(isinstance(bound, str | int) for bound in chosen.values.values())
