"""Routes for groups: Harbor's ``/usergroups``, and our own for the users in one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from entrepot.auth.groups import MADE_HERE, Groups
from entrepot.auth.http.fields import Word, containing
from entrepot.auth.http.users import UserSearchRespItem
from entrepot.auth.model import Caller, Group
from entrepot.web.rest import Asking, Body, Identifier, Listed, Route, delete, get, located, post, put
from entrepot.web.rule import LOGIN, system


class UserGroupReq(Body):
    """A group to create, or its new name."""

    group_name: Word = Field(min_length=1)
    group_type: int | None = Field(None, ge=0, le=255, description="1: LDAP, 2: made here, 3: OIDC.")
    ldap_group_dn: Word | None = None


class UserGroup(Body):
    """A group."""

    id: int
    group_name: str
    group_type: int
    ldap_group_dn: str


class UserGroupSearchItem(Body):
    """A group that was found by a part of its name."""

    id: int
    group_name: str
    group_type: int


class GroupUserReq(Body):
    """A user to put into a group."""

    user_id: int = Field(ge=1, le=2**53)


class GroupRoutes:
    """Reading and changing groups."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def routes(self) -> list[Route]:
        """Below ``/api/v2.0``."""
        return [
            get("/usergroups", self.list_all, system("user-group", "list"), tag="usergroup"),
            post("/usergroups", self.create, system("user-group", "create"), tag="usergroup"),
            get("/usergroups/search", self.search, LOGIN, tag="usergroup"),
            get("/usergroups/{group_id}", self.read, system("user-group", "read"), tag="usergroup"),
            put("/usergroups/{group_id}", self.rename, system("user-group", "update"), tag="usergroup"),
            delete("/usergroups/{group_id}", self.remove, system("user-group", "delete"), tag="usergroup"),
        ]

    def own_routes(self) -> list[Route]:
        """Below ``/api/entrepot/v1``."""
        one = "/usergroups/{group_id}/users"
        return [
            get(one, self.list_users, system("user-group", "read"), tag="usergroup"),
            post(one, self.add_user, system("user-group", "update"), tag="usergroup"),
            delete(one + "/{user_id}", self.remove_user, system("user-group", "update"), tag="usergroup"),
        ]

    async def list_all(
        self,
        listed: Listed,
        group_name: Annotated[str, Query(max_length=255, description="A part of the name.")] = "",
        ldap_group_dn: Annotated[str, Query(max_length=255, description="A part of the DN.")] = "",
    ) -> list[UserGroup]:
        """List groups."""
        listing = containing(listed.listing, group_name=group_name, ldap_group_dn=ldap_group_dn)
        groups, total = await self._groups.list(listing)
        return listed.of([_response(group) for group in groups], total)

    async def create(
        self, caller: Annotated[Caller, Asking], request: Request, response: Response, body: UserGroupReq
    ) -> None:
        """Create a group."""
        kind = body.group_type or MADE_HERE
        group_id = await self._groups.create(caller.origin, body.group_name, kind, body.ldap_group_dn or "")
        located(response, f"{request.url.path.rstrip('/')}/{group_id}")

    async def search(
        self,
        listed: Listed,
        groupname: Annotated[str, Query(min_length=1, max_length=255, description="A part of the name.")],
    ) -> list[UserGroupSearchItem]:
        """Find groups by a part of their name, the closest first."""
        groups, total = await self._groups.search(containing(listed.listing, group_name=groupname))
        items = [UserGroupSearchItem(id=g.id, group_name=g.name, group_type=g.kind) for g in groups]
        return listed.of(items, total)

    async def read(self, group_id: Identifier) -> UserGroup:
        """Read a group."""
        return _response(await self._groups.get(group_id))

    async def rename(self, caller: Annotated[Caller, Asking], group_id: Identifier, body: UserGroupReq) -> None:
        """Give a group another name."""
        await self._groups.rename(caller.origin, group_id, body.group_name)

    async def remove(self, caller: Annotated[Caller, Asking], group_id: Identifier) -> None:
        """Delete a group; its users lose the rights that it gave."""
        await self._groups.delete(caller.origin, group_id)

    async def list_users(self, listed: Listed, group_id: Identifier) -> list[UserSearchRespItem]:
        """List the users in a group."""
        found, total = await self._groups.list_users(group_id, listed.listing)
        return listed.of([UserSearchRespItem(user_id=id_, username=name) for id_, name in found], total)

    async def add_user(self, caller: Annotated[Caller, Asking], group_id: Identifier, body: GroupUserReq) -> None:
        """Put a user into a group that was made here."""
        await self._groups.add_user(caller.origin, group_id, body.user_id)

    async def remove_user(self, caller: Annotated[Caller, Asking], group_id: Identifier, user_id: Identifier) -> None:
        """Take a user out of a group."""
        await self._groups.remove_user(caller.origin, group_id, user_id)


def _response(group: Group) -> UserGroup:
    return UserGroup(id=group.id, group_name=group.name, group_type=group.kind, ldap_group_dn=group.ldap_dn)
