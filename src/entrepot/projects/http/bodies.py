"""What the routes of projects take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from entrepot.errors import InvalidInput
from entrepot.projects.model import ProjectDetails
from entrepot.web.rest import Body, moment

# Harbor's words for its roles, the most powerful first.
ROLES = {1: "project_admin", 4: "maintainer", 2: "developer", 3: "guest", 5: "limited_guest"}

Text = Annotated[str, StringConstraints(max_length=1024)]


class Metadata(Body):
    """Harbor's metadata of a project; every value is a text."""

    public: Text | None = None
    enable_content_trust: Text | None = None
    enable_content_trust_cosign: Text | None = None
    prevent_vul: Text | None = None
    severity: Text | None = None
    auto_scan: Text | None = None
    auto_sbom_generation: Text | None = None
    reuse_sys_cve_allowlist: Text | None = None
    retention_id: Text | None = None
    proxy_speed_kb: Text | None = None
    max_upstream_conn: Text | None = None
    proxy_cache_local_on_not_found: Text | None = None
    proxy_referrer_api: Text | None = None
    proxy_cache_filter_pattern: Text | None = None
    proxy_cache_filter_kind: Text | None = None


class AllowedCve(Body):
    """A vulnerability that may be there."""

    cve_id: Text


class CveAllowlist(Body):
    """Vulnerabilities that may be there; the feature is not built, so there are none."""

    project_id: int | None = None
    items: list[AllowedCve] | None = None


class ProjectReq(Body):
    """A project to create, or what is to change of one: its metadata only."""

    project_name: Annotated[str, StringConstraints(max_length=255)] | None = None
    public: bool | None = None
    metadata: Metadata | None = None
    cve_allowlist: CveAllowlist | None = None
    storage_limit: int | None = Field(None, ge=-1, le=2**53, description="Bytes; -1: no limit, 0: the default.")
    registry_id: int | None = Field(None, ge=0, le=2**53)

    def values(self) -> dict[str, str]:
        """The metadata that was sent."""
        values: dict[str, str] = self.metadata.model_dump(exclude_none=True) if self.metadata else {}
        if self.public is not None:
            values.setdefault("public", str(self.public).lower())
        if self.registry_id:
            raise InvalidInput("Proxy projects are not built yet: leave registry_id out.", code="BAD_REQUEST")
        if self.cve_allowlist and self.cve_allowlist.items:
            raise InvalidInput("Allowlists of CVEs are not built yet: leave cve_allowlist empty.", code="BAD_REQUEST")
        return values


class ProjectBody(Body):
    """A project."""

    project_id: int
    name: str
    owner_id: int | None = None
    owner_name: str
    creation_time: datetime
    update_time: datetime
    deleted: bool = False
    togglable: bool = False
    current_user_role_id: int | None = None
    current_user_role_ids: list[int] | None = None
    repo_count: int | None = None
    metadata: Metadata
    cve_allowlist: CveAllowlist


class Deletable(Body):
    """Whether a project may be deleted, and if not, why."""

    deletable: bool
    message: str


class Resources(Body):
    """Bytes by kind of resource."""

    storage: int


class SummaryQuota(Body):
    """What a project may hold, and holds."""

    hard: Resources
    used: Resources


class Summary(Body):
    """A project in numbers."""

    repo_count: int
    project_admin_count: int | None = None
    maintainer_count: int | None = None
    developer_count: int | None = None
    guest_count: int | None = None
    limited_guest_count: int | None = None
    quota: SummaryQuota | None = None


class NewName(Body):
    """The name that a project is to have."""

    name: Annotated[str, StringConstraints(max_length=255)]


class FormerName(Body):
    """A name that still leads to a project."""

    name: str
    expires_at: datetime


def metadata_of(details: ProjectDetails) -> dict[str, str]:
    """All metadata of a project, ``public`` among it."""
    return {"public": "true" if details.is_public else "false", **details.metadata}


def project_body(details: ProjectDetails, repositories: int | None, roles: list[int]) -> ProjectBody:
    """A project as it is answered."""
    return ProjectBody(
        project_id=details.id,
        name=details.name,
        owner_id=details.owner_id,
        owner_name=details.owner_name,
        creation_time=moment(details.created_at),
        update_time=moment(details.updated_at),
        current_user_role_id=next((role_id for role_id in ROLES if role_id in roles), 0),
        current_user_role_ids=roles or None,
        repo_count=repositories,
        metadata=Metadata(**metadata_of(details)),
        cve_allowlist=CveAllowlist(project_id=details.id, items=[]),
    )
