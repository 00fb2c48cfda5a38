"""Users: the table and its SQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, SmallInteger, Table, Text, bindparam, select, update

from entrepot.auth.model import User
from entrepot.database import Database, Transaction, metadata, query, upsert

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("is_admin", SmallInteger, nullable=False),
    Column("is_disabled", SmallInteger, nullable=False),
    Column("credential_version", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

_COLUMNS = (
    users.c.id,
    users.c.name,
    users.c.password_hash,
    users.c.is_admin,
    users.c.is_disabled,
    users.c.credential_version,
)

_FIND_BY_NAME = query(select(*_COLUMNS).where(users.c.name == bindparam("name")))
_FIND_BY_ID = query(select(*_COLUMNS).where(users.c.id == bindparam("id")))
_ADD = upsert(
    lambda insert: (
        insert(users)
        .values({c.name: bindparam(c.name) for c in users.columns if c.name != "id"})
        .on_conflict_do_nothing(index_elements=[users.c.name])
    )
)
_SET_PASSWORD = query(
    update(users)
    .where(users.c.name == bindparam("user_name"))
    .values(
        password_hash=bindparam("password_hash"),
        credential_version=users.c.credential_version + bindparam("step"),
    )
)


def _user(row: tuple[object, ...] | None) -> User | None:
    if row is None:
        return None
    id_, name, password_hash, is_admin, is_disabled, version = row
    return User(int(str(id_)), str(name), str(password_hash), bool(is_admin), bool(is_disabled), int(str(version)))


async def find_by_name(database: Database, name: str) -> User | None:
    """The account called ``name``."""
    return _user(await database.one(_FIND_BY_NAME, name=name))


async def find_by_id(database: Database, user_id: int) -> User | None:
    """The account with this id."""
    return _user(await database.one(_FIND_BY_ID, id=user_id))


async def add(tx: Transaction, name: str, password_hash: str, created_at: int, *, is_admin: bool) -> bool:
    """Create an account; ``False`` if the name is taken."""
    added = await tx.run(
        _ADD,
        name=name,
        password_hash=password_hash,
        is_admin=int(is_admin),
        is_disabled=0,
        credential_version=1,
        created_at=created_at,
    )
    return added > 0


async def set_password(tx: Transaction, name: str, password_hash: str) -> bool:
    """Replace a password; ``False`` if there is no such account."""
    return await tx.run(_SET_PASSWORD, user_name=name, password_hash=password_hash, step=1) > 0
