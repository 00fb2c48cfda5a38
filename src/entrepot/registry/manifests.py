"""Manifests: get, push, delete."""

from __future__ import annotations

import msgspec

from entrepot.access.model import DELETE_ARTIFACT, PULL, PUSH
from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction
from entrepot.database.cache import VersionedCache
from entrepot.errors import Conflict, InUse, InvalidInput, TooLarge, TooMany
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.oci import artifact
from entrepot.oci import digest as digests
from entrepot.oci import manifest as documents
from entrepot.oci.artifact import Accessory
from entrepot.oci.manifest import Manifest
from entrepot.oci.name import RepositoryName, parse_tag
from entrepot.projects import ledger
from entrepot.projects.ledger import QuotaExceededError
from entrepot.projects.quota import Quotas
from entrepot.registry import repositories, store
from entrepot.registry.errors import ContentMissing, ManifestUnknown
from entrepot.registry.model import (
    HeldPlace,
    ManifestDeleted,
    ManifestPushed,
    PushedManifest,
    StoredManifest,
    TagMoved,
)
from entrepot.registry.pulls import Pull, Pulls
from entrepot.registry.repositories import Repositories
from entrepot.registry.tags import reconsider

MOST_TAGS = 100
"""Tags that one push by digest may set."""

_MOST_COPIED = 1000
"""Manifests that one copy takes along."""

_CACHE_BYTES = 32 * 1024 * 1024


class ManifestOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chose."""

    sparse: bool = False
    """Accept manifests that name content which was never pushed."""


class Arrival(msgspec.Struct, frozen=True):
    """A manifest on its way into a repository."""

    digest: str
    manifest: Manifest
    payload: bytes
    tags: tuple[str, ...]
    copied_from: str | None = None


class Manifests:
    """The verbs on manifests."""

    def __init__(
        self, database: Database, places: Repositories, quotas: Quotas, pulls: Pulls, options: ManifestOptions
    ) -> None:
        self._database = database
        self._repositories = places
        self._quotas = quotas
        self._pulls = pulls
        self._options = options
        self._cache: VersionedCache[StoredManifest] = VersionedCache(database, _CACHE_BYTES)

    async def get(
        self, caller: Caller, name: RepositoryName, reference: str, *, is_pull: bool = False
    ) -> StoredManifest:
        """The manifest that a tag or digest names, if the caller may pull it.

        1. which repository, and may they?
        2. which content?
        3. a pull is remembered

        Raises:
            ManifestUnknown: there is none.
        """
        # 1
        place = await self._repositories.enter_existing(caller, PULL, name)
        # 2
        key = (place.repository_id, reference)
        manifest, version = self._cache.lookup(key)
        if manifest is None:
            check_reference(reference)
            manifest = await store.find_manifest(self._database, place.repository_id, reference)
            if manifest is None:
                raise ManifestUnknown(name.full, reference)
            self._cache.fill(key, manifest, version, len(manifest.payload) + 500)
        # 3
        if is_pull:
            self._pulls.note(
                Pull(
                    clock.now_us(),
                    caller.principal.name,
                    caller.client_address,
                    caller.user_agent[:255],
                    caller.request_id,
                    place.project_id,
                    place.repository_id,
                    manifest.id,
                    name.full,
                    manifest.digest,
                    reference,
                )
            )
        return manifest

    async def admit(self, caller: Caller, name: RepositoryName, reference: str, more_tags: list[str]) -> None:
        """Raise what ``push`` would, before its body is read."""
        tags = more_tags if digests.is_digest(reference) else [reference, *more_tags]
        await self._repositories.enter(caller, PUSH, name, tags=tags or (None,))

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

        1. is the document what it says it is, and does the digest agree?
        2. may they?
        3. in one transaction: is all that it names here, is there room? then manifest, references, tags, journal

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
            QuotaExceededError: the project has no room for what it names.
        """
        # 1
        digest, tags = _identity(reference, payload, more_tags)
        # 2
        await self._repositories.enter(caller, PUSH, name, tags=tags or (None,))
        manifest = documents.parse(payload, content_type)
        # 3

        quota = await self._quotas.default()

        async def work(tx: Transaction) -> int:
            place = await repositories.ensure(tx, caller.origin, name, quota)
            return await self._write(tx, caller.origin, place, name, Arrival(digest, manifest, payload, tags))

        try:
            missing = await self._quotas.write(caller.origin, work)
        except QuotaExceededError:
            held = await self._repositories.find(name)
            if held.repository_id is not None:
                await repositories.leftovers_give_way(self._database, held.repository_id)
            raise
        return PushedManifest(digest, manifest.subject, tags, _warnings(manifest, missing))

    async def copy(self, caller: Caller, target: RepositoryName, source: RepositoryName, reference: str) -> str:
        """Copy an artifact with its children and accessories into another repository; its digest.

        The tag by which it was named goes with it.

        Raises:
            ManifestUnknown: there is nothing of that name.
            QuotaExceededError: the target's project has no room for it.
        """
        check_reference(reference)
        tags = () if digests.is_digest(reference) else (reference,)
        origin = await self._repositories.enter_existing(caller, PULL, source)
        await self._repositories.enter(caller, PUSH, target, tags=tags or (None,))

        quota = await self._quotas.default()

        async def work(tx: Transaction) -> str:
            tree = await _tree(tx, origin.repository_id, source, reference)
            place = await repositories.ensure(tx, caller.origin, target, quota)
            top = tree[0].digest
            for stored in _children_first(tree):
                manifest = documents.parse(stored.payload, stored.media_type)
                # An index may list layers too (BuildKit's caches).
                for digest in (*manifest.blobs, *(child.digest for child in manifest.children)):
                    blob = await store.find_blob(tx, origin.repository_id, digest)
                    if blob is not None:
                        await store.link_blob(tx, place.repository_id, digest)
                        late = await store.count_late(tx, place.project_id, digest, blob.size)
                        await ledger.charge_manifest(tx, caller.origin, place.project_id, late, 0)
                named = tags if stored.digest == top else await _cosign_tags(tx, stored.id)
                arrival = Arrival(stored.digest, manifest, stored.payload, named, copied_from=source.full)
                await self._write(tx, caller.origin, place, target, arrival)
            return top

        return await self._quotas.write(caller.origin, work)

    async def _write(
        self, tx: Transaction, origin: Origin, place: HeldPlace, name: RepositoryName, arrival: Arrival
    ) -> int:
        """What a push does to the database; how many of the things that the manifest names are missing."""
        manifest, digest, tags = arrival.manifest, arrival.digest, arrival.tags
        repository_id = place.repository_id
        missing = await _missing(tx, repository_id, manifest)
        accessory = artifact.accessory_of(manifest, tags)
        manifest_id = await store.find_manifest_id(tx, repository_id, digest)
        is_new = manifest_id is None
        if manifest_id is None:
            if missing and not self._options.sparse:
                raise ContentMissing(name.full, missing)
            manifest_id = await _insert(tx, repository_id, arrival, accessory)
            used, released = await store.count_manifest(
                tx, place.project_id, repository_id, manifest_id, digest, len(arrival.payload)
            )
            await ledger.charge_manifest(tx, origin, place.project_id, used, released)
        else:
            referrer = _referrer(manifest, digest, arrival.payload)
            await store.set_media_type(tx, manifest_id, manifest.media_type, referrer)
            if accessory is not None:
                await store.set_accessory(tx, manifest_id, accessory)
        moved = await _tag(tx, repository_id, manifest_id, digest, tags)
        if manifest.children:
            await store.relist_children(tx, repository_id, manifest_id)
        if not is_new or not tags:
            await store.relist(tx, manifest_id)
        await store.touch(tx, repository_id)
        pushed = ManifestPushed(
            repository=name.full,
            digest=digest,
            media_type=manifest.media_type,
            tags=tags,
            moved=moved,
            copied_from=arrival.copied_from,
            project_id=place.project_id,
        )
        events = [
            TagMoved(repository=name.full, tag=tag, previous=previous, digest=digest, project_id=place.project_id)
            for tag, previous in moved.items()
        ]
        await journal.append(tx, origin, pushed, *events)
        return len(missing)

    async def delete(self, caller: Caller, name: RepositoryName, digest: str) -> None:
        """Delete a manifest and its tags.

        Raises:
            ManifestUnknown: there is none.
            InUse: an index lists it; deleting it would break the index.
        """
        place = await self._repositories.enter_existing(caller, DELETE_ARTIFACT, name)
        digests.parse(digest)
        known = await store.find_manifest_id(self._database, place.repository_id, digest)
        tags = tuple(await store.tags_of(self._database, known)) if known is not None else ()
        # Rights that are limited to tags never reach what has none: the signature of another tag's artifact, say.
        await self._repositories.enter_existing(caller, DELETE_ARTIFACT, name, tags=tags or ("",))

        async def work(tx: Transaction) -> None:
            manifest_id = await store.find_manifest_id(tx, place.repository_id, digest)
            if manifest_id is None:
                raise ManifestUnknown(name.full, digest)
            parent = await store.find_parent(tx, place.repository_id, digest)
            if parent is not None:
                raise InUse(
                    f"The image index {parent} in {name.full} lists this manifest: delete the index first.",
                    detail={"index": parent},
                )
            if tuple(await store.tags_of(tx, manifest_id)) != tags:
                raise Conflict(f"The tags of {digest} have just changed: look at them and try again.")
            children = await store.children_of(tx, manifest_id)
            freed = await store.uncount_manifest(tx, place.project_id, manifest_id)
            await store.delete_manifest(tx, manifest_id)
            await store.relist_digests(tx, place.repository_id, children)
            await store.touch(tx, place.repository_id)
            await ledger.uncharge(tx, place.project_id, freed)
            event = ManifestDeleted(repository=name.full, digest=digest, tags=tags, project_id=place.project_id)
            await journal.append(tx, caller.origin, event)

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


async def _insert(tx: Transaction, repository_id: int, arrival: Arrival, accessory: Accessory | None) -> int:
    manifest, digest, payload = arrival.manifest, arrival.digest, arrival.payload
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
        kind=artifact.kind_of(manifest),
        total_size=min(len(payload) + manifest.named_size, store.MOST_BYTES),
        accessory_of=digests.pack(accessory.subject) if accessory else None,
        accessory_kind=accessory.kind if accessory else None,
        is_listed=int(accessory is None),
        pulled_at=None,
    )
    children = dict.fromkeys(child.digest for child in manifest.children)
    await store.add_references(tx, repository_id, manifest_id, manifest.blobs, children)
    if children:
        await store.add_children_size(tx, manifest_id)
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
    tx: Transaction, repository_id: int, manifest_id: int, digest: str, tags: tuple[str, ...]
) -> dict[str, str]:
    """Let tags name a manifest; what those that moved named before."""
    moved = {}
    for tag in tags:
        previous = await store.find_tagged(tx, repository_id, tag)
        previous_id = await store.find_tagged_id(tx, repository_id, tag) if previous else None
        await store.set_tag(tx, repository_id, tag, manifest_id)
        if previous is not None and previous_id is not None and previous != digest:
            moved[tag] = previous
            await reconsider(tx, previous_id, tag)
    return moved


async def _tree(tx: Transaction, repository_id: int, name: RepositoryName, reference: str) -> list[StoredManifest]:
    """A manifest, then what it lists and what hangs on any of these."""
    top = await store.find_manifest(tx, repository_id, reference)
    if top is None:
        raise ManifestUnknown(name.full, reference)
    tree = [top]
    known = {top.digest}
    for stored in tree:
        listed = [digests.unpack(packed) for packed in await store.children_of(tx, stored.id)]
        for digest in [*listed, *await store.list_accessories(tx, repository_id, stored.digest)]:
            if digest not in known:
                if len(known) >= _MOST_COPIED:
                    raise TooLarge(f"The artifact has more than {_MOST_COPIED} parts: copy these one by one.")
                known.add(digest)
                found = await store.find_manifest(tx, repository_id, digest)
                if found is not None:
                    tree.append(found)
    return tree


def _children_first(tree: list[StoredManifest]) -> list[StoredManifest]:
    """In an order in which an index comes after all that it lists."""
    by_digest = {stored.digest: stored for stored in tree}
    ordered: dict[str, StoredManifest] = {}

    def visit(stored: StoredManifest) -> None:
        if stored.digest in ordered:
            return
        for child in documents.parse(stored.payload, stored.media_type).children:
            if child.digest in by_digest and child.digest != stored.digest:
                visit(by_digest[child.digest])
        ordered[stored.digest] = stored

    for stored in tree:
        visit(stored)
    return list(ordered.values())


async def _cosign_tags(tx: Transaction, manifest_id: int) -> tuple[str, ...]:
    """The tags by which cosign finds a signature; other tags stay where they are."""
    return tuple(tag for tag in await store.tags_of(tx, manifest_id) if artifact.is_accessory_tag(tag))
