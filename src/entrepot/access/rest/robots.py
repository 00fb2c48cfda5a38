"""Routes for robot accounts, and for their secrets and networks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Response
from pydantic import Field

from entrepot.access.rest.fields import Number, Patterns, Prose, Word
from entrepot.access.robot import RobotRequest, RobotView
from entrepot.access.robot_secrets import LONGEST_OVERLAP, RobotSecrets
from entrepot.access.robots import RobotAccounts
from entrepot.auth.model import Caller, RobotSecret
from entrepot.web.rest import Asking, Body, Identifier, Listed, Route, delete, get, located, moment, patch, post, put
from entrepot.web.rule import verb


class AccessBody(Body):
    """Something that may be done to a kind of thing."""

    resource: Word
    action: Word
    effect: Word | None = Field(None, description="allow, or nothing.")


class RobotPermissionBody(Body):
    """What a robot account may do in one place."""

    kind: Word = Field(description="system or project.")
    namespace: Word = Field("", description="/ for system; a project's name, or * for every project.")
    access: Annotated[list[AccessBody], Field(max_length=200)]
    repositories: Patterns | None = Field(None, description="Patterns of paths in the project; none: every repository.")
    tags: Patterns | None = Field(None, description="Patterns for push, tag and delete; none: every tag.")


class RobotCreateBody(Body):
    """A robot account to be made; a ``secret`` that is sent is not used, as in Harbor."""

    name: Word
    description: Prose | None = None
    level: Word = Field(description="system or project.")
    disable: bool | None = None
    duration: Number | None = Field(
        None, description="Days; -1: no end; 0 or nothing: what the registry's setting says."
    )
    permissions: Annotated[list[RobotPermissionBody], Field(max_length=1000)]

    @property
    def request(self) -> RobotRequest:
        """As the verbs take it."""
        return RobotRequest(
            name=self.name,
            level=self.level,
            entries=[entry.model_dump() for entry in self.permissions],
            description=self.description or "",
            duration=self.duration,
            is_disabled=bool(self.disable),
        )


class RobotCreatedBody(Body):
    """A new robot account with its secret, told this once."""

    id: int
    name: str
    secret: str
    creation_time: datetime
    expires_at: int


class RobotBody(Body):
    """A robot account."""

    id: int
    name: str
    description: str
    level: str
    duration: int
    editable: bool
    disable: bool
    expires_at: int = Field(description="Seconds since the epoch; -1: never.")
    permissions: list[RobotPermissionBody]
    creator_type: str
    creator_ref: int
    creation_time: datetime
    update_time: datetime


class RobotDetailBody(RobotBody):
    """A robot account, with what Harbor does not have."""

    networks: list[str] = Field(description="Where it may come from, in CIDR notation; none: from everywhere.")
    last_used_time: datetime | None = None
    last_used_address: str | None = None


class RobotSecBody(Body):
    """A secret; empty: one is made up."""

    secret: Annotated[str, Field(max_length=1024)] | None = None


class RotationBody(Body):
    """What becomes of the older secrets."""

    keep: bool = Field(False, description="They stay valid until they are removed.")
    expires_old_in_hours: Annotated[int, Field(ge=0, le=LONGEST_OVERLAP)] = Field(
        24, description="How long they stay valid otherwise."
    )


class NewSecretBody(Body):
    """A secret, told this once."""

    id: int
    secret: str


class SecretBody(Body):
    """That there is a secret."""

    id: int
    creation_time: datetime
    expires_at: int = Field(description="Seconds since the epoch; -1: never.")


class NetworksBody(Body):
    """Where a robot account may come from."""

    networks: Annotated[list[Word], Field(max_length=100)]


class RobotRoutes:
    """Harbor's operations on robot accounts, and our own on secrets and networks."""

    def __init__(self, accounts: RobotAccounts, secrets: RobotSecrets) -> None:
        self._accounts = accounts
        self._secrets = secrets

    def routes(self) -> list[Route]:
        """Harbor's."""
        return [
            get("/robots", self.list_robots, verb("robot", "list"), tag="robot"),
            post("/robots", self.create, verb("robot", "create"), tag="robot"),
            get("/robots/{robot_id}", self.get, verb("robot", "read"), tag="robot"),
            put("/robots/{robot_id}", self.update, verb("robot", "update"), tag="robot"),
            patch("/robots/{robot_id}", self.refresh, verb("robot", "update"), tag="robot"),
            delete("/robots/{robot_id}", self.delete, verb("robot", "delete"), tag="robot"),
        ]

    def own_routes(self) -> list[Route]:
        """Our own."""
        secrets = "/robots/{robot_id}/secrets"
        return [
            get("/robots/{robot_id}", self.get_detail, verb("robot", "read"), tag="robot"),
            put("/robots/{robot_id}/networks", self.set_networks, verb("robot", "update"), tag="robot"),
            get(secrets, self.list_secrets, verb("robot", "read"), tag="robot"),
            post(secrets, self.add_secret, verb("robot", "update"), tag="robot"),
            delete(secrets + "/{secret_id}", self.remove_secret, verb("robot", "update"), tag="robot"),
        ]

    # Harbor's

    async def list_robots(self, caller: Annotated[Caller, Asking], listed: Listed) -> list[RobotBody]:
        """List the system's robot accounts, or a project's with q=Level=project,ProjectID=1."""
        found, total = await self._accounts.page(caller, listed.listing)
        return listed.of([RobotBody(**_fields(view)) for view in found], total)

    async def create(
        self, caller: Annotated[Caller, Asking], body: RobotCreateBody, response: Response
    ) -> RobotCreatedBody:
        """Make a robot account; its secret is told this once."""
        view, secret = await self._accounts.create(caller, body.request)
        located(response, f"/api/v2.0/robots/{view.robot.id}")
        return RobotCreatedBody(
            id=view.robot.id,
            name=view.full_name,
            secret=secret,
            creation_time=moment(view.robot.created_at),
            expires_at=_seconds(view.robot.expires_at),
        )

    async def get(self, robot_id: Identifier, caller: Annotated[Caller, Asking]) -> RobotBody:
        """Show a robot account."""
        return RobotBody(**_fields(await self._accounts.get(caller, robot_id)))

    async def update(self, robot_id: Identifier, caller: Annotated[Caller, Asking], body: RobotCreateBody) -> None:
        """Replace description, state, duration and permissions of a robot account."""
        await self._accounts.update(caller, robot_id, body.request)

    async def refresh(
        self, robot_id: Identifier, caller: Annotated[Caller, Asking], body: RobotSecBody
    ) -> RobotSecBody:
        """Replace a robot account's secrets by one; a made-up one is told this once."""
        return RobotSecBody(secret=await self._secrets.refresh(caller, robot_id, body.secret or "") or None)

    async def delete(self, robot_id: Identifier, caller: Annotated[Caller, Asking]) -> None:
        """Delete a robot account."""
        await self._accounts.delete(caller, robot_id)

    # our own

    async def get_detail(self, robot_id: Identifier, caller: Annotated[Caller, Asking]) -> RobotDetailBody:
        """Show a robot account with its networks and its last use."""
        view = await self._accounts.get(caller, robot_id)
        robot = view.robot
        return RobotDetailBody(
            **_fields(view),
            networks=list(robot.networks),
            last_used_time=None if robot.last_used_at is None else moment(robot.last_used_at),
            last_used_address=robot.last_used_address,
        )

    async def set_networks(self, robot_id: Identifier, caller: Annotated[Caller, Asking], body: NetworksBody) -> None:
        """Say from which networks a robot account may come."""
        await self._accounts.set_networks(caller, robot_id, body.networks)

    async def list_secrets(self, robot_id: Identifier, caller: Annotated[Caller, Asking]) -> list[SecretBody]:
        """List a robot account's valid secrets, without what they are."""
        return [_secret(secret) for secret in await self._secrets.list_valid(caller, robot_id)]

    async def add_secret(
        self, robot_id: Identifier, caller: Annotated[Caller, Asking], body: RotationBody, response: Response
    ) -> NewSecretBody:
        """Make one secret more, for a rotation in which the older ones stay valid for a while."""
        overlap = None if body.keep else body.expires_old_in_hours
        added = await self._secrets.add(caller, robot_id, overlap_hours=overlap)
        located(response, f"/api/entrepot/v1/robots/{robot_id}/secrets/{added.id}")
        return NewSecretBody(id=added.id, secret=added.secret)

    async def remove_secret(
        self, robot_id: Identifier, secret_id: Identifier, caller: Annotated[Caller, Asking]
    ) -> None:
        """Remove one secret of a robot account."""
        await self._secrets.remove(caller, robot_id, secret_id)


def _fields(view: RobotView) -> dict[str, Any]:
    robot = view.robot
    return {
        "id": robot.id,
        "name": view.full_name,
        "description": robot.description,
        "level": view.level,
        "duration": robot.duration,
        "editable": True,
        "disable": robot.is_disabled,
        "expires_at": _seconds(robot.expires_at),
        "permissions": view.entries,
        "creator_type": robot.creator_kind,
        "creator_ref": robot.creator_id,
        "creation_time": moment(robot.created_at),
        "update_time": moment(robot.updated_at),
    }


def _secret(secret: RobotSecret) -> SecretBody:
    return SecretBody(id=secret.id, creation_time=moment(secret.created_at), expires_at=_seconds(secret.expires_at))


def _seconds(microseconds: int | None) -> int:
    return -1 if microseconds is None else microseconds // 1_000_000
