"""How often logins failed: the rows that all worker processes count in together."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, case, delete, func, select

from entrepot.auth.tables import login_failures
from entrepot.database import Database, Transaction, query, upsert

_AT_ONCE = 1000

Count = tuple[int, int]
"""Failures, and when the last one was (microseconds since the epoch)."""

_FIND = query(
    select(login_failures.c.key, login_failures.c.failures, login_failures.c.last_at).where(
        login_failures.c.key.in_([bindparam("key1"), bindparam("key2"), bindparam("key3")])
    )
)
_COUNT_ONE = upsert(
    lambda insert: (
        insert(login_failures)
        .values(key=bindparam("key"), failures=bindparam("one"), last_at=bindparam("now"))
        .on_conflict_do_update(
            index_elements=[login_failures.c.key],
            set_={
                "failures": case(
                    (login_failures.c.last_at < bindparam("forgotten"), bindparam("one")),
                    else_=login_failures.c.failures + bindparam("one"),
                ),
                "last_at": bindparam("now"),
            },
        )
    )
)
_CLEAR = query(delete(login_failures).where(login_failures.c.key == bindparam("key")))
_COUNT = query(select(func.count()).select_from(login_failures))
_EXPIRE = query(
    delete(login_failures).where(
        login_failures.c.key.in_(
            select(login_failures.c.key).where(login_failures.c.last_at < bindparam("before")).limit(bindparam("most"))
        )
    )
)
_TRIM = query(
    delete(login_failures).where(
        login_failures.c.key.in_(
            select(login_failures.c.key).order_by(login_failures.c.last_at).limit(bindparam("most"))
        )
    )
)


async def find(database: Database, keys: Sequence[str]) -> dict[str, Count]:
    """The counts of at most three keys."""
    one, two, three = (*keys, *[keys[-1]] * (3 - len(keys)))
    rows = await database.all(_FIND, key1=one, key2=two, key3=three)
    return {row[0]: (row[1], row[2]) for row in rows}


async def count(tx: Transaction, keys: Sequence[str], now: int, forgotten: int) -> None:
    """Count one failure more under each of ``keys``; what was last counted before ``forgotten`` begins at one."""
    await tx.many(_COUNT_ONE, [{"key": key, "one": 1, "now": now, "forgotten": forgotten} for key in keys])


async def clear(tx: Transaction, key: str) -> None:
    """Forget the failures of ``key``."""
    await tx.run(_CLEAR, key=key)


async def expire(tx: Transaction, before: int) -> bool:
    """Delete some of the counts that have not grown since ``before``; whether there may be more."""
    return await tx.run(_EXPIRE, before=before, most=_AT_ONCE) == _AT_ONCE


async def trim(tx: Transaction, most: int) -> bool:
    """Delete some of the oldest counts if there are more than ``most``; whether there may be more to delete."""
    row = await tx.one(_COUNT)
    surplus = int(row[0]) - most if row else 0
    if surplus <= 0:
        return False
    await tx.run(_TRIM, most=min(surplus, _AT_ONCE))
    return surplus > _AT_ONCE
