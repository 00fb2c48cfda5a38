"""Routes for labels, global and of projects."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field, WithJsonSchema

from entrepot.auth.http.fields import Word, containing
from entrepot.auth.model import Caller
from entrepot.errors import InvalidInput, NotAuthenticated
from entrepot.projects.labels import Labels
from entrepot.projects.model import Label
from entrepot.web.rest import Asking, Body, Identifier, Listed, Route, delete, get, located, moment, post, put
from entrepot.web.rule import Gate, verb

GLOBAL, OF_PROJECT = "g", "p"
"""Harbor's scopes of labels."""

_LARGEST = 2**53
# Another scope is a 400, as in Harbor; the document says which there are.
_SCOPES = WithJsonSchema(
    {"type": "string", "enum": [GLOBAL, OF_PROJECT], "description": "g: global labels, p: those of a project."}
)


class LabelChange(Body):
    """What a label is to show."""

    name: Word = Field(description="1 to 128 characters, unique in its scope.")
    description: Annotated[str, Field(max_length=1024)] | None = None
    color: Word | None = Field(None, description="#RRGGBB or #RGB, or empty.")


class LabelRequest(LabelChange):
    """A label to make."""

    scope: Annotated[Word, _SCOPES]
    project_id: int | None = Field(None, ge=0, le=_LARGEST, description="Whose label it is, if its scope is p.")


class LabelBody(Body):
    """A label."""

    id: int
    name: str
    description: str
    color: str
    scope: str = Field(description="g: global, p: of a project.")
    project_id: int = Field(description="0 for a global label.")
    creation_time: datetime
    update_time: datetime


class LabelRoutes:
    """Global labels are seen by whoever is logged in; a project's by whoever may see the project."""

    def __init__(self, labels: Labels, gate: Gate) -> None:
        self._labels = labels
        self._gate = gate

    def routes(self) -> list[Route]:
        """Below ``/api/v2.0``."""
        one = "/labels/{label_id}"
        return [
            get("/labels", self.list_all, verb("label", "list"), tag="label"),
            post("/labels", self.create, verb("label", "create"), tag="label"),
            get(one, self.read, verb("label", "read"), tag="label"),
            put(one, self.update, verb("label", "update"), tag="label"),
            delete(one, self.remove, verb("label", "delete"), tag="label"),
        ]

    async def list_all(
        self,
        caller: Annotated[Caller, Asking],
        listed: Listed,
        scope: Annotated[str, Query(max_length=16), _SCOPES],
        name: Annotated[str, Query(max_length=255, description="A part of the name.")] = "",
        project_id: Annotated[
            int | None, Query(ge=0, le=_LARGEST, description="Whose labels, if the scope is p.")
        ] = None,
    ) -> list[LabelBody]:
        """List global labels, or those of a project."""
        place = _place(scope, project_id)
        await self._require(caller, "list", place)
        labels, total = await self._labels.list(place, containing(listed.listing, name=name))
        return listed.of([_body(label) for label in labels], total)

    async def create(
        self, caller: Annotated[Caller, Asking], request: Request, response: Response, body: LabelRequest
    ) -> None:
        """Make a label, global or of a project."""
        place = _place(body.scope, body.project_id)
        await self._require(caller, "create", place)
        label_id = await self._labels.create(
            caller.origin, body.name, body.description or "", body.color or "", project_id=place
        )
        located(response, f"{request.url.path.rstrip('/')}/{label_id}")

    async def read(self, caller: Annotated[Caller, Asking], label_id: Identifier) -> LabelBody:
        """Read a label."""
        label = await self._labels.get(label_id)
        await self._require(caller, "read", label.project_id)
        return _body(label)

    async def update(self, caller: Annotated[Caller, Asking], label_id: Identifier, body: LabelChange) -> None:
        """Replace name, description and colour of a label."""
        await self._require_for_change(caller, "update", label_id)
        await self._labels.update(caller.origin, label_id, body.name, body.description or "", body.color or "")

    async def remove(self, caller: Annotated[Caller, Asking], label_id: Identifier) -> None:
        """Delete a label, also from the artifacts that have it."""
        await self._require_for_change(caller, "delete", label_id)
        await self._labels.delete(caller.origin, label_id)

    async def _require_for_change(self, caller: Caller, action: str, label_id: int) -> None:
        _require_login(caller)  # before it is told whether there is such a label
        await self._require(caller, action, (await self._labels.get(label_id)).project_id)

    async def _require(self, caller: Caller, action: str, project_id: int | None) -> None:
        if project_id is not None:
            await self._gate.require_in_project(caller, ("label", action), project_id)
        elif action in {"list", "read"}:
            _require_login(caller)
        else:
            await self._gate.require_system(caller, ("label", action))


def _require_login(caller: Caller) -> None:
    if caller.principal.is_anonymous:
        raise NotAuthenticated("Log in first.")


def _place(scope: str, project_id: int | None) -> int | None:
    """Whose labels are meant: a project's id, or ``None`` for the global ones."""
    if scope == GLOBAL:
        return None
    if scope != OF_PROJECT:
        raise InvalidInput("scope is g for global labels or p for those of a project.", code="BAD_REQUEST")
    if not project_id:
        raise InvalidInput("Name the project of the labels: project_id goes with scope p.", code="BAD_REQUEST")
    return project_id


def _body(label: Label) -> LabelBody:
    return LabelBody(
        id=label.id,
        name=label.name,
        description=label.description,
        color=label.color,
        scope=GLOBAL if label.project_id is None else OF_PROJECT,
        project_id=label.project_id or 0,
        creation_time=moment(label.created_at),
        update_time=moment(label.updated_at),
    )
