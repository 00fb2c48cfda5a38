"""Engines, transactions, migrations: how metadata is kept.

Statements are written once in SQLAlchemy Core, compiled to text, and run on the raw driver (STACK.md has the
measurements). Reads run inline on the event loop; writes go through one writer thread per process that commits
several transactions with one fsync.
"""

from entrepot.database.connection import Transaction
from entrepot.database.engine import Database
from entrepot.database.query import Query, query, upsert
from entrepot.database.tables import metadata

__all__ = ["Database", "Query", "Transaction", "metadata", "query", "upsert"]
