"""Statements on blobs, and which repository holds them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, literal_column, select

from entrepot.database import Query, Transaction, query, upsert
from entrepot.kit import clock
from entrepot.oci import digest as digests
from entrepot.oci.name import RepositoryName
from entrepot.projects.tables import projects
from entrepot.registry.model import StoredBlob
from entrepot.registry.store.parts import Reader, here
from entrepot.registry.tables import (
    blobs,
    manifest_blobs,
    manifest_children,
    manifests,
    repositories,
    repository_blobs,
)

_BLOB = (blobs.c.digest, blobs.c.size, blobs.c.location)
_FIND_BLOB = query(
    select(*_BLOB)
    .select_from(repository_blobs.join(blobs, blobs.c.digest == repository_blobs.c.digest))
    .where(here(repository_blobs), repository_blobs.c.digest == bindparam("digest"))
)


async def find_blob(reader: Reader, repository_id: int, digest: str) -> StoredBlob | None:
    """A blob, if the repository holds it."""
    row = await reader.one(_FIND_BLOB, repository_id=repository_id, digest=digests.pack(digest))
    return StoredBlob(digest, row[1], row[2]) if row else None


def _anywhere(*, public_only: bool) -> Query:
    statement = (
        select(projects.c.name, repositories.c.path)
        .select_from(
            repository_blobs.join(repositories, repositories.c.id == repository_blobs.c.repository_id).join(
                projects, projects.c.id == repositories.c.project_id
            )
        )
        .where(repository_blobs.c.digest == bindparam("digest"))
        .limit(literal_column("1"))
    )
    return query(statement.where(projects.c.is_public == literal_column("1")) if public_only else statement)


_HOLDER = _anywhere(public_only=False)
_PUBLIC_HOLDER = _anywhere(public_only=True)


async def find_holder(reader: Reader, digest: str, *, public_only: bool) -> RepositoryName | None:
    """Some repository that holds a blob."""
    row = await reader.one(_PUBLIC_HOLDER if public_only else _HOLDER, digest=digests.pack(digest))
    return RepositoryName(row[0], row[1]) if row else None


_ADD_BLOB = upsert(
    lambda insert_: (
        insert_(blobs)
        .values({c.name: bindparam(c.name) for c in blobs.columns})
        .on_conflict_do_update(
            index_elements=[blobs.c.digest],
            set_={"location": bindparam("location"), "size": bindparam("size")},
        )
    )
)
_LINK_BLOB = upsert(
    lambda insert_: (
        insert_(repository_blobs)
        .values({c.name: bindparam(c.name) for c in repository_blobs.columns})
        .on_conflict_do_nothing(index_elements=[repository_blobs.c.repository_id, repository_blobs.c.digest])
    )
)
_UNLINK_BLOB = query(
    delete(repository_blobs).where(here(repository_blobs), repository_blobs.c.digest == bindparam("digest"))
)


async def add_blob(tx: Transaction, blob: StoredBlob) -> None:
    """Record content; where it lies may have changed."""
    await tx.run(
        _ADD_BLOB,
        digest=digests.pack(blob.digest),
        size=blob.size,
        location=blob.location,
        created_at=clock.now_us(),
    )


async def link_blob(tx: Transaction, repository_id: int, digest: str) -> None:
    """Make a blob visible in a repository."""
    await tx.run(_LINK_BLOB, repository_id=repository_id, digest=digests.pack(digest), created_at=clock.now_us())


async def unlink_blob(tx: Transaction, repository_id: int, digest: str) -> bool:
    """Take a blob out of a repository; ``False`` if it was not there."""
    return await tx.run(_UNLINK_BLOB, repository_id=repository_id, digest=digests.pack(digest)) > 0


_NAMING_BLOB = query(
    select(manifests.c.digest)
    .select_from(manifest_blobs.join(manifests, manifests.c.id == manifest_blobs.c.manifest_id))
    .where(here(manifest_blobs), manifest_blobs.c.digest == bindparam("digest"))
    .limit(literal_column("1"))
)
_PARENT = query(
    select(manifests.c.digest)
    .select_from(manifest_children.join(manifests, manifests.c.id == manifest_children.c.manifest_id))
    .where(here(manifest_children), manifest_children.c.digest == bindparam("digest"))
    .limit(literal_column("1"))
)


async def find_naming(reader: Reader, repository_id: int, digest: str) -> str | None:
    """The digest of a manifest of the repository that names a blob as config, layer or child."""
    return await _first_digest(reader, (_NAMING_BLOB, _PARENT), repository_id, digest)


async def find_parent(reader: Reader, repository_id: int, digest: str) -> str | None:
    """The digest of an index of the repository that lists a manifest."""
    return await _first_digest(reader, (_PARENT,), repository_id, digest)


async def _first_digest(reader: Reader, queries: Sequence[Query], repository_id: int, digest: str) -> str | None:
    packed = digests.pack(digest)
    for statement in queries:
        row = await reader.one(statement, repository_id=repository_id, digest=packed)
        if row:
            return digests.unpack(row[0])
    return None
