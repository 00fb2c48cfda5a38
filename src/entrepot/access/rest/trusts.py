"""Routes for the tokens of CI jobs and pods that robot accounts trust."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Response
from pydantic import Field

from entrepot.access.rest.fields import Word
from entrepot.access.trusts import RobotTrusts
from entrepot.auth.model import Caller
from entrepot.web.rest import Asking, Body, Identifier, Route, delete, get, located, moment, post
from entrepot.web.rule import verb

_LONGEST_SENT = 10_000
"""Characters of a rule that is read at all; a rule has less."""


class TrustCreateBody(Body):
    """Tokens that a robot account shall trust."""

    name: Word = Field(description="What the trust is called.")
    issuer: Word = Field(description="What the operator calls the issuer of the tokens in [[identity.workload]].")
    rule: Annotated[str, Field(max_length=_LONGEST_SENT)] = Field(
        description='On the claims of the token, such as repository == "acme/app" and ref == "refs/heads/main".'
    )


class TrustCreatedBody(Body):
    """The new trust."""

    id: int


class TrustBody(Body):
    """Tokens that a robot account trusts."""

    id: int
    name: str
    issuer: str
    rule: str
    creation_time: datetime
    last_used_time: datetime | None = Field(description="When somebody logged in by it; nothing: nobody did.")


class TrustRoutes:
    """Our own operations on what robot accounts trust."""

    def __init__(self, trusts: RobotTrusts) -> None:
        self._trusts = trusts

    def own_routes(self) -> list[Route]:
        """Our own."""
        trusts = "/robots/{robot_id}/trusts"
        return [
            get(trusts, self.list_trusts, verb("robot", "read"), tag="robot"),
            post(trusts, self.add_trust, verb("robot", "update"), tag="robot"),
            delete(trusts + "/{trust_id}", self.remove_trust, verb("robot", "update"), tag="robot"),
        ]

    async def list_trusts(self, robot_id: Identifier, caller: Annotated[Caller, Asking]) -> list[TrustBody]:
        """List the tokens of CI jobs and pods that a robot account trusts."""
        return [
            TrustBody(
                id=trust.id,
                name=trust.name,
                issuer=trust.issuer,
                rule=trust.rule,
                creation_time=moment(trust.created_at),
                last_used_time=None if trust.last_used_at is None else moment(trust.last_used_at),
            )
            for trust in await self._trusts.list_all(caller, robot_id)
        ]

    async def add_trust(
        self, robot_id: Identifier, caller: Annotated[Caller, Asking], body: TrustCreateBody, response: Response
    ) -> TrustCreatedBody:
        """Let a robot account trust tokens of CI jobs or pods, which then log in as it without a secret."""
        added = await self._trusts.add(caller, robot_id, name=body.name, issuer=body.issuer, rule=body.rule)
        located(response, f"/api/entrepot/v1/robots/{robot_id}/trusts/{added}")
        return TrustCreatedBody(id=added)

    async def remove_trust(self, robot_id: Identifier, trust_id: Identifier, caller: Annotated[Caller, Asking]) -> None:
        """Let a robot account trust them no longer; what was issued for them ends."""
        await self._trusts.remove(caller, robot_id, trust_id)
