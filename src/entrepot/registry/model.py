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
    is_limited: bool = False
    """Whether the project has a quota."""


class HeldPlace(msgspec.Struct, frozen=True, gc=False):
    """A repository that is there."""

    repository_id: int
    project_id: int


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


class RegistryEvent(Event, frozen=True, kw_only=True):
    """Something happened in a repository."""

    repository: str

    @property
    def resource(self) -> str:
        """The repository's full name."""
        return self.repository


class RepositoryUpdated(RegistryEvent, frozen=True, kw_only=True):
    """A repository's description changed."""

    operation = "update"
    resource_type = "repository"
    description: str


class RepositoryDeleted(RegistryEvent, frozen=True, kw_only=True):
    """A repository is gone with all that it held."""

    operation = "delete"
    resource_type = "repository"


class ContentEvent(RegistryEvent, frozen=True, kw_only=True):
    """Something happened to a blob or a manifest."""

    digest: str

    @property
    def resource(self) -> str:
        """Repository and digest."""
        return f"{self.repository}@{self.digest}"


class BlobPushed(ContentEvent, frozen=True, kw_only=True):
    """A blob became part of a repository; ``mounted_from`` names the repository it was taken from."""

    operation = "create"
    resource_type = "blob"
    size: int
    mounted_from: str | None = None


class BlobDeleted(ContentEvent, frozen=True, kw_only=True):
    """A repository let go of a blob."""

    operation = "delete"
    resource_type = "blob"


class ManifestPushed(ContentEvent, frozen=True, kw_only=True):
    """A manifest was pushed, under these tags; ``copied_from`` names where the registry itself took it."""

    operation = "create"
    resource_type = "artifact"
    media_type: str
    tags: tuple[str, ...]
    moved: dict[str, str] = msgspec.field(default_factory=dict)
    """What tags named before that named another manifest."""
    copied_from: str | None = None

    @property
    def resource(self) -> str:
        """Repository and tag, or digest for a push without one."""
        return f"{self.repository}:{self.tags[0]}" if self.tags else f"{self.repository}@{self.digest}"


class ManifestPulled(ContentEvent, frozen=True, kw_only=True):
    """A manifest was pulled, by this reference."""

    operation = "pull"
    resource_type = "artifact"
    reference: str

    @property
    def resource(self) -> str:
        """Repository and reference, as it was asked for."""
        separator = "@" if ":" in self.reference else ":"
        return f"{self.repository}{separator}{self.reference}"


class ManifestDeleted(ContentEvent, frozen=True, kw_only=True):
    """A manifest and its tags were deleted."""

    operation = "delete"
    resource_type = "artifact"
    tags: tuple[str, ...]


class TagMoved(ContentEvent, frozen=True, kw_only=True):
    """A tag that named one manifest names another; the audit record is that of the push."""

    tag: str
    previous: str


class TagCreated(ContentEvent, frozen=True, kw_only=True):
    """A manifest that was there got a tag."""

    operation = "create"
    resource_type = "tag"
    tag: str

    @property
    def resource(self) -> str:
        """Repository and tag."""
        return f"{self.repository}:{self.tag}"


class TagDeleted(ContentEvent, frozen=True, kw_only=True):
    """A tag was deleted; its manifest stays."""

    operation = "delete"
    resource_type = "tag"
    tag: str

    @property
    def resource(self) -> str:
        """Repository and tag."""
        return f"{self.repository}:{self.tag}"


class ArtifactLabelled(ContentEvent, frozen=True, kw_only=True):
    """An artifact got a label."""

    operation = "create"
    resource_type = "artifact-label"
    label: str


class ArtifactUnlabelled(ContentEvent, frozen=True, kw_only=True):
    """An artifact lost a label."""

    operation = "delete"
    resource_type = "artifact-label"
    label: str
