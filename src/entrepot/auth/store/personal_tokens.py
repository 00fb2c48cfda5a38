"""Personal access tokens: their rows. A row knows the secret only by its SHA-256."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, func, select, update

from entrepot.auth.model import PersonalToken, Scope
from entrepot.auth.tables import personal_tokens
from entrepot.database import Database, Transaction, query, upsert

_COLUMNS = (
    personal_tokens.c.id,
    personal_tokens.c.user_id,
    personal_tokens.c.name,
    personal_tokens.c.secret_hash,
    personal_tokens.c.scope,
    personal_tokens.c.created_at,
    personal_tokens.c.expires_at,
    personal_tokens.c.last_used_at,
    personal_tokens.c.last_used_address,
)

_FIND = query(select(*_COLUMNS).where(personal_tokens.c.id == bindparam("id")))
_LIST = query(
    select(*_COLUMNS).where(personal_tokens.c.user_id == bindparam("user_id")).order_by(personal_tokens.c.name)
)
_COUNT = query(
    select(func.count()).select_from(personal_tokens).where(personal_tokens.c.user_id == bindparam("user_id"))
)
_ADD = upsert(
    lambda insert: (
        insert(personal_tokens)
        .values({c.name: bindparam(c.name) for c in personal_tokens.columns if c.name != "id"})
        .on_conflict_do_nothing(index_elements=[personal_tokens.c.user_id, personal_tokens.c.name])
        .returning(personal_tokens.c.id)
    )
)
_DELETE = query(
    delete(personal_tokens)
    .where(personal_tokens.c.id == bindparam("token_id"), personal_tokens.c.user_id == bindparam("user_id"))
    .returning(personal_tokens.c.name)
)
_SET_USED = query(
    update(personal_tokens)
    .where(personal_tokens.c.id == bindparam("token_id"))
    .values(last_used_at=bindparam("last_used_at"), last_used_address=bindparam("last_used_address"))
)

_scope = msgspec.json.Decoder(Scope | None)


def _token(row: tuple[Any, ...]) -> PersonalToken:
    id_, user_id, name, secret_hash, scope, *times = row
    return PersonalToken(id_, user_id, name, bytes(secret_hash), _scope.decode(scope), *times)


async def find(database: Database, token_id: int) -> PersonalToken | None:
    """The token with this id."""
    row = await database.one(_FIND, id=token_id)
    return _token(row) if row else None


async def list_of(database: Database, user_id: int) -> list[PersonalToken]:
    """A user's tokens, by name."""
    return [_token(row) for row in await database.all(_LIST, user_id=user_id)]


async def count_of(tx: Transaction, user_id: int) -> int:
    """How many tokens a user has."""
    row = await tx.one(_COUNT, user_id=user_id)
    return int(row[0]) if row else 0


async def add(
    tx: Transaction, user_id: int, name: str, secret_hash: bytes, scope: Scope | None, now: int, expires_at: int | None
) -> int | None:
    """Create a token; its id, or ``None`` if the user has one of that name."""
    row = await tx.one(
        _ADD,
        user_id=user_id,
        name=name,
        secret_hash=secret_hash,
        scope=msgspec.json.encode(scope),
        created_at=now,
        expires_at=expires_at,
        last_used_at=None,
        last_used_address=None,
    )
    return int(row[0]) if row else None


async def revoke(tx: Transaction, user_id: int, token_id: int) -> str | None:
    """Delete a user's token; its name, or ``None`` if there is none."""
    row = await tx.one(_DELETE, token_id=token_id, user_id=user_id)
    return str(row[0]) if row else None


async def set_last_used(tx: Transaction, uses: dict[int, tuple[int, str]]) -> None:
    """Note when (microseconds) and from where tokens were used, by id."""
    await tx.many(
        _SET_USED,
        [{"token_id": id_, "last_used_at": at, "last_used_address": address} for id_, (at, address) in uses.items()],
    )
