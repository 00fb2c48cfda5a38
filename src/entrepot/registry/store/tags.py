"""Statements on tags."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select

from entrepot.database import Database, Transaction, query, upsert
from entrepot.kit import clock
from entrepot.oci import digest as digests
from entrepot.registry.store.parts import Reader, here
from entrepot.registry.tables import (
    manifests,
    tags,
)

_SET_TAG = upsert(
    lambda insert_: (
        insert_(tags)
        .values({c.name: bindparam(c.name) for c in tags.columns})
        .on_conflict_do_update(
            index_elements=[tags.c.repository_id, tags.c.name],
            set_={"manifest_id": bindparam("manifest_id"), "pushed_at": bindparam("pushed_at")},
        )
    )
)
_TAGGED = query(
    select(manifests.c.digest)
    .select_from(tags.join(manifests, manifests.c.id == tags.c.manifest_id))
    .where(here(tags), tags.c.name == bindparam("tag"))
)
_LIST_TAGS = query(
    select(tags.c.name)
    .where(here(tags), tags.c.name > bindparam("last"))
    .order_by(tags.c.name)
    .limit(bindparam("count"))
)
_TAGS_OF = query(select(tags.c.name).where(tags.c.manifest_id == bindparam("manifest_id")).order_by(tags.c.name))
_DELETE_TAG = query(delete(tags).where(here(tags), tags.c.name == bindparam("tag")))


async def find_tagged(reader: Reader, repository_id: int, tag: str) -> str | None:
    """The digest that a tag names."""
    row = await reader.one(_TAGGED, repository_id=repository_id, tag=tag)
    return digests.unpack(row[0]) if row else None


_TAGGED_ID = query(select(tags.c.manifest_id).where(here(tags), tags.c.name == bindparam("tag")))


async def find_tagged_id(reader: Reader, repository_id: int, tag: str) -> int | None:
    """The id of the manifest that a tag names."""
    row = await reader.one(_TAGGED_ID, repository_id=repository_id, tag=tag)
    return int(row[0]) if row else None


async def set_tag(tx: Transaction, repository_id: int, tag: str, manifest_id: int) -> None:
    """Let a tag name a manifest, whatever it named before."""
    await tx.run(_SET_TAG, repository_id=repository_id, name=tag, manifest_id=manifest_id, pushed_at=clock.now_us())


async def list_tags(database: Database, repository_id: int, last: str, count: int) -> list[str]:
    """Tags after ``last`` in byte order."""
    rows = await database.all(_LIST_TAGS, repository_id=repository_id, last=last, count=count)
    return [row[0] for row in rows]


async def tags_of(tx: Reader, manifest_id: int) -> list[str]:
    """Every tag that names a manifest."""
    return [row[0] for row in await tx.all(_TAGS_OF, manifest_id=manifest_id)]


async def delete_tag(tx: Transaction, repository_id: int, tag: str) -> bool:
    """Remove a tag; ``False`` if there is none."""
    return await tx.run(_DELETE_TAG, repository_id=repository_id, tag=tag) > 0
