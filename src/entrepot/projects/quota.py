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
from entrepot.projects.model import QuotaExceeded, Usage
from entrepot.projects.store import find_by_id
from entrepot.settings.service import Settings

T = TypeVar("T")

_AHEAD = 8 * 1024 * 1024
_SHARE = 256
"""A stream of unknown length takes room ahead of its bytes, at most this part of what is free: near the limit it
takes what it needs and no more, so that what fits exactly is never refused."""


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
            await self._record(origin, error)
            raise

    async def check(self, origin: Origin, project_id: int | None, size: int) -> None:
        """Refuse ``size`` bytes that cannot fit, before they are sent.

        Raises:
            QuotaExceededError: there is no room now.
        """
        if project_id is None or not size:
            return
        usage = await ledger.usage(self._database, project_id)
        excess = usage.total + size - usage.limit
        if usage.limit >= 0 and excess > 0 and await ledger.giving_way(self._database, project_id) < excess:
            error = QuotaExceededError(project_id, usage, size)
            await self._record(origin, error)
            raise error

    async def room_for(self, origin: Origin, project_id: int | None, session_id: str) -> Room | None:
        """Where an upload takes its room from; ``None`` if its project has no limit."""
        if project_id is None:
            return None
        usage = await ledger.usage(self._database, project_id)
        return None if usage.limit < 0 else Room(self, origin, project_id, session_id, usage)

    async def deadline(self) -> int:
        """When a reservation that is made now ends (microseconds since the epoch)."""
        return clock.now_us() + await self._settings.number("entrepot_reservation_hours") * 3_600_000_000

    async def expire(self) -> int:
        """Drop the reservations that have ended; how many."""
        return await ledger.expire(self._database, clock.now_us())

    async def _record(self, origin: Origin, error: QuotaExceededError) -> None:
        project = await find_by_id(self._database, error.project_id)
        event = QuotaExceeded(
            project=project.name if project else "",
            project_id=error.project_id,
            used=error.usage.total,
            limit=error.usage.limit,
            needed=error.needed,
        )
        await self._database.write(lambda tx: journal.append(tx, origin, event), durable=False)


class Room:
    """The room that one upload has reserved; it grows before the bytes are taken in."""

    def __init__(self, quotas: Quotas, origin: Origin, project_id: int, session_id: str, usage: Usage) -> None:
        self._quotas = quotas
        self._origin = origin
        self._project_id = project_id
        self._session_id = session_id
        self._ahead = min(_AHEAD, max(0, usage.limit - usage.total) // _SHARE)
        self._covered = 0

    async def cover(self, size: int, *, exactly: bool = False) -> None:
        """Reserve ``size`` bytes in all for the upload, unless they are reserved already.

        Raises:
            QuotaExceededError: there is no room for them.
        """
        if size <= self._covered:
            return
        if self._ahead and not exactly:
            try:
                await self._reserve(size + self._ahead)
            except QuotaExceededError:
                self._ahead = 0
            else:
                return
        await self._quotas.write(self._origin, await self._work(size))
        self._covered = size

    async def _reserve(self, size: int) -> None:
        await self._quotas._database.write(await self._work(size, is_ahead=True), durable=False)  # noqa: SLF001 - one module
        self._covered = size

    async def _work(self, size: int, *, is_ahead: bool = False) -> Callable[[Transaction], Awaitable[None]]:
        deadline = await self._quotas.deadline()
        return lambda tx: ledger.reserve(tx, self._project_id, self._session_id, size, deadline, is_ahead=is_ahead)
