"""Labels on artifacts: put on, take off."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, or_, select

from entrepot.access.permissions import Permission
from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction, query, upsert
from entrepot.errors import Conflict, NotFound
from entrepot.journal import store as journal
from entrepot.oci.name import RepositoryName
from entrepot.projects.tables import labels
from entrepot.registry import store
from entrepot.registry.errors import ManifestUnknown
from entrepot.registry.manifests import check_reference
from entrepot.registry.model import ArtifactLabelled, ArtifactUnlabelled
from entrepot.registry.repositories import Repositories
from entrepot.registry.tables import artifact_labels

CREATE: Permission = ("artifact-label", "create")
DELETE: Permission = ("artifact-label", "delete")

_FIND = query(
    select(labels.c.name).where(
        labels.c.id == bindparam("label_id"),
        or_(labels.c.project_id.is_(None), labels.c.project_id == bindparam("project_id")),
    )
)
_ADD = upsert(
    lambda insert: (
        insert(artifact_labels)
        .values(manifest_id=bindparam("manifest_id"), label_id=bindparam("label_id"))
        .on_conflict_do_nothing(index_elements=[artifact_labels.c.manifest_id, artifact_labels.c.label_id])
    )
)
_REMOVE = query(
    delete(artifact_labels).where(
        artifact_labels.c.manifest_id == bindparam("manifest"), artifact_labels.c.label_id == bindparam("label")
    )
)


class ArtifactLabels:
    """The verbs on labels of artifacts."""

    def __init__(self, database: Database, places: Repositories) -> None:
        self._database = database
        self._repositories = places

    async def add(self, caller: Caller, name: RepositoryName, reference: str, label_id: int) -> None:
        """Put a label on the artifact that a tag or digest names.

        Raises:
            NotFound: no such artifact, or no such label, neither a global one nor one of the project.
            Conflict: the artifact has it already.
        """
        place = await self._repositories.enter_existing(caller, CREATE, name)
        check_reference(reference)

        async def work(tx: Transaction) -> None:
            label = await _label(tx, label_id, place.project_id)
            manifest = await store.find_manifest(tx, place.repository_id, reference)
            if manifest is None:
                raise ManifestUnknown(name.full, reference)
            if not await tx.run(_ADD, manifest_id=manifest.id, label_id=label_id):
                raise Conflict(f"The artifact has the label {label} already.", code="CONFLICT")
            event = ArtifactLabelled(
                repository=name.full, digest=manifest.digest, label=label, project_id=place.project_id
            )
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)

    async def remove(self, caller: Caller, name: RepositoryName, reference: str, label_id: int) -> None:
        """Take a label off the artifact that a tag or digest names.

        Raises:
            NotFound: no such artifact, or it does not have the label.
        """
        place = await self._repositories.enter_existing(caller, DELETE, name)
        check_reference(reference)

        async def work(tx: Transaction) -> None:
            label = await _label(tx, label_id, place.project_id)
            manifest = await store.find_manifest(tx, place.repository_id, reference)
            if manifest is None:
                raise ManifestUnknown(name.full, reference)
            if not await tx.run(_REMOVE, manifest=manifest.id, label=label_id):
                raise NotFound(f"The artifact does not have the label {label}.")
            event = ArtifactUnlabelled(
                repository=name.full, digest=manifest.digest, label=label, project_id=place.project_id
            )
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)


async def _label(tx: Transaction, label_id: int, project_id: int) -> str:
    row = await tx.one(_FIND, label_id=label_id, project_id=project_id)
    if row is None:
        raise NotFound(f"There is no label {label_id} for this project.")
    return str(row[0])
