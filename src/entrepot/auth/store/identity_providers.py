"""Identity providers that were made at run time: their rows. Options are JSON without the secret, which is sealed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, select, update

from entrepot.auth.tables import identity_providers
from entrepot.database import Database, Transaction, query, upsert


class StoredProvider(msgspec.Struct, frozen=True):
    """A provider as it is kept; times in microseconds since the epoch."""

    id: int
    name: str
    kind: str
    options: bytes
    """As JSON, without the name and without the secret."""
    secret: bytes | None
    """Sealed."""
    created_at: int
    updated_at: int


_COLUMNS = tuple(identity_providers.c[name] for name in StoredProvider.__struct_fields__)

_LIST = query(select(*_COLUMNS).order_by(identity_providers.c.id))
_FIND = query(select(*_COLUMNS).where(identity_providers.c.name == bindparam("name")))
_ADD = upsert(
    lambda insert: (
        insert(identity_providers)
        .values({c.name: bindparam(c.name) for c in identity_providers.columns if c.name != "id"})
        .on_conflict_do_nothing(index_elements=[identity_providers.c.name])
        .returning(identity_providers.c.id)
    )
)
_UPDATE = query(
    update(identity_providers)
    .where(identity_providers.c.id == bindparam("provider_id"))
    .values(options=bindparam("new_options"), secret=bindparam("new_secret"), updated_at=bindparam("now"))
)
_DELETE = query(delete(identity_providers).where(identity_providers.c.id == bindparam("provider_id")))
_SET_SECRET = query(
    update(identity_providers)
    .where(identity_providers.c.id == bindparam("provider_id"))
    .values(secret=bindparam("new_secret"))
)


def _provider(row: tuple[Any, ...]) -> StoredProvider:
    id_, name, kind, options, secret, created_at, updated_at = row
    sealed = None if secret is None else bytes(secret)
    return StoredProvider(id_, name, kind, bytes(options), sealed, created_at, updated_at)


async def list_all(reader: Database | Transaction) -> list[StoredProvider]:
    """Every provider, the oldest first."""
    return [_provider(row) for row in await reader.all(_LIST)]


async def find(reader: Database | Transaction, name: str) -> StoredProvider | None:
    """The provider called ``name``."""
    row = await reader.one(_FIND, name=name)
    return _provider(row) if row else None


async def add(tx: Transaction, name: str, kind: str, options: bytes, secret: bytes | None, now: int) -> int | None:
    """Create a provider; its id, or ``None`` if there is one of that name."""
    row = await tx.one(_ADD, name=name, kind=kind, options=options, secret=secret, created_at=now, updated_at=now)
    return int(row[0]) if row else None


async def update_one(tx: Transaction, provider_id: int, options: bytes, secret: bytes | None, now: int) -> None:
    """Replace a provider's options and its sealed secret."""
    await tx.run(_UPDATE, provider_id=provider_id, new_options=options, new_secret=secret, now=now)


async def remove(tx: Transaction, provider_id: int) -> None:
    """Delete a provider."""
    await tx.run(_DELETE, provider_id=provider_id)


async def reseal(tx: Transaction, reseal: Callable[[bytes], bytes]) -> int:
    """Give every sealed secret to ``reseal`` and keep what it returns; how many there were.

    Raises:
        Unreadable: ``reseal`` cannot open one of them.
    """
    sealed = [(row.id, row.secret) for row in await list_all(tx) if row.secret is not None]
    await tx.many(_SET_SECRET, [{"provider_id": id_, "new_secret": reseal(secret)} for id_, secret in sealed])
    return len(sealed)
