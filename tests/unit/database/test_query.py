"""Statements: their constants, and that every one of them is of both dialects."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, func, insert, select

import entrepot
from entrepot.database import Query, query, upsert

SLICES = ("registry.store", "projects", "access.store", "auth.store", "journal", "audit", "settings")

thing = Table("thing", MetaData(), Column("id", Integer, primary_key=True), Column("name", Text))


def statements() -> dict[str, Query]:
    """Every statement that a module names, by module and name."""
    found: dict[str, Query] = {}
    for module in pkgutil.walk_packages(entrepot.__path__, "entrepot."):
        if "__main__" in module.name or "migrations" in module.name:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Query):
                found[f"{module.name.removeprefix('entrepot.')}.{name}"] = value
    return found


ALL = statements()

SQLITE_ONLY = re.compile(
    r"\bPRAGMA\b|\bINSERT OR\b"
    r"|\bREPLACE INTO\b|\browid\b|\bGLOB\b|\bINDEXED BY\b|\bIFNULL\b|\bstrftime\b|\bsqlite"
    r"|\bLIMIT -1\b|\btotal_changes\b|\blast_insert_rowid\b|\bjson_extract\b|\bAUTOINCREMENT\b",
    re.IGNORECASE,
)


def test_the_stores_are_full_of_statements() -> None:
    assert len(ALL) > 120
    for part in SLICES:
        assert any(name.startswith(part) for name in ALL), part


@pytest.mark.parametrize("name", ALL)
def test_a_statement_compiles_for_both_dialects_with_the_same_parameters(name: str) -> None:
    sqlite, sqlite_constants = ALL[name].bind("sqlite", {})
    postgresql, postgresql_constants = ALL[name].bind("postgresql", {})
    asked = {
        "sqlite": set(re.findall(r"(?<!:):([a-z_0-9]+)", sqlite)) - set(sqlite_constants),
        "postgresql": set(re.findall(r"%\(([a-z_0-9]+)\)s", postgresql)) - set(postgresql_constants),
    }
    assert asked["sqlite"] == asked["postgresql"]


@pytest.mark.parametrize("name", ALL)
def test_a_statement_for_postgresql_holds_nothing_of_sqlite_alone(name: str) -> None:
    text, _ = ALL[name].bind("postgresql", {})
    assert not SQLITE_ONLY.search(text)
    assert "?" not in text


@pytest.mark.parametrize("name", ALL)
def test_a_statement_holds_no_value_that_a_caller_could_have_bound(name: str) -> None:
    """Constants are what the dialect itself adds; any other value is the caller's to bind."""
    _, constants = ALL[name].bind("postgresql", {})
    assert constants == {}


def test_the_constants_that_a_dialect_adds_are_among_the_values() -> None:
    statement = query(select(thing.c.id).where(thing.c.name == bindparam("name")).limit(bindparam("count")))
    text, values = statement.bind("sqlite", {"name": "a", "count": 3})
    assert set(re.findall(r":([a-z_0-9]+)", text)) <= set(values)
    assert values | {"name": "a", "count": 3} == values


def test_a_statement_without_constants_is_given_the_very_values() -> None:
    values = {"name": "a"}
    _, bound = query(select(thing.c.id).where(thing.c.name == bindparam("name"))).bind("sqlite", values)
    assert bound is values


def test_binding_changes_neither_the_statement_nor_the_caller_s_values() -> None:
    statement = query(select(thing.c.id).where(thing.c.name == bindparam("name")).limit(bindparam("count")))
    first_values: dict[str, object] = {"name": "a", "count": 1}
    first = statement.bind("sqlite", first_values)
    second = statement.bind("sqlite", {"name": "b", "count": 1})
    assert first_values == {"name": "a", "count": 1}
    assert (first[1]["name"], second[1]["name"]) == ("a", "b")
    assert first[0] is second[0]


def test_an_upsert_is_given_the_insert_of_its_dialect() -> None:
    statement = upsert(
        lambda insert_: (
            insert_(thing)
            .values(id=bindparam("id"), name=bindparam("name"))
            .on_conflict_do_nothing(index_elements=[thing.c.id])
        )
    )
    assert "ON CONFLICT (id) DO NOTHING" in statement.bind("sqlite", {})[0]
    assert "ON CONFLICT (id) DO NOTHING" in statement.bind("postgresql", {})[0]


def test_a_plain_insert_names_its_parameters_in_each_dialect_s_way() -> None:
    statement = query(insert(thing).values(id=bindparam("id"), name=func.lower(bindparam("name"))))
    assert ":name" in statement.bind("sqlite", {})[0]
    assert "%(name)s" in statement.bind("postgresql", {})[0]
