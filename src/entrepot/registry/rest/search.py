"""Routes for search, statistics and icons."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator

from entrepot.auth.model import Caller
from entrepot.registry.listing import icons
from entrepot.registry.listing.search import Search
from entrepot.registry.rest.models import (
    IconBody,
    SearchBody,
    StatisticBody,
    found_project,
    found_repository,
    statistic_body,
    storable,
)
from entrepot.web.rest import Asking, PathText, Route, get
from entrepot.web.rule import ANYONE, LOGIN


class SearchRoutes:
    """What is found over all projects."""

    def __init__(self, search: Search) -> None:
        self._search = search

    def routes(self) -> list[Route]:
        """What it answers."""
        return [
            get("/search", self.search, ANYONE, tag="search"),
            get("/statistics", self.statistics, LOGIN, tag="statistic"),
            get("/icons/{digest}", self.icon, ANYONE, tag="icon"),
        ]

    async def search(
        self,
        caller: Annotated[Caller, Asking],
        q: Annotated[str, Query(max_length=255, description="A part of the name."), AfterValidator(storable)],
    ) -> SearchBody:
        """Search projects and repositories by a part of their names."""
        projects, repositories = await self._search.find(caller, q)
        return SearchBody(
            project=[found_project(item) for item in projects],
            repository=[found_repository(item) for item in repositories],
        )

    async def statistics(self, caller: Annotated[Caller, Asking]) -> StatisticBody:
        """Count the projects and repositories that you may see."""
        return statistic_body(await self._search.count(caller))

    async def icon(self, digest: PathText) -> IconBody:
        """Show the icon of a kind of artifact."""
        found = icons.get_icon(digest)
        return IconBody(content_type=icons.MEDIA_TYPE, content=base64.b64encode(found.content).decode())
