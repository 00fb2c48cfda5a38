"""Artifacts: the lists of a repository and of a project, one artifact, its tags, what hangs on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Text, bindparam, func, literal_column, select

from entrepot.access.permissions import Permission
from entrepot.access.service import Guardian
from entrepot.auth.model import Caller
from entrepot.database import Database
from entrepot.errors import InvalidInput
from entrepot.kit.listing import Condition, Listing, SortKey
from entrepot.kit.selection import Fields, Selection, integer, select_by, text, time
from entrepot.oci import digest as digests
from entrepot.oci.name import RepositoryName
from entrepot.projects.model import Project
from entrepot.registry.errors import ManifestUnknown, RepositoryUnknown
from entrepot.registry.listing import filters, store
from entrepot.registry.listing.attributes import NOTHING, AttributeReader
from entrepot.registry.listing.model import (
    ArtifactRow,
    Attributes,
    Flags,
    ListedAccessory,
    ListedArtifact,
    ListedTag,
    Reference,
)
from entrepot.registry.listing.pages import Pager, Rows, merged
from entrepot.registry.listing.scope import in_project
from entrepot.registry.manifests import check_reference
from entrepot.registry.model import Place
from entrepot.registry.repositories import Repositories
from entrepot.registry.tables import manifests, repositories, tags

LIST_ARTIFACTS: Permission = ("artifact", "list")

_NAME = (
    select(bindparam("project_prefix", type_=Text()).concat(repositories.c.path))
    .where(repositories.c.id == manifests.c.repository_id)
    .scalar_subquery()
)
FIELDS = Fields(
    {
        "id": integer(manifests.c.id),
        "type": text(manifests.c.kind),
        "media_type": text(store.MEDIA_TYPE),
        "manifest_media_type": text(manifests.c.media_type),
        "artifact_type": text(store.ARTIFACT_TYPE),
        "digest": filters.digest(manifests.c.digest),
        "size": integer(manifests.c.total_size),
        "push_time": time(manifests.c.created_at),
        "pull_time": time(manifests.c.pulled_at),
        "repository_id": integer(manifests.c.repository_id),
        "repository_name": text(_NAME),
    },
    elsewhere=filters.SPECIAL,
)
_ARTIFACTS = Rows("artifacts", manifests.c.id, manifests, FIELDS, (SortKey("push_time", descending=True),))

_TAG_FIELDS = Fields({"name": text(tags.c.name), "push_time": time(tags.c.pushed_at)})
_ACCESSORY_FIELDS = Fields(
    {
        "id": integer(manifests.c.id),
        "type": text(manifests.c.accessory_kind),
        "digest": filters.digest(manifests.c.digest),
        "size": integer(manifests.c.total_size),
        "creation_time": time(manifests.c.created_at),
    },
    elsewhere=frozenset({"digest"}),
)


_TAGS = Rows(
    "tags", tags.c.name, tags, _TAG_FIELDS, (SortKey("push_time", descending=True),), shown=(tags.c.pushed_at,)
)
_ACCESSORIES = Rows(
    "accessories",
    manifests.c.id,
    manifests,
    _ACCESSORY_FIELDS,
    (SortKey("id"),),
    shown=(
        manifests.c.digest,
        manifests.c.total_size,
        manifests.c.accessory_kind,
        manifests.c.created_at,
    ),
)


class FoundArtifact(msgspec.Struct, frozen=True):
    """An artifact that a reference led to."""

    project: Project
    row: ArtifactRow


class Artifacts:
    """Reads artifacts; whoever asks has been let in by the route's rule."""

    def __init__(
        self, database: Database, guardian: Guardian, places: Repositories, attributes: AttributeReader
    ) -> None:
        self._database = database
        self._guardian = guardian
        self._repositories = places
        self._attributes = attributes
        self._pager = Pager(database)

    async def list_in_repository(
        self, name: RepositoryName, listing: Listing, flags: Flags
    ) -> tuple[list[ListedArtifact], int]:
        """A page of a repository's artifacts, and how many there are.

        Raises:
            RepositoryUnknown: there is no such repository.
            InvalidInput: the list cannot be filtered or sorted so.
        """
        project, repository_id = self._held(await self._repositories.find(name), name)
        here = Selection(
            (manifests.c.repository_id == bindparam("repository_id"),),
            {"repository_id": repository_id, "project_prefix": f"{project.name}/"},
            (("in repository", "", 0),),
        )
        return await self._list(here, _is_here, listing, flags)

    async def list_in_project(
        self, caller: Caller, project: Project, listing: Listing, flags: Flags, *, latest: bool = False
    ) -> tuple[list[ListedArtifact], int]:
        """A page of the artifacts of a project, of those repositories that the caller may look into.

        Args:
            caller: who asks.
            project: where.
            listing: which of them.
            flags: what to show of each.
            latest: only what was pushed last in each repository; a media type or an artifact type must be given.

        Raises:
            InvalidInput: the list cannot be filtered or sorted so.
        """
        rights = await self._guardian.rights(caller.principal, project)
        scope = in_project(project.id, rights.patterns(LIST_ARTIFACTS))
        here = Selection(
            (scope.holds(manifests.c.repository_id),),
            {**scope.values, "project_prefix": f"{project.name}/"},
            scope.selection.shape,
        )
        return await self._list(here, scope.holds, listing, flags, latest=latest)

    async def get(self, name: RepositoryName, reference: str, flags: Flags) -> ListedArtifact:
        """The artifact that a tag or digest names.

        Raises:
            ManifestUnknown: there is none.
        """
        found = await self.find(name, reference)
        return (await self._assemble([found.row], flags))[0]

    async def find(self, name: RepositoryName, reference: str) -> FoundArtifact:
        """What a tag or digest leads to.

        Raises:
            RepositoryUnknown: there is no such repository.
            ManifestUnknown: there is no such artifact in it.
        """
        check_reference(reference)
        project, repository_id = self._held(await self._repositories.find(name), name)
        id_ = await store.find_id(self._database, repository_id, reference)
        rows = await store.artifacts(self._database, [id_]) if id_ is not None else []
        if not rows:
            raise ManifestUnknown(name.full, reference)
        return FoundArtifact(project, rows[0])

    async def list_tags(self, found: FoundArtifact, listing: Listing) -> tuple[list[ListedTag], int]:
        """A page of an artifact's tags, the latest first, and how many there are.

        Raises:
            InvalidInput: the list cannot be filtered or sorted so.
        """
        mine = Selection((tags.c.manifest_id == bindparam("manifest_id"),), {"manifest_id": found.row.id})
        page, total = await self._pager.page(_TAGS, listing, (mine, select_by(listing.conditions, _TAG_FIELDS)))
        return [ListedTag(found.row.repository_id, found.row.id, row[0], row[1]) for row in page], total

    async def list_accessories(self, found: FoundArtifact, listing: Listing) -> tuple[list[ListedAccessory], int]:
        """A page of what hangs on an artifact, in the order of its push, and how much there is.

        Raises:
            InvalidInput: the list cannot be filtered or sorted so.
        """
        mine = Selection(
            (
                manifests.c.repository_id == bindparam("repository_id"),
                manifests.c.accessory_of == bindparam("subject_digest"),
            ),
            {"repository_id": found.row.repository_id, "subject_digest": digests.pack(found.row.digest)},
        )
        by_digest = filters.by_digest(listing.about({"digest"}), manifests.c.digest)
        chosen = (mine, select_by(listing.conditions, _ACCESSORY_FIELDS), by_digest)
        page, total = await self._pager.page(_ACCESSORIES, listing, chosen)
        return [
            ListedAccessory(
                id=row[0],
                subject_id=found.row.id,
                subject_digest=found.row.digest,
                repository=found.row.repository,
                digest=digests.unpack(row[1]),
                size=row[2],
                kind=row[3] or "",
                created_at=row[4],
            )
            for row in page
        ], total

    async def _list(
        self, here: Selection, held: filters.Held, listing: Listing, flags: Flags, *, latest: bool = False
    ) -> tuple[list[ListedArtifact], int]:
        if latest and not _names_a_type(listing.conditions):
            raise InvalidInput(
                "latest_in_repository needs q to hold either media_type or artifact_type, and not both.",
                code="BAD_REQUEST",
            )
        chosen: tuple[Selection, ...] = (here, select_by(listing.conditions, FIELDS), filters.special(listing, held))
        if latest:
            chosen = (_latest(merged(chosen)),)
        ids, total = await self._pager.ids(_ARTIFACTS, listing, chosen)
        return await self._assemble(await store.artifacts(self._database, ids), flags), total

    async def _assemble(self, rows: Sequence[ArtifactRow], flags: Flags) -> list[ListedArtifact]:
        """What a page shows: one statement for each kind of thing, however many artifacts there are."""
        ids = [row.id for row in rows]
        named = await store.tags_of(self._database, ids) if flags.tags else {}
        labelled = await store.labels_of(self._database, ids) if flags.labels else {}
        hanging = await store.accessories_of(self._database, ids) if flags.accessories else {}
        attributes = await self._attributes.read(rows)
        children = await store.children_of(self._database, [id_ for id_ in ids if _lists_others(attributes, id_)])
        return [
            ListedArtifact(
                row=row,
                attributes=attributes.get(row.id, NOTHING),
                references=_references(attributes.get(row.id, NOTHING), children.get(row.id, {})),
                tags=named.get(row.id, ()) if flags.tags else None,
                labels=labelled.get(row.id, ()) if flags.labels else None,
                accessories=hanging.get(row.id, ()) if flags.accessories else None,
            )
            for row in rows
        ]

    @staticmethod
    def _held(place: Place, name: RepositoryName) -> tuple[Project, int]:
        if place.project is None or place.repository_id is None:
            raise RepositoryUnknown(name.full)
        return place.project, place.repository_id


def _names_a_type(conditions: Sequence[Condition]) -> bool:
    return len({c.key for c in conditions} & {"media_type", "artifact_type"}) == 1


def _is_here(repository_id: ColumnElement[Any]) -> ColumnElement[bool]:
    return repository_id == bindparam("repository_id")


def _latest(chosen: Selection) -> Selection:
    """Of what was chosen, only what was pushed last in each repository."""
    rank = func.row_number().over(
        partition_by=manifests.c.repository_id, order_by=(manifests.c.created_at.desc(), manifests.c.id.desc())
    )
    ranked = select(manifests.c.id, rank.label("rank_")).where(*chosen.clauses).subquery()
    first = select(ranked.c.id).where(ranked.c.rank_ == literal_column("1"))
    return Selection((manifests.c.id.in_(first),), chosen.values, (*chosen.shape, ("latest", "", 0)))


def _lists_others(attributes: dict[int, Attributes], id_: int) -> bool:
    return id_ in attributes and bool(attributes[id_].references)


def _references(attributes: Attributes, ids: dict[str, int]) -> tuple[Reference, ...]:
    return tuple(
        msgspec.structs.replace(child, child_id=ids.get(child.child_digest)) for child in attributes.references
    )
