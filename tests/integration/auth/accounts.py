"""What tests do to accounts for which there is no verb."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import bindparam, update

from entrepot.auth.tables import users
from entrepot.database import Database, query

_DISABLE = query(update(users).where(users.c.name == bindparam("user")).values(is_disabled=bindparam("disabled")))


class HasDatabase(Protocol):
    """A rig, or a desk."""

    database: Database


async def disable(rig: HasDatabase, name: str, *, disabled: bool = True) -> None:
    """Shut an account, or open it again."""
    await rig.database.write(lambda tx: tx.run(_DISABLE, user=name, disabled=int(disabled)))
