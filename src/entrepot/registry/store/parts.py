"""What the statements of the registry share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, bindparam, literal_column

from entrepot.database import Database, Transaction

Reader = Database | Transaction

ONE: ColumnElement[Any] = literal_column("1")


def here(table: Any) -> Any:
    """In the repository ``repository_id``."""
    return table.c.repository_id == bindparam("repository_id")
