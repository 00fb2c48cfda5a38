"""Routes for artifacts: lists, one of them, copy, deletion, what hangs on it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Query, Request, Response

from entrepot.auth.model import Caller
from entrepot.database import Database
from entrepot.errors import InvalidInput, NotFound
from entrepot.oci.name import RepositoryName, parse_name
from entrepot.projects import store as projects
from entrepot.registry.listing.artifacts import Artifacts
from entrepot.registry.listing.model import Flags
from entrepot.registry.manifests import Manifests, check_reference
from entrepot.registry.rest.models import AccessoryBody, ArtifactBody, accessory_body, artifact_body
from entrepot.registry.rest.repositories import name_of
from entrepot.web.exchange import Exchange
from entrepot.web.rest import Asking, Listed, PathText, RepositoryPath, Route, delete, get, located, post
from entrepot.web.rule import project, repository

OF_REPOSITORY = "/projects/{project_name}/repositories/{repository_name:path}/artifacts"
ONE = f"{OF_REPOSITORY}/{{reference}}"


class _Shown:
    """What is shown of each artifact."""

    def __init__(
        self,
        with_tag: Annotated[bool, Query(description="Show tags.")] = True,
        with_label: Annotated[bool, Query(description="Show labels.")] = False,
        with_accessory: Annotated[bool, Query(description="Show what hangs on it.")] = False,
        with_immutable_status: Annotated[bool, Query(description="Without effect yet.")] = False,
        with_scan_overview: Annotated[bool, Query(description="Without effect yet.")] = False,
        with_sbom_overview: Annotated[bool, Query(description="Without effect yet.")] = False,
    ) -> None:
        # The last three are contributions of features that are not built yet: known, so that clients may send them.
        del with_immutable_status, with_scan_overview, with_sbom_overview
        self.flags = Flags(tags=with_tag, labels=with_label, accessories=with_accessory)


Shown = Annotated[_Shown, Depends(_Shown)]


class ArtifactRoutes:
    """Everything about artifacts but their tags, labels and additions."""

    def __init__(self, database: Database, artifacts: Artifacts, manifests: Manifests) -> None:
        self._database = database
        self._artifacts = artifacts
        self._manifests = manifests

    def routes(self) -> list[Route]:
        """What it answers."""
        return [
            get(f"{ONE}/accessories", self.list_accessories, repository("accessory", "list"), tag="artifact"),
            get(ONE, self.get, repository("artifact", "read"), tag="artifact"),
            delete(ONE, self.delete, repository("artifact", "delete"), tag="artifact"),
            get(OF_REPOSITORY, self.list_in_repository, repository("artifact", "list"), tag="artifact"),
            post(OF_REPOSITORY, self.copy, repository("artifact", "create"), tag="artifact"),
            get(
                "/projects/{project_name_or_id}/artifacts",
                self.list_in_project,
                project("artifact", "list"),
                tag="project",
            ),
        ]

    async def list_in_repository(
        self, project_name: PathText, repository_name: RepositoryPath, lister: Listed, shown: Shown
    ) -> list[ArtifactBody]:
        """List the artifacts of a repository."""
        name = name_of(project_name, repository_name)
        found, total = await self._artifacts.list_in_repository(name, lister.listing, shown.flags)
        return lister.of([artifact_body(item) for item in found], total)

    async def list_in_project(
        self,
        request: Request,
        caller: Annotated[Caller, Asking],
        project_name_or_id: PathText,
        lister: Listed,
        shown: Shown,
        latest_in_repository: Annotated[
            bool, Query(description="Only the latest of each repository; q must hold media_type or artifact_type.")
        ] = False,
    ) -> list[ArtifactBody]:
        """List the artifacts of a project."""
        exchange: Exchange = request.scope["exchange"]
        by_name = exchange.text(b"x-is-resource-name").lower() == "true"
        place = await projects.find_by_reference(self._database, project_name_or_id, by_name=by_name)
        if place is None:
            raise NotFound(f"There is no project {project_name_or_id}.")
        found, total = await self._artifacts.list_in_project(
            caller, place, lister.listing, shown.flags, latest=latest_in_repository
        )
        return lister.of([artifact_body(item) for item in found], total)

    async def get(
        self, project_name: PathText, repository_name: RepositoryPath, reference: PathText, shown: Shown
    ) -> ArtifactBody:
        """Show the artifact that a tag or digest names."""
        return artifact_body(await self._artifacts.get(name_of(project_name, repository_name), reference, shown.flags))

    async def delete(
        self,
        caller: Annotated[Caller, Asking],
        project_name: PathText,
        repository_name: RepositoryPath,
        reference: PathText,
    ) -> None:
        """Delete the artifact that a tag or digest names, with all its tags."""
        name = name_of(project_name, repository_name)
        found = await self._artifacts.find(name, reference)
        await self._manifests.delete(caller, name, found.row.digest)

    async def copy(
        self,
        response: Response,
        caller: Annotated[Caller, Asking],
        project_name: PathText,
        repository_name: RepositoryPath,
        source: Annotated[
            str, Query(alias="from", max_length=512, description="project/repository:tag or project/repository@digest")
        ],
    ) -> None:
        """Copy an artifact into this repository, with what it lists and what hangs on it."""
        target = name_of(project_name, repository_name)
        origin, reference = _source(source)
        await self._manifests.copy(caller, target, origin, reference)
        path = quote(quote(target.path, safe=""), safe="")
        located(
            response, f"/api/v2.0/projects/{target.project}/repositories/{path}/artifacts/{quote(reference, safe=':')}"
        )

    async def list_accessories(
        self, project_name: PathText, repository_name: RepositoryPath, reference: PathText, lister: Listed
    ) -> list[AccessoryBody]:
        """List what hangs on an artifact: signatures, SBOMs and the like."""
        found = await self._artifacts.find(name_of(project_name, repository_name), reference)
        items, total = await self._artifacts.list_accessories(found, lister.listing)
        return lister.of([accessory_body(item) for item in items], total)


def _source(text: str) -> tuple[RepositoryName, str]:
    """The repository and the reference of ``project/repository:tag`` or ``project/repository@digest``."""
    name, at, reference = text.partition("@")
    if at:
        # As elsewhere a digest wins over a tag that stands before it.
        name = name.partition(":")[0]
    else:
        name, colon, reference = text.partition(":")
        if not colon:
            raise InvalidInput("from must be written as project/repository:tag or project/repository@digest.")
    if "/" not in name or (at and ":" not in reference):
        raise InvalidInput("from must be written as project/repository:tag or project/repository@digest.")
    check_reference(reference)
    return parse_name(name), reference
