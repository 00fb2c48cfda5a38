"""Labels: their rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, func, literal_column, select, update

from entrepot.database import Database, Transaction, query, upsert
from entrepot.kit.listing import Listing, SortKey
from entrepot.kit.selection import Fields, integer, text, time
from entrepot.projects.model import Label
from entrepot.projects.tables import labels
from entrepot.web.lists import Lister

_COLUMNS = (
    labels.c.id,
    labels.c.name,
    labels.c.description,
    labels.c.color,
    labels.c.project_id,
    labels.c.created_at,
    labels.c.updated_at,
)
_FIELDS = Fields(
    {
        "id": integer(labels.c.id),
        "name": text(labels.c.name),
        "description": text(labels.c.description),
        "color": text(labels.c.color),
        "creation_time": time(labels.c.created_at),
        "update_time": time(labels.c.updated_at),
    }
)
# As in the unique index, so that it finds a name and lists in order.
_IN_PLACE = func.coalesce(labels.c.project_id, literal_column("0")) == bindparam("place")

_FIND = query(select(*_COLUMNS).where(labels.c.id == bindparam("id")))
_FIND_NAME = query(select(labels.c.id).where(_IN_PLACE, labels.c.name == bindparam("name")))
_ADD = upsert(
    lambda insert: (
        insert(labels)
        .values({c.name: bindparam(c.name) for c in labels.columns if c.name != "id"})
        .on_conflict_do_nothing()
        .returning(labels.c.id)
    )
)
_SET = query(
    update(labels)
    .where(labels.c.id == bindparam("label_id"))
    .values({name: bindparam(name) for name in ("name", "description", "color", "updated_at")})
)
_DELETE = query(delete(labels).where(labels.c.id == bindparam("label_id")))

_LIST = Lister(_COLUMNS, _FIELDS, (SortKey("name"),), labels.c.id, labels)


def _label(row: tuple[Any, ...]) -> Label:
    return Label(*row)


async def find(reader: Database | Transaction, label_id: int) -> Label | None:
    """The label with this id."""
    row = await reader.one(_FIND, id=label_id)
    return _label(row) if row else None


async def find_named(tx: Transaction, name: str, project_id: int | None) -> int | None:
    """The id of a project's label of this name; without a project: of the global one."""
    row = await tx.one(_FIND_NAME, name=name, place=project_id or 0)
    return int(row[0]) if row else None


async def list_page(database: Database, project_id: int | None, listing: Listing) -> tuple[list[Label], int]:
    """A page of a project's labels, or of the global ones, and how many there are."""
    rows, total = await _LIST.page(database, listing, within=(_IN_PLACE,), values={"place": project_id or 0})
    return [_label(row) for row in rows], total


async def add(
    tx: Transaction, name: str, description: str, color: str, *, project_id: int | None, now: int
) -> int | None:
    """Create a label; its id, or ``None`` if the name is taken in its scope."""
    row = await tx.one(
        _ADD,
        name=name,
        description=description,
        color=color,
        project_id=project_id,
        created_at=now,
        updated_at=now,
    )
    return int(row[0]) if row else None


async def save(tx: Transaction, label: Label) -> None:
    """Replace what a label shows; its name must be free in its scope."""
    await tx.run(
        _SET,
        label_id=label.id,
        name=label.name,
        description=label.description,
        color=label.color,
        updated_at=label.updated_at,
    )


async def remove(tx: Transaction, label_id: int) -> None:
    """Delete a label, also from the artifacts that have it."""
    await tx.run(_DELETE, label_id=label_id)
