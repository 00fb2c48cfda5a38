"""A small mapping whose entries end: bounded, least recently added goes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class ExpiringMap(Generic[K, V]):
    """At most ``capacity`` entries, each until its own deadline (seconds of ``clock``)."""

    __slots__ = ("_capacity", "_clock", "_entries")

    def __init__(self, capacity: int, clock: Callable[[], float]) -> None:
        self._capacity = capacity
        self._clock = clock
        self._entries: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> V | None:
        """The value, unless its deadline has passed."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            del self._entries[key]
            return None
        return entry[1]

    def put(self, key: K, value: V, deadline: float) -> None:
        """Keep ``value`` until ``deadline``; the oldest entry makes room."""
        self._entries.pop(key, None)
        while len(self._entries) >= self._capacity:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (deadline, value)

    def discard(self, key: K) -> None:
        """Forget ``key`` if it is there."""
        self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)
