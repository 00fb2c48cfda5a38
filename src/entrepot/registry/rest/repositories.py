"""Routes for repositories."""

from __future__ import annotations

from typing import Annotated

from entrepot.auth.model import Caller
from entrepot.oci.name import RepositoryName, parse_name
from entrepot.registry.listing.repositories import RepositoryLists
from entrepot.registry.repositories import Repositories
from entrepot.registry.rest.models import RepositoryBody, RepositoryChange, repository_body
from entrepot.web.rest import Asking, Listed, PathText, RepositoryPath, Route, delete, get, put
from entrepot.web.rule import ANYONE, project, repository

ONE = "/projects/{project_name}/repositories/{repository_name:path}"


def name_of(project_name: str, repository_name: str) -> RepositoryName:
    """The repository that a path names.

    Raises:
        InvalidInput: that is no name of a repository.
    """
    return parse_name(f"{project_name}/{repository_name}")


class RepositoryRoutes:
    """Lists, one repository, its description, its end. Its routes must stand behind those of artifacts."""

    def __init__(self, lists: RepositoryLists, repositories: Repositories) -> None:
        self._lists = lists
        self._repositories = repositories

    def routes(self) -> list[Route]:
        """What it answers."""
        return [
            get("/repositories", self.list_everywhere, ANYONE, tag="repository"),
            get(
                "/projects/{project_name}/repositories",
                self.list_in_project,
                project("repository", "list"),
                tag="repository",
            ),
            get(ONE, self.get, repository("repository", "read"), tag="repository"),
            put(ONE, self.update, repository("repository", "update"), tag="repository"),
            delete(ONE, self.delete, repository("repository", "delete"), tag="repository"),
        ]

    async def list_everywhere(self, caller: Annotated[Caller, Asking], lister: Listed) -> list[RepositoryBody]:
        """List the repositories that you may see."""
        found, total = await self._lists.list_everywhere(caller, lister.listing)
        return lister.of([repository_body(item) for item in found], total)

    async def list_in_project(
        self, caller: Annotated[Caller, Asking], project_name: PathText, lister: Listed
    ) -> list[RepositoryBody]:
        """List the repositories of a project."""
        found, total = await self._lists.list_in_project(caller, project_name, lister.listing)
        return lister.of([repository_body(item) for item in found], total)

    async def get(self, project_name: PathText, repository_name: RepositoryPath) -> RepositoryBody:
        """Show a repository."""
        return repository_body(await self._lists.get(name_of(project_name, repository_name)))

    async def update(
        self,
        caller: Annotated[Caller, Asking],
        project_name: PathText,
        repository_name: RepositoryPath,
        change: RepositoryChange,
    ) -> None:
        """Describe a repository."""
        await self._repositories.describe(caller, name_of(project_name, repository_name), change.description)

    async def delete(
        self, caller: Annotated[Caller, Asking], project_name: PathText, repository_name: RepositoryPath
    ) -> None:
        """Delete a repository with all that it holds."""
        await self._repositories.delete(caller, name_of(project_name, repository_name))
