"""The one source of time.

Everything that asks for the time asks here, so that a test can move it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

now = time.time
"""Seconds since the epoch."""

monotonic = time.monotonic
"""Seconds of a clock that never goes back: for durations and time-outs."""


def now_us() -> int:
    """Microseconds since the epoch: how times are stored."""
    return time.time_ns() // 1000


def rfc3339(seconds: float) -> str:
    """``seconds`` since the epoch as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
