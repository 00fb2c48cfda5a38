"""Projects: the table and its SQL."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    SmallInteger,
    Table,
    bindparam,
    select,
    text,
    update,
)

from entrepot.database import Database, Transaction, metadata, query, upsert
from entrepot.database.tables import ByteOrderedText
from entrepot.projects.model import Project

projects = Table(
    "projects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", ByteOrderedText, nullable=False, unique=True),
    Column("is_public", SmallInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # The catalog is ordered by full repository names: "a-b/x" comes before "a/x", since "-" sorts before "/".
    Index("ix_projects_catalog", text("(name || '/')")),
)

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
    return Project(row[0], row[1], bool(row[2])) if row else None


async def list_all(database: Database) -> list[Project]:
    """Every project, by name."""
    return [Project(row[0], row[1], bool(row[2])) for row in await database.all(_LIST)]


async def add(tx: Transaction, name: str, created_at: int, *, is_public: bool) -> bool:
    """Create a project; ``False`` if there is one of that name."""
    return await tx.run(_ADD, name=name, is_public=int(is_public), created_at=created_at) > 0


async def set_public(tx: Transaction, name: str, *, is_public: bool) -> bool:
    """Make a project public or private; ``False`` if there is none."""
    return await tx.run(_SET_PUBLIC, project_name=name, is_public=int(is_public)) > 0
