"""What a repository's manifests name, for the quota ledger of its project (``projects.ledger``)."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, literal_column, or_, select, union_all, update

from entrepot.database import Transaction, query, upsert
from entrepot.oci import digest as digests
from entrepot.projects.tables import project_content, reservations
from entrepot.registry.tables import blobs, manifest_blobs, manifest_children, manifests, repositories, repository_blobs

# BuildKit's caches list layers where an index lists manifests, so children may be blobs too.
_LISTED = union_all(
    select(manifest_blobs.c.digest).where(manifest_blobs.c.manifest_id == bindparam("manifest_id")),
    select(manifest_children.c.digest).where(manifest_children.c.manifest_id == bindparam("manifest_id")),
)
_NAMED = select(blobs.c.digest).where(blobs.c.digest.in_(_LISTED))
_HERE = project_content.c.project_id == bindparam("project_id")
_ONCE_MORE = project_content.c.uses + literal_column("1")

_COUNT_NAMED = upsert(
    lambda insert: (
        insert(project_content)
        .from_select(
            ["project_id", "digest", "size", "uses"],
            select(
                bindparam("project_id", type_=project_content.c.project_id.type),
                blobs.c.digest,
                blobs.c.size,
                literal_column("1"),
            ).where(blobs.c.digest.in_(_LISTED)),
        )
        .on_conflict_do_update(
            index_elements=[project_content.c.project_id, project_content.c.digest], set_={"uses": _ONCE_MORE}
        )
        .returning(project_content.c.size, project_content.c.uses)
    )
)
_COUNT_ONE = upsert(
    lambda insert: (
        insert(project_content)
        .values(
            project_id=bindparam("project_id"),
            digest=bindparam("digest"),
            size=bindparam("size"),
            uses=literal_column("1"),
        )
        .on_conflict_do_update(
            index_elements=[project_content.c.project_id, project_content.c.digest], set_={"uses": _ONCE_MORE}
        )
        .returning(project_content.c.size, project_content.c.uses)
    )
)
_TAKE_RESERVED = query(
    delete(reservations)
    .where(reservations.c.project_id == bindparam("project_id"), reservations.c.digest.in_(_NAMED))
    .returning(reservations.c.size)
)
_UNCOUNT_NAMED = query(
    update(project_content)
    .where(
        _HERE,
        or_(
            project_content.c.digest.in_(_NAMED),
            project_content.c.digest.in_(select(manifests.c.digest).where(manifests.c.id == bindparam("manifest_id"))),
        ),
    )
    .values(uses=project_content.c.uses - literal_column("1"))
    .returning(project_content.c.digest, project_content.c.size, project_content.c.uses)
)
_FORGET = query(delete(project_content).where(_HERE, project_content.c.digest == bindparam("digest")))

_OF_REPOSITORY = union_all(
    select(manifest_blobs.c.digest)
    .select_from(manifests.join(manifest_blobs, manifest_blobs.c.manifest_id == manifests.c.id))
    .where(manifests.c.repository_id == bindparam("repository_id")),
    select(manifest_children.c.digest)
    .select_from(manifest_children.join(blobs, blobs.c.digest == manifest_children.c.digest))
    .where(manifest_children.c.repository_id == bindparam("repository_id")),
    select(manifests.c.digest).where(manifests.c.repository_id == bindparam("repository_id")),
).subquery("named")
_USES_HERE = (
    select(_OF_REPOSITORY.c.digest, func.count().label("uses")).group_by(_OF_REPOSITORY.c.digest).subquery("here")
)
_UNCOUNT_REPOSITORY = query(
    update(project_content)
    .where(_HERE, project_content.c.digest == _USES_HERE.c.digest)
    .values(uses=project_content.c.uses - _USES_HERE.c.uses)
)
_FORGET_UNUSED = query(
    delete(project_content)
    .where(_HERE, project_content.c.uses <= literal_column("0"))
    .returning(project_content.c.size)
)
_HOLDERS = query(
    select(func.count())
    .select_from(repository_blobs.join(repositories, repositories.c.id == repository_blobs.c.repository_id))
    .where(repository_blobs.c.digest == bindparam("digest"), repositories.c.project_id == bindparam("project_id"))
)
_NAMING_IN_PROJECT = query(
    select(func.count())
    .select_from(manifest_blobs.join(repositories, repositories.c.id == manifest_blobs.c.repository_id))
    .where(manifest_blobs.c.digest == bindparam("digest"), repositories.c.project_id == bindparam("project_id"))
)


async def count_manifest(tx: Transaction, project_id: int, manifest_id: int, digest: str, size: int) -> tuple[int, int]:
    """Count a new manifest and what it names; bytes that did not count before, and bytes that were reserved."""
    rows = await tx.all(_COUNT_NAMED, project_id=project_id, manifest_id=manifest_id)
    rows += await tx.all(_COUNT_ONE, project_id=project_id, digest=digests.pack(digest), size=size)
    reserved = await tx.all(_TAKE_RESERVED, project_id=project_id, manifest_id=manifest_id)
    return sum(row[0] for row in rows if row[1] == 1), sum(row[0] for row in reserved)


async def uncount_manifest(tx: Transaction, project_id: int, manifest_id: int) -> int:
    """A manifest is about to go; the bytes that do not count any more."""
    freed = 0
    for digest, size, uses in await tx.all(_UNCOUNT_NAMED, project_id=project_id, manifest_id=manifest_id):
        if uses <= 0:
            await tx.run(_FORGET, project_id=project_id, digest=digest)
            freed += size
    return freed


async def uncount_repository(tx: Transaction, project_id: int, repository_id: int) -> int:
    """A repository is about to go; the bytes that do not count any more."""
    await tx.run(_UNCOUNT_REPOSITORY, project_id=project_id, repository_id=repository_id)
    return sum(row[0] for row in await tx.all(_FORGET_UNUSED, project_id=project_id))


async def count_holders(tx: Transaction, project_id: int, digest: str) -> int:
    """How many repositories of a project hold a blob."""
    row = await tx.one(_HOLDERS, project_id=project_id, digest=digests.pack(digest))
    return int(row[0]) if row else 0


async def count_late(tx: Transaction, project_id: int, digest: str, size: int) -> int:
    """Count a blob that manifests named before it came; the bytes that did not count before."""
    packed = digests.pack(digest)
    row = await tx.one(_NAMING_IN_PROJECT, project_id=project_id, digest=packed)
    fresh = 0
    for _ in range(int(row[0]) if row else 0):
        counted = await tx.one(_COUNT_ONE, project_id=project_id, digest=packed, size=size)
        fresh += size if counted and counted[1] == 1 else 0
    return fresh
