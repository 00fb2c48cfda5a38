"""What an artifact's own documents say about it: annotations, children, and facts from its config.

All of it is named by digests, so it is read once and kept. What is large or cannot be read is left out: a list never
fails for what somebody pushed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from entrepot.database import Database
from entrepot.errors import EntrepotError
from entrepot.oci import mediatype
from entrepot.oci.artifact import IMAGE, UNKNOWN
from entrepot.registry.listing import store
from entrepot.registry.listing.model import ArtifactRow, Attributes, Reference
from entrepot.registry.model import StoredBlob
from entrepot.storage.verified import VerifiedStore

CONFIG_LIMIT = 1024 * 1024
"""Bytes of the largest config that is read."""
_PAGE_LIMIT = 8 * 1024 * 1024
"""Bytes of manifests, and bytes of configs, that one page reads."""
_CACHE_BYTES = 16 * 1024 * 1024
_IN_LINE = 64 * 1024
"""Bytes of JSON that are decoded on the event loop."""
_DEEPEST = 16
_IMAGE_FACTS = ("created", "architecture", "os", "config")
_AUTHOR_LABELS = ("org.opencontainers.image.authors", "maintainer")


class Descriptor(msgspec.Struct, rename="camel"):
    """The parts of a descriptor that lists show."""

    digest: str
    size: int = 0
    media_type: str = ""
    annotations: dict[str, str] | None = None
    urls: list[str] | None = None
    platform: Any = None


class Document(msgspec.Struct):
    """The parts of a manifest that lists and additions need."""

    config: Descriptor | None = None
    layers: list[Descriptor] | None = None
    manifests: list[Descriptor] | None = None
    annotations: dict[str, str] | None = None


_document = msgspec.json.Decoder(Document)
NOTHING = Attributes()


class AttributeReader:
    """Reads the attributes of the artifacts of a page."""

    def __init__(self, database: Database, content: VerifiedStore) -> None:
        self._database = database
        self._content = content
        self._cache: OrderedDict[tuple[int, str], tuple[Attributes, int]] = OrderedDict()
        self._weight = 0

    async def read(self, rows: Sequence[ArtifactRow]) -> dict[int, Attributes]:
        """The attributes by the artifacts' ids."""
        found: dict[int, Attributes] = {}
        missing: dict[int, ArtifactRow] = {}
        room = _PAGE_LIMIT
        for row in rows:
            kept = self._cache.get(_key(row))
            if kept is not None:
                self._cache.move_to_end(_key(row))
                found[row.id] = kept[0]
            elif row.payload_size <= room:
                room -= row.payload_size
                missing[row.id] = row
        if missing:
            found |= await self._load(missing)
        return found

    async def config_of(self, blob: StoredBlob) -> bytes | None:
        """The bytes of a config, or ``None`` where it is too large, damaged or gone."""
        if blob.size > CONFIG_LIMIT:
            return None
        try:
            content = await self._content.open(blob.location, blob.digest, blob.size)
            if content is None:
                return None
            try:
                return b"".join([bytes(piece) async for piece in content.stream(0, content.size)])
            finally:
                content.close()
        except EntrepotError:
            return None

    async def _load(self, rows: Mapping[int, ArtifactRow]) -> dict[int, Attributes]:
        documents = {}
        for id_, payload in (await store.payloads(self._database, list(rows))).items():
            document = read_document(payload)
            if document is not None:
                documents[id_] = document
        wanted = {
            id_: document.config.digest
            for id_, document in documents.items()
            if document.config is not None and _has_facts(rows[id_]) and document.config.size <= CONFIG_LIMIT
        }
        configs = await self._configs(await store.named_blobs(self._database, wanted))
        found = {}
        for id_, document in documents.items():
            config = configs.get(id_)
            attributes = Attributes(
                document.annotations or {},
                await _facts(rows[id_], config) if config else {},
                tuple(_reference(child) for child in (document.manifests or ())[: store.MOST_OF_ONE]),
            )
            found[id_] = attributes
            if config is not None or id_ not in wanted:
                self._keep(rows[id_], attributes, rows[id_].payload_size + len(config or b"") + 500)
        return found

    async def _configs(self, blobs: Mapping[int, StoredBlob]) -> dict[int, bytes]:
        room = _PAGE_LIMIT
        configs = {}
        for id_, blob in blobs.items():
            if blob.size <= room:
                room -= blob.size
                content = await self.config_of(blob)
                if content is not None:
                    configs[id_] = content
        return configs

    def _keep(self, row: ArtifactRow, attributes: Attributes, weight: int) -> None:
        if weight > _CACHE_BYTES // 4:
            return
        replaced = self._cache.pop(_key(row), None)
        self._cache[_key(row)] = (attributes, weight)
        self._weight += weight - (replaced[1] if replaced else 0)
        while self._weight > _CACHE_BYTES:
            self._weight -= self._cache.popitem(last=False)[1][1]


def read_document(payload: bytes) -> Document | None:
    """A manifest, or ``None`` where it holds other things in the places that are looked at."""
    try:
        return _document.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_config(content: bytes) -> dict[str, Any] | None:
    """A config's JSON object, or ``None`` if it is something else, or too deep to be shown."""
    try:
        config = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return config if isinstance(config, dict) and _is_flat(config, _DEEPEST) else None


def _key(row: ArtifactRow) -> tuple[int, str]:
    # By repository: another one may hold the manifest without its config, which must not show there.
    return row.repository_id, row.digest


def _has_facts(row: ArtifactRow) -> bool:
    return row.kind != UNKNOWN and row.manifest_media_type not in mediatype.INDEXES


async def _facts(row: ArtifactRow, content: bytes) -> dict[str, Any]:
    if len(content) > _IN_LINE:
        config = await asyncio.to_thread(read_config, content)
    else:
        config = read_config(content)
    if config is None or row.kind != IMAGE:
        return config or {}
    facts = {name: config[name] for name in _IMAGE_FACTS if config.get(name) is not None}
    author = config.get("author")
    inner = config.get("config")
    labels = inner.get("Labels") if isinstance(inner, dict) else None
    if not author and isinstance(labels, dict):
        author = next((labels[name] for name in _AUTHOR_LABELS if labels.get(name)), None)
    return facts | {"author": author if isinstance(author, str) else ""}


def _reference(child: Descriptor) -> Reference:
    return Reference(child.digest, None, _platform(child.platform), child.annotations, tuple(child.urls or ()))


def _platform(platform: Any) -> dict[str, Any] | None:
    if not isinstance(platform, dict):
        return None
    shown: dict[str, Any] = {
        name: platform[name]
        for name in ("architecture", "os", "os.version", "variant")
        if isinstance(platform.get(name), str)
    }
    features = platform.get("os.features")
    if isinstance(features, list):
        shown["os.features"] = [feature for feature in features if isinstance(feature, str)]
    return shown


def _is_flat(value: Any, depth: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    items = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_flat(item, depth - 1) for item in items)
