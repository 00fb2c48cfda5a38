"""Settings: the table and its SQL. Only what somebody set has a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Table, Text, bindparam, select

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


async def list_all(reader: Database | Transaction) -> Stored:
    """Everything that was set."""
    return [(row[0], row[1]) for row in await reader.all(_LIST)]


async def put(tx: Transaction, values: Mapping[str, Any], updated_at: int) -> None:
    """Set ``values``, whatever they were."""
    await tx.many(
        _PUT,
        [
            {"key": key, "value": msgspec.json.encode(value).decode(), "updated_at": updated_at}
            for key, value in values.items()
        ],
    )
