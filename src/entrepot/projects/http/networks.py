"""Our own routes for the address rules of a project. An administrator of the system reaches them from anywhere."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from entrepot.auth.model import Caller
from entrepot.projects.networks import MOST_NETWORKS, ProjectNetworks
from entrepot.web.rest import Asking, Body, InProject, Route, get, put
from entrepot.web.rule import project

_Text = Annotated[str, Field(max_length=64)]
_Networks = Annotated[list[_Text], Field(max_length=MOST_NETWORKS)]


class AddressesBody(Body):
    """From where a project may be used: networks such as 10.0.0.0/8, or single addresses."""

    allow: _Networks = Field(default_factory=list, description="None: every address that is not denied.")
    deny: _Networks = Field(default_factory=list, description="They win over what is allowed.")


class NetworkRoutes:
    """Reading and changing address rules."""

    def __init__(self, networks: ProjectNetworks) -> None:
        self._networks = networks

    def routes(self) -> list[Route]:
        """Harbor has no such rules."""
        return []

    def own_routes(self) -> list[Route]:
        """Below ``/api/entrepot/v1``."""
        path = "/projects/{project_name_or_id}/addresses"
        return [
            get(path, self.read, project("metadata", "read", opens_door=True), tag="project"),
            put(path, self.change, project("metadata", "update", opens_door=True), tag="project"),
        ]

    async def read(self, where: InProject) -> AddressesBody:
        """Say from which networks a project may be used."""
        rules = await self._networks.read(where.text, by_name=where.by_name)
        return AddressesBody(allow=[str(n) for n in rules.allow], deny=[str(n) for n in rules.deny])

    async def change(self, caller: Annotated[Caller, Asking], where: InProject, body: AddressesBody) -> None:
        """Say anew from which networks a project may be used.

        Both lists are replaced. Nobody but an administrator of the system can shut out the address that asks.
        """
        await self._networks.change(caller, where.text, by_name=where.by_name, allow=body.allow, deny=body.deny)
