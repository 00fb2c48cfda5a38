"""Readiness: every component proves that it works, at most once a second however often it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from entrepot.errors import EntrepotError
from entrepot.kit import clock

Probe = Callable[[], Awaitable[None]]

_REMEMBER_SECONDS = 1.0
_PROBE_SECONDS = 10.0


class Health(msgspec.Struct, frozen=True):
    """``status`` is ``ready``, ``draining`` or ``unhealthy``; ``components`` say why."""

    status: str
    components: dict[str, str]

    @property
    def is_ready(self) -> bool:
        """Whether requests may be sent here."""
        return self.status == "ready"


class HealthChecker:
    """Asks the components that were contributed."""

    def __init__(self, components: Mapping[str, Probe]) -> None:
        self._components = components
        self._last: Health | None = None
        self._checked_at = 0.0
        self._lock = asyncio.Lock()
        self.is_draining = False
        """Set when the process is about to stop: load balancers then send requests elsewhere."""

    async def check(self) -> Health:
        """The health now, or a moment ago."""
        if self.is_draining:
            return Health("draining", {})
        async with self._lock:
            if self._last is None or clock.monotonic() - self._checked_at > _REMEMBER_SECONDS:
                components = {name: await _ask(probe) for name, probe in self._components.items()}
                is_well = all(answer == "ok" for answer in components.values())
                self._last = Health("ready" if is_well else "unhealthy", components)
                self._checked_at = clock.monotonic()
            return self._last


async def _ask(probe: Probe) -> str:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await probe()
    except TimeoutError:
        return f"no answer within {_PROBE_SECONDS:g} seconds"
    except EntrepotError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a component, it is the answer
        return f"failed: {error}"
    return "ok"
