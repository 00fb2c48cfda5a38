"""Values of the registry, and its events."""

from __future__ import annotations

import msgspec

from entrepot.journal.model import Event
from entrepot.oci.name import RepositoryName
from entrepot.projects.model import Project


class Place(msgspec.Struct, frozen=True):
    """Where a repository name leads: project and repository, if there are such."""

    name: RepositoryName
    project: Project | None
    repository_id: int | None


class StoredManifest(msgspec.Struct, frozen=True):
    """A manifest as it was pushed, byte for byte."""

    id: int
    digest: str
    media_type: str
    payload: bytes


class StoredBlob(msgspec.Struct, frozen=True):
    """Where a blob's bytes are; ``size`` in bytes."""

    digest: str
    size: int
    location: str


class UploadSession(msgspec.Struct, frozen=True):
    """A blob push in progress."""

    id: str
    repository_id: int
    principal: str
    algorithm: str


class PushedManifest(msgspec.Struct, frozen=True):
    """What a push of a manifest did."""

    digest: str
    subject: str | None
    tags: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    """Sentences for whoever pushed: it was done, but."""


class BlobPushed(Event, frozen=True, kw_only=True):
    """A blob became part of a repository; ``mounted_from`` names the repository it was taken from."""

    repository: str
    digest: str
    size: int
    mounted_from: str | None = None


class BlobDeleted(Event, frozen=True, kw_only=True):
    """A repository let go of a blob."""

    repository: str
    digest: str


class ManifestPushed(Event, frozen=True, kw_only=True):
    """A manifest was pushed, under these tags."""

    repository: str
    digest: str
    media_type: str
    tags: tuple[str, ...]


class ManifestDeleted(Event, frozen=True, kw_only=True):
    """A manifest and its tags were deleted."""

    repository: str
    digest: str
    tags: tuple[str, ...]


class TagMoved(Event, frozen=True, kw_only=True):
    """A tag that named one manifest names another."""

    repository: str
    tag: str
    previous: str
    digest: str


class TagDeleted(Event, frozen=True, kw_only=True):
    """A tag was deleted; its manifest stays."""

    repository: str
    tag: str
    digest: str
