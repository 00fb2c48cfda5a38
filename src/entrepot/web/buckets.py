"""Token buckets: who asks faster than a rate has to wait, and whoever waited may catch up.

A bucket is held as one number, the time at which it is full again (the generic cell rate algorithm), so that an
address costs some 150 bytes and one that is full costs nothing: it is forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from operator import itemgetter

import msgspec

from entrepot.kit import clock
from entrepot.web.rates import Rate

MOST_BUCKETS = 32_768
"""Buckets that are kept: about 5 MB."""

_SWEEP_SECONDS = 60.0
_ALMOST = 1e-6
"""Of one token: what rounding may take away."""


class Level(msgspec.Struct, frozen=True, gc=False):
    """A bucket after a request asked for a token."""

    remaining: int
    """Requests that would be let now."""
    full_in: int
    """Seconds, rounded up, until the bucket is full."""
    wait: int = 0
    """Seconds, rounded up, until a request is let; 0: this one was."""


class TokenBuckets:
    """One bucket a key, all of one rate."""

    def __init__(
        self,
        rate: Rate,
        *,
        shares: int = 1,
        most: int = MOST_BUCKETS,
        now: Callable[[], float] = clock.monotonic,
    ) -> None:
        """``shares`` processes divide the rate, each with at least one request a period; ``now`` gives seconds."""
        requests = max(1.0, rate.requests / shares)
        self.requests = int(requests)
        """Requests that a full bucket lets at once."""
        self.seconds = rate.seconds
        """In which an empty bucket becomes full."""
        self._interval = rate.seconds / requests
        self._most = most
        self._now = now
        self._full_at: dict[Hashable, float] = {}
        self._sweep_at = 0.0

    def __len__(self) -> int:
        """How many buckets are kept."""
        return len(self._full_at)

    def take(self, key: Hashable) -> Level:
        """Take a token out of the bucket of ``key``, if there is one; a refusal takes nothing."""
        now = self._now()
        if now >= self._sweep_at:
            self._sweep(now)
        interval = self._interval
        full_at = max(self._full_at.get(key, 0.0), now) + interval
        over = full_at - now - self.seconds
        if over > interval * _ALMOST:
            return Level(0, math.ceil(full_at - interval - now), max(1, math.ceil(over)))
        if len(self._full_at) >= self._most and key not in self._full_at:
            self._sweep(now)
            self._make_room()
        self._full_at[key] = full_at
        return Level(int(-over / interval + _ALMOST), math.ceil(full_at - now))

    def _sweep(self, now: float) -> None:
        """Forget the buckets that are full."""
        self._sweep_at = now + _SWEEP_SECONDS
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}

    def _make_room(self) -> None:
        """Of too many addresses at once forget the fuller half: an abuser stays known, the others lose nothing."""
        if len(self._full_at) * 4 > self._most * 3:
            emptiest = sorted(self._full_at.items(), key=itemgetter(1), reverse=True)[: self._most // 2]
            self._full_at = dict(emptiest)
