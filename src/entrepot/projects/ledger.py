"""The quota ledger: what each project holds, and what is reserved for pushes under way.

``used`` counts distinct content that manifests of the project name. A *reservation* holds room from the first byte (or
the mount) until a manifest names the blob, or until it expires. Every change moves the sums of ``project_usage`` in its
own transaction, and the one statement that admits, ``_RESERVE``, compares them with the limit: so it is exact and
never admits too much, and nothing waits while bytes flow.
"""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, literal_column, or_, select, update

from entrepot.database import Database, Transaction, query, upsert
from entrepot.errors import Denied
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.oci import digest as digests
from entrepot.projects.model import QuotaWarned, Usage
from entrepot.projects.tables import project_content, project_usage, projects, reservations

Reader = Database | Transaction

_WARN_AT = 85
"""Per cent of the limit from which a project's administrators are warned."""
_TAKEN_AT_ONCE = 1000
_HOUR = 3_600_000_000
_EVER = 2**62


class QuotaExceededError(Denied):
    """The project may not hold what a push needs; bytes."""

    rest_code = "DENIED"

    def __init__(self, project_id: int, usage: Usage, needed: int) -> None:
        super().__init__(
            f"The project's quota does not allow it: {usage.total} of {usage.limit} bytes are in use and the push "
            f"needs {needed} more. Delete artifacts, or ask an administrator for a larger quota.",
            detail={"used": usage.total, "limit": usage.limit, "needed": needed},
        )
        self.project_id = project_id
        self.usage = usage
        self.needed = needed


_USAGE = query(
    select(
        projects.c.quota,
        func.coalesce(project_usage.c.used, literal_column("0")),
        func.coalesce(project_usage.c.reserved, literal_column("0")),
    )
    .select_from(projects.outerjoin(project_usage, project_usage.c.project_id == projects.c.id))
    .where(projects.c.id == bindparam("project_id"))
)
_OPEN = upsert(
    lambda insert_: (
        insert_(project_usage)
        .values(project_id=bindparam("project_id"), used=literal_column("0"), reserved=literal_column("0"))
        .on_conflict_do_nothing(index_elements=[project_usage.c.project_id])
    )
)
_LIMIT = select(projects.c.quota).where(projects.c.id == project_usage.c.project_id).scalar_subquery()
_CHARGE = query(
    update(project_usage)
    .where(
        project_usage.c.project_id == bindparam("project"),
        or_(
            literal_column("0") > _LIMIT,
            bindparam("used_more") + bindparam("reserved_more") <= literal_column("0"),
            project_usage.c.used + project_usage.c.reserved + bindparam("used_more") + bindparam("reserved_more")
            <= _LIMIT,
        ),
    )
    .values(
        used=project_usage.c.used + bindparam("used_more"),
        reserved=project_usage.c.reserved + bindparam("reserved_more"),
    )
)
_FIND = query(
    select(reservations.c.size, reservations.c.digest, reservations.c.project_id).where(
        reservations.c.id == bindparam("id")
    )
)
_SAVE = upsert(
    lambda insert_: (
        insert_(reservations)
        .values({c.name: bindparam(c.name) for c in reservations.columns})
        .on_conflict_do_update(
            index_elements=[reservations.c.id],
            set_={name: bindparam(name) for name in ("digest", "size", "expires_at")},
        )
    )
)
_DELETE = query(delete(reservations).where(reservations.c.id == bindparam("id")))
_HELD = query(
    select(
        select(func.max(project_content.c.size))
        .where(project_content.c.project_id == bindparam("project_id"), project_content.c.digest == bindparam("digest"))
        .scalar_subquery(),
        select(func.max(reservations.c.id))
        .where(reservations.c.project_id == bindparam("project_id"), reservations.c.digest == bindparam("digest"))
        .scalar_subquery(),
        select(reservations.c.size).where(reservations.c.id == bindparam("own")).scalar_subquery(),
    )
)
_PROLONG = query(
    update(reservations).where(reservations.c.id == bindparam("which")).values(expires_at=bindparam("expires_at"))
)
_GIVES_WAY = (
    reservations.c.project_id == bindparam("project_id"),
    reservations.c.digest.is_not(None),
    reservations.c.expires_at <= bindparam("until"),
)
_OLDEST_COMPLETE = query(
    select(reservations.c.id, reservations.c.size)
    .where(*_GIVES_WAY)
    .order_by(reservations.c.expires_at, reservations.c.id)
    .limit(literal_column(str(_TAKEN_AT_ONCE)))
)
_COMPLETE = query(select(func.coalesce(func.sum(reservations.c.size), literal_column("0"))).where(*_GIVES_WAY))
_EXPIRED = query(
    select(reservations.c.id, reservations.c.project_id, reservations.c.size)
    .where(reservations.c.expires_at < bindparam("now"))
    .order_by(reservations.c.expires_at)
    .limit(literal_column(str(_TAKEN_AT_ONCE)))
)


async def usage(reader: Reader, project_id: int) -> Usage:
    """What a project holds now."""
    row = await reader.one(_USAGE, project_id=project_id)
    return Usage(*row) if row else Usage(-1, 0, 0)


async def open_account(tx: Transaction, project_id: int) -> None:
    """Make the ledger's row of a new project."""
    await tx.run(_OPEN, project_id=project_id)


async def reserve(
    tx: Transaction,
    project_id: int,
    reservation_id: str,
    size: int,
    expires_at: int,
    digest: bytes | None = None,
    *,
    is_ahead: bool = False,
) -> None:
    """Let a reservation be ``size`` bytes, in all.

    Where there is no room, reservations in their last hour give way, those that end first before the others: a push
    that was refused puts what it has left into its last hour, so that pushes that can never end do not stand in the
    way of those that can.

    Args:
        tx: the transaction.
        project_id: whose room it takes.
        reservation_id: the upload session's id; made if there is none.
        size: bytes that have come, or that are known to come.
        expires_at: microseconds since the epoch.
        digest: what it is for, once all of it is there.
        is_ahead: it is for bytes that may never come, so nothing gives way.

    Raises:
        QuotaExceededError: the project has no room for it.
    """
    row = await tx.one(_FIND, id=reservation_id)
    more = size - (row[0] if row else 0)
    if not await _charged(tx, project_id, 0, more):
        now = await usage(tx, project_id)
        if is_ahead:
            raise QuotaExceededError(project_id, now, more)
        await _make_room(tx, project_id, now.total + more - now.limit, now, more, last_hour())
        await _charge(tx, project_id, 0, more)
    await tx.run(_SAVE, id=reservation_id, project_id=project_id, digest=digest, size=size, expires_at=expires_at)


async def settle(
    tx: Transaction, project_id: int, reservation_id: str, digest: str, size: int, expires_at: int
) -> int | None:
    """A blob is complete: what it takes stays reserved until a manifest names it, unless it counts already.

    Returns the bytes at which it counts already: fewer than ``size`` if it was named before it came.

    Raises:
        QuotaExceededError: the project has no room for it.
    """
    packed = digests.pack(digest)
    row = await tx.one(_HELD, project_id=project_id, digest=packed, own=reservation_id)
    counted, other, own = row or (None, None, None)
    if counted is None and other in (None, reservation_id):
        if own is None and await _charged(tx, project_id, 0, size):
            # As most blobs come: nothing held yet, and there is room (bench: 4 KiB blobs).
            await tx.run(
                _SAVE, id=reservation_id, project_id=project_id, digest=packed, size=size, expires_at=expires_at
            )
        else:
            await reserve(tx, project_id, reservation_id, size, expires_at, packed)
        return None
    if own is not None:
        await release(tx, reservation_id)
    if other is not None:
        await tx.run(_PROLONG, which=other, expires_at=expires_at)
    return int(counted) if counted is not None else None


async def release(tx: Transaction, reservation_id: str) -> None:
    """Give back what a reservation holds, if there is such."""
    row = await tx.one(_FIND, id=reservation_id)
    if row is not None:
        await tx.run(_DELETE, id=reservation_id)
        await _charge(tx, row[2], 0, -row[0])


async def release_content(tx: Transaction, project_id: int, digest: str) -> None:
    """Give back what is reserved for a blob that the project no longer holds."""
    row = await tx.one(_HELD, project_id=project_id, digest=digests.pack(digest), own="")
    if row is not None and row[1] is not None:
        await release(tx, row[1])


async def charge_manifest(tx: Transaction, origin: Origin, project_id: int, used: int, released: int) -> None:
    """A manifest names content: ``used`` bytes that did not count before, ``released`` of them were reserved.

    A finished artifact goes before blobs that were pushed and are not named: where there is no room, their reservations
    give way, the oldest first. Such a blob is admitted anew when a manifest names it.

    Raises:
        QuotaExceededError: there is no room even so.
    """
    before = await usage(tx, project_id)
    excess = before.total + used - released - before.limit
    if before.limit >= 0 and excess > 0 and used > 0:
        await _make_room(tx, project_id, excess, before, used - released, _EVER)
    await _charge(tx, project_id, used, -released, needed=used - released)
    if before.limit > 0 and used > 0:
        await _warn(tx, origin, project_id, before)


async def _warn(tx: Transaction, origin: Origin, project_id: int, before: Usage) -> None:
    """Tell when a project has come near its limit, once each time that it does."""
    after = await usage(tx, project_id)
    if before.used * 100 < before.limit * _WARN_AT <= after.used * 100:
        name = await _name_of(tx, project_id)
        event = QuotaWarned(project=name, project_id=project_id, used=after.used, limit=after.limit)
        await journal.append(tx, origin, event)


async def uncharge(tx: Transaction, project_id: int, used: int, reserved: int = 0) -> None:
    """Content that counted ``used`` bytes is not named any more, and ``reserved`` bytes need not be kept free."""
    await _charge(tx, project_id, -used, -reserved)


async def giving_way(reader: Reader, project_id: int, until: int | None = None) -> int:
    """Bytes of what is reserved that would give way to another push; ``until``: what ends before that time."""
    row = await reader.one(_COMPLETE, project_id=project_id, until=last_hour() if until is None else until)
    return int(row[0]) if row else 0


def last_hour() -> int:
    """The end of a reservation that is in its last hour from now on (microseconds since the epoch)."""
    return clock.now_us() + _HOUR


async def expire(database: Database, now: int) -> int:
    """Drop reservations that ended before ``now`` (microseconds since the epoch); how many."""

    async def work(tx: Transaction) -> int:
        rows = await tx.all(_EXPIRED, now=now)
        for reservation_id, project_id, size in rows:
            await tx.run(_DELETE, id=reservation_id)
            await _charge(tx, project_id, 0, -size)
        return len(rows)

    return await database.write(work) if await database.all(_EXPIRED, now=now) else 0


async def _make_room(tx: Transaction, project_id: int, excess: int, before: Usage, needed: int, until: int) -> None:
    if await giving_way(tx, project_id, until) < excess:
        raise QuotaExceededError(project_id, before, needed)
    while excess > 0:
        for reservation_id, size in await tx.all(_OLDEST_COMPLETE, project_id=project_id, until=until):
            if excess <= 0:
                break
            await tx.run(_DELETE, id=reservation_id)
            await _charge(tx, project_id, 0, -size)
            excess -= size


async def _charged(tx: Transaction, project_id: int, used: int, reserved: int) -> bool:
    """Move the sums, if there is room."""
    if await tx.run(_CHARGE, project=project_id, used_more=used, reserved_more=reserved):
        return True
    await open_account(tx, project_id)
    return await tx.run(_CHARGE, project=project_id, used_more=used, reserved_more=reserved) > 0


async def _charge(tx: Transaction, project_id: int, used: int, reserved: int, *, needed: int | None = None) -> None:
    if not await _charged(tx, project_id, used, reserved):
        raise QuotaExceededError(project_id, await usage(tx, project_id), used + reserved if needed is None else needed)


_NAME = query(select(projects.c.name).where(projects.c.id == bindparam("id")))


async def _name_of(tx: Transaction, project_id: int) -> str:
    row = await tx.one(_NAME, id=project_id)
    return str(row[0]) if row else ""
