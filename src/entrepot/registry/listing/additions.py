"""Additions: documents inside an artifact that the API shows by themselves."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import msgspec

from entrepot.database import Database
from entrepot.errors import InvalidInput, NotFound
from entrepot.oci import mediatype
from entrepot.oci.artifact import CHART, IMAGE
from entrepot.oci.name import RepositoryName
from entrepot.registry.listing import chart, store
from entrepot.registry.listing.artifacts import Artifacts
from entrepot.registry.listing.attributes import AttributeReader, Document, read_config, read_document
from entrepot.registry.listing.model import Addition, ArtifactRow
from entrepot.registry.model import StoredBlob
from entrepot.storage.verified import VerifiedStore

BUILD_HISTORY = "build_history"
VALUES = "values.yaml"
README = "readme.md"
DEPENDENCIES = "dependencies"

_OF_KIND = {IMAGE: (BUILD_HISTORY,), CHART: (VALUES, README, DEPENDENCIES)}
_ELSEWHERE = frozenset({"sbom", "license", "files"})
"""Additions of kinds that have none here yet: asked of any artifact they are wrong, not unknown."""

_CHART_LAYERS = frozenset({"application/vnd.cncf.helm.chart.content.v1.tar+gzip", "application/tar+gzip"})
_JSON = "application/json; charset=utf-8"
_AT_ONCE = 2


def of_kind(row: ArtifactRow) -> tuple[str, ...]:
    """The additions that an artifact has."""
    return () if row.manifest_media_type in mediatype.INDEXES else _OF_KIND.get(row.kind, ())


def href(row: ArtifactRow, addition: str) -> str:
    """Where an addition is, below the server; slashes of the repository are encoded twice, as Harbor does."""
    project, _, path = row.repository.partition("/")
    repository = quote(quote(path, safe=""), safe="")
    return f"/api/v2.0/projects/{project}/repositories/{repository}/artifacts/{row.digest}/additions/{addition}"


class Additions:
    """Reads additions."""

    def __init__(
        self, database: Database, content: VerifiedStore, artifacts: Artifacts, attributes: AttributeReader
    ) -> None:
        self._database = database
        self._content = content
        self._artifacts = artifacts
        self._attributes = attributes
        # Each one unpacks up to 64 MiB: a crowd of them must not take every thread and all memory.
        self._unpacking = asyncio.Semaphore(_AT_ONCE)

    async def get(self, name: RepositoryName, reference: str, addition: str) -> Addition:
        """An addition of the artifact that a tag or digest names.

        Raises:
            NotFound: no such artifact, no such addition, or its content is gone.
            InvalidInput: artifacts of this kind do not have it, or it cannot be read.
        """
        addition = addition.lower()
        found = await self._artifacts.find(name, reference)
        if addition not in of_kind(found.row):
            if addition in _ELSEWHERE or any(addition in some for some in _OF_KIND.values()):
                raise InvalidInput(
                    f"Artifacts of the kind {found.row.kind} have no {addition} here.", code="BAD_REQUEST"
                )
            raise NotFound(f"There is no addition {addition[:64]!r}.")
        payload = (await store.payloads(self._database, [found.row.id])).get(found.row.id, b"")
        document = read_document(payload)
        if document is None:
            raise InvalidInput("The artifact's manifest cannot be read.", code="BAD_REQUEST")
        if addition == BUILD_HISTORY:
            return await self._build_history(found.row, document)
        return await self._of_chart(found.row, document, addition)

    async def _build_history(self, row: ArtifactRow, document: Document) -> Addition:
        content = None
        if document.config is not None:
            blob = await self._blob(row, document.config.digest)
            content = await self._attributes.config_of(blob)
        if content is None:
            raise NotFound("The artifact's config is gone, or too large to be shown.")
        config = await asyncio.to_thread(read_config, content)
        if config is None:
            raise InvalidInput("The artifact's config is no JSON object.", code="BAD_REQUEST")
        history = config.get("history")
        return Addition(msgspec.json.encode(history if isinstance(history, list) else []), _JSON)

    async def _of_chart(self, row: ArtifactRow, document: Document, addition: str) -> Addition:
        layer = next((layer for layer in document.layers or () if layer.media_type in _CHART_LAYERS), None)
        if layer is None:
            raise InvalidInput("The artifact has no layer that holds a chart.", code="BAD_REQUEST")
        blob = await self._blob(row, layer.digest)
        wanted = {chart.CHART, chart.REQUIREMENTS} if addition == DEPENDENCIES else {addition}
        async with self._unpacking:
            archive = await self._read(blob)
            files = await asyncio.to_thread(chart.read_files, archive, frozenset(wanted))
            if addition == DEPENDENCIES:
                return Addition(chart.encode(await asyncio.to_thread(chart.dependencies, files)), _JSON)
        media_type = "text/markdown" if addition == README else "text/plain"
        return Addition(files.get(addition, b""), f"{media_type}; charset=utf-8")

    async def _blob(self, row: ArtifactRow, digest: str) -> StoredBlob:
        blob = (await store.named_blobs(self._database, {row.id: digest})).get(row.id)
        if blob is None:
            raise NotFound("The repository does not hold what this artifact names.")
        return blob

    async def _read(self, blob: StoredBlob) -> bytes:
        if blob.size > chart.ARCHIVE_LIMIT:
            raise InvalidInput(
                f"The chart cannot be shown: its archive is larger than {chart.ARCHIVE_LIMIT} bytes.",
                code="BAD_REQUEST",
            )
        content = await self._content.open(blob.location, blob.digest, blob.size)
        if content is None:
            raise NotFound("The chart's content is gone.")
        try:
            return b"".join([bytes(piece) async for piece in content.stream(0, content.size)])
        finally:
            content.close()
