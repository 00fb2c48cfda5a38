"""Referrers: what hangs on a manifest (distribution-spec, "Listing Referrers")."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from entrepot.access.model import PULL
from entrepot.auth.model import Caller
from entrepot.database import Database
from entrepot.errors import InvalidInput
from entrepot.oci import digest as digests
from entrepot.oci import manifest as documents
from entrepot.oci.name import RepositoryName
from entrepot.registry import store
from entrepot.registry.repositories import Repositories

PAGE = 1000
"""Descriptors on one page."""


class ReferrerPage(msgspec.Struct, frozen=True):
    """Encoded descriptors in the order of their push; ``next`` continues the list, if it goes on."""

    descriptors: Sequence[msgspec.Raw]
    next: int | None


class Referrers:
    """The one verb on referrers."""

    def __init__(self, database: Database, places: Repositories) -> None:
        self._database = database
        self._repositories = places

    async def list(
        self, caller: Caller, name: RepositoryName, subject: str, artifact_type: str | None, last: int = 0
    ) -> ReferrerPage:
        """What names ``subject`` as its subject; an unknown subject, or repository, has none.

        The first page begins with what older clients listed under the fallback tag.

        Args:
            caller: who asks.
            name: the repository.
            subject: a digest.
            artifact_type: keep only this type (empty: those without one); ``None`` keeps all.
            last: where the page before ended.
        """
        place = await self._repositories.enter(caller, PULL, name)
        digests.parse(subject)
        if place.repository_id is None:
            return ReferrerPage([], None)
        rows = await store.list_referrers(self._database, place.repository_id, subject, last, PAGE)
        descriptors = [row[2] for row in rows]
        if last == 0:
            descriptors = [*await self._listed_by_tag(place.repository_id, subject), *descriptors]
        return ReferrerPage(
            [msgspec.Raw(text) for text in descriptors if _is_of_type(text, artifact_type)],
            rows[-1][0] if len(rows) == PAGE else None,
        )

    async def _listed_by_tag(self, repository_id: int, subject: str) -> Sequence[bytes]:
        """Descriptors from the index under the fallback tag that the referrers table does not know."""
        fallback = await store.find_manifest(self._database, repository_id, documents.fallback_tag(subject))
        if fallback is None:
            return []
        try:
            index = documents.parse(fallback.payload, fallback.media_type)
        except InvalidInput:
            return []
        found = []
        for child in {child.digest: child for child in index.children}.values():
            listed = await store.find_manifest(self._database, repository_id, child.digest)
            if listed is not None and not _is_about(listed.payload, listed.media_type, subject):
                found.append(msgspec.json.encode(child))
        return found


def _is_about(payload: bytes, media_type: str, subject: str) -> bool:
    try:
        return documents.parse(payload, media_type).subject == subject
    except InvalidInput:
        return False


def _is_of_type(descriptor: bytes, artifact_type: str | None) -> bool:
    if artifact_type is None:
        return True
    return (msgspec.json.decode(descriptor, type=documents.Descriptor).artifact_type or "") == artifact_type
