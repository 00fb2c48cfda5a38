"""Projects: the table and its SQL."""

from __future__ import annotations

from sqlalchemy import bindparam, select, update

from entrepot.database import Database, Transaction, query, upsert
from entrepot.kit import clock
from entrepot.projects.model import Project
from entrepot.projects.tables import project_aliases, projects

_COLUMNS = (projects.c.id, projects.c.name, projects.c.is_public)

_FIND = query(select(*_COLUMNS).where(projects.c.name == bindparam("name")))
_LIST = query(select(*_COLUMNS).order_by(projects.c.name))
_ADD = upsert(
    lambda insert: (
        insert(projects)
        .values({c.name: bindparam(c.name) for c in projects.columns if c.name != "id"})
        .on_conflict_do_nothing(index_elements=[projects.c.name])
    )
)
_SET_PUBLIC = query(
    update(projects).where(projects.c.name == bindparam("project_name")).values(is_public=bindparam("is_public"))
)


async def find(reader: Database | Transaction, name: str) -> Project | None:
    """The project called ``name``."""
    row = await reader.one(_FIND, name=name)
    if row is None:
        row = await reader.one(_FIND_FORMER, name=name, now=clock.now_us())
    return Project(row[0], row[1], bool(row[2])) if row else None


_FIND_FORMER = query(
    select(*_COLUMNS)
    .select_from(project_aliases.join(projects, projects.c.id == project_aliases.c.project_id))
    .where(project_aliases.c.name == bindparam("name"), project_aliases.c.expires_at > bindparam("now"))
)
_FIND_BY_ID = query(select(*_COLUMNS).where(projects.c.id == bindparam("id")))
_LARGEST_ID = 2**53


async def find_by_id(reader: Database | Transaction, project_id: int) -> Project | None:
    """The project with this id."""
    if project_id > _LARGEST_ID:
        return None
    row = await reader.one(_FIND_BY_ID, id=project_id)
    return Project(row[0], row[1], bool(row[2])) if row else None


async def find_by_reference(reader: Database | Transaction, reference: str, *, by_name: bool) -> Project | None:
    """The project that a path names: digits are an id, unless ``by_name``; else a name, present or former."""
    if not by_name and reference.isascii() and reference.isdigit():
        return await find_by_id(reader, int(reference[:20]))
    return await find(reader, reference)


async def list_all(database: Database) -> list[Project]:
    """Every project, by name."""
    return [Project(row[0], row[1], bool(row[2])) for row in await database.all(_LIST)]


async def add(tx: Transaction, name: str, created_at: int, *, is_public: bool) -> bool:
    """Create a project; ``False`` if there is one of that name."""
    added = await tx.run(
        _ADD,
        name=name,
        is_public=int(is_public),
        created_at=created_at,
        updated_at=created_at,
        owner_id=None,
        owner_name="",
        metadata=b"{}",
        quota=-1,
    )
    return added > 0


async def set_public(tx: Transaction, name: str, *, is_public: bool) -> bool:
    """Make a project public or private; ``False`` if there is none."""
    return await tx.run(_SET_PUBLIC, project_name=name, is_public=int(is_public)) > 0
