"""The guardian of the doors: who is calling, and may they?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from entrepot.access import store
from entrepot.access.certificates import Certificates
from entrepot.access.errors import TokenNeeded
from entrepot.access.identity import Identifier
from entrepot.access.model import (
    API,
    CATALOG,
    LIST_REPOSITORIES,
    Places,
    Rights,
    decide_system,
    may_list,
    resource,
    rights_in,
)
from entrepot.access.permissions import Permission
from entrepot.access.refusals import PROJECT, Refusals
from entrepot.access.sessions import SESSION_COOKIE, SessionGuard
from entrepot.auth.model import Caller, Principal
from entrepot.database import Database
from entrepot.database.cache import VersionedCache
from entrepot.errors import Denied, NotAuthenticated, NotFound
from entrepot.journal.model import Origin
from entrepot.oci.name import RepositoryName
from entrepot.projects import store as projects
from entrepot.projects.model import Project
from entrepot.settings.service import Settings
from entrepot.web.exchange import Exchange
from entrepot.web.rule import Rule, system

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_READING = frozenset({"pull", "read", "list"})
_JUDGED_BY_PLACE = frozenset(
    {
        "repository",
        "artifact",
        "tag",
        "accessory",
        "artifact-addition",
        "artifact-label",
        "scan",
        "sbom",
        "member",
        "robot",
    }
)
"""What verbs judge once more when they know where; whatever else is changed concerns the whole project, so that rights
in some of its repositories are not enough."""
_WAYS_IN = frozenset({"configuration", "ldap-user", "member", "robot", "user", "user-group"})
"""With these whoever found a CLI secret could stay after it has ended."""
_CONFIGURE = system("configuration", "update")
"""Works in a read-only registry too: else nobody could end that."""


class AccessOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Rules of the house."""

    create_projects: bool = True
    """Whether an administrator's push may create the project that it names."""


class Guardian:
    """Identifies callers and judges what they may do; it is the ``Gate`` of the REST APIs too."""

    def __init__(
        self,
        database: Database,
        identifier: Identifier,
        sessions: SessionGuard,
        settings: Settings,
        options: AccessOptions,
        refusals: Refusals | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self._database = database
        self._refusals = refusals or Refusals(database)
        self._certificates = certificates
        self._settings = settings
        self._identifier = identifier
        self._sessions = sessions
        self._options = options
        self._rights: VersionedCache[Rights] = VersionedCache(database, 50_000)
        self._places: VersionedCache[Places] = VersionedCache(database, 100)

    # who is it?

    async def identify(
        self,
        authorization: str,
        *,
        client_address: str = "",
        user_agent: str = "",
        request_id: str = "",
        certificate: str = "",
    ) -> Caller:
        """The caller that an ``Authorization`` header, or else a client certificate, shows; anonymous without one.

        Raises:
            NotAuthenticated: the credential does not hold.
        """
        origin = Origin("", client_address, user_agent, request_id)
        return await self._identifier.identify(authorization, origin, certificate=certificate)

    def certified(self, exchange: Exchange) -> str:
        """The principal to whom the client certificate is mapped that a trusted proxy tells of; empty: to none.

        Raises:
            NotAuthenticated: the certificate has expired.
        """
        if self._certificates is None or not exchange.behind_proxy:
            return ""
        return self._certificates.principal_of(exchange) or ""

    async def admit(self, exchange: Exchange, rule: Rule, path: Mapping[str, str]) -> Caller:
        """See ``web.rule.Gate``: who calls a REST route, let in by its rule."""
        authorization = exchange.text(b"authorization")
        origin = Origin("", exchange.client_address, exchange.text(b"user-agent"), exchange.request_id)
        session = "" if authorization else exchange.cookie(SESSION_COOKIE)
        certificate = self.certified(exchange) if exchange.behind_proxy else ""
        caller = await self._identifier.identify(
            authorization, origin, session=session, certificate=certificate, is_rest=True
        )
        exchange.principal = caller.principal.name
        if exchange.budget is not None and caller.principal.id is not None:
            exchange.budget.charge(exchange, caller.principal.key)
        self._sessions.protect(exchange, caller)
        if caller.credential == "expired":
            raise NotAuthenticated("The token has expired: fetch a new one.")
        if exchange.method not in _SAFE and rule != _CONFIGURE:
            await self._refuse_when_read_only()
        if rule.scope != "anyone" and not _stands_for_owner(caller) and rule.scope != "repository":
            raise Denied("A token for repositories opens no other doors: use one without a scope, or a password.")
        if rule.scope == "login":
            self.require_login(caller)
        elif rule.scope == "system" and rule.permission:
            await self.require_system(caller, rule.permission)
        elif rule.scope in {"project", "repository"} and rule.permission:
            await self._require_on_path(exchange, caller, rule, rule.permission, path)
        return caller

    async def _require_on_path(
        self, exchange: Exchange, caller: Caller, rule: Rule, permission: Permission, path: Mapping[str, str]
    ) -> None:
        named = path.get("project_name_or_id") or path.get("project_name") or path.get("project_id") or ""
        by_name = "project_name" in path or exchange.text(b"x-is-resource-name").lower() == "true"
        project = await projects.find_by_reference(self._database, named, by_name=by_name)
        repository = path.get("repository_name")
        if repository is not None and not _stands_for_owner(caller):
            full = resource(f"{named}/{repository}")
            if caller.bound is None or full not in caller.bound:
                raise Denied(f"This token is not for {named}/{repository}.")
        where = f"{named}/{repository}" if repository else named
        opens_door = rule.opens_door and caller.principal.is_admin
        await self._require(caller, permission, project, repository, where, opens_door=opens_door)

    # may they?

    def require_login(self, caller: Caller) -> None:
        """Let in who is known.

        Raises:
            NotAuthenticated: nobody was named.
        """
        if caller.principal.is_anonymous:
            raise NotAuthenticated("Log in first.")

    async def require_system(self, caller: Caller, permission: Permission) -> None:
        """Let the caller do something to the whole registry.

        Raises:
            NotAuthenticated: nobody was named.
            Denied: this principal may not.
        """
        self.require_login(caller)
        _refuse_cli_secret(caller, permission)
        if not decide_system(caller.principal, permission):
            raise _denied(caller.principal, permission, "the registry")

    async def require_in_project(self, caller: Caller, permission: Permission, project_id: int) -> None:
        """Let the caller do something in a project, or raise as ``require_system``."""
        project = await projects.find_by_id(self._database, project_id)
        await self._require(caller, permission, project, None, f"project {project_id}")

    async def _require(
        self,
        caller: Caller,
        permission: Permission,
        project: Project | None,
        path: str | None,
        where: str,
        *,
        opens_door: bool = False,
    ) -> None:
        """Whoever may not see all projects must not learn which exist: ``where`` is what was asked for."""
        _refuse_cli_secret(caller, permission)
        if project is not None:
            rights = await self.rights(caller.principal, project)
            whole = path is None and permission[1] not in _READING and permission[0] not in _JUDGED_BY_PLACE
            if rights.allows_whole(permission) if whole else rights.allows(permission, path):
                if project.addresses is not None and not opens_door:
                    self._require_address(caller, project)
                return
        self.require_login(caller)
        if project is None and decide_system(caller.principal, ("project", "list")):
            raise NotFound(f"There is no {where}.")
        raise _denied(caller.principal, permission, where)

    def _require_address(self, caller: Caller, project: Project) -> None:
        """Let in by where the caller is, whoever it is; asked last, since only who has rights may know of the project.

        Raises:
            Denied: the project may not be used from there.
        """
        if project.addresses is None or project.addresses.lets(caller.client_address):
            return
        self._refusals.note(caller.origin, PROJECT, project.id)
        raise Denied(
            f"The project {project.name} may not be used from {caller.client_address or 'an unknown address'}: ask "
            "somebody who administers it."
        )

    async def rights(self, principal: Principal, project: Project) -> Rights:
        """All that a principal may do in a project, remembered until the next commit."""
        # Everything that the answer depends on, since a principal may have been read before the last commit.
        key = (principal, project.id, project.is_public)
        rights, version = self._rights.lookup(key)
        if rights is None:
            granted: Iterable[Any] = ()
            if principal.id is not None and not principal.is_robot:
                granted = await store.granted(self._database, project.id, principal.id)
            rights = rights_in(principal, project, granted)
            self._rights.fill(key, rights, version)
        return rights

    async def require(
        self,
        caller: Caller,
        permission: Permission,
        name: RepositoryName,
        project: Project | None,
        *,
        tags: Iterable[str | None] = (None,),
        expired_token_will_do: bool = False,
    ) -> None:
        """Let the caller use a ``permission`` in a repository of ``project`` (``None``: no such project), or raise.

        Args:
            caller: who asks.
            permission: what it takes; its action is the word for it in a token's scope.
            name: the repository.
            project: its project.
            tags: each must be allowed, where a grant is limited to tags.
            expired_token_will_do: for going on with what a token began.

        Raises:
            TokenNeeded: with other credentials, or a token for this repository, it could work.
            Denied: nothing would help.
        """
        action = permission[1]
        if action not in _READING:
            await self._refuse_when_read_only()
        if caller.credential == "expired" and not expired_token_will_do:
            raise TokenNeeded("The token has expired: fetch a new one.", _scope(name, action), "invalid_token")
        allowed = await self._allows(caller.principal, permission, name, project, tags)
        if allowed and (caller.bound is None or f"repository:{name.full}" in caller.bound):
            if project is not None and project.addresses is not None:
                self._require_address(caller, project)
            return
        if allowed or caller.principal.is_anonymous:
            raise TokenNeeded(
                f"You may not {action} here with these credentials: log in or fetch a token for this repository.",
                _scope(name, action),
                "insufficient_scope" if caller.credential else "",
            )
        raise Denied(
            f"{caller.principal.name} may not {action} in {name.full}: ask somebody who administers the project."
        )

    async def _refuse_when_read_only(self) -> None:
        if await self._settings.boolean("read_only"):
            raise Denied("The registry is read-only for now: nothing can be changed. Ask its operator.")

    async def may(self, caller: Caller, permission: Permission, name: RepositoryName, project: Project | None) -> bool:
        """Whether ``require`` would let the caller."""
        if caller.credential == "expired":
            return False
        if project is not None and project.addresses and not project.addresses.lets(caller.client_address):
            return False
        inside = caller.bound is None or f"repository:{name.full}" in caller.bound
        return inside and await self._allows(caller.principal, permission, name, project, (None,))

    def require_listing(self, caller: Caller) -> None:
        """Let the caller ask for the catalog, or raise ``TokenNeeded``."""
        if caller.credential != "expired" and may_list(caller.principal):
            if caller.bound is None or CATALOG in caller.bound:
                return
            reason = "insufficient_scope"
        else:
            reason = "invalid_token" if caller.credential == "expired" else ""
        raise TokenNeeded("Listing the catalog needs a login.", f"{CATALOG}:*", reason)

    async def _allows(
        self,
        principal: Principal,
        permission: Permission,
        name: RepositoryName,
        project: Project | None,
        tags: Iterable[str | None],
    ) -> bool:
        if project is None:
            # Only somebody who could make the project can do anything there.
            is_push = permission[1] == "push"
            may_create = principal.is_admin and decide_system(principal, ("project", "create"))
            return may_create and (not is_push or self._options.create_projects)
        return (await self.rights(principal, project)).allows(permission, name.path, tags)

    async def allowed(self, principal: Principal, permission: Permission, name: RepositoryName) -> bool:
        """Whether a principal holds a permission in a repository, whatever its credential is bound to."""
        project = await projects.find(self._database, name.project)
        return await self._allows(principal, permission, name, project, (None,))

    async def places(self, caller: Caller, permission: Permission = LIST_REPOSITORIES) -> Places:
        """Where the caller holds a permission, for lists over projects.

        Raises:
            Denied: the caller's token is for certain repositories only.
        """
        principal = caller.principal
        if not _stands_for_owner(caller) and CATALOG not in (caller.bound or ()):
            raise Denied("A token for repositories opens no other doors: use one without a scope, or a password.")
        if principal.scope is None and (
            principal.is_admin or (principal.is_auditor and permission[1] in {"list", "read"})
        ):
            return Places(everywhere=True)
        key = (principal, permission)
        places, version = self._places.lookup(key)
        if places is None:
            places = await self._find_places(principal, permission)
            self._places.fill(key, places, version)
        return places.seen_from(caller.client_address) if places.guarded else places

    async def _find_places(self, principal: Principal, permission: Permission) -> Places:
        granted: Mapping[int, Iterable[Any]] = {}
        if principal.id is not None and not principal.is_robot:
            granted = await store.granted_everywhere(self._database, principal.id)
        found = {}
        names = {}
        guarded = {}
        for project in await store.reachable(self._database, principal):
            patterns = rights_in(principal, project, granted.get(project.id, ())).patterns(permission)
            if patterns:
                found[project.id] = patterns
                names[project.id] = project.name
                if project.addresses is not None:
                    guarded[project.id] = project.addresses
        return Places(projects=found, names=names, guarded=guarded)


def _stands_for_owner(caller: Caller) -> bool:
    """Whether the credential is as good as the caller itself: anything but a token for certain repositories."""
    return caller.principal.is_anonymous or caller.bound is None or API in caller.bound


def _refuse_cli_secret(caller: Caller, permission: Permission) -> None:
    if caller.credential == "cli-secret" and permission[0] in _WAYS_IN and permission[1] not in _READING:
        raise Denied(
            f"A CLI secret, or a token fetched with it, may not {permission[1]} {permission[0]}: log in in a browser, "
            "or use a personal access token.",
            code="FORBIDDEN",
        )


def _denied(principal: Principal, permission: Permission, where: str) -> Denied:
    resource, action = permission
    return Denied(f"{principal.name} may not {action} {resource} in {where}: ask somebody who administers it.")


def _scope(name: RepositoryName, action: str) -> str:
    actions = "pull,push" if action == "push" else action
    return f"repository:{name.full}:{actions}"
