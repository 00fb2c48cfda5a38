"""Routes for additions: an image's history, the documents of a chart."""

from __future__ import annotations

from fastapi import Response

from entrepot.registry.listing.additions import Additions
from entrepot.registry.rest.artifacts import ONE
from entrepot.registry.rest.repositories import name_of
from entrepot.web.rest import PathText, RepositoryPath, Route, get
from entrepot.web.rule import repository


class AdditionRoutes:
    """Documents inside an artifact, shown by themselves."""

    def __init__(self, additions: Additions) -> None:
        self._additions = additions

    def routes(self) -> list[Route]:
        """What it answers."""
        return [
            get(
                f"{ONE}/additions/{{addition}}",
                self.get,
                repository("artifact-addition", "read"),
                tag="artifact",
                answer="*/*",
            )
        ]

    async def get(
        self, project_name: PathText, repository_name: RepositoryPath, reference: PathText, addition: PathText
    ) -> Response:
        """Show an addition: build_history of an image; values.yaml, readme.md or dependencies of a chart."""
        found = await self._additions.get(name_of(project_name, repository_name), reference, addition)
        # What somebody pushed is never a page of this origin.
        headers = {"content-security-policy": "default-src 'none'; sandbox", "content-disposition": "inline"}
        return Response(found.content, media_type=found.content_type, headers=headers)
