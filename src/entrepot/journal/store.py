"""The journal's table and its SQL.

A row is written in the transaction of the fact (rule 6). Its readers come with the features that need them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, SmallInteger, Table, Text, bindparam, insert

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
    # What an audit record is asked by; empty for events that are no audit records.
    Column("operation", Text, nullable=False, server_default=""),
    Column("resource_type", Text, nullable=False, server_default=""),
    Column("resource", Text, nullable=False, server_default=""),
    Column("project_id", Integer),
    Column("is_refused", SmallInteger, nullable=False, server_default="0"),
    Index("ix_journal_project_id", "project_id", "id"),
    Index("ix_journal_operation", "operation", "id"),
    Index("ix_journal_principal", "principal", "id"),
    sqlite_autoincrement=True,  # an id is never used again, whatever has been purged
)

_MOST_CHARACTERS = 255

_APPEND = query(
    insert(journal).values({column.name: bindparam(column.name) for column in journal.columns if column.name != "id"})
)


async def append(tx: Transaction, origin: Origin, *events: Event) -> None:
    """Record ``events`` as part of ``tx``, the transaction in which they became true."""
    occurred_at = clock.now_us()
    await append_many(tx, [(occurred_at, origin, event) for event in events])


async def append_many(tx: Transaction, facts: Iterable[tuple[int, Origin, Event]]) -> None:
    """Record facts of several origins, each with its time in microseconds since the epoch."""
    rows: list[dict[str, Any]] = [
        {
            "kind": type(event).__name__,
            "occurred_at": occurred_at,
            "principal": origin.principal[:_MOST_CHARACTERS],
            "client_address": origin.client_address,
            "user_agent": origin.user_agent[:_MOST_CHARACTERS],
            "request_id": origin.request_id,
            "body": msgspec.json.encode(event),
            "operation": event.operation,
            "resource_type": event.resource_type,
            "resource": event.resource,
            "project_id": event.project_id,
            "is_refused": int(event.is_refused),
        }
        for occurred_at, origin, event in facts
    ]
    await tx.many(_APPEND, rows)
