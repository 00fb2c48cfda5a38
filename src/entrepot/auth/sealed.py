"""Everything that is kept sealed: whether it can be opened, and how it gets under another key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from entrepot.auth.events import SecretsResealed
from entrepot.auth.store import identity_providers, links, sealed
from entrepot.database import Database, Transaction
from entrepot.errors import Unreadable
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.settings import store as settings

Change = Callable[[bytes], bytes]


class Found(msgspec.Struct, frozen=True):
    """How many secrets of one kind there are, and how many of them cannot be opened."""

    place: str
    total: int
    lost: int


_RESEALED: dict[str, Callable[[Transaction, Change], Awaitable[int]]] = {
    "settings": settings.reseal,
    "identity providers": identity_providers.reseal,
    "accounts' credentials": links.reseal,
    "sessions' ID tokens": sealed.reseal_id_tokens,
}


async def reseal_all(database: Database, origin: Origin, change: Change) -> dict[str, int]:
    """Seal everything anew, in one transaction; how many there were of each kind.

    Logins under way are thrown away: whoever is at a provider just now begins again.

    Raises:
        Unreadable: something cannot be opened; then nothing has changed.
    """

    async def work(tx: Transaction) -> dict[str, int]:
        counts: dict[str, int] = {}
        for place, reseal in _RESEALED.items():
            try:
                counts[place] = await reseal(tx, change)
            except Unreadable as error:
                raise Unreadable(f"Among the {place}: {error.message}") from None
        counts["logins under way"] = await sealed.forget_pending(tx)
        await journal.append(tx, origin, SecretsResealed(counts=counts))
        return counts

    return await database.write(work)


async def examine(database: Database, open_one: Callable[[bytes], object]) -> list[Found]:
    """Try to open everything that is sealed."""
    providers = [row.secret for row in await identity_providers.list_all(database)]
    kept: dict[str, list[bytes | None]] = {
        "settings": [settings.sealed_in(value) for _, value in await settings.list_all(database)],
        "identity providers": [*providers],
        "accounts' credentials": [*await sealed.credentials(database)],
        "sessions' ID tokens": [*await sealed.id_tokens(database)],
        "logins under way": [*await sealed.pending(database)],
    }
    found = []
    for place, values in kept.items():
        present = [value for value in values if value is not None]
        found.append(Found(place, len(present), sum(not _opens(value, open_one) for value in present)))
    return found


def _opens(value: bytes, open_one: Callable[[bytes], object]) -> bool:
    try:
        open_one(value)
    except Unreadable:
        return False
    return True
