"""What a REST route asks of whoever calls it: data beside the route, so that a table of all routes can be checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from entrepot.web.exchange import Exchange

Permission = tuple[str, str]


class Rule(msgspec.Struct, frozen=True):
    """Who may call a route.

    ``scope`` says where the permission must be held:

    * ``anyone``: no right is needed; the answer holds what the caller may see
    * ``login``: somebody who is known, by whatever credential
    * ``system``: the permission over the whole registry
    * ``project``: the permission in the project that the path names
    * ``repository``: the permission in the repository that the path names
    * ``verb``: the place is known only after reading; the verb itself asks for the permission
    """

    scope: str
    permission: Permission | None = None
    opens_door: bool = False
    """Whether an administrator of the system may call it from an address that the project does not let in."""

    def __str__(self) -> str:
        return f"{self.scope}: {':'.join(self.permission)}" if self.permission else self.scope


ANYONE = Rule("anyone")
LOGIN = Rule("login")


def system(resource: str, action: str) -> Rule:
    """The permission over the whole registry."""
    return Rule("system", (resource, action))


def project(resource: str, action: str, *, opens_door: bool = False) -> Rule:
    """The permission in the project that the path names (``project_name`` or ``project_name_or_id``)."""
    return Rule("project", (resource, action), opens_door)


def repository(resource: str, action: str) -> Rule:
    """The permission in the repository that the path names (``project_name`` and ``repository_name``)."""
    return Rule("repository", (resource, action))


def verb(resource: str, action: str) -> Rule:
    """The permission, asked for by the verb once it knows where."""
    return Rule("verb", (resource, action))


class Gate(Protocol):
    """Identifies a caller and lets it in, or raises; the access floor is one."""

    async def admit(self, exchange: Exchange, rule: Rule, path: Mapping[str, str]) -> Any:
        """The caller (``auth.model.Caller``) of a request to a route with ``rule``.

        Raises:
            NotAuthenticated: nobody was named, and somebody must be.
            Denied: the caller may not.
            NotFound: what the path names is not there, or the caller may not know of it.
        """

    async def require_system(self, caller: Any, permission: Permission) -> None:
        """Let a caller do something to the whole registry, or raise as ``admit``; for routes whose rule is ``verb``."""

    async def require_in_project(self, caller: Any, permission: Permission, project_id: int) -> None:
        """Let a caller do something in a project, or raise as ``admit``; for routes whose rule is ``verb``."""
