"""Fields that several of the routes of this slice take, and how times are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from pydantic import AfterValidator, Field

from entrepot.auth.strength import LONGEST_PASSWORD
from entrepot.kit.listing import Condition, Listing

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def storable(text: str) -> str:
    """``text``, if a text column takes it."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("NUL and halves of surrogate pairs cannot be stored")
    return text


Word = Annotated[str, Field(max_length=255), AfterValidator(storable)]
"""A name or another short text."""
Secret = Annotated[str, Field(max_length=LONGEST_PASSWORD), AfterValidator(storable)]
"""A password."""


def moment(microseconds: int) -> datetime:
    """A stored time as it is answered."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds(time: datetime) -> int:
    """A time as it is stored; without an offset it is UTC."""
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def containing(listing: Listing, **parts: str) -> Listing:
    """``listing`` with only the rows whose fields contain ``parts``; an empty part asks for nothing."""
    more = tuple(Condition(key, "fuzzy", (part,)) for key, part in parts.items() if part)
    return msgspec.structs.replace(listing, conditions=(*listing.conditions, *more))
