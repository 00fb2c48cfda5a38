"""Manifests: get, push, delete."""

from __future__ import annotations

import msgspec

from entrepot.access.model import DELETE, PULL, PUSH
from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction
from entrepot.database.cache import VersionedCache
from entrepot.errors import Conflict, InvalidInput, TooMany
from entrepot.journal import store as journal
from entrepot.journal.model import Event
from entrepot.oci import digest as digests
from entrepot.oci import manifest as documents
from entrepot.oci.manifest import Manifest
from entrepot.oci.name import RepositoryName, parse_tag
from entrepot.registry import repositories, store
from entrepot.registry.errors import ContentMissing, ManifestUnknown
from entrepot.registry.model import ManifestDeleted, ManifestPushed, PushedManifest, StoredManifest, TagMoved
from entrepot.registry.repositories import Repositories, origin_of

MOST_TAGS = 100
"""Tags that one push by digest may set."""

_CACHE_BYTES = 32 * 1024 * 1024


class ManifestOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chose."""

    sparse: bool = False
    """Accept manifests that name content which was never pushed."""


class Manifests:
    """The verbs on manifests."""

    def __init__(self, database: Database, places: Repositories, options: ManifestOptions) -> None:
        self._database = database
        self._repositories = places
        self._options = options
        self._cache: VersionedCache[StoredManifest] = VersionedCache(database, _CACHE_BYTES)

    async def get(self, caller: Caller, name: RepositoryName, reference: str) -> StoredManifest:
        """The manifest that a tag or digest names, if the caller may pull it.

        1. which repository, and may they?
        2. which content?

        Raises:
            ManifestUnknown: there is none.
        """
        # 1
        repository_id = await self._repositories.enter_existing(caller, PULL, name)
        # 2
        key = (repository_id, reference)
        manifest, version = self._cache.lookup(key)
        if manifest is None:
            check_reference(reference)
            manifest = await store.find_manifest(self._database, repository_id, reference)
            if manifest is None:
                raise ManifestUnknown(name.full, reference)
            self._cache.fill(key, manifest, version, len(manifest.payload) + 500)
        return manifest

    async def admit(self, caller: Caller, name: RepositoryName) -> None:
        """Raise what ``push`` would, before its body is read."""
        await self._repositories.enter(caller, PUSH, name)

    async def push(
        self,
        caller: Caller,
        name: RepositoryName,
        reference: str,
        payload: bytes,
        *,
        content_type: str | None,
        more_tags: list[str],
    ) -> PushedManifest:
        """Store a manifest byte for byte and let its tags name it.

        1. may they?
        2. is the document what it says it is, and does the digest agree?
        3. in one transaction: is all that it names here? then manifest, references, tags, journal

        Args:
            caller: who pushes.
            name: the repository, made if there is none.
            reference: a tag, or the digest of ``payload``.
            payload: the document.
            content_type: its Content-Type.
            more_tags: further tags (distribution-spec end-7b), with a digest only.

        Raises:
            ContentMissing: it names content that the repository does not hold.
            InvalidInput: it is malformed, or its digest is another.
        """
        # 1
        await self._repositories.enter(caller, PUSH, name)
        # 2
        digest, tags = _identity(reference, payload, more_tags)
        manifest = documents.parse(payload, content_type)
        # 3

        async def work(tx: Transaction) -> int:
            origin = origin_of(caller)
            repository_id = await repositories.ensure(tx, origin, name)
            missing = await _missing(tx, repository_id, manifest)
            manifest_id = await store.find_manifest_id(tx, repository_id, digest)
            if manifest_id is None:
                if missing and not self._options.sparse:
                    raise ContentMissing(name.full, missing)
                manifest_id = await _insert(tx, repository_id, digest, manifest, payload)
            else:
                referrer = _referrer(manifest, digest, payload)
                await store.set_media_type(tx, manifest_id, manifest.media_type, referrer)
            events = await _tag(tx, repository_id, manifest_id, name, digest, tags)
            pushed = ManifestPushed(repository=name.full, digest=digest, media_type=manifest.media_type, tags=tags)
            await journal.append(tx, origin, pushed, *events)
            return len(missing)

        missing = await self._database.write(work)
        return PushedManifest(digest, manifest.subject, tags, _warnings(manifest, missing))

    async def delete(self, caller: Caller, name: RepositoryName, digest: str) -> None:
        """Delete a manifest and its tags.

        Raises:
            ManifestUnknown: there is none.
            Conflict: an index lists it; deleting it would break the index.
        """
        repository_id = await self._repositories.enter_existing(caller, DELETE, name)
        digests.parse(digest)

        async def work(tx: Transaction) -> None:
            manifest_id = await store.find_manifest_id(tx, repository_id, digest)
            if manifest_id is None:
                raise ManifestUnknown(name.full, digest)
            parent = await store.find_parent(tx, repository_id, digest)
            if parent is not None:
                raise Conflict(
                    f"The image index {parent} in {name.full} lists this manifest: delete the index first.",
                    detail={"index": parent},
                )
            tags = tuple(await store.tags_of(tx, manifest_id))
            await store.delete_manifest(tx, manifest_id)
            await journal.append(tx, origin_of(caller), ManifestDeleted(repository=name.full, digest=digest, tags=tags))

        await self._database.write(work)


def check_reference(reference: str) -> None:
    """Refuse what is neither a tag nor a digest.

    Raises:
        InvalidInput: saying which of both it fails to be.
    """
    if digests.is_digest(reference):
        digests.parse(reference)
    else:
        parse_tag(reference)


def _identity(reference: str, payload: bytes, more_tags: list[str]) -> tuple[str, tuple[str, ...]]:
    """The digest and the tags of a push."""
    if len(more_tags) > MOST_TAGS:
        raise TooMany(f"A push sets at most {MOST_TAGS} tags: send the others with another request.")
    if not digests.is_digest(reference):
        return digests.of(payload), tuple(dict.fromkeys((parse_tag(reference), *map(parse_tag, more_tags))))
    digest = digests.parse(reference)
    actual = digests.of(payload, digests.algorithm_of(digest))
    if actual != digest:
        raise InvalidInput(
            f"The manifest's digest is {actual}, not {digest}: send the bytes that the digest was made of.",
            code="DIGEST_INVALID",
            detail={"digest": digest, "actual": actual},
        )
    return digest, tuple(dict.fromkeys(map(parse_tag, more_tags)))


def _referrer(manifest: Manifest, digest: str, payload: bytes) -> bytes | None:
    return documents.referrer_descriptor(manifest, digest, len(payload)) if manifest.subject else None


async def _insert(tx: Transaction, repository_id: int, digest: str, manifest: Manifest, payload: bytes) -> int:
    manifest_id = await store.add_manifest(
        tx,
        payload,
        repository_id=repository_id,
        digest=digests.pack(digest),
        media_type=manifest.media_type,
        artifact_type=manifest.artifact_type,
        config_type=manifest.config_type,
        size=len(payload),
        subject=digests.pack(manifest.subject) if manifest.subject else None,
        referrer=_referrer(manifest, digest, payload),
    )
    children = dict.fromkeys(child.digest for child in manifest.children)
    await store.add_references(tx, repository_id, manifest_id, manifest.blobs, children)
    return manifest_id


async def _missing(tx: Transaction, repository_id: int, manifest: Manifest) -> list[str]:
    """The digests that the manifest names and the repository does not hold."""
    missing = [digest for digest in manifest.blobs if not await store.has_blob(tx, repository_id, digest)]
    for child in manifest.children:
        # BuildKit's cache lists layers where manifests are expected (protocol.md 2.5.3).
        is_here = await store.find_manifest_id(tx, repository_id, child.digest) is not None
        if not is_here and not child.urls and not await store.has_blob(tx, repository_id, child.digest):
            missing.append(child.digest)
    return missing


def _warnings(manifest: Manifest, missing: int) -> tuple[str, ...]:
    warnings = []
    if missing:
        warnings.append(f"{missing} of the things that this manifest names are not in the repository: pulls will fail.")
    if manifest.elsewhere:
        warnings.append(f"{manifest.elsewhere} of its layers are kept elsewhere: pulls depend on that place.")
    return tuple(warnings)


async def _tag(
    tx: Transaction,
    repository_id: int,
    manifest_id: int,
    name: RepositoryName,
    digest: str,
    tags: tuple[str, ...],
) -> list[Event]:
    events: list[Event] = []
    for tag in tags:
        previous = await store.find_tagged(tx, repository_id, tag)
        await store.set_tag(tx, repository_id, tag, manifest_id)
        if previous is not None and previous != digest:
            events.append(TagMoved(repository=name.full, tag=tag, previous=previous, digest=digest))
    return events
