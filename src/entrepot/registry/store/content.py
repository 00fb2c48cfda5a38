"""What a repository's manifests name, for the quota ledger of its project (``projects.ledger``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    not_,
    select,
    union,
    union_all,
    update,
)

from entrepot.database import Transaction, query, upsert
from entrepot.oci import digest as digests
from entrepot.projects.tables import project_content, reservations
from entrepot.registry.tables import blobs, manifest_blobs, manifest_children, manifests, repositories, repository_blobs

_MANIFEST: BindParameter[Any] = bindparam("manifest_id")
_ZERO: ColumnElement[Any] = literal_column("0")
# Blobs and children alike: BuildKit's caches list layers where an index lists manifests.
_LISTED = (
    select(manifest_blobs.c.digest).where(manifest_blobs.c.manifest_id == _MANIFEST),
    select(manifest_children.c.digest).where(manifest_children.c.manifest_id == _MANIFEST),
)
_ITSELF = select(manifests.c.digest).where(manifests.c.id == _MANIFEST)
# One list: of two with OR between them SQLite would make a walk through all of the project.
_AMONG_ITS = project_content.c.digest.in_(union_all(*_LISTED, _ITSELF))
_HERE = project_content.c.project_id == bindparam("project_id")
_ONCE_MORE = project_content.c.uses + literal_column("1")


def _counted(insert: Any) -> Any:
    """What an insert becomes whose content is named already; it may have been named before it came."""
    larger = case((insert.excluded.size > project_content.c.size, insert.excluded.size), else_=project_content.c.size)
    return insert.on_conflict_do_update(
        index_elements=[project_content.c.project_id, project_content.c.digest],
        set_={"uses": _ONCE_MORE, "size": larger},
    ).returning(project_content.c.digest, project_content.c.size)


_named = union(*_LISTED).subquery("named")
_HELD_SIZE = (
    select(blobs.c.size)
    .select_from(repository_blobs.join(blobs, blobs.c.digest == repository_blobs.c.digest))
    .where(repository_blobs.c.repository_id == bindparam("repository_id"), repository_blobs.c.digest == _named.c.digest)
    .scalar_subquery()
)
_RESERVED_SIZE = (
    select(func.max(reservations.c.size))
    .where(reservations.c.project_id == bindparam("project_id"), reservations.c.digest == _named.c.digest)
    .scalar_subquery()
)
_HELD_ELSEWHERE = (
    select(blobs.c.size)
    .select_from(
        repository_blobs.join(blobs, blobs.c.digest == repository_blobs.c.digest).join(
            repositories, repositories.c.id == repository_blobs.c.repository_id
        )
    )
    .where(repositories.c.project_id == bindparam("project_id"), repository_blobs.c.digest == _named.c.digest)
    .limit(literal_column("1"))
    .scalar_subquery()
)
_SIZES_BEFORE = query(select(project_content.c.digest, project_content.c.size).where(_HERE, _AMONG_ITS))
_COUNT_NAMED = upsert(
    lambda insert: _counted(
        insert(project_content).from_select(
            ["project_id", "digest", "size", "uses"],
            select(
                bindparam("project_id", type_=project_content.c.project_id.type),
                _named.c.digest,
                func.coalesce(_HELD_SIZE, _RESERVED_SIZE, _HELD_ELSEWHERE, _ZERO),
                literal_column("1"),
            ).where(_named.c.digest.is_not(None)),
        )
    )
)
_COUNT_ONE = upsert(
    lambda insert: _counted(
        insert(project_content).values(
            project_id=bindparam("project_id"),
            digest=bindparam("digest"),
            size=bindparam("size"),
            uses=literal_column("1"),
        )
    )
)
_COUNT_LATE = query(
    update(project_content)
    .where(_HERE, project_content.c.digest == bindparam("come"), project_content.c.size < bindparam("bytes"))
    .values({"size": bindparam("bytes")})
)
_TAKE_RESERVED = query(
    delete(reservations)
    .where(
        reservations.c.project_id == bindparam("project_id"),
        reservations.c.digest.in_(union_all(*_LISTED, select(bindparam("digest", type_=reservations.c.digest.type)))),
    )
    .returning(reservations.c.size)
)
_UNCOUNT_NAMED = query(
    update(project_content)
    .where(_HERE, _AMONG_ITS)
    .values(uses=project_content.c.uses - literal_column("1"))
    .returning(project_content.c.digest, project_content.c.size, project_content.c.uses)
)
_FORGET = query(delete(project_content).where(_HERE, project_content.c.digest == bindparam("digest")))

_PAIRS = union(
    select(manifest_blobs.c.manifest_id, manifest_blobs.c.digest)
    .select_from(manifests.join(manifest_blobs, manifest_blobs.c.manifest_id == manifests.c.id))
    .where(manifests.c.repository_id == bindparam("repository_id")),
    select(manifest_children.c.manifest_id, manifest_children.c.digest).where(
        manifest_children.c.repository_id == bindparam("repository_id")
    ),
).subquery("pairs")
_OF_REPOSITORY = union_all(
    select(_PAIRS.c.digest),
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
_SHORTEN = query(
    update(reservations)
    .where(
        reservations.c.project_id
        == select(repositories.c.project_id).where(repositories.c.id == bindparam("repository")).scalar_subquery(),
        reservations.c.expires_at > bindparam("until"),
        reservations.c.digest.in_(
            select(repository_blobs.c.digest).where(repository_blobs.c.repository_id == bindparam("repository"))
        ),
    )
    .values({"expires_at": bindparam("until")})
)
_elsewhere = repository_blobs.alias("elsewhere")
_RELEASE_REPOSITORY = query(
    delete(reservations)
    .where(
        reservations.c.project_id == bindparam("project_id"),
        reservations.c.digest.in_(
            select(repository_blobs.c.digest).where(repository_blobs.c.repository_id == bindparam("repository_id"))
        ),
        not_(
            exists(
                select(literal_column("1"))
                .select_from(_elsewhere.join(repositories, repositories.c.id == _elsewhere.c.repository_id))
                .where(
                    _elsewhere.c.digest == reservations.c.digest,
                    _elsewhere.c.repository_id != bindparam("repository_id"),
                    repositories.c.project_id == bindparam("project_id"),
                )
            )
        ),
    )
    .returning(reservations.c.size)
)


async def count_manifest(
    tx: Transaction, project_id: int, repository_id: int, manifest_id: int, digest: str, size: int
) -> tuple[int, int]:
    """Count a new manifest and what it names; bytes that did not count before, and bytes that were reserved.

    Every name is a use, also of what is not there: so what is counted now is what is given back in the end, whatever
    comes and goes between.
    """
    packed = digests.pack(digest)
    before: dict[bytes, int] = {}
    for row in await tx.all(_SIZES_BEFORE, project_id=project_id, manifest_id=manifest_id):
        before[row[0]] = row[1]
    rows = await tx.all(_COUNT_NAMED, project_id=project_id, repository_id=repository_id, manifest_id=manifest_id)
    rows += await tx.all(_COUNT_ONE, project_id=project_id, digest=packed, size=size)
    reserved = await tx.all(_TAKE_RESERVED, project_id=project_id, manifest_id=manifest_id, digest=packed)
    return sum(row[1] - before.get(row[0], 0) for row in rows), sum(row[0] for row in reserved)


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
    changed = await tx.run(_COUNT_LATE, project_id=project_id, come=digests.pack(digest), bytes=size)
    return size if changed else 0


async def shorten_reservations(tx: Transaction, repository_id: int, until: int) -> None:
    """Let what is reserved for blobs of a repository end at ``until`` (microseconds since the epoch), if not before."""
    await tx.run(_SHORTEN, repository=repository_id, until=until)


async def release_repository(tx: Transaction, project_id: int, repository_id: int) -> int:
    """A repository is about to go; the bytes that were reserved for blobs that it alone holds."""
    rows = await tx.all(_RELEASE_REPOSITORY, project_id=project_id, repository_id=repository_id)
    return sum(row[0] for row in rows)
