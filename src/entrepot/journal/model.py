"""What every recorded fact has in common."""

from __future__ import annotations

from typing import ClassVar

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fact in the past tense; its class name is its kind.

    An event with an ``operation`` is an audit record. The words are those of Harbor's audit log, where it has one.
    """

    operation: ClassVar[str] = ""
    """``create``, ``update``, ``delete``, ``pull``, ``login``, … ; empty: no audit record of its own."""
    resource_type: ClassVar[str] = ""
    is_refused: ClassVar[bool] = False
    """Whether it tells of something that was not allowed."""

    project_id: int | None = None

    @property
    def resource(self) -> str:
        """What it happened to, as people write it."""
        return ""


class Origin(msgspec.Struct, frozen=True):
    """Who caused a fact, and from where."""

    principal: str
    client_address: str
    user_agent: str
    request_id: str


SYSTEM = Origin("system", "", "", "")
"""What the registry does by itself."""
