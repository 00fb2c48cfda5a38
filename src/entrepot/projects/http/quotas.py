"""Routes for quotas: Harbor's, and our own for what a project's members see of theirs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import Field, WithJsonSchema

from entrepot.auth.http.fields import Word
from entrepot.auth.model import Caller
from entrepot.errors import InvalidInput
from entrepot.projects.quota_list import Quota, QuotaSettings
from entrepot.projects.service import LARGEST_QUOTA
from entrepot.web.rest import Asking, Body, Identifier, InProject, Listed, Route, get, moment, put
from entrepot.web.rule import project, system

_STORAGE = "storage"
_Bytes = Annotated[int, Field(ge=-(2**63), lt=2**63)]
# What is no limit is a 400, as in Harbor; the document says what is one.
_LIMITS = WithJsonSchema(
    {
        "type": "object",
        "properties": {_STORAGE: {"type": "integer", "minimum": -1, "maximum": LARGEST_QUOTA, "not": {"const": 0}}},
        "required": [_STORAGE],
        "additionalProperties": False,
        "description": "Bytes that the project may hold; -1 for no limit.",
    }
)


class QuotaUpdateReq(Body):
    """What a project is allowed from now on."""

    hard: Annotated[dict[Word, _Bytes], _LIMITS]


class QuotaRef(Body):
    """Whose quota it is."""

    id: int
    name: str
    owner_name: str


class Amounts(Body):
    """Bytes of each kind that is counted."""

    storage: int


class QuotaBody(Body):
    """What a project may hold, and what counts against it."""

    id: int
    ref: QuotaRef
    hard: Amounts
    used: Amounts
    creation_time: datetime
    update_time: datetime


class UsageBody(Body):
    """The bytes of a project."""

    limit: int = Field(description="-1: no limit.")
    used: int = Field(description="Distinct content that manifests name.")
    reserved: int = Field(description="Pushed or being pushed, and not named by a manifest yet.")
    total: int = Field(description="What counts against the limit: used and reserved.")
    logical: int = Field(description="The sizes of the artifacts, each counted in full.")
    reclaimable: int = Field(description="Held by the repositories though no manifest names it.")


class QuotaRoutes:
    """Administrators of the system set quotas; members of a project see theirs."""

    def __init__(self, quotas: QuotaSettings) -> None:
        self._quotas = quotas

    def routes(self) -> list[Route]:
        """Below ``/api/v2.0``."""
        return [
            get("/quotas", self.list_all, system("quota", "list"), tag="quota"),
            get("/quotas/{id}", self.read, system("quota", "read"), tag="quota"),
            put("/quotas/{id}", self.update, system("quota", "update"), tag="quota"),
        ]

    def own_routes(self) -> list[Route]:
        """Below ``/api/entrepot/v1``."""
        return [get("/projects/{project_name_or_id}/usage", self.usage, project("quota", "read"), tag="quota")]

    async def list_all(
        self,
        listed: Listed,
        reference: Annotated[str, Query(max_length=64, description="Only project has quotas.")] = "",
        reference_id: Annotated[str, Query(max_length=64, description="The id of a project.")] = "",
    ) -> list[QuotaBody]:
        """List quotas: one of each project."""
        if reference not in {"", "project"}:
            return listed.of([], 0)
        quotas, total = await self._quotas.list(listed.listing, reference_id or None)
        return listed.of([_body(quota) for quota in quotas], total)

    async def read(self, id: Identifier) -> QuotaBody:  # noqa: A002 - the path's word in Harbor's document
        """Read the quota of a project."""
        return _body(await self._quotas.get(id))

    async def update(
        self,
        id: Identifier,  # noqa: A002 - the path's word in Harbor's document
        caller: Annotated[Caller, Asking],
        body: QuotaUpdateReq,
    ) -> None:
        """Set how many bytes a project may hold."""
        if body.hard.keys() != {_STORAGE}:
            raise InvalidInput(f"A quota limits {_STORAGE}, in bytes, and nothing else.", code="BAD_REQUEST")
        await self._quotas.update(caller.origin, id, body.hard[_STORAGE])

    async def usage(self, named: InProject) -> UsageBody:
        """Show what a project holds and may hold."""
        found = await self._quotas.usage(named.text, by_name=named.by_name)
        return UsageBody(
            limit=found.usage.limit,
            used=found.usage.used,
            reserved=found.usage.reserved,
            total=found.usage.total,
            logical=found.logical,
            reclaimable=found.reclaimable,
        )


def _body(quota: Quota) -> QuotaBody:
    return QuotaBody(
        id=quota.id,
        ref=QuotaRef(id=quota.id, name=quota.project, owner_name=quota.owner_name),
        hard=Amounts(storage=quota.limit),
        used=Amounts(storage=quota.used),
        creation_time=moment(quota.created_at),
        update_time=moment(quota.updated_at),
    )
