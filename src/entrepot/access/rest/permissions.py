"""Routes that say which permissions there are, and which of them the caller has."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from entrepot.access.permits import Permits
from entrepot.access.rest.fields import PermissionBody, Word, permission_bodies
from entrepot.auth.model import Caller
from entrepot.web.rest import Asking, Body, Route, get
from entrepot.web.rule import LOGIN


class PermissionsBody(Body):
    """What robot accounts and roles can be given."""

    system: list[PermissionBody] | None = None
    project: list[PermissionBody] | None = None


class PermissionRoutes:
    """Harbor's two."""

    def __init__(self, permits: Permits) -> None:
        self._permits = permits

    def routes(self) -> list[Route]:
        """Harbor's."""
        return [
            get("/permissions", self.list_grantable, LOGIN, tag="permissions"),
            get("/users/current/permissions", self.held, LOGIN, tag="user"),
        ]

    async def list_grantable(self, caller: Annotated[Caller, Asking]) -> PermissionsBody:
        """List the permissions that can be given to robot accounts and put into roles."""
        system, in_projects = await self._permits.grantable(caller)
        return PermissionsBody(system=permission_bodies(system) or None, project=permission_bodies(in_projects))

    async def held(
        self,
        caller: Annotated[Caller, Asking],
        scope: Annotated[Word, Query(description="/system, or /project/ and a project's id.")] = "",
        relative: Annotated[bool, Query(description="Name resources as seen from the scope.")] = False,
    ) -> list[PermissionBody]:
        """List what the caller may do somewhere."""
        return permission_bodies(await self._permits.held(caller, scope, relative=relative))
