"""What sessions and logins under way keep sealed: read, and sealed anew, for whoever changes the key."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import bindparam, delete, select, update

from entrepot.auth.tables import pending_logins, sessions, user_identities
from entrepot.database import Database, Transaction, query

_ID_TOKENS = query(select(sessions.c.id, sessions.c.id_token).where(sessions.c.id_token.is_not(None)))
_SET_ID_TOKEN = query(
    update(sessions).where(sessions.c.id == bindparam("session_id")).values(id_token=bindparam("new_token"))
)
_CREDENTIALS = query(select(user_identities.c.credential).where(user_identities.c.credential.is_not(None)))
_PENDING = query(select(pending_logins.c.sealed))
_FORGET_PENDING = query(delete(pending_logins))


async def id_tokens(reader: Database | Transaction) -> list[bytes]:
    """What sessions keep sealed."""
    return [bytes(row[1]) for row in await reader.all(_ID_TOKENS)]


async def credentials(reader: Database | Transaction) -> list[bytes]:
    """What accounts are asked about with at their providers."""
    return [bytes(row[0]) for row in await reader.all(_CREDENTIALS)]


async def pending(reader: Database | Transaction) -> list[bytes]:
    """What logins under way keep sealed."""
    return [bytes(row[0]) for row in await reader.all(_PENDING)]


async def reseal_id_tokens(tx: Transaction, change: Callable[[bytes], bytes]) -> int:
    """Give what sessions keep to ``change`` and keep what it returns; how many there were."""
    rows = await tx.all(_ID_TOKENS)
    await tx.many(_SET_ID_TOKEN, [{"session_id": row[0], "new_token": change(bytes(row[1]))} for row in rows])
    return len(rows)


async def forget_pending(tx: Transaction) -> int:
    """Delete the logins under way, which people begin again; how many there were."""
    return await tx.run(_FORGET_PENDING)
