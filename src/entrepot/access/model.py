"""Rights and scopes, decided without I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from entrepot.access.permissions import PROJECT_ADMIN, PUBLIC, READING, Permission
from entrepot.auth.model import Principal, Scope
from entrepot.errors import InvalidInput
from entrepot.journal.model import Event
from entrepot.kit.networks import AddressRules
from entrepot.oci.name import parse_name
from entrepot.projects.model import Project

PULL: Permission = ("repository", "pull")
PUSH: Permission = ("repository", "push")
DELETE_ARTIFACT: Permission = ("artifact", "delete")
DELETE_TAG: Permission = ("tag", "delete")
LIST_REPOSITORIES: Permission = ("repository", "list")

ACTIONS = {"pull": PULL, "push": PUSH, "delete": DELETE_ARTIFACT}
"""The actions of a token's scope, and the permissions that they stand for."""

SYSTEM_SCOPE = "system"
PROJECT_SCOPE = "project"

_LONGEST_PATTERN = 255
_LITERAL = re.compile(r"[A-Za-z0-9._/-]*")

CATALOG = "registry:catalog"
API = "api:*"
"""In a token that was fetched without a scope: on the REST API it stands for its owner."""

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


class Grant(msgspec.Struct, frozen=True):
    """Permissions in a project, maybe only in some of its repositories, maybe only on some tags."""

    permissions: frozenset[Permission]
    repositories: tuple[str, ...] = ()
    """Patterns of paths inside the project; empty: every repository."""
    tags: tuple[str, ...] = ()
    """Patterns for what is done to tags; empty: every tag."""

    def allows(self, permission: Permission, path: str | None, tag: str | None) -> bool:
        """Whether this alone is enough; ``None`` for a path or a tag asks "anywhere?"."""
        if permission not in self.permissions:
            return False
        if self.repositories and path is not None and not any(matches(p, path) for p in self.repositories):
            return False
        return not (self.tags and tag is not None and not any(matches(p, tag) for p in self.tags))

    def is_whole(self, permission: Permission) -> bool:
        """Whether this holds a permission in the whole project."""
        return permission in self.permissions and not self.repositories and not self.tags


class Rights(msgspec.Struct, frozen=True):
    """All that a principal may do in one project."""

    grants: tuple[Grant, ...] = ()
    is_unlimited: bool = False
    within: tuple[Grant, ...] | None = None
    """What the credential is limited to; ``None``: nothing."""

    def allows(self, permission: Permission, path: str | None = None, tags: Iterable[str | None] = (None,)) -> bool:
        """Whether ``permission`` is held for a repository's ``path``, on each of ``tags``."""
        return all(self._allows(permission, path, tag) for tag in tags)

    def _allows(self, permission: Permission, path: str | None, tag: str | None) -> bool:
        if not self.is_unlimited and not any(grant.allows(permission, path, tag) for grant in self.grants):
            return False
        return self.within is None or any(grant.allows(permission, path, tag) for grant in self.within)

    def allows_whole(self, permission: Permission) -> bool:
        """Whether ``permission`` is held in the whole project, not only for some repositories or tags."""
        held = self.is_unlimited or any(grant.is_whole(permission) for grant in self.grants)
        return held and (self.within is None or any(grant.is_whole(permission) for grant in self.within))

    def patterns(self, permission: Permission) -> tuple[tuple[str, ...] | None, ...]:
        """Where ``permission`` is held, for lists: each entry is patterns of which one must match (``None``: all do).

        A repository belongs on the list when every entry lets it; no entry at all means nothing is held.
        """
        held = (None,) if self.is_unlimited else _where(self.grants, permission)
        limit = (None,) if self.within is None else _where(self.within, permission)
        return (*held, *limit) if held and limit else ()


def _where(grants: tuple[Grant, ...], permission: Permission) -> tuple[tuple[str, ...] | None, ...]:
    """One entry with the patterns of all grants that hold ``permission``, or none."""
    holding = [grant for grant in grants if permission in grant.permissions]
    if not holding:
        return ()
    if any(not grant.repositories for grant in holding):
        return (None,)
    return (tuple(dict.fromkeys(pattern for grant in holding for pattern in grant.repositories)),)


NOTHING = Rights()
EVERYTHING = Rights(is_unlimited=True)


class Places(msgspec.Struct, frozen=True):
    """Where a principal holds a permission, for lists over projects."""

    everywhere: bool = False
    projects: dict[int, tuple[tuple[str, ...] | None, ...]] = {}
    """By id of the project: what ``Rights.patterns`` says."""
    names: dict[int, str] = {}
    """The projects' names, by id."""
    guarded: dict[int, AddressRules] = {}
    """Those of them that may not be used from everywhere, by id."""
    hidden: tuple[int, ...] = ()
    """Those that were left out for where the caller is."""

    def seen_from(self, address: str) -> Places:
        """The places but for the projects that may not be used from ``address``."""
        hidden = {id_ for id_, rules in self.guarded.items() if not rules.lets(address)}
        if not hidden:
            return self
        kept = {id_: patterns for id_, patterns in self.projects.items() if id_ not in hidden}
        return Places(projects=kept, names={id_: self.names[id_] for id_ in kept}, hidden=tuple(hidden))


def rights_in(
    principal: Principal,
    project: Project,
    granted: Iterable[tuple[frozenset[Permission], tuple[str, ...], tuple[str, ...]]],
) -> Rights:
    """What ``principal`` may do in ``project``.

    Args:
        principal: who asks.
        project: where.
        granted: the permissions, repository patterns and tag patterns of the roles that a user has there.
    """
    grants = [Grant(PUBLIC)] if project.is_public else []
    if principal.is_robot:
        return Rights((*grants, *scope_in(principal.scope or (), project.id)))
    if principal.is_anonymous:
        return Rights(tuple(grants))
    if principal.is_auditor:
        grants.append(Grant(_AUDITOR))
    grants += [Grant(*parts) for parts in granted]
    within = None
    if principal.scope is not None:
        within = (*scope_in(principal.scope, project.id), *([Grant(PUBLIC)] if project.is_public else []))
    return Rights(tuple(grants), is_unlimited=principal.is_admin, within=within)


_AUDITOR = frozenset(permission for permission in PROJECT_ADMIN.permissions if permission[1] in READING)


def scope_in(scope: Scope, project_id: int) -> tuple[Grant, ...]:
    """The part of a robot's or a token's scope that counts in a project."""
    return tuple(
        Grant(frozenset(entry.permissions), entry.repositories, entry.tags)
        for entry in scope
        if entry.kind == PROJECT_SCOPE and entry.project_id in (None, project_id)
    )


def decide_system(principal: Principal, permission: Permission) -> bool:
    """Whether ``principal`` holds a permission over the whole registry."""
    in_scope = principal.scope is None or any(
        entry.kind == SYSTEM_SCOPE and permission in entry.permissions for entry in principal.scope
    )
    if principal.is_robot:
        return principal.scope is not None and in_scope
    if principal.is_admin:
        return in_scope
    return principal.is_auditor and permission[1] in READING and in_scope


def is_within(scope: Scope, limit: Scope) -> bool:
    """Whether nothing in ``scope`` goes beyond ``limit``: a robot account makes others with at most its own rights."""
    return all(
        any(
            outer.kind == entry.kind
            and permission in outer.permissions
            and outer.project_id in (None, entry.project_id)
            and _narrower(entry.repositories, outer.repositories)
            and _narrower(entry.tags, outer.tags)
            for outer in limit
        )
        for entry in scope
        for permission in entry.permissions
    )


def _narrower(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    return not outer or (bool(inner) and all(_covers(outer, pattern) for pattern in inner))


def _covers(outer: tuple[str, ...], pattern: str) -> bool:
    return any(
        pattern == wide
        or (wide.endswith("**") and pattern.startswith(wide[:-2]))
        or ("*" not in pattern and matches(wide, pattern))
        for wide in outer
    )


def check_pattern(text: str, project: str = "") -> str:
    """A pattern of repositories or tags as it is stored: a literal, or a literal prefix with ``*`` or ``**``.

    ``*`` stands for anything without a slash, ``**`` for anything. A pattern of repositories may begin with the name
    of its ``project``, which is taken off: a project may be renamed.

    Raises:
        InvalidInput: it is something else.
    """
    pattern = text.removeprefix(f"{project}/") if project else text
    literal = pattern.removesuffix("**") if pattern.endswith("**") else pattern.removesuffix("*")
    if not pattern or len(pattern) > _LONGEST_PATTERN or not _LITERAL.fullmatch(literal):
        raise InvalidInput(
            f"{text[:_LONGEST_PATTERN]!r} is not a pattern: write a name, or the beginning of names with * or ** at "
            "its end, such as backend/* or release-*.",
            code="BAD_REQUEST",
        )
    return pattern


def matches(pattern: str, text: str) -> bool:
    """Whether ``text`` is among what ``pattern`` stands for."""
    if pattern.endswith("**"):
        return text.startswith(pattern[:-2])
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1]) and "/" not in text[len(pattern) - 1 :]
    return pattern == text


def may_list(principal: Principal) -> bool:
    """Whether ``principal`` may ask for the catalog, which then holds what it may pull."""
    return not principal.is_anonymous


def resource(name: str) -> str | None:
    """How a token's bound names the repository ``name``; ``None`` if that is no repository name."""
    try:
        return f"repository:{parse_name(name).full}"
    except InvalidInput:
        return None


class TokenRefused(Event, frozen=True, kw_only=True):
    """A token was asked for rights that the caller does not have."""

    operation = "token"
    resource_type = "scope"
    is_refused = True
    scopes: tuple[str, ...]

    @property
    def resource(self) -> str:
        """The first scope."""
        return self.scopes[0]
