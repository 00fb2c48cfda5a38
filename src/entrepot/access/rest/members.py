"""Routes for members of projects, and for grants limited by patterns."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Query, Response
from pydantic import Field

from entrepot.access.members import Entity, Members
from entrepot.access.rest.fields import Number, Patterns, Word
from entrepot.access.store.members import Member
from entrepot.auth.model import Caller
from entrepot.projects.model import Project
from entrepot.web.rest import (
    Asking,
    Body,
    Identifier,
    InProject,
    Listed,
    Route,
    delete,
    get,
    located,
    moment,
    post,
    put,
)
from entrepot.web.rule import project


class UserEntityBody(Body):
    """A user, by id or by name."""

    user_id: Number | None = None
    username: Word | None = None


class UserGroupBody(Body):
    """A group, by id, by name or by its distinguished name."""

    id: Number | None = None
    group_name: Word | None = None
    group_type: Number | None = Field(None, description="1: LDAP, 2: made here, 3: OIDC.")
    ldap_group_dn: Word | None = None


class ProjectMemberBody(Body):
    """A user or a group, and the role it is to have."""

    role_id: Number | None = Field(
        None, description="1 projectAdmin, 2 developer, 3 guest, 4 maintainer, 5 limitedGuest; custom roles from 100."
    )
    member_user: UserEntityBody | None = None
    member_group: UserGroupBody | None = None

    @property
    def entity(self) -> Entity:
        """Whom it names."""
        user, group = self.member_user or UserEntityBody(), self.member_group or UserGroupBody()
        return Entity(
            user_id=user.user_id or 0,
            user_name=user.username or "",
            group_id=group.id or 0,
            group_name=group.group_name or "",
            group_kind=group.group_type or 0,
            ldap_dn=group.ldap_group_dn or "",
        )


class RoleRequestBody(Body):
    """The role that a member is to have."""

    role_id: Number


class ProjectMemberEntityBody(Body):
    """A member."""

    id: int
    project_id: int
    entity_name: str
    role_name: str
    role_id: int
    entity_id: int
    entity_type: str = Field(description="u: a user, g: a group.")


class GrantRequestBody(ProjectMemberBody):
    """A role, maybe only in some repositories and on some tags."""

    role_id: Number = Field(description="A role of GET /roles.")
    repositories: Patterns = Field(default=[], description="Patterns of paths in the project; none: every repository.")
    tags: Patterns = Field(default=[], description="Patterns for push, tag and delete; none: every tag.")


class GrantChangeBody(Body):
    """What a grant is to be; what is left out stays as it is."""

    role_id: Number
    repositories: Patterns | None = None
    tags: Patterns | None = None


class GrantBody(ProjectMemberEntityBody):
    """A grant."""

    repositories: list[str]
    tags: list[str]
    creation_time: datetime


class MemberRoutes:
    """Harbor's operations on members, and our own on grants."""

    def __init__(self, members: Members) -> None:
        self._members = members

    def routes(self) -> list[Route]:
        """Harbor's."""
        members = "/projects/{project_name_or_id}/members"
        return [
            get(members, self.list_members, project("member", "list"), tag="member"),
            post(members, self.add, project("member", "create"), tag="member"),
            get(members + "/{mid}", self.get, project("member", "read"), tag="member"),
            put(members + "/{mid}", self.change_role, project("member", "update"), tag="member"),
            delete(members + "/{mid}", self.remove, project("member", "delete"), tag="member"),
        ]

    def own_routes(self) -> list[Route]:
        """Our own."""
        grants = "/projects/{project_name_or_id}/grants"
        return [
            get(grants, self.list_grants, project("member", "list"), tag="grant"),
            post(grants, self.grant, project("member", "create"), tag="grant"),
            get(grants + "/{grant_id}", self.get_grant, project("member", "read"), tag="grant"),
            put(grants + "/{grant_id}", self.change_grant, project("member", "update"), tag="grant"),
            delete(grants + "/{grant_id}", self.remove_grant, project("member", "delete"), tag="grant"),
        ]

    # Harbor's

    async def list_members(
        self,
        where: InProject,
        listed: Listed,
        entityname: Annotated[Word, Query(description="A part of the member's name.")] = "",
    ) -> list[ProjectMemberEntityBody]:
        """List the members of a project."""
        members, total = await self._page(where, listed, entityname)
        return listed.of([_member(member) for member in members], total)

    async def add(
        self,
        where: InProject,
        caller: Annotated[Caller, Asking],
        body: ProjectMemberBody,
        response: Response,
    ) -> None:
        """Make a user or a group a member."""
        found = await self._project(where)
        grant_id = await self._members.add(caller, found, body.entity, body.role_id or 0)
        located(response, f"/api/v2.0/projects/{where.text}/members/{grant_id}")

    async def get(self, where: InProject, mid: Identifier) -> ProjectMemberEntityBody:
        """Show a member."""
        return _member(await self._members.get(await self._project(where), mid))

    async def change_role(
        self, where: InProject, mid: Identifier, caller: Annotated[Caller, Asking], body: RoleRequestBody
    ) -> None:
        """Give a member another role."""
        await self._members.change(caller, await self._project(where), mid, body.role_id)

    async def remove(self, where: InProject, mid: Identifier, caller: Annotated[Caller, Asking]) -> None:
        """Take a member out of a project."""
        await self._members.remove(caller, await self._project(where), mid)

    # our own

    async def list_grants(
        self,
        where: InProject,
        listed: Listed,
        entityname: Annotated[Word, Query(description="A part of the member's name.")] = "",
    ) -> list[GrantBody]:
        """List the grants of a project, with their limits."""
        members, total = await self._page(where, listed, entityname)
        return listed.of([_grant(member) for member in members], total)

    async def grant(
        self, where: InProject, caller: Annotated[Caller, Asking], body: GrantRequestBody, response: Response
    ) -> GrantBody:
        """Grant a role, maybe only in some repositories and on some tags; somebody may have several grants."""
        found = await self._project(where)
        grant_id = await self._members.add(
            caller,
            found,
            body.entity,
            body.role_id,
            repositories=body.repositories,
            tags=body.tags,
            is_first=False,
        )
        located(response, f"/api/entrepot/v1/projects/{where.text}/grants/{grant_id}")
        return _grant(await self._members.get(found, grant_id))

    async def get_grant(self, where: InProject, grant_id: Identifier) -> GrantBody:
        """Show a grant."""
        return _grant(await self._members.get(await self._project(where), grant_id))

    async def change_grant(
        self, where: InProject, grant_id: Identifier, caller: Annotated[Caller, Asking], body: GrantChangeBody
    ) -> None:
        """Give a grant another role or other limits."""
        await self._members.change(
            caller,
            await self._project(where),
            grant_id,
            body.role_id,
            repositories=body.repositories,
            tags=body.tags,
        )

    async def remove_grant(self, where: InProject, grant_id: Identifier, caller: Annotated[Caller, Asking]) -> None:
        """Take a grant away."""
        await self._members.remove(caller, await self._project(where), grant_id)

    async def _project(self, where: InProject) -> Project:
        return await self._members.project(where.text, by_name=where.by_name)

    async def _page(self, where: InProject, listed: Listed, name: str) -> tuple[list[Member], int]:
        found = await self._project(where)
        listing = listed.listing
        return await self._members.page(found, name=name, limit=listing.limit, offset=listing.offset)


def _member(member: Member) -> ProjectMemberEntityBody:
    return ProjectMemberEntityBody.model_validate(member)


def _grant(member: Member) -> GrantBody:
    return GrantBody(
        **_member(member).model_dump(),
        repositories=list(member.repositories),
        tags=list(member.tags),
        creation_time=moment(member.created_at),
    )
