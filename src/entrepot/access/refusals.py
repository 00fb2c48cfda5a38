"""Refused addresses: one audit record each with a count, however often they ask.

Nobody who is refused may make the database grow: refusals are counted in memory, an address is recorded again after ten
seconds at the earliest, a process writes about one record a second over time, and what goes beyond is summed in one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import msgspec

from entrepot.database import Database, Transaction
from entrepot.journal import store as journal
from entrepot.journal.model import Event, Origin
from entrepot.kit import clock

SERVER, ADMINISTRATION, PROJECT = "server", "administration", "project"
"""What an address may not come to."""

MOST_PENDING = 1000
"""Different refusals that are counted apart at once; as many may be written together."""
QUIET_SECONDS = 10.0
_ROWS_A_SECOND = 1.0


class AddressRefused(Event, frozen=True, kw_only=True):
    """Requests were refused for the address that they came from."""

    operation = "access"
    resource_type = "address"
    is_refused = True
    address: str
    """Empty: several, too many to name."""
    area: str
    """``server``, ``administration`` or ``project``."""
    count: int
    """How many requests."""

    @property
    def resource(self) -> str:
        """The address."""
        return self.address or "several addresses"


class _Refusal(msgspec.Struct):
    """One address, area and principal that was refused ``count`` times since it was last recorded."""

    origin: Origin
    area: str
    project_id: int | None
    count: int = 0
    quiet_until: float = 0.0


class Refusals:
    """Takes a refusal in a microsecond; ``flush`` writes."""

    def __init__(self, database: Database, now: Callable[[], float] = clock.monotonic) -> None:
        self._database = database
        self._now = now
        self._refusals: dict[Hashable, _Refusal] = {}
        self._others = 0
        self._others_quiet_until = 0.0
        self._rows = float(MOST_PENDING)
        self._counted_at = now()

    def note(self, origin: Origin, area: str, project_id: int | None = None) -> None:
        """Count a refusal; the record has the user agent and the request id of the first."""
        key = (origin.client_address, origin.principal, area, project_id)
        refusal = self._refusals.get(key)
        if refusal is None:
            if len(self._refusals) >= MOST_PENDING:
                self._others += 1
                return
            refusal = self._refusals[key] = _Refusal(origin, area, project_id)
        elif not refusal.count:
            refusal.origin = origin
        refusal.count += 1

    async def flush(self) -> None:
        """Record what was refused."""
        now = self._now()
        named = [(refusal, refusal.count) for refusal in self._due(now)]
        others = self._others if self._others_quiet_until <= now else 0
        if not named and not others:
            return
        occurred_at = clock.now_us()
        rows = [journal.row_of(occurred_at, refusal.origin, _event(refusal, count)) for refusal, count in named]
        if others:
            event = AddressRefused(address="", area=SERVER, count=others)
            rows.append(journal.row_of(occurred_at, Origin("anonymous", "", "", ""), event))

        async def work(tx: Transaction) -> None:
            await journal.append_rows(tx, rows)

        await self._database.write(work, durable=False)
        # What was refused in the meantime stays counted.
        self._rows -= len(named)
        for refusal, count in named:
            refusal.count -= count
            refusal.quiet_until = now + QUIET_SECONDS
        if others:
            self._others -= others
            self._others_quiet_until = now + QUIET_SECONDS

    def _due(self, now: float) -> list[_Refusal]:
        """What gets a record of its own now; for the rest of what is due there are too many."""
        self._rows = min(float(MOST_PENDING), self._rows + (now - self._counted_at) * _ROWS_A_SECOND)
        self._counted_at = now
        self._forget(now)
        due = [refusal for refusal in self._refusals.values() if refusal.count and refusal.quiet_until <= now]
        for refusal in due[int(self._rows) :]:
            self._others += refusal.count
            refusal.count = 0
            refusal.quiet_until = now + QUIET_SECONDS
        return due[: int(self._rows)]

    def _forget(self, now: float) -> None:
        for key in [key for key, refusal in self._refusals.items() if not refusal.count and refusal.quiet_until <= now]:
            del self._refusals[key]


def _event(refusal: _Refusal, count: int) -> AddressRefused:
    return AddressRefused(
        address=refusal.origin.client_address, area=refusal.area, count=count, project_id=refusal.project_id
    )
