"""Settings: the table and its SQL. Only what somebody set has a row; a secret's value is sealed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Table, Text, bindparam, select, update

from entrepot.database import Database, Transaction, metadata, query, upsert

settings = Table(
    "settings",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON
    Column("updated_at", BigInteger, nullable=False),  # microseconds since the epoch
)

Stored = list[tuple[str, str]]
"""Keys and values in JSON, by key."""

_LIST = query(select(settings.c.key, settings.c.value).order_by(settings.c.key))
_PUT = upsert(
    lambda insert: (
        insert(settings)
        .values({column.name: bindparam(column.name) for column in settings.columns})
        .on_conflict_do_update(
            index_elements=[settings.c.key],
            set_={"value": bindparam("value"), "updated_at": bindparam("updated_at")},
        )
    )
)
_SET_VALUE = query(update(settings).where(settings.c.key == bindparam("of_key")).values(value=bindparam("value")))


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret as it is kept; text, since what seals makes nothing but ASCII."""

    sealed: str


_sealed = msgspec.json.Decoder(Sealed)


def sealed_in(value: str) -> bytes | None:
    """The sealed secret in a value as it is kept; ``None`` if there is none."""
    try:
        return _sealed.decode(value).sealed.encode()
    except msgspec.DecodeError:
        return None


async def list_all(reader: Database | Transaction) -> Stored:
    """Everything that was set."""
    return [(row[0], row[1]) for row in await reader.all(_LIST)]


async def put(tx: Transaction, values: Mapping[str, Any], updated_at: int) -> None:
    """Set ``values``, whatever they were; a secret as ``Sealed``."""
    await tx.many(
        _PUT,
        [{"key": key, "value": _encoded(value), "updated_at": updated_at} for key, value in values.items()],
    )


async def reseal(tx: Transaction, change: Callable[[bytes], bytes]) -> int:
    """Give every sealed secret to ``change`` and keep what it returns; how many there were."""
    found = [(key, sealed) for key, value in await list_all(tx) if (sealed := sealed_in(value)) is not None]
    values = [{"of_key": key, "value": _encoded(Sealed(change(sealed).decode()))} for key, sealed in found]
    await tx.many(_SET_VALUE, values)
    return len(found)


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()
