"""What a project is."""

from __future__ import annotations

import msgspec

from entrepot.journal.model import Event
from entrepot.kit.networks import AddressRules


class Project(msgspec.Struct, frozen=True):
    """A tenant: everything below its name belongs to it."""

    id: int
    name: str
    is_public: bool
    addresses: AddressRules | None = None
    """From where it may be used; ``None``: from everywhere."""


class ProjectDetails(msgspec.Struct, frozen=True):
    """A project with what its pages show; times in microseconds since the epoch."""

    id: int
    name: str
    is_public: bool
    created_at: int
    updated_at: int
    owner_id: int | None
    owner_name: str
    metadata: dict[str, str]
    """Harbor's project metadata but ``public``."""
    quota: int
    """Bytes that the project may hold; -1: no limit."""
    addresses: AddressRules | None = None

    @property
    def project(self) -> Project:
        """What rights are judged on."""
        return Project(self.id, self.name, self.is_public, self.addresses)


class Label(msgspec.Struct, frozen=True):
    """A coloured word on artifacts; of one project, or global without one."""

    id: int
    name: str
    description: str
    color: str
    project_id: int | None
    created_at: int
    updated_at: int


class Usage(msgspec.Struct, frozen=True):
    """What a project holds and may hold, in bytes."""

    limit: int
    """-1: no limit."""
    used: int
    """Distinct blobs and manifests that the project's manifests name."""
    reserved: int
    """What is being pushed, or was pushed and is not named by a manifest yet."""

    @property
    def total(self) -> int:
        """What counts against the limit."""
        return self.used + self.reserved


class ProjectEvent(Event, frozen=True, kw_only=True):
    """Something happened to a project."""

    resource_type = "project"
    project: str

    @property
    def resource(self) -> str:
        """The project's name."""
        return self.project


class ProjectCreated(ProjectEvent, frozen=True, kw_only=True):
    """A project came to be, by request or by a first push."""

    operation = "create"
    is_public: bool


class ProjectUpdated(ProjectEvent, frozen=True, kw_only=True):
    """Settings of a project changed; ``changes`` holds the new values by name."""

    operation = "update"
    changes: dict[str, str]


class ProjectRenamed(ProjectEvent, frozen=True, kw_only=True):
    """A project has another name; the old one leads to it for a while."""

    operation = "update"
    previous: str


class ProjectAddressesChanged(ProjectEvent, frozen=True, kw_only=True):
    """A project may be used from other addresses: networks that are allowed, and that are denied."""

    operation = "update"
    allow: tuple[str, ...]
    deny: tuple[str, ...]


class ProjectDeleted(ProjectEvent, frozen=True, kw_only=True):
    """A project is gone."""

    operation = "delete"


class QuotaChanged(ProjectEvent, frozen=True, kw_only=True):
    """A project may hold more or less; bytes, -1 for no limit."""

    operation = "update"
    resource_type = "quota"
    previous: int
    limit: int


class QuotaWarned(ProjectEvent, frozen=True, kw_only=True):
    """A project holds more than 85 % of what it may."""

    operation = "warn"
    resource_type = "quota"
    used: int
    limit: int


class QuotaExceeded(ProjectEvent, frozen=True, kw_only=True):
    """A push was refused since the project may not hold it; bytes."""

    operation = "push"
    resource_type = "quota"
    is_refused = True
    used: int
    limit: int
    needed: int


class LabelEvent(Event, frozen=True, kw_only=True):
    """Something happened to a label."""

    resource_type = "label"
    label: str

    @property
    def resource(self) -> str:
        """The label's name."""
        return self.label


class LabelCreated(LabelEvent, frozen=True, kw_only=True):
    """A label came to be."""

    operation = "create"


class LabelUpdated(LabelEvent, frozen=True, kw_only=True):
    """A label was changed."""

    operation = "update"


class LabelDeleted(LabelEvent, frozen=True, kw_only=True):
    """A label is gone, also from the artifacts that had it."""

    operation = "delete"
