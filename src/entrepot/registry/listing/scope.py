"""Where a list may look: grants' patterns as ranges of an index.

A pattern is a literal, or a literal prefix with ``*`` or ``**``, so each is a range of ``repositories.path``; only a
single ``*`` needs a look at what follows its prefix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Select,
    Text,
    and_,
    bindparam,
    case,
    false,
    literal_column,
    not_,
    or_,
    select,
    union_all,
)

from entrepot.access.model import Places
from entrepot.kit.selection import ESCAPE, Selection, contains
from entrepot.registry.store.repositories import bounds
from entrepot.registry.tables import repositories

Patterns = tuple[tuple[str, ...] | None, ...]

_MOST_TERMS = 100
"""SQLite refuses a chain of 1000 ORs; from here on it is a list of cases, which an index does not answer."""
_BOUND_IDS = 1024
"""With more ids the statement's text holds them: SQLite binds at most 32,766 values."""


_within = repositories.alias("within")


class Scope(msgspec.Struct, frozen=True):
    """Repositories that a list may look into: a condition on ``repositories``, its values, what its text depends on."""

    condition: ColumnElement[bool] | None = None
    values: dict[str, Any] = {}
    shape: tuple[Any, ...] = ()

    def clauses(self) -> tuple[ColumnElement[bool], ...]:
        """The condition on ``repositories``, if there is one."""
        return () if self.condition is None else (self.condition,)

    def holds(self, repository_id: ColumnElement[Any]) -> ColumnElement[bool]:
        """The condition on a column with a repository's id."""
        return repository_id.in_(select(repositories.c.id).where(*self.clauses()))

    @property
    def selection(self) -> Selection:
        """As a part of what is selected."""
        return Selection(self.clauses(), self.values, (("scope", repr(self.shape), 0),))


def in_project(project_id: int, patterns: Patterns) -> Scope:
    """The repositories of a project that ``patterns`` (``Rights.patterns``) let through."""
    values: dict[str, Any] = {"project_id": project_id}
    shape: list[Any] = ["project"]
    condition = _patterned("project_id", patterns, values, shape)
    return Scope(condition, values, tuple(shape))


def in_places(places: Places) -> Scope:
    """The repositories of all projects in which a caller holds a permission."""
    if places.everywhere:
        return Scope(None, {}, ("everywhere",))
    whole = [id_ for id_, patterns in places.projects.items() if patterns and all(p is None for p in patterns)]
    values: dict[str, Any] = {}
    shape: list[Any] = ["places"]
    terms: list[ColumnElement[bool]] = [among(repositories.c.project_id, whole, values, "s")] if whole else []
    shape.append(size_for(len(whole)) if len(whole) <= _BOUND_IDS else fingerprint(whole))
    for project_id, patterns in places.projects.items():
        if any(entry is not None for entry in patterns):
            name = f"s{len(values)}"
            values[name] = project_id
            shape.append("in")
            terms.append(_patterned(name, patterns, values, shape))
    return Scope(_any(terms), values, tuple(shape))


def among(column: ColumnElement[Any], ids: Sequence[int], values: dict[str, Any], prefix: str) -> ColumnElement[bool]:
    """``column`` is one of ``ids``, which are put into ``values``; few lengths make few statements."""
    if len(ids) > _BOUND_IDS:
        listed = ", ".join(str(int(id_)) for id_ in ids)
        return column.bool_op("IN")(literal_column(f"({listed})"))
    names = []
    for id_ in padded(ids):
        names.append(f"{prefix}{len(values)}")
        values[names[-1]] = id_
    return column.in_([bindparam(name) for name in names]) if names else false()


def fingerprint(ids: Sequence[int]) -> str:
    """What a text that holds ``ids`` depends on."""
    return hashlib.sha256(repr(ids).encode()).hexdigest()


def padded(items: Sequence[Any]) -> list[Any]:
    """``items``, the last one repeated, as many as ``size_for`` says."""
    return [*items, *[items[-1]] * (size_for(len(items)) - len(items))] if items else []


def size_for(count: int) -> int:
    """The next power of two."""
    return 1 << (count - 1).bit_length() if count else 0


def _patterned(name: str, patterns: Patterns, values: dict[str, Any], shape: list[Any]) -> ColumnElement[bool]:
    """In the project whose id is bound as ``name``; and in each entry some pattern lets the repository through."""
    if not patterns:
        shape.append("nowhere")
        return false()
    conditions = []
    for entry in patterns:
        if entry is None:
            continue
        shape.append("one of")
        terms = []
        for pattern in sorted(_narrowed(entry)):
            terms.append(_range(pattern, values))
            shape.append(pattern.endswith("**") * 2 or pattern.endswith("*") * 1)
        conditions.append(repositories.c.id.in_(_ids(_within.c.project_id == bindparam(name), terms)))
    return and_(*conditions) if conditions else repositories.c.project_id == bindparam(name)


def _ids(project: ColumnElement[bool], terms: list[ColumnElement[bool]]) -> Select[Any] | CompoundSelect[Any]:
    """The repositories of a project for which one of ``terms`` holds."""
    ids = select(_within.c.id).where(project)
    if not 1 < len(terms) <= _MOST_TERMS:
        return ids.where(_any(terms))
    # One range of the index for each; of terms with OR between them SQLite would make a walk through the project.
    return union_all(*(ids.where(term) for term in terms))


def _narrowed(entry: tuple[str, ...]) -> set[str]:
    """Without the patterns that another one with ``**`` holds already."""
    wide = tuple(pattern[:-2] for pattern in entry if pattern.endswith("**"))
    if "" in wide:
        return {"**"}
    return {p for p in entry if not any(p.startswith(prefix) and p != f"{prefix}**" for prefix in wide)}


def _range(pattern: str, values: dict[str, Any]) -> ColumnElement[bool]:
    path = _within.c.path

    def bind(value: str) -> BindParameter[str]:
        name = f"s{len(values)}"
        values[name] = value
        return bindparam(name, type_=Text())

    if "*" not in pattern:
        return path == bind(pattern)
    low, high = bounds(pattern)
    inside = and_(path >= bind(low), path < bind(high))
    if pattern.endswith("**"):
        return inside
    deeper = f"{contains(low)[1:-1]}%/%"
    return and_(inside, not_(path.like(bind(deeper), escape=ESCAPE)))


def _any(terms: Iterable[ColumnElement[bool]]) -> ColumnElement[bool]:
    terms = list(terms)
    if not terms:
        return false()
    if len(terms) <= _MOST_TERMS:
        return or_(*terms)
    return case(*((term, literal_column("1")) for term in terms), else_=literal_column("0")) == literal_column("1")
