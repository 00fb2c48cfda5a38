"""Statements on manifests, what they name, and what hangs on them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import and_, bindparam, case, delete, exists, insert, literal_column, not_, or_, select, update

from entrepot.database import Database, Transaction, query
from entrepot.kit import clock
from entrepot.oci import digest as digests
from entrepot.oci.artifact import Accessory
from entrepot.registry.model import StoredManifest
from entrepot.registry.store.parts import ONE, Reader, here
from entrepot.registry.tables import (
    manifest_blobs,
    manifest_children,
    manifest_payloads,
    manifests,
    repository_blobs,
    tags,
)

_MANIFEST = (manifests.c.id, manifests.c.digest, manifests.c.media_type, manifest_payloads.c.payload)
_WITH_PAYLOAD = manifests.join(manifest_payloads, manifest_payloads.c.manifest_id == manifests.c.id)
_BY_DIGEST = query(
    select(*_MANIFEST).select_from(_WITH_PAYLOAD).where(here(manifests), manifests.c.digest == bindparam("digest"))
)
_BY_TAG = query(
    select(*_MANIFEST)
    .select_from(tags.join(_WITH_PAYLOAD, manifests.c.id == tags.c.manifest_id))
    .where(here(tags), tags.c.name == bindparam("tag"))
)


async def find_manifest(reader: Reader, repository_id: int, reference: str) -> StoredManifest | None:
    """A manifest by digest or tag."""
    if digests.is_digest(reference):
        row = await reader.one(_BY_DIGEST, repository_id=repository_id, digest=digests.pack(reference))
    else:
        row = await reader.one(_BY_TAG, repository_id=repository_id, tag=reference)
    return StoredManifest(row[0], digests.unpack(row[1]), row[2], row[3]) if row else None


_HAS_MANIFEST = query(select(manifests.c.id).where(here(manifests), manifests.c.digest == bindparam("digest")))
_HAS_BLOB = query(select(ONE).where(here(repository_blobs), repository_blobs.c.digest == bindparam("digest")))


async def find_manifest_id(reader: Reader, repository_id: int, digest: str) -> int | None:
    """The id of a manifest of the repository."""
    row = await reader.one(_HAS_MANIFEST, repository_id=repository_id, digest=digests.pack(digest))
    return int(row[0]) if row else None


async def has_blob(reader: Reader, repository_id: int, digest: str) -> bool:
    """Whether the repository holds a blob."""
    return await reader.one(_HAS_BLOB, repository_id=repository_id, digest=digests.pack(digest)) is not None


_ADD_MANIFEST = query(
    insert(manifests)
    .values({c.name: bindparam(c.name) for c in manifests.columns if c.name != "id"})
    .returning(manifests.c.id)
)
MOST_BYTES = 2**50
"""A bound on sums of sizes that documents only claim, so that they fit a column, and sums of them too."""

_ADD_PAYLOAD = query(insert(manifest_payloads).values({c.name: bindparam(c.name) for c in manifest_payloads.columns}))
_SET_MEDIA_TYPE = query(
    update(manifests)
    .where(manifests.c.id == bindparam("manifest_id"))
    .values({"media_type": bindparam("new_media_type"), "referrer": bindparam("new_referrer")})
)
_ADD_NAMED_BLOB = query(insert(manifest_blobs).values({c.name: bindparam(c.name) for c in manifest_blobs.columns}))
_ADD_CHILD = query(insert(manifest_children).values({c.name: bindparam(c.name) for c in manifest_children.columns}))


async def add_manifest(tx: Transaction, payload: bytes, **values: Any) -> int:
    """Insert a manifest (columns as ``values``) and its bytes; its id."""
    row = await tx.one(_ADD_MANIFEST, created_at=clock.now_us(), **values)
    manifest_id = int(row[0]) if row else 0
    await tx.run(_ADD_PAYLOAD, manifest_id=manifest_id, payload=payload)
    return manifest_id


async def set_media_type(tx: Transaction, manifest_id: int, media_type: str, referrer: bytes | None) -> None:
    """The same bytes were pushed again, maybe under another Content-Type."""
    await tx.run(_SET_MEDIA_TYPE, manifest_id=manifest_id, new_media_type=media_type, new_referrer=referrer)


async def add_references(
    tx: Transaction, repository_id: int, manifest_id: int, named: Iterable[str], children: Iterable[str]
) -> None:
    """Record which blobs and children a manifest names."""
    for statement, names in ((_ADD_NAMED_BLOB, named), (_ADD_CHILD, children)):
        await tx.many(
            statement,
            [
                {"manifest_id": manifest_id, "digest": digests.pack(name), "repository_id": repository_id}
                for name in names
            ],
        )


_CHILDREN_SIZE = query(
    select(manifests.c.total_size)
    .select_from(
        manifest_children.join(
            manifests,
            and_(
                manifests.c.repository_id == manifest_children.c.repository_id,
                manifests.c.digest == manifest_children.c.digest,
            ),
        )
    )
    .where(manifest_children.c.manifest_id == bindparam("manifest_id"))
)
_ADD_SIZE = query(
    update(manifests)
    .where(manifests.c.id == bindparam("manifest"))
    .values(total_size=manifests.c.total_size + bindparam("more"))
)
_IS_TAGGED = exists(select(ONE).where(tags.c.manifest_id == manifests.c.id))
_HAS_PARENT = exists(
    select(ONE).where(
        manifest_children.c.repository_id == manifests.c.repository_id, manifest_children.c.digest == manifests.c.digest
    )
)
_IS_LISTED = case(
    (manifests.c.accessory_of.is_not(None), literal_column("0")),
    (or_(_IS_TAGGED, not_(_HAS_PARENT)), literal_column("1")),
    else_=literal_column("0"),
)
_RELIST = query(update(manifests).where(manifests.c.id == bindparam("manifest")).values(is_listed=_IS_LISTED))
_RELIST_CHILDREN = query(
    update(manifests)
    .where(
        here(manifests),
        manifests.c.digest.in_(
            select(manifest_children.c.digest).where(manifest_children.c.manifest_id == bindparam("manifest"))
        ),
    )
    .values(is_listed=_IS_LISTED)
)
_CHILDREN_OF = query(
    select(manifest_children.c.digest).where(manifest_children.c.manifest_id == bindparam("manifest_id"))
)
_RELIST_DIGEST = query(
    update(manifests).where(here(manifests), manifests.c.digest == bindparam("child")).values(is_listed=_IS_LISTED)
)
_SET_ACCESSORY = query(
    update(manifests)
    .where(manifests.c.id == bindparam("manifest"))
    .values({"accessory_of": bindparam("subject_digest"), "accessory_kind": bindparam("new_kind")})
)


async def add_children_size(tx: Transaction, manifest_id: int) -> None:
    """Count what the children of an index hold as part of it."""
    # Summed here: a sum that overflows fails every write of its batch, and the sizes are what somebody claims.
    more = sum(row[0] for row in await tx.all(_CHILDREN_SIZE, manifest_id=manifest_id))
    await tx.run(_ADD_SIZE, manifest=manifest_id, more=min(more, MOST_BYTES))


async def relist(tx: Transaction, manifest_id: int) -> None:
    """Decide anew whether lists show a manifest: its tags or its parents have changed."""
    await tx.run(_RELIST, manifest=manifest_id)


async def relist_children(tx: Transaction, repository_id: int, manifest_id: int) -> None:
    """Decide anew whether lists show what an index lists."""
    await tx.run(_RELIST_CHILDREN, repository_id=repository_id, manifest=manifest_id)


async def children_of(reader: Reader, manifest_id: int) -> list[bytes]:
    """The packed digests of what an index lists."""
    return [row[0] for row in await reader.all(_CHILDREN_OF, manifest_id=manifest_id)]


async def relist_digests(tx: Transaction, repository_id: int, packed: Iterable[bytes]) -> None:
    """Decide anew whether lists show what an index listed that is gone."""
    await tx.many(_RELIST_DIGEST, [{"repository_id": repository_id, "child": digest} for digest in packed])


async def set_accessory(tx: Transaction, manifest_id: int, accessory: Accessory | None) -> None:
    """What a manifest that was there turned out to hang on, or no longer hangs on."""
    await tx.run(
        _SET_ACCESSORY,
        manifest=manifest_id,
        subject_digest=digests.pack(accessory.subject) if accessory else None,
        new_kind=accessory.kind if accessory else None,
    )


_SUBJECT = query(select(manifests.c.subject).where(manifests.c.id == bindparam("manifest_id")))


async def has_subject(reader: Reader, manifest_id: int) -> bool:
    """Whether the document itself says what it hangs on."""
    row = await reader.one(_SUBJECT, manifest_id=manifest_id)
    return row is not None and row[0] is not None


_DELETE_MANIFEST = query(delete(manifests).where(manifests.c.id == bindparam("manifest_id")))


async def delete_manifest(tx: Transaction, manifest_id: int) -> None:
    """Remove a manifest with its payload, references and tags (by cascade)."""
    await tx.run(_DELETE_MANIFEST, manifest_id=manifest_id)


_REFERRERS = query(
    select(manifests.c.id, manifests.c.digest, manifests.c.referrer)
    .where(here(manifests), manifests.c.subject == bindparam("subject"), manifests.c.id > bindparam("last"))
    .order_by(manifests.c.id)
    .limit(bindparam("count"))
)


async def list_referrers(
    database: Database, repository_id: int, subject: str, last: int, count: int
) -> list[tuple[int, str, bytes]]:
    """Id, digest and descriptor of the manifests about ``subject``, in the order of their push, after ``last``."""
    rows = await database.all(
        _REFERRERS, repository_id=repository_id, subject=digests.pack(subject), last=last, count=count
    )
    return [(row[0], digests.unpack(row[1]), row[2]) for row in rows]


_ACCESSORIES = query(
    select(manifests.c.digest)
    .where(here(manifests), manifests.c.accessory_of == bindparam("subject"))
    .order_by(manifests.c.id)
)


async def list_accessories(reader: Reader, repository_id: int, digest: str) -> list[str]:
    """The digests of what hangs on a manifest."""
    rows = await reader.all(_ACCESSORIES, repository_id=repository_id, subject=digests.pack(digest))
    return [digests.unpack(row[0]) for row in rows]
