"""The journal's table and its SQL.

A row is written in the transaction of the fact (rule 6). Its readers come with the features that need them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, SmallInteger, Table, Text, bindparam, insert

from entrepot.database import Transaction, metadata, query
from entrepot.database.bulk import BulkInsert
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

_COLUMNS = tuple(column.name for column in journal.columns if column.name != "id")
_APPEND = query(insert(journal).values({name: bindparam(name) for name in _COLUMNS}))
_APPEND_MANY = BulkInsert(journal, _COLUMNS)


async def append(tx: Transaction, origin: Origin, *events: Event) -> None:
    """Record ``events`` as part of ``tx``, the transaction in which they became true."""
    occurred_at = clock.now_us()
    for event in events:
        await tx.run(_APPEND, **dict(zip(_COLUMNS, row_of(occurred_at, origin, event), strict=True)))


async def append_rows(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> None:
    """Record many facts at once, each as ``row_of`` gives it."""
    await tx.insert(_APPEND_MANY, rows)


def row_of(occurred_at: int, origin: Origin, event: Event) -> tuple[Any, ...]:
    """The row of a fact that became true at ``occurred_at`` (microseconds since the epoch)."""
    return (
        type(event).__name__,
        occurred_at,
        origin.principal[:_MOST_CHARACTERS],
        origin.client_address,
        origin.user_agent[:_MOST_CHARACTERS],
        origin.request_id,
        msgspec.json.encode(event),
        event.operation,
        event.resource_type,
        event.resource,
        event.project_id,
        int(event.is_refused),
    )
