"""What the artifacts of a page show: one statement for each kind of thing, by the artifacts' ids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, func, literal_column, select
from sqlalchemy.sql.base import Executable

from entrepot.database import Database, query
from entrepot.database.connection import Row
from entrepot.oci import digest as digests
from entrepot.projects.model import Label
from entrepot.projects.tables import labels, projects
from entrepot.registry.listing.model import ArtifactRow, ListedAccessory, ListedTag
from entrepot.registry.model import StoredBlob
from entrepot.registry.store.parts import here
from entrepot.registry.tables import (
    artifact_labels,
    blobs,
    manifest_blobs,
    manifest_children,
    manifest_payloads,
    manifests,
    repositories,
    repository_blobs,
    tags,
)

MOST_OF_ONE = 1000
"""Tags, accessories or children of one artifact that a list shows; their own lists have pages."""

_SIZES = (1, 10, 100)
"""Lengths of a list of ids: few of them, so that a statement is compiled a few times only."""

Ids = list[BindParameter[Any]]


class ByIds:
    """A statement about some ids."""

    def __init__(self, build: Callable[[Ids], Executable]) -> None:
        self._queries = {size: query(build([bindparam(f"i{n}") for n in range(size)])) for size in _SIZES}

    async def rows(self, database: Database, ids: Sequence[int], **values: Any) -> list[Row]:
        """The rows for ``ids``, of which there are at most 100."""
        if not ids:
            return []
        size = next(size for size in _SIZES if size >= len(ids))
        bound = {f"i{n}": ids[min(n, len(ids) - 1)] for n in range(size)}
        return await database.survey(self._queries[size], **bound, **values)


def _first_of_each(columns: Select[Any], group: ColumnElement[Any], *order: ColumnElement[Any]) -> Select[Any]:
    """At most ``MOST_OF_ONE`` rows of each group, in order."""
    ranked = columns.add_columns(func.row_number().over(partition_by=group, order_by=order).label("rank_")).subquery()
    kept = [column for column in ranked.c if column.name != "rank_"]
    return select(*kept).where(ranked.c.rank_ <= literal_column(str(MOST_OF_ONE))).order_by(kept[0], ranked.c.rank_)


MEDIA_TYPE = func.coalesce(manifests.c.config_type, manifests.c.media_type)
ARTIFACT_TYPE = func.coalesce(manifests.c.artifact_type, manifests.c.config_type)

_ARTIFACTS = ByIds(
    lambda ids: (
        select(
            manifests.c.id,
            manifests.c.repository_id,
            repositories.c.project_id,
            projects.c.name,
            repositories.c.path,
            manifests.c.digest,
            manifests.c.kind,
            MEDIA_TYPE,
            manifests.c.media_type,
            ARTIFACT_TYPE,
            manifests.c.total_size,
            manifests.c.size,
            manifests.c.created_at,
            manifests.c.pulled_at,
        )
        .select_from(
            manifests.join(repositories, repositories.c.id == manifests.c.repository_id).join(
                projects, projects.c.id == repositories.c.project_id
            )
        )
        .where(manifests.c.id.in_(ids))
    )
)


async def artifacts(database: Database, ids: Sequence[int]) -> list[ArtifactRow]:
    """The artifacts, in the order of ``ids``; those that are gone meanwhile are left out."""
    found = {}
    for row in await _ARTIFACTS.rows(database, ids):
        name = f"{row[3]}/{row[4]}"
        found[row[0]] = ArtifactRow(row[0], row[1], row[2], name, digests.unpack(row[5]), *row[6:])
    return [found[id_] for id_ in ids if id_ in found]


_PAYLOADS = ByIds(
    lambda ids: select(manifest_payloads.c.manifest_id, manifest_payloads.c.payload).where(
        manifest_payloads.c.manifest_id.in_(ids)
    )
)


async def payloads(database: Database, ids: Sequence[int]) -> dict[int, bytes]:
    """The manifests as they were pushed."""
    return {row[0]: row[1] for row in await _PAYLOADS.rows(database, ids)}


_NAMED_BLOBS = ByIds(
    lambda ids: (
        select(manifest_blobs.c.manifest_id, blobs.c.digest, blobs.c.size, blobs.c.location)
        .select_from(
            manifest_blobs.join(
                repository_blobs,
                and_(
                    repository_blobs.c.repository_id == manifest_blobs.c.repository_id,
                    repository_blobs.c.digest == manifest_blobs.c.digest,
                ),
            ).join(blobs, blobs.c.digest == manifest_blobs.c.digest)
        )
        .where(
            manifest_blobs.c.manifest_id.in_(ids),
            manifest_blobs.c.digest.in_([bindparam(f"d{n}") for n in range(len(ids))]),
        )
    )
)


async def named_blobs(database: Database, named: Mapping[int, str]) -> dict[int, StoredBlob]:
    """One blob of each manifest (id to digest), where its repository really holds it."""
    if not named:
        return {}
    packed = [digests.pack(digest) for digest in named.values()]
    bound = {f"d{n}": packed[min(n, len(packed) - 1)] for n in range(_SIZES[-1])}
    rows = await _NAMED_BLOBS.rows(database, list(named), **bound)
    found = ((row[0], StoredBlob(digests.unpack(row[1]), row[2], row[3])) for row in rows)
    return {id_: blob for id_, blob in found if named[id_] == blob.digest}


_TAG = (tags.c.manifest_id, tags.c.repository_id, tags.c.name, tags.c.pushed_at)
_TAGS = ByIds(
    lambda ids: _first_of_each(
        select(*_TAG).where(tags.c.manifest_id.in_(ids)), tags.c.manifest_id, tags.c.pushed_at.desc(), tags.c.name
    )
)


async def tags_of(database: Database, ids: Sequence[int]) -> dict[int, tuple[ListedTag, ...]]:
    """The tags of artifacts, the latest first."""
    found: defaultdict[int, list[ListedTag]] = defaultdict(list)
    for row in await _TAGS.rows(database, ids):
        found[row[0]].append(ListedTag(row[1], row[0], row[2], row[3]))
    return {id_: tuple(items) for id_, items in found.items()}


_LABELS = ByIds(
    lambda ids: (
        select(artifact_labels.c.manifest_id, *(labels.c[name] for name in Label.__struct_fields__))
        .select_from(artifact_labels.join(labels, labels.c.id == artifact_labels.c.label_id))
        .where(artifact_labels.c.manifest_id.in_(ids))
        .order_by(artifact_labels.c.manifest_id, labels.c.name, labels.c.id)
    )
)


async def labels_of(database: Database, ids: Sequence[int]) -> dict[int, tuple[Label, ...]]:
    """The labels of artifacts, by name."""
    found: defaultdict[int, list[Label]] = defaultdict(list)
    for row in await _LABELS.rows(database, ids):
        found[row[0]].append(Label(*row[1:]))
    return {id_: tuple(items) for id_, items in found.items()}


_subjects = manifests.alias("subjects")
HANGS_ON = and_(manifests.c.repository_id == _subjects.c.repository_id, manifests.c.accessory_of == _subjects.c.digest)
_ACCESSORIES = ByIds(
    lambda ids: _first_of_each(
        select(
            _subjects.c.id.label("subject_id"),
            _subjects.c.digest.label("subject_digest"),
            projects.c.name,
            repositories.c.path,
            manifests.c.id,
            manifests.c.digest,
            manifests.c.total_size,
            manifests.c.accessory_kind,
            manifests.c.created_at,
        )
        .select_from(
            _subjects.join(manifests, HANGS_ON)
            .join(repositories, repositories.c.id == _subjects.c.repository_id)
            .join(projects, projects.c.id == repositories.c.project_id)
        )
        .where(_subjects.c.id.in_(ids)),
        _subjects.c.id,
        manifests.c.id.asc(),
    )
)


async def accessories_of(database: Database, ids: Sequence[int]) -> dict[int, tuple[ListedAccessory, ...]]:
    """What hangs on artifacts, in the order of its push."""
    found: defaultdict[int, list[ListedAccessory]] = defaultdict(list)
    for row in await _ACCESSORIES.rows(database, ids):
        found[row[0]].append(_accessory(row))
    return {id_: tuple(items) for id_, items in found.items()}


def _accessory(row: Row) -> ListedAccessory:
    return ListedAccessory(
        id=row[4],
        subject_id=row[0],
        subject_digest=digests.unpack(row[1]),
        repository=f"{row[2]}/{row[3]}",
        digest=digests.unpack(row[5]),
        size=row[6],
        kind=row[7] or "",
        created_at=row[8],
    )


_children = manifests.alias("children")
_CHILDREN = ByIds(
    lambda ids: _first_of_each(
        select(manifest_children.c.manifest_id, manifest_children.c.digest, _children.c.id)
        .select_from(
            manifest_children.join(
                _children,
                and_(
                    _children.c.repository_id == manifest_children.c.repository_id,
                    _children.c.digest == manifest_children.c.digest,
                ),
            )
        )
        .where(manifest_children.c.manifest_id.in_(ids)),
        manifest_children.c.manifest_id,
        manifest_children.c.digest.asc(),
    )
)


async def children_of(database: Database, ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """The manifests that indexes list and that are in the repository: ids by digest, by the index's id."""
    found: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for row in await _CHILDREN.rows(database, ids):
        found[row[0]][digests.unpack(row[1])] = row[2]
    return dict(found)


_BY_DIGEST = query(select(manifests.c.id).where(here(manifests), manifests.c.digest == bindparam("digest")))
_BY_TAG = query(select(tags.c.manifest_id).where(here(tags), tags.c.name == bindparam("tag")))


async def find_id(database: Database, repository_id: int, reference: str) -> int | None:
    """The id of the artifact that a parsed reference names."""
    if digests.is_digest(reference):
        row = await database.one(_BY_DIGEST, repository_id=repository_id, digest=digests.pack(reference))
    else:
        row = await database.one(_BY_TAG, repository_id=repository_id, tag=reference)
    return int(row[0]) if row else None


_REPOSITORIES = ByIds(
    lambda ids: (
        select(
            repositories.c.id,
            repositories.c.project_id,
            projects.c.name,
            repositories.c.path,
            repositories.c.description,
            repositories.c.pull_count,
            repositories.c.created_at,
            repositories.c.updated_at,
            projects.c.is_public,
        )
        .select_from(repositories.join(projects, projects.c.id == repositories.c.project_id))
        .where(repositories.c.id.in_(ids))
    )
)
_ARTIFACT_COUNTS = ByIds(
    lambda ids: (
        select(manifests.c.repository_id, func.count())
        .where(manifests.c.repository_id.in_(ids), manifests.c.is_listed == literal_column("1"))
        .group_by(manifests.c.repository_id)
    )
)


async def repository_rows(database: Database, ids: Sequence[int]) -> list[Row]:
    """Id, project, its name, path, description, pulls, creation, change and publicity, in the order of ``ids``."""
    found = {row[0]: row for row in await _REPOSITORIES.rows(database, ids)}
    return [found[id_] for id_ in ids if id_ in found]


async def artifact_counts(database: Database, ids: Sequence[int]) -> dict[int, int]:
    """How many artifacts the lists of repositories show."""
    return {row[0]: row[1] for row in await _ARTIFACT_COUNTS.rows(database, ids)}
