"""CLI secrets: their rows, at most one an account. A row knows the secret only by its argon2 hash."""

from __future__ import annotations

import msgspec
from sqlalchemy import bindparam, delete, select, update

from entrepot.auth.tables import cli_secrets, sessions, users
from entrepot.database import Database, Transaction, query, upsert


class CliSecretRow(msgspec.Struct, frozen=True):
    """A secret as it is kept; times in microseconds since the epoch."""

    secret_hash: str
    created_at: int
    expires_at: int | None


_FIND = query(
    select(cli_secrets.c.secret_hash, cli_secrets.c.created_at, cli_secrets.c.expires_at).where(
        cli_secrets.c.user_id == bindparam("user_id")
    )
)
_PUT = upsert(
    lambda insert: (
        insert(cli_secrets)
        .values({column.name: bindparam(column.name) for column in cli_secrets.columns})
        .on_conflict_do_update(
            index_elements=[cli_secrets.c.user_id],
            set_={name: bindparam(name) for name in ("secret_hash", "created_at", "expires_at")},
        )
    )
)
_DELETE = query(delete(cli_secrets).where(cli_secrets.c.user_id == bindparam("owner")))
_KEEP_SESSIONS = query(
    update(sessions)
    .where(
        sessions.c.user_id == bindparam("owner"),
        sessions.c.credential_version
        == select(users.c.credential_version).where(users.c.id == bindparam("owner")).scalar_subquery(),
    )
    .values(credential_version=sessions.c.credential_version + bindparam("step"))
)
_END_TOKENS = query(
    update(users)
    .where(users.c.id == bindparam("owner"))
    .values(credential_version=users.c.credential_version + bindparam("step"))
)


async def find(reader: Database | Transaction, user_id: int) -> CliSecretRow | None:
    """An account's secret."""
    row = await reader.one(_FIND, user_id=user_id)
    return CliSecretRow(*row) if row else None


async def put(tx: Transaction, user_id: int, secret_hash: str, now: int, expires_at: int | None) -> None:
    """Keep an account's secret in place of the one that it had."""
    await tx.run(_PUT, user_id=user_id, secret_hash=secret_hash, created_at=now, expires_at=expires_at)


async def remove(tx: Transaction, user_id: int) -> bool:
    """Delete an account's secret; ``False`` if it had none."""
    return await tx.run(_DELETE, owner=user_id) > 0


async def end_tokens(tx: Transaction, user_id: int) -> None:
    """End the tokens that were issued to an account; its sessions go on, since they were not begun with a secret."""
    await tx.run(_KEEP_SESSIONS, owner=user_id, step=1)
    await tx.run(_END_TOKENS, owner=user_id, step=1)
