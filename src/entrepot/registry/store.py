"""Every statement of the registry, each named by its function. The tables stand in ``tables.py``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, exists, insert, literal_column, select, update

from entrepot.database import Database, Query, Transaction, query, upsert
from entrepot.kit import clock
from entrepot.oci import digest as digests
from entrepot.oci.name import RepositoryName
from entrepot.projects.model import Project
from entrepot.projects.store import projects
from entrepot.registry.model import Place, StoredBlob, StoredManifest, UploadSession
from entrepot.registry.tables import (
    blobs,
    manifest_blobs,
    manifest_children,
    manifest_payloads,
    manifests,
    repositories,
    repository_blobs,
    tags,
    uploads,
)

Reader = Database | Transaction

_ONE: ColumnElement[Any] = literal_column("1")


def _here(table: Any) -> Any:
    return table.c.repository_id == bindparam("repository_id")


# repositories

_FIND_PLACE = query(
    select(projects.c.id, projects.c.is_public, repositories.c.id)
    .select_from(
        projects.outerjoin(
            repositories,
            and_(repositories.c.project_id == projects.c.id, repositories.c.path == bindparam("path")),
        )
    )
    .where(projects.c.name == bindparam("project"))
)


async def find_place(reader: Reader, name: RepositoryName) -> Place:
    """Project and repository behind a name."""
    row = await reader.one(_FIND_PLACE, project=name.project, path=name.path)
    if row is None:
        return Place(name, None, None)
    return Place(name, Project(row[0], name.project, bool(row[1])), row[2])


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
        await tx.run(_ADD_REPOSITORY, project_id=project_id, path=path, created_at=clock.now_us())
        row = await tx.one(_FIND_REPOSITORY, project_id=project_id, path=path)
    return int(row[0]) if row else 0


# The catalog is ordered by full names, so by project and "/" first. It is walked project by project, each statement
# a seek in an index: in one statement the rest of a project would be sorted anew for every page.
_SORT_KEY = projects.c.name.concat(literal_column("'/'"))
_PROJECTS_AT_A_TIME = 100


def _next_projects(*, public_only: bool) -> Query:
    statement = (
        select(projects.c.id, projects.c.name)
        .where(bindparam("key") <= _SORT_KEY, bindparam("after") < _SORT_KEY)
        .order_by(_SORT_KEY)
        .limit(bindparam("count"))
    )
    return query(statement.where(projects.c.is_public == literal_column("1")) if public_only else statement)


_CATALOG_ALL = _next_projects(public_only=False)
_CATALOG_PUBLIC = _next_projects(public_only=True)
_REPOSITORIES_OF = query(
    select(repositories.c.path)
    .where(
        repositories.c.project_id == bindparam("project_id"),
        repositories.c.path > bindparam("path"),
        exists(select(_ONE).where(manifests.c.repository_id == repositories.c.id)),
    )
    .order_by(repositories.c.path)
    .limit(bindparam("count"))
)


async def list_repositories(database: Database, last: str, count: int, *, public_only: bool) -> list[str]:
    """Full names after ``last`` of repositories that hold manifests, in byte order."""
    project, slash, path = last.partition("/")
    key, after = project + slash, ""
    names: list[str] = []
    while len(names) < count:
        found = await database.all(
            _CATALOG_PUBLIC if public_only else _CATALOG_ALL, key=key, after=after, count=_PROJECTS_AT_A_TIME
        )
        for project_id, name in found:
            start = path if f"{name}/" == project + slash else ""
            rows = await database.all(_REPOSITORIES_OF, project_id=project_id, path=start, count=count - len(names))
            names += [f"{name}/{row[0]}" for row in rows]
            if len(names) >= count:
                break
        if len(found) < _PROJECTS_AT_A_TIME:
            break
        key = after = f"{found[-1][1]}/"
    return names


# blobs

_BLOB = (blobs.c.digest, blobs.c.size, blobs.c.location)
_FIND_BLOB = query(
    select(*_BLOB)
    .select_from(repository_blobs.join(blobs, blobs.c.digest == repository_blobs.c.digest))
    .where(_here(repository_blobs), repository_blobs.c.digest == bindparam("digest"))
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
    delete(repository_blobs).where(_here(repository_blobs), repository_blobs.c.digest == bindparam("digest"))
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
    .where(_here(manifest_blobs), manifest_blobs.c.digest == bindparam("digest"))
    .limit(literal_column("1"))
)
_PARENT = query(
    select(manifests.c.digest)
    .select_from(manifest_children.join(manifests, manifests.c.id == manifest_children.c.manifest_id))
    .where(_here(manifest_children), manifest_children.c.digest == bindparam("digest"))
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


# manifests

_MANIFEST = (manifests.c.id, manifests.c.digest, manifests.c.media_type, manifest_payloads.c.payload)
_WITH_PAYLOAD = manifests.join(manifest_payloads, manifest_payloads.c.manifest_id == manifests.c.id)
_BY_DIGEST = query(
    select(*_MANIFEST).select_from(_WITH_PAYLOAD).where(_here(manifests), manifests.c.digest == bindparam("digest"))
)
_BY_TAG = query(
    select(*_MANIFEST)
    .select_from(tags.join(_WITH_PAYLOAD, manifests.c.id == tags.c.manifest_id))
    .where(_here(tags), tags.c.name == bindparam("tag"))
)


async def find_manifest(reader: Reader, repository_id: int, reference: str) -> StoredManifest | None:
    """A manifest by digest or tag."""
    if digests.is_digest(reference):
        row = await reader.one(_BY_DIGEST, repository_id=repository_id, digest=digests.pack(reference))
    else:
        row = await reader.one(_BY_TAG, repository_id=repository_id, tag=reference)
    return StoredManifest(row[0], digests.unpack(row[1]), row[2], row[3]) if row else None


_HAS_MANIFEST = query(select(manifests.c.id).where(_here(manifests), manifests.c.digest == bindparam("digest")))
_HAS_BLOB = query(select(_ONE).where(_here(repository_blobs), repository_blobs.c.digest == bindparam("digest")))


async def find_manifest_id(reader: Reader, repository_id: int, digest: str) -> int | None:
    """The id of a manifest of the repository."""
    row = await reader.one(_HAS_MANIFEST, repository_id=repository_id, digest=digests.pack(digest))
    return int(row[0]) if row else None


async def has_blob(reader: Reader, repository_id: int, digest: str) -> bool:
    """Whether the repository holds a blob."""
    return await reader.one(_HAS_BLOB, repository_id=repository_id, digest=digests.pack(digest)) is not None


_ADD_MANIFEST = query(
    insert(manifests)
    .values({c.name: bindparam(c.name) for c in manifests.columns if c.name != "id"})
    .returning(manifests.c.id)
)
_ADD_PAYLOAD = query(insert(manifest_payloads).values({c.name: bindparam(c.name) for c in manifest_payloads.columns}))
_SET_MEDIA_TYPE = query(
    update(manifests)
    .where(manifests.c.id == bindparam("manifest_id"))
    .values({"media_type": bindparam("new_media_type"), "referrer": bindparam("new_referrer")})
)
_ADD_NAMED_BLOB = query(insert(manifest_blobs).values({c.name: bindparam(c.name) for c in manifest_blobs.columns}))
_ADD_CHILD = query(insert(manifest_children).values({c.name: bindparam(c.name) for c in manifest_children.columns}))


async def add_manifest(tx: Transaction, payload: bytes, **values: Any) -> int:
    """Insert a manifest (columns as ``values``) and its bytes; its id."""
    row = await tx.one(_ADD_MANIFEST, created_at=clock.now_us(), **values)
    manifest_id = int(row[0]) if row else 0
    await tx.run(_ADD_PAYLOAD, manifest_id=manifest_id, payload=payload)
    return manifest_id


async def set_media_type(tx: Transaction, manifest_id: int, media_type: str, referrer: bytes | None) -> None:
    """The same bytes were pushed again, maybe under another Content-Type."""
    await tx.run(_SET_MEDIA_TYPE, manifest_id=manifest_id, new_media_type=media_type, new_referrer=referrer)


async def add_references(
    tx: Transaction, repository_id: int, manifest_id: int, named: Iterable[str], children: Iterable[str]
) -> None:
    """Record which blobs and children a manifest names."""
    for statement, names in ((_ADD_NAMED_BLOB, named), (_ADD_CHILD, children)):
        await tx.many(
            statement,
            [
                {"manifest_id": manifest_id, "digest": digests.pack(name), "repository_id": repository_id}
                for name in names
            ],
        )


_DELETE_MANIFEST = query(delete(manifests).where(manifests.c.id == bindparam("manifest_id")))


async def delete_manifest(tx: Transaction, manifest_id: int) -> None:
    """Remove a manifest with its payload, references and tags (by cascade)."""
    await tx.run(_DELETE_MANIFEST, manifest_id=manifest_id)


_REFERRERS = query(
    select(manifests.c.id, manifests.c.digest, manifests.c.referrer)
    .where(_here(manifests), manifests.c.subject == bindparam("subject"), manifests.c.id > bindparam("last"))
    .order_by(manifests.c.id)
    .limit(bindparam("count"))
)


async def list_referrers(
    database: Database, repository_id: int, subject: str, last: int, count: int
) -> list[tuple[int, str, bytes]]:
    """Id, digest and descriptor of the manifests about ``subject``, in the order of their push, after ``last``."""
    rows = await database.all(
        _REFERRERS, repository_id=repository_id, subject=digests.pack(subject), last=last, count=count
    )
    return [(row[0], digests.unpack(row[1]), row[2]) for row in rows]


# tags

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
    .where(_here(tags), tags.c.name == bindparam("tag"))
)
_LIST_TAGS = query(
    select(tags.c.name)
    .where(_here(tags), tags.c.name > bindparam("last"))
    .order_by(tags.c.name)
    .limit(bindparam("count"))
)
_TAGS_OF = query(select(tags.c.name).where(tags.c.manifest_id == bindparam("manifest_id")).order_by(tags.c.name))
_DELETE_TAG = query(delete(tags).where(_here(tags), tags.c.name == bindparam("tag")))


async def find_tagged(reader: Reader, repository_id: int, tag: str) -> str | None:
    """The digest that a tag names."""
    row = await reader.one(_TAGGED, repository_id=repository_id, tag=tag)
    return digests.unpack(row[0]) if row else None


async def set_tag(tx: Transaction, repository_id: int, tag: str, manifest_id: int) -> None:
    """Let a tag name a manifest, whatever it named before."""
    await tx.run(_SET_TAG, repository_id=repository_id, name=tag, manifest_id=manifest_id, pushed_at=clock.now_us())


async def list_tags(database: Database, repository_id: int, last: str, count: int) -> list[str]:
    """Tags after ``last`` in byte order."""
    rows = await database.all(_LIST_TAGS, repository_id=repository_id, last=last, count=count)
    return [row[0] for row in rows]


async def tags_of(tx: Transaction, manifest_id: int) -> list[str]:
    """Every tag that names a manifest."""
    return [row[0] for row in await tx.all(_TAGS_OF, manifest_id=manifest_id)]


async def delete_tag(tx: Transaction, repository_id: int, tag: str) -> bool:
    """Remove a tag; ``False`` if there is none."""
    return await tx.run(_DELETE_TAG, repository_id=repository_id, tag=tag) > 0


# uploads

_ADD_UPLOAD = query(insert(uploads).values({c.name: bindparam(c.name) for c in uploads.columns}))
_FIND_UPLOAD = query(
    select(uploads.c.id, uploads.c.repository_id, uploads.c.principal, uploads.c.algorithm).where(
        uploads.c.id == bindparam("id")
    )
)
_DELETE_UPLOAD = query(delete(uploads).where(uploads.c.id == bindparam("id")))
_OLD_UPLOADS = query(
    select(uploads.c.id)
    .where(uploads.c.started_at < bindparam("before"))
    .order_by(uploads.c.started_at)
    .limit(bindparam("count"))
)


async def add_upload(tx: Transaction, session: UploadSession) -> None:
    """Record a new upload session."""
    await tx.run(
        _ADD_UPLOAD,
        id=session.id,
        repository_id=session.repository_id,
        principal=session.principal,
        algorithm=session.algorithm,
        started_at=clock.now_us(),
    )


async def find_upload(reader: Reader, session_id: str) -> UploadSession | None:
    """An upload session by id."""
    row = await reader.one(_FIND_UPLOAD, id=session_id)
    return UploadSession(*row) if row else None


async def delete_upload(tx: Transaction, session_id: str) -> bool:
    """End an upload session; ``False`` if it has ended already."""
    return await tx.run(_DELETE_UPLOAD, id=session_id) > 0


async def list_uploads_before(database: Database, before: int, count: int) -> list[str]:
    """Sessions that began before a time (microseconds), oldest first."""
    return [row[0] for row in await database.all(_OLD_UPLOADS, before=before, count=count)]


_COUNT_UPLOADS = query(select(literal_column("count(*)")).select_from(uploads))


async def count_uploads(database: Database) -> int:
    """How many upload sessions are open."""
    row = await database.one(_COUNT_UPLOADS)
    return int(row[0]) if row else 0
