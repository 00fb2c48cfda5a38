"""What a project is."""

from __future__ import annotations

import msgspec

from entrepot.journal.model import Event


class Project(msgspec.Struct, frozen=True):
    """A tenant: everything below its name belongs to it."""

    id: int
    name: str
    is_public: bool


class ProjectCreated(Event, frozen=True, kw_only=True):
    """A project came to be, by request or by a first push."""

    project: str
    is_public: bool


class ProjectVisibilityChanged(Event, frozen=True, kw_only=True):
    """A project became public or private."""

    project: str
    is_public: bool
