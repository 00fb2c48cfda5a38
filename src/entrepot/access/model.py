"""Rights and scopes, decided without I/O."""

from __future__ import annotations

import re

import msgspec

from entrepot.auth.model import Principal
from entrepot.errors import InvalidInput
from entrepot.oci.name import parse_name
from entrepot.projects.model import Project

PULL = "pull"
PUSH = "push"
DELETE = "delete"
ACTIONS = (PULL, PUSH, DELETE)

CATALOG = "registry:catalog"

# type, or type(class), then a name that may hold a host with a port, then the actions (protocol: "Token Scope").
_SCOPE = re.compile(r"([a-z0-9]+)(?:\([a-z0-9]+\))?:(.+):([^:]*)")


class Access(msgspec.Struct, frozen=True):
    """One entry of a token's ``access`` claim."""

    type: str
    name: str
    actions: tuple[str, ...]


def parse_scopes(texts: list[str]) -> list[Access]:
    """Scopes as clients write them: repeated, or several in one value; what cannot be read is left out."""
    scopes: dict[tuple[str, str], Access] = {}
    for text in " ".join(texts).split():
        matched = _SCOPE.fullmatch(text)
        if matched:
            kind, name, actions = matched.groups()
            scopes[kind, name] = Access(kind, name, tuple(filter(None, actions.split(","))))
    return list(scopes.values())


def decide(principal: Principal, project: Project | None, action: str, *, may_create: bool) -> bool:
    """Whether ``principal`` may do ``action`` in the repositories of ``project``.

    ``project`` is ``None`` when there is none of that name: then only somebody who may create projects
    (``may_create``) can do anything there.
    """
    if project is None:
        return principal.is_admin and (action != PUSH or may_create)
    if principal.is_admin:
        return True
    return action == PULL and project.is_public


def may_list(principal: Principal) -> bool:
    """Whether ``principal`` may ask for the catalog, which then holds what it may pull."""
    return not principal.is_anonymous


def resource(name: str) -> str | None:
    """How a token's bound names the repository ``name``; ``None`` if that is no repository name."""
    try:
        return f"repository:{parse_name(name).full}"
    except InvalidInput:
        return None
