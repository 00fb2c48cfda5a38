"""Which tokens of an issuer a robot account trusts: the rows."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, func, select, update

from entrepot.auth.tables import robot_trusts
from entrepot.database import Database, Transaction, query, upsert


class Trust(msgspec.Struct, frozen=True):
    """A robot account lets in whoever shows a token of ``issuer`` that is as ``rule`` wants it."""

    id: int
    robot_id: int
    name: str
    issuer: str
    """What the operator calls it."""
    rule: str
    created_at: int
    """Microseconds since the epoch, as all times here."""
    last_used_at: int | None


_COLUMNS = (
    robot_trusts.c.id,
    robot_trusts.c.robot_id,
    robot_trusts.c.name,
    robot_trusts.c.issuer,
    robot_trusts.c.rule,
    robot_trusts.c.created_at,
    robot_trusts.c.last_used_at,
)
_OF_ROBOT = robot_trusts.c.robot_id == bindparam("robot_id")

_FIND = query(select(*_COLUMNS).where(robot_trusts.c.id == bindparam("id")))
_LIST_OF_ROBOT = query(select(*_COLUMNS).where(_OF_ROBOT).order_by(robot_trusts.c.id))
_LIST_OF_ISSUER = query(
    select(*_COLUMNS)
    .where(robot_trusts.c.issuer == bindparam("issuer"))
    .order_by(robot_trusts.c.id)
    .limit(bindparam("most"))
)
_COUNT = query(select(func.count()).select_from(robot_trusts).where(_OF_ROBOT))
_ADD = upsert(
    lambda insert: (
        insert(robot_trusts)
        .values({c.name: bindparam(c.name) for c in robot_trusts.columns if c.name not in {"id", "last_used_at"}})
        .on_conflict_do_nothing()
        .returning(robot_trusts.c.id)
    )
)
_DELETE = query(delete(robot_trusts).where(_OF_ROBOT, robot_trusts.c.id == bindparam("trust_id")).returning(*_COLUMNS))
_SET_USED = query(
    update(robot_trusts).where(robot_trusts.c.id == bindparam("trust_id")).values(last_used_at=bindparam("used_at"))
)


def _trust(row: tuple[Any, ...]) -> Trust:
    return Trust(*row)


async def find(reader: Database | Transaction, trust_id: int) -> Trust | None:
    """The trust with this id."""
    row = await reader.one(_FIND, id=trust_id)
    return _trust(row) if row else None


async def list_of_robot(reader: Database | Transaction, robot_id: int) -> list[Trust]:
    """A robot account's trusts, oldest first."""
    return [_trust(row) for row in await reader.all(_LIST_OF_ROBOT, robot_id=robot_id)]


async def list_of_issuer(reader: Database | Transaction, issuer: str, most: int) -> list[Trust]:
    """The oldest ``most`` trusts in tokens of an issuer."""
    return [_trust(row) for row in await reader.all(_LIST_OF_ISSUER, issuer=issuer, most=most)]


async def count_of(reader: Database | Transaction, robot_id: int) -> int:
    """How many trusts a robot account has."""
    row = await reader.one(_COUNT, robot_id=robot_id)
    return int(row[0]) if row else 0


async def add(tx: Transaction, *, robot_id: int, name: str, issuer: str, rule: str, now: int) -> int | None:
    """Add a trust; its id, or ``None`` if the robot account has one of that name."""
    row = await tx.one(_ADD, robot_id=robot_id, name=name, issuer=issuer, rule=rule, created_at=now)
    return int(row[0]) if row else None


async def remove(tx: Transaction, robot_id: int, trust_id: int) -> Trust | None:
    """Delete a trust of a robot account; what it was, or ``None`` if there is none."""
    row = await tx.one(_DELETE, robot_id=robot_id, trust_id=trust_id)
    return _trust(row) if row else None


async def set_last_used(tx: Transaction, uses: dict[int, int]) -> None:
    """Note when trusts were used, by id."""
    await tx.many(_SET_USED, [{"trust_id": id_, "used_at": at} for id_, at in uses.items()])
