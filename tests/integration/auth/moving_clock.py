"""A clock that tests move."""

from __future__ import annotations

import time

import pytest

from entrepot.kit import clock


class MovingClock:
    """The wall clock, ahead by as much as was advanced."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        patch.setattr(clock, "now", lambda: time.time() + self.ahead)
        patch.setattr(clock, "now_us", lambda: int((time.time() + self.ahead) * 1_000_000))

    def advance(self, seconds: float) -> None:
        self.ahead += seconds
