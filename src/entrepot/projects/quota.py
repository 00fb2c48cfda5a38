"""Quotas as pushes meet them: room before bytes are sent, room while they flow, and a record of what was refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from entrepot.database import Database, Transaction
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.projects import ledger
from entrepot.projects.ledger import QuotaExceededError
from entrepot.projects.model import QuotaExceeded
from entrepot.projects.service import default_quota
from entrepot.projects.store import find_by_id
from entrepot.settings.service import Settings

T = TypeVar("T")

_AHEAD = 8 * 1024 * 1024
_SHARE = 256
"""A stream of unknown length takes room ahead of its bytes, at most this part of what is free: near the limit it
takes what it needs and no more, so that what fits exactly is never refused."""


Leftovers = Callable[[Transaction], Awaitable[None]]


class Quotas:
    """The quotas of one database."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def write(self, origin: Origin, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run a transaction that takes room; that it was refused is recorded in a transaction of its own."""
        try:
            return await self._database.write(work)
        except QuotaExceededError as error:
            refused = error
            await self._database.write(lambda tx: record(tx, origin, refused), durable=False)
            raise

    async def room_for(self, origin: Origin, project_id: int, session_id: str, leftovers: Leftovers) -> Room | None:
        """Where an upload takes its room from; ``None`` if its project has no limit.

        ``leftovers`` is called when it is refused, in the transaction that refuses: whatever the same push has left
        behind must not hold room for long.
        """
        usage = await ledger.usage(self._database, project_id)
        if usage.limit < 0:
            return None
        ahead = min(_AHEAD, max(0, usage.limit - usage.total) // _SHARE)
        return Room(self._database, origin, project_id, session_id, leftovers, await self.deadline(), ahead)

    async def default(self) -> int:
        """What a new project may hold; bytes, -1 for no limit."""
        return await default_quota(self._settings)

    async def deadline(self) -> int:
        """When a reservation that is made now ends (microseconds since the epoch)."""
        return clock.now_us() + await self._settings.number("entrepot_reservation_hours") * 3_600_000_000

    async def expire(self) -> int:
        """Drop the reservations that have ended; how many."""
        return await ledger.expire(self._database, clock.now_us())


async def record(tx: Transaction, origin: Origin, error: QuotaExceededError) -> None:
    """Record that a push was refused."""
    project = await find_by_id(tx, error.project_id)
    event = QuotaExceeded(
        project=project.name if project else "",
        project_id=error.project_id,
        used=error.usage.total,
        limit=error.usage.limit,
        needed=error.needed,
    )
    await journal.append(tx, origin, event)


class Room:
    """The room that one upload has reserved; it grows before the bytes are taken in."""

    def __init__(
        self,
        database: Database,
        origin: Origin,
        project_id: int,
        session_id: str,
        leftovers: Leftovers,
        deadline: int,
        ahead: int,
    ) -> None:
        """``ahead`` is how many bytes are reserved before it is known that they come."""
        self._database = database
        self._origin = origin
        self._project_id = project_id
        self._session_id = session_id
        self._leftovers = leftovers
        self._deadline = deadline
        self._ahead = ahead
        self._covered = 0

    async def cover(self, size: int, *, exactly: bool = False) -> None:
        """Reserve ``size`` bytes in all for the upload, unless they are reserved already.

        Raises:
            QuotaExceededError: there is no room for them.
        """
        if size <= self._covered:
            return
        if self._ahead and not exactly:
            if await self._reserve(size + self._ahead, is_ahead=True) is None:
                return
            self._ahead = 0
        error = await self._reserve(size, is_ahead=False)
        if error is not None:
            raise error

    async def _reserve(self, size: int, *, is_ahead: bool) -> QuotaExceededError | None:
        async def work(tx: Transaction) -> QuotaExceededError | None:
            try:
                await ledger.reserve(tx, self._project_id, self._session_id, size, self._deadline, is_ahead=is_ahead)
            except QuotaExceededError as error:
                if not is_ahead:
                    await self._leftovers(tx)
                    await record(tx, self._origin, error)
                return error
            return None

        error = await self._database.write(work, durable=False)
        if error is None:
            self._covered = size
        return error
