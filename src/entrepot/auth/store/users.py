"""Users: their rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, func, select, update

from entrepot.auth.model import User
from entrepot.auth.tables import users
from entrepot.database import Database, Transaction, query, upsert
from entrepot.kit.listing import Listing, SortKey
from entrepot.kit.selection import Fields, boolean, integer, text, time
from entrepot.web.lists import Lister

_COLUMNS = (
    users.c.id,
    users.c.name,
    users.c.password_hash,
    users.c.is_admin,
    users.c.is_disabled,
    users.c.credential_version,
    users.c.is_auditor,
    users.c.email,
    users.c.real_name,
    users.c.comment,
    users.c.created_at,
    users.c.updated_at,
    users.c.source,
    users.c.source_admin,
    users.c.is_gone,
)

FIELDS = Fields(
    {
        "user_id": integer(users.c.id),
        "username": text(users.c.name),
        "email": text(users.c.email),
        "realname": text(users.c.real_name),
        "comment": text(users.c.comment),
        "sysadmin_flag": boolean(users.c.is_admin),
        "creation_time": time(users.c.created_at),
        "update_time": time(users.c.updated_at),
    }
)
_SEARCHED = Fields({"username": text(users.c.name), "length": integer(func.length(users.c.name))})

_FIND_BY_NAME = query(select(*_COLUMNS).where(users.c.name == bindparam("name")))
_FIND_BY_ID = query(select(*_COLUMNS).where(users.c.id == bindparam("id")))
_ADD = upsert(
    lambda insert: (
        insert(users)
        .values({c.name: bindparam(c.name) for c in users.columns if c.name != "id"})
        .on_conflict_do_nothing(index_elements=[users.c.name])
        .returning(users.c.id)
    )
)
_SET_PASSWORD = query(
    update(users)
    .where(users.c.id == bindparam("user_id"))
    .values(
        password_hash=bindparam("password_hash"),
        credential_version=users.c.credential_version + bindparam("step"),
        updated_at=bindparam("updated_at"),
    )
)
_SET_PROFILE = query(
    update(users)
    .where(users.c.id == bindparam("user_id"))
    .values({name: bindparam(name) for name in ("email", "real_name", "comment", "updated_at")})
)
_SET_VOUCHED = query(update(users).where(users.c.id == bindparam("user_id")).values(is_email_vouched=bindparam("flag")))
_SET_ADMIN = query(
    update(users)
    .where(users.c.id == bindparam("user_id"))
    .values(is_admin=bindparam("flag"), updated_at=bindparam("updated_at"))
)
_SET_AUDITOR = query(
    update(users)
    .where(users.c.id == bindparam("user_id"))
    .values(is_auditor=bindparam("flag"), updated_at=bindparam("updated_at"))
)
_DELETE = query(delete(users).where(users.c.id == bindparam("user_id")))
_OTHER_ADMIN = query(
    select(users.c.id)
    .where(
        users.c.is_admin == bindparam("admin"),
        users.c.is_disabled == bindparam("disabled"),
        users.c.id != bindparam("user_id"),
    )
    .limit(bindparam("row_limit"))
)

_BY_ID = (SortKey("user_id"),)
_CLOSEST = (SortKey("length"), SortKey("username"))
_LIST = Lister(_COLUMNS, FIELDS, _BY_ID, users.c.id, users)
_SEARCH = Lister((users.c.id, users.c.name), _SEARCHED, _CLOSEST, users.c.id, users)


def _user(row: tuple[Any, ...]) -> User:
    id_, name, password_hash, is_admin, is_disabled, version, is_auditor, *profile, source, source_admin, is_gone = row
    email, real_name, comment, created_at, updated_at = profile
    return User(
        id_,
        name,
        password_hash,
        bool(is_admin),
        bool(is_disabled or is_gone),
        version,
        bool(is_auditor),
        email,
        real_name,
        comment,
        created_at,
        updated_at,
        source,
        bool(source_admin),
    )


async def find_by_name(reader: Database | Transaction, name: str) -> User | None:
    """The account called ``name``."""
    row = await reader.one(_FIND_BY_NAME, name=name)
    return _user(row) if row else None


async def find_by_id(reader: Database | Transaction, user_id: int) -> User | None:
    """The account with this id."""
    row = await reader.one(_FIND_BY_ID, id=user_id)
    return _user(row) if row else None


async def list_page(database: Database, listing: Listing) -> tuple[list[User], int]:
    """A page of the accounts, and how many there are."""
    rows, total = await _LIST.page(database, listing)
    return [_user(row) for row in rows], total


async def search(database: Database, listing: Listing) -> tuple[list[tuple[int, str]], int]:
    """A page of ids and names, the shortest first: what was typed in full comes on top."""
    rows, total = await _SEARCH.page(database, listing)
    return [(row[0], row[1]) for row in rows], total


async def add(
    tx: Transaction,
    name: str,
    password_hash: str,
    created_at: int,
    *,
    is_admin: bool,
    email: str = "",
    real_name: str = "",
    comment: str = "",
    source: str = "",
    is_email_vouched: bool = False,
) -> int | None:
    """Create an account; its id, or ``None`` if the name is taken."""
    row = await tx.one(
        _ADD,
        name=name,
        password_hash=password_hash,
        is_admin=int(is_admin),
        is_auditor=0,
        is_disabled=0,
        credential_version=1,
        created_at=created_at,
        updated_at=created_at,
        email=email,
        real_name=real_name,
        comment=comment,
        source=source,
        source_admin=0,
        is_gone=0,
        is_email_vouched=int(is_email_vouched),
    )
    return int(row[0]) if row else None


async def set_password(tx: Transaction, user_id: int, password_hash: str, now: int) -> None:
    """Replace a password; what was issued under the old one ends."""
    await tx.run(_SET_PASSWORD, user_id=user_id, password_hash=password_hash, step=1, updated_at=now)


async def set_profile(tx: Transaction, user_id: int, email: str, real_name: str, comment: str, now: int) -> None:
    """Replace what people read about an account."""
    await tx.run(_SET_PROFILE, user_id=user_id, email=email, real_name=real_name, comment=comment, updated_at=now)


async def set_email_vouched(tx: Transaction, user_id: int, *, flag: bool) -> None:
    """Note whether an account's address is somebody else's word than its own."""
    await tx.run(_SET_VOUCHED, user_id=user_id, flag=int(flag))


async def set_admin(tx: Transaction, user_id: int, *, flag: bool, now: int) -> None:
    """Make an account an administrator of the system, or no longer."""
    await tx.run(_SET_ADMIN, user_id=user_id, flag=int(flag), updated_at=now)


async def set_auditor(tx: Transaction, user_id: int, *, flag: bool, now: int) -> None:
    """Make an account an auditor of the system, or no longer."""
    await tx.run(_SET_AUDITOR, user_id=user_id, flag=int(flag), updated_at=now)


async def delete_user(tx: Transaction, user_id: int) -> None:
    """Delete an account with its tokens, sessions, grants and memberships."""
    await tx.run(_DELETE, user_id=user_id)


async def has_other_admin(tx: Transaction, user_id: int) -> bool:
    """Whether somebody else could administer the system."""
    return await tx.one(_OTHER_ADMIN, admin=1, disabled=0, user_id=user_id, row_limit=1) is not None
