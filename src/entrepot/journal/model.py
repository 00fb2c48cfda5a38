"""What every recorded fact has in common."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact in the past tense; its class name is its kind."""


class Origin(msgspec.Struct, frozen=True):
    """Who caused a fact, and from where."""

    principal: str
    client_address: str
    user_agent: str
    request_id: str


SYSTEM = Origin("system", "", "", "")
"""What the registry does by itself."""
