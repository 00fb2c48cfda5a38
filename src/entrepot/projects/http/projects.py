"""Routes for projects and their metadata: Harbor's, and our own for names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

from fastapi import Query, Request, Response
from pydantic import Field, StringConstraints

from entrepot.auth.model import Caller
from entrepot.database import Database
from entrepot.errors import InvalidInput, NotFound
from entrepot.kit.listing import Condition, Listing
from entrepot.projects import ledger, store
from entrepot.projects.model import ProjectDetails
from entrepot.projects.service import Projects
from entrepot.settings.service import Settings
from entrepot.web.rest import (
    Asking,
    Body,
    InProject,
    Listed,
    PathText,
    Route,
    delete,
    get,
    head,
    located,
    moment,
    post,
    put,
)
from entrepot.web.rule import ANYONE, LOGIN, Gate, project

CREATE = ("project", "create")
LIST = ("repository", "list")
_ROLES = {1: "project_admin", 2: "developer", 3: "guest", 4: "maintainer", 5: "limited_guest"}

Text = Annotated[str, StringConstraints(max_length=1024)]
Caller_ = Annotated[Caller, Asking]


class Sight(Protocol):
    """What lists of projects ask of the floor that knows rights."""

    async def places(self, caller: Any, permission: tuple[str, str] = LIST) -> Any:
        """Where a caller holds a permission: ``everywhere``, or ``projects`` by id."""

    async def roles_in(self, caller: Any, ids: Sequence[int]) -> dict[int, list[int]]:
        """The ids of the roles that a caller has, by the project's id."""

    async def member_counts(self, project_id: int) -> dict[int, int]:
        """How many members a project has, by the role's id."""


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


class ProjectReq(Body):
    """A project to create, or what is to change of one."""

    project_name: Annotated[str, StringConstraints(max_length=255)] | None = None
    public: bool | None = None
    metadata: Metadata | None = None
    storage_limit: int | None = Field(None, ge=-1, le=2**53, description="Bytes; -1: no limit, 0: the default.")
    registry_id: int | None = Field(None, ge=0, le=2**53)

    def values(self) -> dict[str, str]:
        """The metadata that was sent."""
        values: dict[str, str] = self.metadata.model_dump(exclude_none=True) if self.metadata else {}
        if self.public is not None:
            values.setdefault("public", str(self.public).lower())
        if self.registry_id:
            raise InvalidInput("Proxy projects are not built yet: leave registry_id out.", code="BAD_REQUEST")
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
    project_admin_count: int = 0
    maintainer_count: int = 0
    developer_count: int = 0
    guest_count: int = 0
    limited_guest_count: int = 0
    quota: SummaryQuota


class NewName(Body):
    """The name that a project is to have."""

    name: Annotated[str, StringConstraints(max_length=255)]


class FormerName(Body):
    """A name that still leads to a project."""

    name: str
    expires_at: datetime


class ProjectRoutes:
    """Reading and changing projects."""

    def __init__(self, database: Database, projects: Projects, settings: Settings, sight: Sight, gate: Gate) -> None:
        self._database = database
        self._projects = projects
        self._settings = settings
        self._sight = sight
        self._gate = gate

    def routes(self) -> list[Route]:
        """Below ``/api/v2.0``."""
        one = "/projects/{project_name_or_id}"
        return [
            get("/projects", self.list_all, ANYONE, tag="project"),
            head("/projects", self.exists, LOGIN, tag="project"),
            post("/projects", self.create, LOGIN, tag="project"),
            get(one, self.read, project("project", "read"), tag="project"),
            put(one, self.update, project("project", "update"), tag="project"),
            delete(one, self.remove, project("project", "delete"), tag="project"),
            get(one + "/_deletable", self.deletable, project("project", "delete"), tag="project"),
            get(one + "/summary", self.summary, project("project", "read"), tag="project"),
        ]

    def own_routes(self) -> list[Route]:
        """Below ``/api/entrepot/v1``."""
        one = "/projects/{project_name_or_id}"
        return [
            put(one + "/name", self.rename, project("project", "update"), tag="project"),
            get(one + "/former-names", self.list_former, project("project", "read"), tag="project"),
            delete(one + "/former-names/{name}", self.drop_former, project("project", "update"), tag="project"),
        ]

    async def list_all(
        self,
        caller: Caller_,
        listed: Listed,
        name: Annotated[str, Query(max_length=255, description="A part of the name.")] = "",
        public: Annotated[bool | None, Query(description="Public ones only, or private ones only.")] = None,
        owner: Annotated[str, Query(max_length=255, description="The owner's name.")] = "",
        *,
        with_detail: Annotated[bool, Query(description="With the number of repositories.")] = True,
    ) -> list[ProjectBody]:
        """List the projects that the caller may see."""
        listing = _filtered(listed.listing, name, public, owner)
        places = await self._sight.places(caller)
        visible = None if places.everywhere else sorted(places.projects)
        found, total = await self._projects.list_page(listing, visible)
        ids = [details.id for details in found]
        counts = await self._projects.repository_counts(ids) if with_detail else {}
        roles = await self._sight.roles_in(caller, ids)
        bodies = [
            _body(details, counts.get(details.id, 0) if with_detail else None, roles.get(details.id, []))
            for details in found
        ]
        return listed.of(bodies, total)

    async def exists(self, project_name: Annotated[str, Query(min_length=1, max_length=255)]) -> None:
        """Say whether a project of that name exists."""
        if await store.find(self._database, project_name) is None:
            raise NotFound(f"There is no project {project_name}.")

    async def create(self, caller: Caller_, request: Request, response: Response, body: ProjectReq) -> None:
        """Create a project."""
        restricted = await self._settings.text("project_creation_restriction") == "adminonly"
        if restricted or caller.principal.is_robot or caller.principal.scope is not None:
            await self._gate.require_system(caller, CREATE)
        values = body.values()
        quota = body.storage_limit or None
        if quota is not None and not caller.principal.is_admin:
            quota = None  # as in Harbor: only an administrator of the system chooses another than the default
        project_id = await self._projects.create(caller, body.project_name or "", values, quota)
        by_name = request.headers.get("x-resource-name-in-location", "").lower() == "true"
        located(response, f"{request.url.path.rstrip('/')}/{body.project_name if by_name else project_id}")

    async def read(self, caller: Caller_, where: InProject) -> ProjectBody:
        """Read a project."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        counts = await self._projects.repository_counts([details.id])
        roles = await self._sight.roles_in(caller, [details.id])
        return _body(details, counts.get(details.id, 0), roles.get(details.id, []))

    async def update(self, caller: Caller_, where: InProject, body: ProjectReq) -> None:
        """Change a project's metadata."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        await self._projects.update(caller, details.id, body.values())

    async def remove(self, caller: Caller_, where: InProject) -> None:
        """Delete a project that holds nothing."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        await self._projects.delete(caller, details.id)

    async def deletable(self, where: InProject) -> Deletable:
        """Say whether a project may be deleted."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        message = await self._projects.why_not_deletable(details.id)
        return Deletable(deletable=not message, message=message)

    async def summary(self, where: InProject) -> Summary:
        """Give a project in numbers."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        counts = await self._projects.repository_counts([details.id])
        members = await self._sight.member_counts(details.id)
        usage = await ledger.usage(self._database, details.id)
        quota = SummaryQuota(hard=Resources(storage=usage.limit), used=Resources(storage=usage.total))
        by_role = {f"{word}_count": members.get(role_id, 0) for role_id, word in _ROLES.items()}
        return Summary(repo_count=counts.get(details.id, 0), quota=quota, **by_role)

    async def rename(self, caller: Caller_, where: InProject, body: NewName) -> None:
        """Give a project another name; the present one leads to it for a while."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        await self._projects.rename(caller, details.id, body.name)

    async def list_former(self, where: InProject) -> list[FormerName]:
        """List the former names that still lead to a project."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        names = await self._projects.former_names(details.id)
        return [FormerName(name=name, expires_at=moment(expires_at)) for name, expires_at in names]

    async def drop_former(self, caller: Caller_, where: InProject, name: PathText) -> None:
        """Let a former name lead nowhere."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        await self._projects.drop_former_name(caller, details.id, name)


class MetadataRoutes:
    """Harbor's routes for single metadata."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    def routes(self) -> list[Route]:
        """Below ``/api/v2.0``."""
        every = "/projects/{project_name_or_id}/metadatas/"
        one = every + "{meta_name}"
        return [
            get(every, self.list_all, project("metadata", "read"), tag="projectMetadata"),
            post(every, self.add, project("metadata", "create"), status=200, tag="projectMetadata"),
            get(one, self.read, project("metadata", "read"), tag="projectMetadata"),
            put(one, self.update, project("metadata", "update"), tag="projectMetadata"),
            delete(one, self.remove, project("metadata", "delete"), tag="projectMetadata"),
        ]

    async def list_all(self, where: InProject) -> dict[str, str]:
        """Read a project's metadata."""
        return _metadata(await self._projects.find(where.text, by_name=where.by_name))

    async def add(self, caller: Caller_, where: InProject, body: dict[str, Text]) -> None:
        """Set a metadata of a project."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        await self._projects.update(caller, details.id, _one(body))

    async def read(self, where: InProject, meta_name: PathText) -> dict[str, str]:
        """Read one metadata of a project."""
        found = _metadata(await self._projects.find(where.text, by_name=where.by_name))
        if meta_name not in found:
            raise NotFound(f"The project has no metadata {meta_name}.")
        return {meta_name: found[meta_name]}

    async def update(self, caller: Caller_, where: InProject, meta_name: PathText, body: dict[str, Text]) -> None:
        """Change one metadata of a project."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        if meta_name not in body:
            raise InvalidInput(f"The body must give the value of {meta_name}.", code="BAD_REQUEST")
        if meta_name not in _metadata(details):
            raise NotFound(f"The project has no metadata {meta_name}.")
        await self._projects.update(caller, details.id, {meta_name: body[meta_name]})

    async def remove(self, caller: Caller_, where: InProject, meta_name: PathText) -> None:
        """Take one metadata of a project away."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        await self._projects.drop_metadata(caller, details.id, meta_name)


def _one(body: dict[str, str]) -> dict[str, str]:
    if len(body) != 1:
        raise InvalidInput("Send one metadata at a time, as {name: value}.", code="BAD_REQUEST")
    return body


def _metadata(details: ProjectDetails) -> dict[str, str]:
    return {"public": "true" if details.is_public else "false", **details.metadata}


def _body(details: ProjectDetails, repositories: int | None, roles: list[int]) -> ProjectBody:
    return ProjectBody(
        project_id=details.id,
        name=details.name,
        owner_id=details.owner_id,
        owner_name=details.owner_name,
        creation_time=moment(details.created_at),
        update_time=moment(details.updated_at),
        current_user_role_id=roles[0] if roles else 0,
        current_user_role_ids=roles or None,
        repo_count=repositories,
        metadata=Metadata(**_metadata(details)),
    )


def _filtered(listing: Listing, name: str, public: bool | None, owner: str) -> Listing:
    more = []
    if name:
        more.append(Condition("name", "fuzzy", (name,)))
    if public is not None:
        more.append(Condition("public", "exact", ("true" if public else "false",)))
    if owner:
        more.append(Condition("owner", "exact", (owner,)))
    return Listing(listing.page, listing.page_size, (*listing.conditions, *more), listing.sort)
