"""A cache that cannot be stale: it forgets everything once anybody has committed."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from entrepot.database.engine import Database

V = TypeVar("V")


class VersionedCache(Generic[V]):
    """Values read from the database, valid while its version stays the same.

    A fill must take the version *before* its query (``lookup`` does): what was read may be newer than that
    version, never older, so the next commit always clears it.
    """

    __slots__ = ("_capacity", "_database", "_entries", "_version", "_weight")

    def __init__(self, database: Database, capacity: int) -> None:
        """``capacity`` bounds the sum of the entries' weights."""
        self._database = database
        self._capacity = capacity
        self._entries: dict[Hashable, V] = {}
        self._version = b""
        self._weight = 0

    def lookup(self, key: Hashable) -> tuple[V | None, bytes]:
        """The value for ``key`` if it is still true, and the version to hand to ``fill``."""
        version = self._database.version()
        if version != self._version:
            self._entries.clear()
            self._weight = 0
            self._version = version
            return None, version
        return self._entries.get(key), version

    def fill(self, key: Hashable, value: V, version: bytes, weight: int = 1) -> None:
        """Keep ``value``, which was read after ``version`` was seen."""
        if version != self._version or weight > self._capacity:
            return
        if self._weight + weight > self._capacity:
            self._entries.clear()
            self._weight = 0
        self._entries[key] = value
        self._weight += weight
