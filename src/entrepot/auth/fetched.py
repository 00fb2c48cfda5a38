"""What somebody else keeps and a process may remember: fetched once for all who ask, and kept when they are away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from entrepot.errors import Unavailable
from entrepot.kit import clock

T = TypeVar("T")

_STALE_SECONDS = 86_400.0
_PAUSE_SECONDS = 10.0
_MOST_RENEWALS = 4.0
"""Out of turn, in a row: keys may change soon after somebody has made up names of some."""

log = structlog.get_logger()


class Fetched(Generic[T]):
    """The last value that ``fetch`` gave; it raises ``Unavailable`` when it cannot."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], *, fresh_seconds: float, renew_seconds: float = 30.0) -> None:
        """A value counts for ``fresh_seconds``; out of turn it is fetched once in ``renew_seconds``, four in a row."""
        self._fetch = fetch
        self._fresh_seconds = fresh_seconds
        self._renew_seconds = renew_seconds
        self._value: T | None = None
        self._fetched_at = 0.0
        self._failure: Unavailable | None = None
        self._failed_at = 0.0
        self._renewals = _MOST_RENEWALS
        self._renewed_at = 0.0
        self._running: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The value; an old one, for at most a day, if a new one cannot be had.

        Raises:
            Unavailable: there is none.
        """
        now = clock.monotonic()
        if self._value is not None and now - self._fetched_at < self._fresh_seconds:
            return self._value
        if self._failure is None or now - self._failed_at >= _PAUSE_SECONDS:
            try:
                return await self._load()
            except Unavailable as error:
                self._failure, self._failed_at = error, clock.monotonic()
                log.warning("an identity provider does not answer", error=error.message)
        if self._value is not None and now - self._fetched_at < _STALE_SECONDS:
            return self._value
        # A new exception each time: one that is raised again and again would gather tracebacks.
        raise type(self._failure)(self._failure.message)

    async def renew(self) -> bool:
        """Fetch again because something is missing; ``False`` if that was done a moment ago, or did not work.

        Whoever makes up names of keys must not make us hammer their keeper.
        """
        if self._running is None:
            now = clock.monotonic()
            earned = (now - self._renewed_at) / self._renew_seconds
            self._renewals, self._renewed_at = min(_MOST_RENEWALS, self._renewals + earned), now
            if self._renewals < 1:
                return False
            self._renewals -= 1
        try:
            await self._load()
        except Unavailable as error:
            log.warning("an identity provider's keys cannot be fetched again", error=error.message)
            return False
        return True

    async def _load(self) -> T:
        if self._running is None:
            self._running = asyncio.ensure_future(self._run())
            self._running.add_done_callback(_look_at)
        return await asyncio.shield(self._running)

    async def _run(self) -> T:
        try:
            value = await self._fetch()
            self._value, self._fetched_at, self._failure = value, clock.monotonic(), None
            return value
        finally:
            self._running = None


def _look_at(task: asyncio.Task[T]) -> None:
    """Whoever waited may have gone: a failure is not news then."""
    if not task.cancelled():
        task.exception()
