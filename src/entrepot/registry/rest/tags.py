"""Routes for tags and labels of an artifact."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from entrepot.auth.model import Caller
from entrepot.errors import NotFound
from entrepot.registry.listing.artifacts import Artifacts
from entrepot.registry.listing.labels import ArtifactLabels
from entrepot.registry.rest.artifacts import ONE
from entrepot.registry.rest.models import LabelReference, NewTag, TagBody, tag_body
from entrepot.registry.rest.repositories import name_of
from entrepot.registry.tags import Tags
from entrepot.web.rest import Asking, Identifier, Listed, PathText, RepositoryPath, Route, delete, get, post
from entrepot.web.rule import repository


class TagRoutes:
    """Tags and labels: list, put on, take off."""

    def __init__(self, artifacts: Artifacts, tags: Tags, labels: ArtifactLabels) -> None:
        self._artifacts = artifacts
        self._tags = tags
        self._labels = labels

    def routes(self) -> list[Route]:
        """What it answers."""
        return [
            delete(f"{ONE}/tags/{{tag_name}}", self.delete_tag, repository("tag", "delete"), tag="artifact"),
            get(f"{ONE}/tags", self.list_tags, repository("tag", "list"), tag="artifact"),
            post(f"{ONE}/tags", self.create_tag, repository("tag", "create"), tag="artifact"),
            delete(
                f"{ONE}/labels/{{label_id}}", self.remove_label, repository("artifact-label", "delete"), tag="artifact"
            ),
            post(f"{ONE}/labels", self.add_label, repository("artifact-label", "create"), tag="artifact", status=200),
        ]

    async def list_tags(
        self,
        project_name: PathText,
        repository_name: RepositoryPath,
        reference: PathText,
        lister: Listed,
        with_immutable_status: Annotated[bool, Query(description="Without effect yet.")] = False,  # noqa: ARG002
    ) -> list[TagBody]:
        """List the tags of an artifact."""
        found = await self._artifacts.find(name_of(project_name, repository_name), reference)
        items, total = await self._artifacts.list_tags(found, lister.listing)
        return lister.of([tag_body(item) for item in items], total)

    async def create_tag(
        self,
        caller: Annotated[Caller, Asking],
        project_name: PathText,
        repository_name: RepositoryPath,
        reference: PathText,
        tag: NewTag,
    ) -> None:
        """Give an artifact a new tag."""
        name = name_of(project_name, repository_name)
        found = await self._artifacts.find(name, reference)
        await self._tags.create(caller, name, found.row.digest, tag.name)

    async def delete_tag(
        self,
        caller: Annotated[Caller, Asking],
        project_name: PathText,
        repository_name: RepositoryPath,
        reference: PathText,
        tag_name: PathText,
    ) -> None:
        """Delete a tag of an artifact; the artifact stays."""
        name = name_of(project_name, repository_name)
        found = await self._artifacts.find(name, reference)
        tagged = await self._artifacts.find(name, tag_name)
        if ":" in tag_name or tagged.row.id != found.row.id:
            raise NotFound(f"{reference} has no tag {tag_name}.")
        await self._tags.delete(caller, name, tag_name)

    async def add_label(
        self,
        caller: Annotated[Caller, Asking],
        project_name: PathText,
        repository_name: RepositoryPath,
        reference: PathText,
        label: LabelReference,
    ) -> None:
        """Put a label on an artifact."""
        await self._labels.add(caller, name_of(project_name, repository_name), reference, label.id)

    async def remove_label(
        self,
        caller: Annotated[Caller, Asking],
        project_name: PathText,
        repository_name: RepositoryPath,
        reference: PathText,
        label_id: Identifier,
    ) -> None:
        """Take a label off an artifact."""
        await self._labels.remove(caller, name_of(project_name, repository_name), reference, label_id)
