"""Values that lists of the registry show. Times are microseconds since the epoch, sizes bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from entrepot.projects.model import Label


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of artifacts shows beside the artifacts."""

    tags: bool = True
    labels: bool = False
    accessories: bool = False


class ListedRepository(msgspec.Struct, frozen=True):
    """A repository as lists show it."""

    id: int
    project_id: int
    name: str
    """The full name."""
    description: str
    pull_count: int
    created_at: int
    updated_at: int
    artifact_count: int = 0


class ListedTag(msgspec.Struct, frozen=True):
    """A tag of an artifact."""

    repository_id: int
    artifact_id: int
    name: str
    pushed_at: int


class ListedAccessory(msgspec.Struct, frozen=True):
    """An artifact that exists because of another one, its subject."""

    id: int
    subject_id: int
    subject_digest: str
    repository: str
    digest: str
    size: int
    kind: str
    created_at: int


class Reference(msgspec.Struct, frozen=True):
    """A manifest that an index lists; without an id it is not in the repository."""

    child_digest: str
    child_id: int | None
    platform: dict[str, Any] | None
    annotations: dict[str, str] | None
    urls: tuple[str, ...]


class ArtifactRow(msgspec.Struct, frozen=True):
    """The columns of an artifact."""

    id: int
    repository_id: int
    project_id: int
    repository: str
    """The full name."""
    digest: str
    kind: str
    media_type: str
    """The config's, or an index's own."""
    manifest_media_type: str
    artifact_type: str | None
    size: int
    payload_size: int
    pushed_at: int
    pulled_at: int | None


class Attributes(msgspec.Struct, frozen=True):
    """What the documents of an artifact say about it."""

    annotations: dict[str, str] = {}
    extra: dict[str, Any] = {}
    references: tuple[Reference, ...] = ()
    """What an index lists, in its order, without ids."""


class ListedArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact as lists show it; ``None`` for what was not asked for."""

    row: ArtifactRow
    attributes: Attributes
    references: tuple[Reference, ...] = ()
    tags: tuple[ListedTag, ...] | None = None
    labels: tuple[Label, ...] | None = None
    accessories: tuple[ListedAccessory, ...] | None = None


class Addition(msgspec.Struct, frozen=True):
    """A document that belongs to an artifact."""

    content: bytes
    content_type: str


class FoundProject(msgspec.Struct, frozen=True):
    """A project that a search found."""

    id: int
    name: str
    is_public: bool
    owner_id: int | None
    owner_name: str
    created_at: int
    updated_at: int
    repository_count: int = 0


class FoundRepository(msgspec.Struct, frozen=True):
    """A repository that a search found."""

    project_id: int
    project_name: str
    is_public: bool
    name: str
    pull_count: int
    artifact_count: int = 0


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is that a caller may see; totals for those who may see everything."""

    private_projects: int = 0
    private_repositories: int = 0
    public_projects: int = 0
    public_repositories: int = 0
    total_projects: int = 0
    total_repositories: int = 0
    storage: int = 0
