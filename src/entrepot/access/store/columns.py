"""What columns of JSON hold: permissions and patterns."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from entrepot.access.permissions import Permission


@lru_cache(maxsize=4096)
def read_permissions(encoded: bytes) -> frozenset[Permission]:
    """Pairs of resource and action."""
    return frozenset(msgspec.json.decode(encoded, type=tuple[Permission, ...]))


@lru_cache(maxsize=4096)
def read_patterns(encoded: bytes) -> tuple[str, ...]:
    """Patterns of repositories or of tags."""
    return msgspec.json.decode(encoded, type=tuple[str, ...])


def write_permissions(permissions: Iterable[Permission]) -> bytes:
    """The column for pairs of resource and action."""
    return msgspec.json.encode(sorted(permissions))


def write_patterns(patterns: Iterable[str]) -> bytes:
    """The column for patterns."""
    return msgspec.json.encode(list(patterns))
