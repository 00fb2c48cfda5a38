"""What a list request asks for: which rows, in which order, which page of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec

Kind = Literal["exact", "fuzzy", "range", "any", "all"]


class Condition(msgspec.Struct, frozen=True):
    """One demand on one field.

    ``values`` are texts as the client wrote them, without their quotes; the field's type reads them later.
    ``exact`` and ``fuzzy`` hold one. ``range`` holds the least and the greatest, ``None`` on an open side.
    ``any`` (the field is one of them; possibly none at all) and ``all`` (the field holds each of them) hold a list.
    """

    key: str
    kind: Kind
    values: tuple[str | None, ...]

    @property
    def value(self) -> str:
        """The first value; empty where there is none."""
        return (self.values[0] if self.values else None) or ""


class SortKey(msgspec.Struct, frozen=True):
    """One field to order by."""

    key: str
    descending: bool = False


class Listing(msgspec.Struct, frozen=True):
    """A page, counted from 1, of the rows that meet every condition, ordered by ``sort``."""

    page: int = 1
    page_size: int = 10
    conditions: tuple[Condition, ...] = ()
    sort: tuple[SortKey, ...] = ()

    @property
    def offset(self) -> int:
        """How many rows come before the page."""
        return (self.page - 1) * self.page_size

    @property
    def limit(self) -> int:
        """How many rows the page holds at most."""
        return self.page_size

    def about(self, keys: Collection[str]) -> tuple[Condition, ...]:
        """The conditions on ``keys``: for what a column cannot answer, such as ``tags=nil`` or ``labels=(1 2)``."""
        return tuple(condition for condition in self.conditions if condition.key in keys)
