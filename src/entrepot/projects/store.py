"""Projects and their former names: every statement, each named by its function."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, bindparam, delete, func, literal_column, not_, or_, select, update

from entrepot.database import Database, Transaction, query, upsert
from entrepot.kit import clock
from entrepot.kit.listing import Listing, SortKey
from entrepot.kit.networks import AddressRules, parse_rules
from entrepot.kit.selection import Fields, boolean, integer, text, time
from entrepot.projects.model import Project, ProjectDetails
from entrepot.projects.tables import project_aliases, projects
from entrepot.web.lists import Lister

Reader = Database | Transaction

_LARGEST_ID = 2**53
_NONE = len("[]")

# finding

PROJECT = (
    projects.c.id,
    projects.c.name,
    projects.c.is_public,
    projects.c.allow_networks,
    projects.c.deny_networks,
)
"""What ``project_of`` makes a project of."""

_FIND = query(select(*PROJECT).where(projects.c.name == bindparam("name")))
_FIND_FORMER = query(
    select(*PROJECT)
    .select_from(project_aliases.join(projects, projects.c.id == project_aliases.c.project_id))
    .where(project_aliases.c.name == bindparam("name"), project_aliases.c.expires_at > bindparam("now"))
)
_FIND_BY_ID = query(select(*PROJECT).where(projects.c.id == bindparam("id")))
_LIST = query(select(*PROJECT).order_by(projects.c.name))


def project_of(row: Sequence[Any]) -> Project:
    """The project of a row that begins with ``PROJECT``."""
    id_, name, is_public, allow, deny = row[:5]
    return Project(id_, name, bool(is_public), _rules(allow, deny))


def _rules(allow: bytes | str, deny: bytes | str) -> AddressRules | None:
    """Rules as they are stored; nearly every project has none, which must cost nothing."""
    return None if len(allow) <= _NONE and len(deny) <= _NONE else _parsed(allow, deny)


@lru_cache(maxsize=1024)
def _parsed(allow: bytes | str, deny: bytes | str) -> AddressRules:
    return parse_rules(*(msgspec.json.decode(texts, type=list[str]) for texts in (allow, deny)))


async def find(reader: Reader, name: str) -> Project | None:
    """The project called ``name``, or that was called so a while ago."""
    row = await reader.one(_FIND, name=name)
    if row is None:
        row = await reader.one(_FIND_FORMER, name=name, now=clock.now_us())
    return project_of(row) if row else None


async def find_by_id(reader: Reader, project_id: int) -> Project | None:
    """The project with this id."""
    if not 0 <= project_id <= _LARGEST_ID:
        return None
    row = await reader.one(_FIND_BY_ID, id=project_id)
    return project_of(row) if row else None


async def find_by_reference(reader: Reader, reference: str, *, by_name: bool) -> Project | None:
    """The project that a path names: digits are an id, unless ``by_name``; else a name, present or former."""
    if not by_name and reference.isascii() and reference.isdigit():
        return await find_by_id(reader, int(reference[:20]))
    return await find(reader, reference)


async def list_all(database: Database) -> list[Project]:
    """Every project, by name."""
    return [project_of(row) for row in await database.all(_LIST)]


# details

_DETAILS = (
    *PROJECT,
    projects.c.created_at,
    projects.c.updated_at,
    projects.c.owner_id,
    projects.c.owner_name,
    projects.c.metadata,
    projects.c.quota,
)
_FIND_DETAILS = query(select(*_DETAILS).where(projects.c.id == bindparam("id")))
_FIELDS = Fields(
    {
        "project_id": integer(projects.c.id),
        "name": text(projects.c.name),
        "public": boolean(projects.c.is_public),
        "owner": text(projects.c.owner_name),
        "owner_name": text(projects.c.owner_name),
        "owner_id": integer(projects.c.owner_id),
        "creation_time": time(projects.c.created_at),
        "update_time": time(projects.c.updated_at),
    }
)
_LISTER = Lister(_DETAILS, _FIELDS, (SortKey("name"),), projects.c.id, projects)


async def find_details(reader: Reader, project_id: int) -> ProjectDetails | None:
    """All that is kept of a project."""
    row = await reader.one(_FIND_DETAILS, id=project_id)
    return _details(row) if row else None


async def list_page(
    database: Database, listing: Listing, visible: Sequence[int] | None, hidden: Sequence[int] = ()
) -> tuple[list[ProjectDetails], int]:
    """A page of the projects that are public or among ``visible`` (``None``: of all), and how many there are.

    Those among ``hidden`` are left out even if they are public.

    Raises:
        InvalidInput: the list knows no such field or value.
    """
    if visible is None:
        rows, total = await _LISTER.page(database, listing)
        return [_details(row) for row in rows], total
    within: list[ColumnElement[bool]] = [or_(projects.c.is_public == literal_column("1"), _among("visible"))]
    values = {"visible": msgspec.json.encode(list(visible)).decode()}
    name = "visible"
    if hidden:
        within.append(not_(_among("hidden")))
        values["hidden"] = msgspec.json.encode(list(hidden)).decode()
        name = "visible but hidden"
    rows, total = await _LISTER.page(database, listing, within=within, name=name, values=values)
    return [_details(row) for row in rows], total


def _among(ids: str) -> ColumnElement[bool]:
    """The projects whose ids are in the JSON list that is bound as ``ids``."""
    return projects.c.id.in_(select(func.json_each(bindparam(ids)).table_valued("value").c.value))


def _details(row: Sequence[Any]) -> ProjectDetails:
    id_, name, is_public, allow, deny, created_at, updated_at, owner_id, owner_name, metadata, quota = row
    return ProjectDetails(
        id_,
        name,
        bool(is_public),
        created_at,
        updated_at,
        owner_id,
        owner_name,
        msgspec.json.decode(metadata, type=dict[str, str]),
        quota,
        _rules(allow, deny),
    )


# changing

_LATER = {"id", "allow_networks", "deny_networks"}
_ADD = upsert(
    lambda insert: (
        insert(projects)
        .values({c.name: bindparam(c.name) for c in projects.columns if c.name not in _LATER})
        .on_conflict_do_nothing(index_elements=[projects.c.name])
    )
)
_UPDATE = query(
    update(projects)
    .where(projects.c.id == bindparam("project"))
    .values({name: bindparam(f"new_{name}") for name in ("name", "is_public", "metadata", "quota", "updated_at")})
)
_SET_ADDRESSES = query(
    update(projects)
    .where(projects.c.id == bindparam("project"))
    .values(allow_networks=bindparam("allow"), deny_networks=bindparam("deny"), updated_at=bindparam("now"))
)
_DELETE = query(delete(projects).where(projects.c.id == bindparam("project")))


async def add(
    tx: Transaction,
    name: str,
    created_at: int,
    *,
    is_public: bool,
    owner: tuple[int | None, str] = (None, ""),
    metadata: dict[str, str] | None = None,
    quota: int = -1,
) -> bool:
    """Create a project; ``False`` if there is one of that name."""
    added = await tx.run(
        _ADD,
        name=name,
        is_public=int(is_public),
        created_at=created_at,
        updated_at=created_at,
        owner_id=owner[0],
        owner_name=owner[1],
        metadata=msgspec.json.encode(metadata or {}),
        quota=quota,
    )
    return added > 0


async def save(tx: Transaction, details: ProjectDetails) -> None:
    """Replace name, visibility, metadata and quota of a project."""
    await tx.run(
        _UPDATE,
        project=details.id,
        new_name=details.name,
        new_is_public=int(details.is_public),
        new_metadata=msgspec.json.encode(details.metadata),
        new_quota=details.quota,
        new_updated_at=clock.now_us(),
    )


async def set_addresses(tx: Transaction, project_id: int, allow: Sequence[str], deny: Sequence[str]) -> None:
    """From which networks a project may be used."""
    await tx.run(
        _SET_ADDRESSES,
        project=project_id,
        allow=msgspec.json.encode(allow),
        deny=msgspec.json.encode(deny),
        now=clock.now_us(),
    )


async def delete_project(tx: Transaction, project_id: int) -> bool:
    """Remove a project with all that belongs to it (by cascade); ``False`` if there is none."""
    return await tx.run(_DELETE, project=project_id) > 0


# former names

_ADD_FORMER = upsert(
    lambda insert: (
        insert(project_aliases)
        .values({c.name: bindparam(c.name) for c in project_aliases.columns})
        .on_conflict_do_update(
            index_elements=[project_aliases.c.name],
            set_={name: bindparam(name) for name in ("project_id", "expires_at")},
        )
    )
)
_DROP_FORMER = query(delete(project_aliases).where(project_aliases.c.name == bindparam("former")))
_LIST_FORMER = query(
    select(project_aliases.c.name, project_aliases.c.expires_at)
    .where(project_aliases.c.project_id == bindparam("project_id"), project_aliases.c.expires_at > bindparam("now"))
    .order_by(project_aliases.c.name)
)


async def find_former(reader: Reader, name: str) -> Project | None:
    """The project that was called ``name`` a while ago."""
    row = await reader.one(_FIND_FORMER, name=name, now=clock.now_us())
    return project_of(row) if row else None


async def add_former(tx: Transaction, name: str, project_id: int, expires_at: int) -> None:
    """Let a former name lead to a project until ``expires_at`` (microseconds since the epoch)."""
    await tx.run(_ADD_FORMER, name=name, project_id=project_id, expires_at=expires_at)


async def drop_former(tx: Transaction, name: str) -> bool:
    """Let a former name lead nowhere; ``False`` if it did not."""
    return await tx.run(_DROP_FORMER, former=name) > 0


async def list_former(reader: Reader, project_id: int) -> list[tuple[str, int]]:
    """A project's former names, and until when they lead to it (microseconds since the epoch)."""
    rows = await reader.all(_LIST_FORMER, project_id=project_id, now=clock.now_us())
    return [(row[0], row[1]) for row in rows]
