"""Statements on repositories: places, the catalog."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from sqlalchemy import and_, bindparam, delete, exists, literal_column, or_, select, update

from entrepot.access.model import Places, matches
from entrepot.database import Database, Query, Transaction, query, upsert
from entrepot.kit import clock
from entrepot.oci.name import RepositoryName
from entrepot.projects.store import PROJECT, project_of
from entrepot.projects.tables import project_aliases, projects
from entrepot.registry.model import Place
from entrepot.registry.store.parts import ONE, Reader
from entrepot.registry.tables import (
    manifests,
    repositories,
)


def _place(project_row: Any, condition: Any) -> Query:
    return query(
        select(*PROJECT, repositories.c.id, projects.c.quota)
        .select_from(
            project_row.outerjoin(
                repositories,
                and_(repositories.c.project_id == projects.c.id, repositories.c.path == bindparam("path")),
            )
        )
        .where(condition)
    )


_FIND_PLACE = _place(projects, projects.c.name == bindparam("project"))
_FIND_FORMER_PLACE = _place(
    project_aliases.join(projects, projects.c.id == project_aliases.c.project_id),
    and_(project_aliases.c.name == bindparam("project"), project_aliases.c.expires_at > bindparam("now")),
)


async def find_place(reader: Reader, name: RepositoryName) -> Place:
    """Project and repository behind a name; a project's former name leads to it for a while."""
    row = await reader.one(_FIND_PLACE, project=name.project, path=name.path)
    if row is None:
        row = await reader.one(_FIND_FORMER_PLACE, project=name.project, path=name.path, now=clock.now_us())
    if row is None:
        return Place(name, None, None)
    return Place(name, project_of(row), row[-2], is_limited=row[-1] >= 0)


_ADD_REPOSITORY = upsert(
    lambda insert_: (
        insert_(repositories)
        .values({c.name: bindparam(c.name) for c in repositories.columns if c.name != "id"})
        .on_conflict_do_nothing(index_elements=[repositories.c.project_id, repositories.c.path])
    )
)
_FIND_REPOSITORY = query(
    select(repositories.c.id).where(
        repositories.c.project_id == bindparam("project_id"), repositories.c.path == bindparam("path")
    )
)


async def ensure_repository(tx: Transaction, project_id: int, path: str) -> int:
    """The id of a repository, made if there is none."""
    row = await tx.one(_FIND_REPOSITORY, project_id=project_id, path=path)
    if row is None:
        now = clock.now_us()
        await tx.run(
            _ADD_REPOSITORY,
            project_id=project_id,
            path=path,
            description="",
            pull_count=0,
            created_at=now,
            updated_at=now,
        )
        row = await tx.one(_FIND_REPOSITORY, project_id=project_id, path=path)
    return int(row[0]) if row else 0


# The catalog is ordered by full names, so by project and "/" first. It is walked project by project, each statement
# a seek in an index: in one statement the rest of a project would be sorted anew for every page.
_SORT_KEY = projects.c.name.concat(literal_column("'/'"))
_PROJECTS_AT_A_TIME = 100
_NEXT_PROJECTS = query(
    select(projects.c.id, projects.c.name)
    .where(bindparam("key") <= _SORT_KEY, bindparam("after") < _SORT_KEY)
    .order_by(_SORT_KEY)
    .limit(bindparam("count"))
)
_REPOSITORIES_OF = query(
    select(repositories.c.path)
    .where(
        repositories.c.project_id == bindparam("project_id"),
        repositories.c.path > bindparam("path"),
        repositories.c.path >= bindparam("low"),
        repositories.c.path < bindparam("high"),
        exists(select(ONE).where(manifests.c.repository_id == repositories.c.id)),
    )
    .order_by(repositories.c.path)
    .limit(bindparam("count"))
)
_LAST = "\U0010ffff"
"""Sorts after every path."""


async def list_repositories(database: Database, last: str, count: int, within: Places | None) -> list[str]:
    """Full names after ``last`` of repositories that hold manifests, in byte order; ``within``: only there."""
    project, slash, path = last.partition("/")
    names: list[str] = []
    async for project_id, name in _projects_from(database, project + slash, within):
        start = path if f"{name}/" == project + slash else ""
        patterns = within.projects[project_id] if within is not None else (None,)
        names += [f"{name}/{p}" for p in await _paths(database, project_id, start, count - len(names), patterns)]
        if len(names) >= count:
            break
    return names


async def _projects_from(database: Database, key: str, within: Places | None) -> AsyncIterator[tuple[int, str]]:
    """Projects from ``key`` (a name and a slash) on, in the catalog's order."""
    if within is not None:
        for sort_key, project_id, name in sorted((f"{name}/", id_, name) for id_, name in within.names.items()):
            if sort_key >= key:
                yield project_id, name
        return
    after = ""
    while True:
        found = await database.all(_NEXT_PROJECTS, key=key, after=after, count=_PROJECTS_AT_A_TIME)
        for project_id, name in found:
            yield project_id, name
        if len(found) < _PROJECTS_AT_A_TIME:
            return
        key = after = f"{found[-1][1]}/"


async def _paths(
    database: Database, project_id: int, start: str, count: int, patterns: tuple[tuple[str, ...] | None, ...]
) -> list[str]:
    """Paths after ``start`` that every entry of ``patterns`` lets through."""
    limited = [entry for entry in patterns if entry is not None]
    ranges = [bounds(pattern) for pattern in limited[0]] if limited else [("", _LAST)]
    paths: list[str] = []
    while len(paths) < count:
        found: set[str] = set()
        for low, high in ranges:
            rows = await database.all(
                _REPOSITORIES_OF, project_id=project_id, path=start, low=low, high=high, count=count
            )
            found.update(row[0] for row in rows)
        if not found:
            break
        page = sorted(found)[:count]
        paths += [p for p in page if all(any(matches(pattern, p) for pattern in entry) for entry in limited)]
        start = page[-1]
    return paths[:count]


def bounds(pattern: str) -> tuple[str, str]:
    """The least path, and one above all paths, that a pattern of a grant can stand for."""
    literal = pattern.rstrip("*")
    return (literal, literal + _LAST) if literal != pattern else (literal, literal + "\0")


_HAS = query(select(ONE).where(repositories.c.id == bindparam("id")))


async def has_repository(reader: Reader, repository_id: int) -> bool:
    """Whether a repository is there."""
    return await reader.one(_HAS, id=repository_id) is not None


_DESCRIBE = query(
    update(repositories)
    .where(repositories.c.id == bindparam("repository"))
    .values({"description": bindparam("new_description"), "updated_at": bindparam("now")})
)
_TOUCH = query(
    update(repositories).where(repositories.c.id == bindparam("repository")).values({"updated_at": bindparam("now")})
)
_DELETE = query(delete(repositories).where(repositories.c.id == bindparam("repository")))


async def set_description(tx: Transaction, repository_id: int, description: str) -> None:
    """Replace a repository's description."""
    await tx.run(_DESCRIBE, repository=repository_id, new_description=description, now=clock.now_us())


async def touch(tx: Transaction, repository_id: int) -> None:
    """Something in the repository changed."""
    await tx.run(_TOUCH, repository=repository_id, now=clock.now_us())


async def delete_repository(tx: Transaction, repository_id: int) -> bool:
    """Remove a repository with all its rows (by cascade); ``False`` if there is none."""
    return await tx.run(_DELETE, repository=repository_id) > 0


_ADD_PULLS = query(
    update(repositories)
    .where(repositories.c.id == bindparam("repository"))
    .values(pull_count=repositories.c.pull_count + bindparam("more"))
)
_SET_PULLED = query(
    update(manifests)
    .where(
        manifests.c.id == bindparam("manifest"),
        or_(manifests.c.pulled_at.is_(None), manifests.c.pulled_at < bindparam("now")),
    )
    .values({"pulled_at": bindparam("now")})
)


async def add_pulls(tx: Transaction, counts: Mapping[int, int]) -> None:
    """Count pulls, by the repository's id."""
    await tx.many(_ADD_PULLS, [{"repository": id_, "more": count} for id_, count in counts.items()])


async def set_pulled(tx: Transaction, times: Mapping[int, int]) -> None:
    """When manifests were pulled last, by the manifest's id (microseconds since the epoch)."""
    await tx.many(_SET_PULLED, [{"manifest": id_, "now": time} for id_, time in times.items()])
