"""Routes for projects and their metadata: Harbor's, and our own for names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from fastapi import Query, Request, Response

from entrepot.auth.model import Caller
from entrepot.database import Database
from entrepot.errors import Denied, InvalidInput, NotAuthenticated, NotFound
from entrepot.kit.listing import Condition, Listing
from entrepot.projects import ledger, store
from entrepot.projects.http.bodies import (
    ROLES,
    Deletable,
    FormerName,
    NewName,
    ProjectBody,
    ProjectReq,
    Resources,
    Summary,
    SummaryQuota,
    Text,
    metadata_of,
    project_body,
)
from entrepot.projects.service import Projects
from entrepot.settings.service import Settings
from entrepot.web.rest import (
    Asking,
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
READ = ("project", "read")
LIST = ("repository", "list")
_OWNER = "api:*"
"""What the bound of a token holds that stands for its owner (``access.model.API``)."""
Caller_ = Annotated[Caller, Asking]


class Sight(Protocol):
    """What lists of projects ask of the floor that knows rights."""

    async def places(self, caller: Any, permission: tuple[str, str]) -> Any:
        """Where a caller holds a permission: ``everywhere``, or ``projects`` by id, and which are ``hidden``."""

    async def roles_in(self, caller: Any, ids: Sequence[int]) -> dict[int, list[int]]:
        """The ids of the roles that a caller has, by the project's id."""

    async def member_counts(self, project_id: int) -> dict[int, int]:
        """How many members a project has, by the role's id."""


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
        if caller.bound is not None and not caller.principal.is_anonymous and _OWNER not in caller.bound:
            raise Denied("A token for repositories does not list projects: use one without a scope, or a password.")
        listing = _filtered(listed.listing, name, public, owner)
        places = [await self._sight.places(caller, permission) for permission in (READ, LIST)]
        visible = None if places[0].everywhere else sorted({id_ for place in places for id_ in place.projects})
        found, total = await self._projects.list_page(listing, visible, places[0].hidden)
        ids = [details.id for details in found]
        counts = await self._projects.repository_counts(ids) if with_detail else {}
        roles = await self._sight.roles_in(caller, ids)
        bodies = [
            project_body(details, counts.get(details.id, 0) if with_detail else None, roles.get(details.id, []))
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
        if quota is not None and not (caller.principal.is_admin or caller.principal.is_robot):
            quota = None  # as in Harbor: only who may create projects anyhow chooses another than the default
        project_id = await self._projects.create(caller, body.project_name or "", values, quota)
        by_name = request.headers.get("x-resource-name-in-location", "").lower() == "true"
        located(response, f"{request.url.path.rstrip('/')}/{body.project_name if by_name else project_id}")

    async def read(self, caller: Caller_, where: InProject) -> ProjectBody:
        """Read a project."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        counts = await self._projects.repository_counts([details.id])
        roles = await self._sight.roles_in(caller, [details.id])
        return project_body(details, counts.get(details.id, 0), roles.get(details.id, []))

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

    async def summary(self, caller: Caller_, where: InProject) -> Summary:
        """Give a project in numbers; its members' and its quota's to whoever may see those."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        counts = await self._projects.repository_counts([details.id])
        summary = Summary(repo_count=counts.get(details.id, 0))
        if await self._may(caller, ("member", "list"), details.id):
            members = await self._sight.member_counts(details.id)
            by_role = {f"{word}_count": members.get(role_id, 0) for role_id, word in ROLES.items()}
            summary = summary.model_copy(update=by_role)
        has_quota = await self._settings.boolean("quota_per_project_enable")
        if has_quota and await self._may(caller, ("quota", "read"), details.id):
            usage = await ledger.usage(self._database, details.id)
            summary.quota = SummaryQuota(hard=Resources(storage=usage.limit), used=Resources(storage=usage.total))
        return summary

    async def _may(self, caller: Caller, permission: tuple[str, str], project_id: int) -> bool:
        try:
            await self._gate.require_in_project(caller, permission, project_id)
        except (Denied, NotAuthenticated):
            return False
        return True

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
        return metadata_of(await self._projects.find(where.text, by_name=where.by_name))

    async def add(self, caller: Caller_, where: InProject, body: dict[str, Text]) -> None:
        """Set a metadata of a project."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        key, value = _one(body)
        await self._projects.set_metadata(caller, details.id, key, value, is_new=True)

    async def read(self, where: InProject, meta_name: PathText) -> dict[str, str]:
        """Read one metadata of a project."""
        found = metadata_of(await self._projects.find(where.text, by_name=where.by_name))
        if meta_name not in found:
            raise NotFound(f"The project has no metadata {meta_name}.")
        return {meta_name: found[meta_name]}

    async def update(self, caller: Caller_, where: InProject, meta_name: PathText, body: dict[str, Text]) -> None:
        """Change one metadata of a project."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        if meta_name not in body:
            raise InvalidInput(f"The body must give the value of {meta_name}.", code="BAD_REQUEST")
        await self._projects.set_metadata(caller, details.id, meta_name, body[meta_name])

    async def remove(self, caller: Caller_, where: InProject, meta_name: PathText) -> None:
        """Take one metadata of a project away."""
        details = await self._projects.find(where.text, by_name=where.by_name)
        await self._projects.drop_metadata(caller, details.id, meta_name)


def _one(body: dict[str, str]) -> tuple[str, str]:
    if len(body) != 1:
        raise InvalidInput("Send one metadata at a time, as {name: value}.", code="BAD_REQUEST")
    return next(iter(body.items()))


def _filtered(listing: Listing, name: str, public: bool | None, owner: str) -> Listing:
    more = []
    if name:
        more.append(Condition("name", "fuzzy", (name,)))
    if public is not None:
        more.append(Condition("public", "exact", ("true" if public else "false",)))
    if owner:
        more.append(Condition("owner", "exact", (owner,)))
    return Listing(listing.page, listing.page_size, (*listing.conditions, *more), listing.sort)
