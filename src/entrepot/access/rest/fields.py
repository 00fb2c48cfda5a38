"""Fields and parameters that several of the routes of this slice take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from entrepot.access.permissions import Permission
from entrepot.web.rest import Body

LARGEST = 2**53
"""Whole numbers up to here are exact in every JSON reader."""


def _no_nul(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("NUL and halves of surrogate pairs cannot be stored")
    return text


Word = Annotated[str, Field(max_length=255), AfterValidator(_no_nul)]
"""A name or another short text."""
Prose = Annotated[str, Field(max_length=1024), AfterValidator(_no_nul)]
"""A description."""
Number = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Patterns = Annotated[list[Word], Field(max_length=50)]
"""Names, or beginnings of names with ``*`` or ``**`` at their end."""


class PermissionBody(Body):
    """Something that can be done to a kind of thing."""

    resource: Word
    action: Word

    @property
    def permission(self) -> Permission:
        """As rights hold it."""
        return self.resource, self.action


def permission_bodies(permissions: Sequence[Permission]) -> list[PermissionBody]:
    """Permissions as they are answered."""
    return [PermissionBody(resource=resource, action=action) for resource, action in permissions]
