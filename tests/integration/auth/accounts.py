"""What tests do to accounts for which there is no verb yet."""

from __future__ import annotations

from sqlalchemy import bindparam, update

from entrepot.auth.store import users
from entrepot.database import query
from tests.integration.rig import Rig

_DISABLE = query(update(users).where(users.c.name == bindparam("user")).values(is_disabled=bindparam("disabled")))


async def disable(rig: Rig, name: str, *, disabled: bool = True) -> None:
    """Shut an account, or open it again."""
    await rig.database.write(lambda tx: tx.run(_DISABLE, user=name, disabled=int(disabled)))
