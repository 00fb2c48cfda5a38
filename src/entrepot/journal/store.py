"""The journal's table and its SQL.

A row is written in the transaction of the fact (rule 6). Its readers come with the features that need them.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text, bindparam, insert

from entrepot.database import Transaction, metadata, query
from entrepot.journal.model import Event, Origin
from entrepot.kit import clock

journal = Table(
    "journal",
    metadata,
    # SQLite gives ascending ids only to an INTEGER primary key; PostgreSQL wants the big one.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),  # microseconds since the epoch
    Column("principal", Text, nullable=False),
    Column("client_address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the event's fields as JSON
    sqlite_autoincrement=True,  # an id is never used again, whatever has been purged
)

_APPEND = query(
    insert(journal).values({column.name: bindparam(column.name) for column in journal.columns if column.name != "id"})
)


async def append(tx: Transaction, origin: Origin, *events: Event) -> None:
    """Record ``events`` as part of ``tx``, the transaction in which they became true."""
    occurred_at = clock.now_us()
    rows: list[dict[str, Any]] = [
        {
            "kind": type(event).__name__,
            "occurred_at": occurred_at,
            "principal": origin.principal,
            "client_address": origin.client_address,
            "user_agent": origin.user_agent,
            "request_id": origin.request_id,
            "body": msgspec.json.encode(event),
        }
        for event in events
    ]
    await tx.many(_APPEND, rows)
