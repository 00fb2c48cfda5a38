"""Routes for roles, built in and custom."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response
from pydantic import Field

from entrepot.access.permissions import Role
from entrepot.access.rest.fields import PermissionBody, Prose, Word, permission_bodies
from entrepot.access.roles import Roles
from entrepot.auth.model import Caller
from entrepot.web.rest import Asking, Body, Identifier, Route, delete, get, located, post, put
from entrepot.web.rule import LOGIN, system


class RoleRequest(Body):
    """A role as it is to be."""

    name: Word
    description: Prose = ""
    permissions: Annotated[list[PermissionBody], Field(max_length=200)]


class RoleBody(Body):
    """A role."""

    id: int
    name: str
    description: str
    is_built_in: bool
    permissions: list[PermissionBody]


class RoleRoutes:
    """Everybody who is logged in sees the roles; administrators of the system make them."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles

    def own_routes(self) -> list[Route]:
        """Harbor has none."""
        return [
            get("/roles", self.list_all, LOGIN, tag="role"),
            post("/roles", self.create, system("role", "create"), tag="role"),
            get("/roles/{role_id}", self.get, LOGIN, tag="role"),
            put("/roles/{role_id}", self.update, system("role", "update"), tag="role"),
            delete("/roles/{role_id}", self.delete, system("role", "delete"), tag="role"),
        ]

    async def list_all(self) -> list[RoleBody]:
        """List the roles, the built-in ones first."""
        return [_body(role) for role in await self._roles.list_all()]

    async def create(self, caller: Annotated[Caller, Asking], body: RoleRequest, response: Response) -> RoleBody:
        """Make a role of permissions that GET /permissions lists for projects."""
        wanted = [item.permission for item in body.permissions]
        role = await self._roles.create(caller, body.name, body.description, wanted)
        located(response, f"/api/entrepot/v1/roles/{role.id}")
        return _body(role)

    async def get(self, role_id: Identifier) -> RoleBody:
        """Show a role."""
        return _body(await self._roles.get(role_id))

    async def update(self, role_id: Identifier, caller: Annotated[Caller, Asking], body: RoleRequest) -> None:
        """Replace a custom role; it counts with the next request of whoever has it."""
        wanted = [item.permission for item in body.permissions]
        await self._roles.update(caller, role_id, body.name, body.description, wanted)

    async def delete(self, role_id: Identifier, caller: Annotated[Caller, Asking]) -> None:
        """Delete a custom role that nobody has."""
        await self._roles.delete(caller, role_id)


def _body(role: Role) -> RoleBody:
    return RoleBody(
        id=role.id,
        name=role.name,
        description=role.description,
        is_built_in=role.is_built_in,
        permissions=permission_bodies(sorted(role.permissions)),
    )
