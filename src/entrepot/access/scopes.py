"""Scopes as the API writes them, with names of projects, and as they are kept, with ids.

An entry is Harbor's: ``{kind, namespace, access: [{resource, action, effect}]}``, and may hold patterns of
``repositories`` and ``tags`` besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from entrepot.access.model import PROJECT_SCOPE, SYSTEM_SCOPE, Grant, Rights, check_pattern, is_within
from entrepot.access.permissions import PROJECT_ADMIN, PROJECT_PERMISSIONS, SYSTEM_PERMISSIONS, Permission
from entrepot.access.store import reach
from entrepot.auth.model import Scope, ScopeEntry
from entrepot.database import Database
from entrepot.errors import InvalidInput, NotFound
from entrepot.projects import store as projects
from entrepot.projects.model import Project

SYSTEM_NAMESPACE = "/"
EVERY_PROJECT = "*"
MOST_ENTRIES = 1000
MOST_PATTERNS = 50

_GRANTABLE = {SYSTEM_SCOPE: frozenset(SYSTEM_PERMISSIONS), PROJECT_SCOPE: frozenset(PROJECT_PERMISSIONS)}

Entry = Mapping[str, Any]


class Scopes:
    """Translates scopes; rights are judged on ids, so that a project may be renamed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, entries: Sequence[Entry]) -> Scope:
        """What ``entries`` stand for.

        Raises:
            InvalidInput: an entry is not valid, or names a permission that cannot be given.
            NotFound: there is no such project.
        """
        if len(entries) > MOST_ENTRIES:
            raise refusal(f"At most {MOST_ENTRIES} entries of permissions are accepted.")
        found = await self._find({str(entry.get("namespace") or "") for entry in entries if _names_project(entry)})
        return tuple(_read(entry, found) for entry in entries)

    async def write(self, scope: Scope) -> list[dict[str, Any]]:
        """The entries for ``scope``, with the names that projects have now."""
        return (await self.write_all([scope]))[0]

    async def write_all(self, scopes: Sequence[Scope]) -> list[list[dict[str, Any]]]:
        """The entries for each of ``scopes``; what named a project that is gone is left out."""
        ids = {entry.project_id for scope in scopes for entry in scope if entry.project_id is not None}
        names = {project.id: project.name for project in await reach.projects_by_id(self._database, ids)}
        return [
            [
                _write(entry, names.get(entry.project_id, EVERY_PROJECT) if entry.project_id else EVERY_PROJECT)
                for entry in scope
                if entry.project_id is None or entry.project_id in names
            ]
            for scope in scopes
        ]

    async def _find(self, names: set[str]) -> dict[str, Project]:
        found = {project.name: project for project in await reach.projects_by_name(self._database, names)}
        for name in names - found.keys():
            project = await projects.find(self._database, name)  # it may be a former name
            if project is None:
                raise NotFound(f"There is no project {name[:255]!r}: permissions are given in one that exists.")
            found[name] = project
        return found


def _names_project(entry: Entry) -> bool:
    return entry.get("kind") == PROJECT_SCOPE and entry.get("namespace") != EVERY_PROJECT


def _read(entry: Entry, found: Mapping[str, Project]) -> ScopeEntry:
    kind, namespace = str(entry.get("kind") or ""), str(entry.get("namespace") or "")
    if kind not in _GRANTABLE:
        raise refusal(f"{kind[:64]!r} is not a kind of permissions: write system or project.")
    permissions = _read_access(kind, entry.get("access") or ())
    repositories, tags = entry.get("repositories") or (), entry.get("tags") or ()
    if kind == SYSTEM_SCOPE:
        if namespace not in {"", SYSTEM_NAMESPACE}:
            raise refusal(f"Permissions of kind system have the namespace {SYSTEM_NAMESPACE}.")
        if repositories or tags:
            raise refusal("Only permissions of kind project can be limited to repositories and tags.")
        return ScopeEntry(kind, permissions)
    project = found.get(namespace)
    return ScopeEntry(
        kind,
        permissions,
        project.id if project else None,
        check_patterns(repositories, namespace if project else ""),
        check_patterns(tags),
    )


def _read_access(kind: str, access: Iterable[Entry]) -> tuple[Permission, ...]:
    permissions: dict[Permission, None] = {}
    for item in access:
        permission = (str(item.get("resource") or ""), str(item.get("action") or ""))
        if item.get("effect") not in {None, "", "allow"}:
            raise refusal("Permissions can only be allowed: leave effect out, or write allow.")
        if permission not in _GRANTABLE[kind]:
            named = ":".join(permission)[:130]
            raise refusal(
                f"There is no permission {named} of kind {kind}: GET /permissions lists those that there are."
            )
        permissions[permission] = None
    if not permissions:
        raise refusal("An entry of permissions needs at least one access.")
    return tuple(permissions)


def _write(entry: ScopeEntry, project: str) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "namespace": SYSTEM_NAMESPACE if entry.kind == SYSTEM_SCOPE else project,
        "access": [
            {"resource": resource, "action": action, "effect": "allow"} for resource, action in entry.permissions
        ],
        "repositories": list(entry.repositories) or None,
        "tags": list(entry.tags) or None,
    }


def check_patterns(patterns: Sequence[str], project: str = "") -> tuple[str, ...]:
    """Patterns as they are stored, each once; see ``check_pattern``.

    Raises:
        InvalidInput: one is no pattern, or they are too many.
    """
    if len(patterns) > MOST_PATTERNS:
        raise refusal(f"At most {MOST_PATTERNS} patterns are accepted: use one that stands for several.")
    return tuple(dict.fromkeys(check_pattern(pattern, project) for pattern in patterns))


def describe(scope: Scope) -> tuple[str, ...]:
    """A scope for the journal: ``system:…`` or ``project/3:…``, then the permission."""
    places = (
        (entry, SYSTEM_SCOPE if entry.kind == SYSTEM_SCOPE else f"project/{entry.project_id or EVERY_PROJECT}")
        for entry in scope
    )
    return tuple(
        ":".join((place, *permission))
        + (f" in {' '.join(entry.repositories)}" if entry.repositories else "")
        + (f" on {' '.join(entry.tags)}" if entry.tags else "")
        for entry, place in places
        for permission in entry.permissions
    )


def covers(rights: Rights, wanted: Iterable[Grant]) -> bool:
    """Whether whoever has ``rights`` in a project may hand out ``wanted``: nobody can give more than they have.

    What an administrator of a project lacks by name but robot accounts can be given counts as held.
    """
    scope = tuple(
        ScopeEntry(
            PROJECT_SCOPE,
            tuple(sorted(grant.permissions & PROJECT_ADMIN.permissions)),
            None,
            grant.repositories,
            grant.tags,
        )
        for grant in wanted
    )
    held = rights.is_unlimited or is_within(scope, _as_scope(rights.grants))
    return held and (rights.within is None or is_within(scope, _as_scope(rights.within)))


def _as_scope(grants: Iterable[Grant]) -> Scope:
    return tuple(
        ScopeEntry(PROJECT_SCOPE, tuple(grant.permissions), None, grant.repositories, grant.tags) for grant in grants
    )


def refusal(message: str) -> InvalidInput:
    """A 400 of the REST API."""
    return InvalidInput(message, code="BAD_REQUEST")
