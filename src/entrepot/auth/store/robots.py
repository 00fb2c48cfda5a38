"""Robot accounts and their secrets: their rows.

Which changes end tokens issued before is for the verbs to say: ``ends_tokens``, ``end_tokens``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, bindparam, delete, func, insert, literal_column, or_, select, update

from entrepot.auth.model import Robot, RobotSecret, Scope
from entrepot.auth.tables import robot_secrets, robots
from entrepot.database import Database, Transaction, query, upsert
from entrepot.kit.listing import Listing, SortKey
from entrepot.kit.selection import Fields, boolean, integer, text, time
from entrepot.web.lists import Lister

Level = Literal["system", "project"]

_COLUMNS = (
    robots.c.id,
    robots.c.project_id,
    robots.c.name,
    robots.c.description,
    robots.c.permissions,
    robots.c.networks,
    robots.c.created_at,
    robots.c.updated_at,
    robots.c.expires_at,
    robots.c.duration,
    robots.c.is_disabled,
    robots.c.credential_version,
    robots.c.creator_kind,
    robots.c.creator_id,
    robots.c.last_used_at,
    robots.c.last_used_address,
)

FIELDS = Fields(
    {
        "id": integer(robots.c.id),
        "name": text(robots.c.name),
        "description": text(robots.c.description),
        "disable": boolean(robots.c.is_disabled),
        "duration": integer(robots.c.duration),
        "creation_time": time(robots.c.created_at),
        "update_time": time(robots.c.updated_at),
        "expires_at": time(robots.c.expires_at),
        "project_id": integer(robots.c.project_id),
    },
    # Harbor's clients filter by these two; the verb turns them into arguments of ``list_page``.
    elsewhere=frozenset({"Level", "level", "ProjectID"}),
)

# The very expression of the index.
_PLACE = func.coalesce(robots.c.project_id, literal_column("0"))
_FIND = query(select(*_COLUMNS).where(robots.c.id == bindparam("id")))
_FIND_BY_NAME = query(select(*_COLUMNS).where(bindparam("place") == _PLACE, robots.c.name == bindparam("name")))
_CHANGED = ("description", "permissions", "networks", "updated_at", "expires_at", "duration", "is_disabled")
_ADD = upsert(
    lambda insert: (
        insert(robots)
        .values({c.name: bindparam(c.name) for c in robots.columns if c.name != "id"})
        .on_conflict_do_nothing()
        .returning(robots.c.id)
    )
)
_UPDATE = query(
    update(robots)
    .where(robots.c.id == bindparam("robot_id"))
    .values(
        {name: bindparam(name) for name in _CHANGED}
        | {"credential_version": robots.c.credential_version + bindparam("step")}
    )
)
_END_TOKENS = query(
    update(robots)
    .where(robots.c.id == bindparam("robot_id"))
    .values(credential_version=robots.c.credential_version + bindparam("step"))
)
_DELETE = query(delete(robots).where(robots.c.id == bindparam("robot_id")))
_SET_USED = query(
    update(robots)
    .where(robots.c.id == bindparam("robot_id"))
    .values(last_used_at=bindparam("last_used_at"), last_used_address=bindparam("last_used_address"))
)

_SECRET = (robot_secrets.c.id, robot_secrets.c.secret_hash, robot_secrets.c.created_at, robot_secrets.c.expires_at)
_ADD_SECRET = query(
    insert(robot_secrets)
    .values({c.name: bindparam(c.name) for c in robot_secrets.columns if c.name != "id"})
    .returning(robot_secrets.c.id)
)
_LIST_SECRETS = query(
    select(*_SECRET).where(robot_secrets.c.robot_id == bindparam("robot_id")).order_by(robot_secrets.c.id)
)
_EXPIRE_SECRETS = query(
    update(robot_secrets)
    .where(
        robot_secrets.c.robot_id == bindparam("owner"),
        robot_secrets.c.id != bindparam("keep"),
        or_(robot_secrets.c.expires_at.is_(None), robot_secrets.c.expires_at > bindparam("at")),
    )
    .values(expires_at=bindparam("at"))
)
_DELETE_SECRET = query(
    delete(robot_secrets).where(
        robot_secrets.c.robot_id == bindparam("robot_id"), robot_secrets.c.id == bindparam("secret_id")
    )
)
_DELETE_SECRETS = query(
    delete(robot_secrets).where(
        robot_secrets.c.robot_id == bindparam("robot_id"), robot_secrets.c.id != bindparam("keep")
    )
)

_LIST = Lister(_COLUMNS, FIELDS, (SortKey("id"),), robots.c.id, robots)
_WITHIN: dict[str, tuple[ColumnElement[bool], ...]] = {
    "": (),
    "system": (robots.c.project_id.is_(None),),
    "project": (robots.c.project_id.is_not(None),),
    "in": (robots.c.project_id == bindparam("within_project"),),
}

_scope = msgspec.json.Decoder(Scope)
_networks = msgspec.json.Decoder(tuple[str, ...])


def _robot(row: tuple[Any, ...]) -> Robot:
    id_, project_id, name, description, permissions, networks, *rest = row
    created_at, updated_at, expires_at, duration, is_disabled, *last = rest
    return Robot(
        id_,
        project_id,
        name,
        description,
        _scope.decode(permissions),
        _networks.decode(networks),
        created_at,
        updated_at,
        expires_at,
        duration,
        bool(is_disabled),
        *last,
    )


async def find(reader: Database | Transaction, robot_id: int) -> Robot | None:
    """The robot account with this id."""
    row = await reader.one(_FIND, id=robot_id)
    return _robot(row) if row else None


async def find_by_name(reader: Database | Transaction, project_id: int | None, name: str) -> Robot | None:
    """A project's robot account, or (``None``) one of the system, by its name without prefix and project."""
    row = await reader.one(_FIND_BY_NAME, place=project_id or 0, name=name)
    return _robot(row) if row else None


async def list_page(
    database: Database, listing: Listing, *, level: Level | None = None, project_id: int | None = None
) -> tuple[list[Robot], int]:
    """A page of robot accounts (all, those of a level, or those of one project), and how many there are.

    Raises:
        InvalidInput: ``BAD_REQUEST``: a field or a value that the list does not know.
    """
    name = "in" if project_id is not None else level or ""
    values = {"within_project": project_id} if project_id is not None else {}
    rows, total = await _LIST.page(database, listing, within=_WITHIN[name], name=name, values=values)
    return [_robot(row) for row in rows], total


async def add(
    tx: Transaction,
    *,
    project_id: int | None,
    name: str,
    description: str,
    scope: Scope,
    networks: tuple[str, ...],
    now: int,
    expires_at: int | None,
    duration: int,
    is_disabled: bool,
    creator_kind: str,
    creator_id: int,
) -> int | None:
    """Create a robot account without a secret; its id, or ``None`` if the name is taken there."""
    row = await tx.one(
        _ADD,
        project_id=project_id,
        name=name,
        description=description,
        permissions=msgspec.json.encode(scope),
        networks=msgspec.json.encode(networks),
        created_at=now,
        updated_at=now,
        expires_at=expires_at,
        duration=duration,
        is_disabled=int(is_disabled),
        credential_version=1,
        creator_kind=creator_kind,
        creator_id=creator_id,
        last_used_at=None,
        last_used_address=None,
    )
    return int(row[0]) if row else None


async def update_robot(tx: Transaction, robot: Robot, *, now: int, ends_tokens: bool) -> bool:
    """Store description, scope, networks, expiry, duration and state of ``robot``; ``False`` if it is gone.

    ``ends_tokens`` is for disabling: what was issued before must not work again once it is enabled.
    """
    changed = await tx.run(
        _UPDATE,
        robot_id=robot.id,
        description=robot.description,
        permissions=msgspec.json.encode(robot.scope),
        networks=msgspec.json.encode(robot.networks),
        updated_at=now,
        expires_at=robot.expires_at,
        duration=robot.duration,
        is_disabled=int(robot.is_disabled),
        step=int(ends_tokens),
    )
    return changed > 0


async def end_tokens(tx: Transaction, robot_id: int) -> None:
    """End every token issued so far: for a secret that is replaced without overlap, or removed."""
    await tx.run(_END_TOKENS, robot_id=robot_id, step=1)


async def delete_robot(tx: Transaction, robot_id: int) -> bool:
    """Delete a robot account with its secrets; ``False`` if there is none."""
    return await tx.run(_DELETE, robot_id=robot_id) > 0


async def add_secret(tx: Transaction, robot_id: int, secret_hash: str, now: int, expires_at: int | None = None) -> int:
    """Add a secret beside the others; its id."""
    row = await tx.one(_ADD_SECRET, robot_id=robot_id, secret_hash=secret_hash, created_at=now, expires_at=expires_at)
    assert row is not None  # noqa: S101 - an insert with RETURNING answers
    return int(row[0])


async def list_secrets(reader: Database | Transaction, robot_id: int) -> list[RobotSecret]:
    """Every secret, also those that have expired, oldest first."""
    return [RobotSecret(*row) for row in await reader.all(_LIST_SECRETS, robot_id=robot_id)]


async def expire_secrets(tx: Transaction, robot_id: int, at: int, *, keep: int = 0) -> int:
    """Let every secret but ``keep`` end at ``at`` (microseconds), if it does not end sooner; how many that were."""
    return await tx.run(_EXPIRE_SECRETS, owner=robot_id, at=at, keep=keep)


async def delete_secret(tx: Transaction, robot_id: int, secret_id: int) -> bool:
    """Delete one secret; ``False`` if the robot account has no such secret."""
    return await tx.run(_DELETE_SECRET, robot_id=robot_id, secret_id=secret_id) > 0


async def delete_secrets(tx: Transaction, robot_id: int, *, keep: int = 0) -> int:
    """Delete every secret but ``keep``; how many that were."""
    return await tx.run(_DELETE_SECRETS, robot_id=robot_id, keep=keep)


async def set_last_used(tx: Transaction, uses: dict[int, tuple[int, str]]) -> None:
    """Note when (microseconds) and from where robot accounts were used, by id."""
    await tx.many(
        _SET_USED,
        [{"robot_id": id_, "last_used_at": at, "last_used_address": address} for id_, (at, address) in uses.items()],
    )
