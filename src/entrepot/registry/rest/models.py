"""What the routes of the registry take and answer (swagger.yaml of Harbor's API v2.0)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from entrepot.projects.http.labels import LabelBody
from entrepot.projects.model import Label
from entrepot.registry.listing import additions, icons
from entrepot.registry.listing.model import (
    Counts,
    FoundProject,
    FoundRepository,
    ListedAccessory,
    ListedArtifact,
    ListedRepository,
    ListedTag,
    Reference,
)
from entrepot.web.rest import Body

LARGEST = 2**53
"""Whole numbers up to here are exact in every JSON reader."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def storable(text: str) -> str:
    """``text``, if a database can hold it."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("NUL and halves of surrogate pairs cannot be stored")
    return text


Prose = Annotated[str, Field(max_length=65_536), AfterValidator(storable)]


def moment(microseconds: int) -> datetime:
    """A stored time as it is answered."""
    return _EPOCH + timedelta(microseconds=microseconds)


class RepositoryBody(Body):
    """A repository."""

    id: int
    project_id: int
    name: str = Field(description="The full name, with the project's.")
    description: str
    artifact_count: int
    pull_count: int
    creation_time: datetime
    update_time: datetime


class RepositoryChange(Body):
    """What can be changed of a repository."""

    description: Prose = ""


class TagBody(Body):
    """A tag."""

    id: int = Field(description="Made from the repository and the name; it stays while the tag does.")
    repository_id: int
    artifact_id: int
    name: str
    push_time: datetime
    pull_time: datetime | None = None
    immutable: bool = False


class NewTag(Body):
    """A tag to create."""

    name: str = Field(min_length=1, max_length=128)


class LabelReference(Body):
    """A label, by its id."""

    id: int = Field(ge=0, le=LARGEST)


class AccessoryBody(Body):
    """An artifact that hangs on another one."""

    id: int
    artifact_id: int
    subject_artifact_id: int
    subject_artifact_digest: str
    subject_artifact_repo: str
    size: int
    digest: str
    type: str
    icon: str
    creation_time: datetime


class PlatformBody(Body):
    """What an entry of an index is for; two keys have quotes in their names, as in Harbor."""

    model_config = ConfigDict(populate_by_name=True, from_attributes=True)

    architecture: str | None = None
    os: str | None = None
    os_version: str | None = Field(None, alias="'os.version'")
    os_features: list[str] | None = Field(None, alias="'os.features'")
    variant: str | None = None


class ReferenceBody(Body):
    """A manifest that an index lists."""

    parent_id: int
    child_id: int | None = Field(None, description="Absent if the manifest is not in the repository.")
    child_digest: str
    platform: PlatformBody | None = None
    annotations: dict[str, str] | None = None
    urls: list[str] | None = None


class AdditionLinkBody(Body):
    """Where an addition is."""

    href: str
    absolute: bool = False


class ArtifactBody(Body):
    """An artifact."""

    id: int
    type: str
    media_type: str
    manifest_media_type: str
    artifact_type: str | None = None
    project_id: int
    repository_id: int
    repository_name: str
    digest: str
    size: int
    icon: str
    push_time: datetime
    pull_time: datetime | None = None
    extra_attrs: dict[str, Any] | None = None
    annotations: dict[str, str] | None = None
    references: list[ReferenceBody] | None = None
    tags: list[TagBody] | None = None
    addition_links: dict[str, AdditionLinkBody] | None = None
    labels: list[LabelBody] | None = None
    accessories: list[AccessoryBody] | None = None


class ProjectMetadataBody(Body):
    """Settings of a project; truth values are texts."""

    public: str


class SearchProject(Body):
    """A project that was found."""

    project_id: int
    name: str
    owner_id: int | None = None
    owner_name: str
    repo_count: int
    creation_time: datetime
    update_time: datetime
    metadata: ProjectMetadataBody


class SearchRepository(Body):
    """A repository that was found."""

    project_id: int
    project_name: str
    project_public: bool
    repository_name: str
    pull_count: int
    artifact_count: int


class SearchBody(Body):
    """What was found."""

    project: list[SearchProject]
    repository: list[SearchRepository]


class StatisticBody(Body):
    """How much there is that the caller may see."""

    private_project_count: int
    private_repo_count: int
    public_project_count: int
    public_repo_count: int
    total_project_count: int = Field(description="0 for those who do not see every project.")
    total_repo_count: int
    total_storage_consumption: int = Field(description="Bytes of all blobs, for administrators.")


class IconBody(Body):
    """A picture."""

    model_config = ConfigDict(populate_by_name=True)

    content_type: str = Field(alias="content-type")
    content: str = Field(description="Base64.")


def repository_body(found: ListedRepository) -> RepositoryBody:
    """A repository as it is answered."""
    return RepositoryBody(
        id=found.id,
        project_id=found.project_id,
        name=found.name,
        description=found.description,
        artifact_count=found.artifact_count,
        pull_count=found.pull_count,
        creation_time=moment(found.created_at),
        update_time=moment(found.updated_at),
    )


def tag_body(tag: ListedTag) -> TagBody:
    """A tag as it is answered."""
    named = hashlib.blake2b(f"{tag.repository_id}:{tag.name}".encode(), digest_size=6).digest()
    return TagBody(
        id=int.from_bytes(named, "big"),
        repository_id=tag.repository_id,
        artifact_id=tag.artifact_id,
        name=tag.name,
        push_time=moment(tag.pushed_at),
    )


def label_body(label: Label) -> LabelBody:
    """A label as it is answered."""
    return LabelBody(
        id=label.id,
        name=label.name,
        description=label.description,
        color=label.color,
        scope="g" if label.project_id is None else "p",
        project_id=label.project_id or 0,
        creation_time=moment(label.created_at),
        update_time=moment(label.updated_at),
    )


def accessory_body(accessory: ListedAccessory) -> AccessoryBody:
    """What hangs on an artifact, as it is answered."""
    return AccessoryBody(
        id=accessory.id,
        artifact_id=accessory.id,
        subject_artifact_id=accessory.subject_id,
        subject_artifact_digest=accessory.subject_digest,
        subject_artifact_repo=accessory.repository,
        size=accessory.size,
        digest=accessory.digest,
        type=accessory.kind,
        icon=icons.icon_of_accessory(accessory.kind),
        creation_time=moment(accessory.created_at),
    )


def artifact_body(artifact: ListedArtifact) -> ArtifactBody:
    """An artifact as it is answered."""
    row, attributes = artifact.row, artifact.attributes
    links = {name: AdditionLinkBody(href=additions.href(row, name)) for name in additions.of_kind(row)}
    return ArtifactBody(
        id=row.id,
        type=row.kind,
        media_type=row.media_type,
        manifest_media_type=row.manifest_media_type,
        artifact_type=row.artifact_type,
        project_id=row.project_id,
        repository_id=row.repository_id,
        repository_name=row.repository,
        digest=row.digest,
        size=row.size,
        icon=icons.icon_of(row.kind),
        push_time=moment(row.pushed_at),
        pull_time=moment(row.pulled_at) if row.pulled_at is not None else None,
        extra_attrs=attributes.extra or None,
        annotations=attributes.annotations or None,
        references=[_reference(row.id, reference) for reference in artifact.references] or None,
        tags=_several(tag_body, artifact.tags),
        addition_links=links or None,
        labels=_several(label_body, artifact.labels),
        accessories=_several(accessory_body, artifact.accessories),
    )


def found_project(found: FoundProject) -> SearchProject:
    """A project that was found, as it is answered."""
    return SearchProject(
        project_id=found.id,
        name=found.name,
        owner_id=found.owner_id,
        owner_name=found.owner_name,
        repo_count=found.repository_count,
        creation_time=moment(found.created_at),
        update_time=moment(found.updated_at),
        metadata=ProjectMetadataBody(public="true" if found.is_public else "false"),
    )


def found_repository(found: FoundRepository) -> SearchRepository:
    """A repository that was found, as it is answered."""
    return SearchRepository(
        project_id=found.project_id,
        project_name=found.project_name,
        project_public=found.is_public,
        repository_name=found.name,
        pull_count=found.pull_count,
        artifact_count=found.artifact_count,
    )


def statistic_body(counts: Counts) -> StatisticBody:
    """Counts as they are answered."""
    return StatisticBody(
        private_project_count=counts.private_projects,
        private_repo_count=counts.private_repositories,
        public_project_count=counts.public_projects,
        public_repo_count=counts.public_repositories,
        total_project_count=counts.total_projects,
        total_repo_count=counts.total_repositories,
        total_storage_consumption=counts.storage,
    )


def _several(body: Any, items: Any) -> Any:
    return None if items is None else [body(item) for item in items]


def _reference(parent_id: int, reference: Reference) -> ReferenceBody:
    platform = reference.platform
    return ReferenceBody(
        parent_id=parent_id,
        child_id=reference.child_id,
        child_digest=reference.child_digest,
        platform=platform
        and PlatformBody(
            architecture=platform.get("architecture"),
            os=platform.get("os"),
            os_version=platform.get("os.version"),
            os_features=platform.get("os.features"),
            variant=platform.get("variant"),
        ),
        annotations=reference.annotations,
        urls=list(reference.urls) or None,
    )
