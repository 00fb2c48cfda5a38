"""Running the list: every check by itself, bounded in time, one run at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from entrepot.errors import ConfigError, EntrepotError
from entrepot.kit import clock
from entrepot.kit.finding import Check, Finding
from entrepot.system.assessment.model import Assessment, Skipped, TlsReport, in_order, unchecked

log = structlog.get_logger()

CHECK_SECONDS = 15.0
REMEMBER_SECONDS = 60.0

Tls = Callable[[], Awaitable[TlsReport | None]]


class Assessor:
    """Assesses one installation."""

    def __init__(self, checks: Sequence[Check], version: str, tls: Tls, *, seconds: float = CHECK_SECONDS) -> None:
        """``tls`` grades the connection; a check gets ``seconds``.

        Raises:
            ValueError: two checks have one id.
        """
        if len({check.id for check in checks}) != len(checks):
            raise ValueError("two checks have one id")
        self.checks = tuple(checks)
        self._version = version
        self._tls = tls
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._last: Assessment | None = None
        self._ended_at = 0.0

    async def assess(self) -> Assessment:
        """What is found now, or was within the last minute; whoever asks meanwhile waits for the same run."""
        async with self._lock:
            if self._last is None or clock.monotonic() - self._ended_at > REMEMBER_SECONDS:
                self._last = await self._run()
                self._ended_at = clock.monotonic()
            return self._last

    async def _run(self) -> Assessment:
        answers = await asyncio.gather(*(self._look(check) for check in self.checks))
        tls = await self._grade()
        found = [finding for answer in answers for finding in answer or ()]
        skipped = [
            Skipped(check.id, check.title) for check, answer in zip(self.checks, answers, strict=True) if answer is None
        ]
        return Assessment(
            version=self._version,
            assessed_at=clock.now(),
            checks=len(self.checks),
            findings=in_order(found),
            skipped=tuple(skipped),
            tls=tls,
        )

    async def _look(self, check: Check) -> Sequence[Finding] | None:
        try:
            async with asyncio.timeout(self._seconds):
                return await check.run()
        except TimeoutError:
            why = f"no answer within {self._seconds:g} seconds."
        except (EntrepotError, ConfigError) as error:
            why = str(error)
        except OSError as error:
            why = f"{error.filename or 'a file'}: {error.strerror or type(error).__name__}."
        except Exception as error:
            # Whatever is wrong with one check, the others are still worth having.
            log.exception("check failed", check=check.id)
            why = f"it failed ({type(error).__name__}); the log says more."
        return [unchecked(check, why)]

    async def _grade(self) -> TlsReport | None:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._tls()
        except Exception:  # noqa: BLE001 - the check of the grade tells what is wrong
            return None
