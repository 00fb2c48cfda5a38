"""The REST APIs, put together: which slice answers what. Loaded after the data plane, since FastAPI takes its time."""

from __future__ import annotations

from typing import Any

import msgspec

from entrepot import __version__
from entrepot.access.members import Members
from entrepot.access.permits import Permits
from entrepot.access.rest.members import MemberRoutes
from entrepot.access.rest.permissions import PermissionRoutes
from entrepot.access.rest.robots import RobotRoutes
from entrepot.access.rest.roles import RoleRoutes
from entrepot.access.rest.trusts import TrustRoutes
from entrepot.access.robot_secrets import RobotSecrets
from entrepot.access.robots import RobotAccounts
from entrepot.access.roles import Roles
from entrepot.access.scopes import Scopes
from entrepot.access.service import Guardian
from entrepot.access.sight import Sight
from entrepot.access.trusts import RobotTrusts
from entrepot.audit.http import AuditRoutes
from entrepot.audit.service import AuditLog
from entrepot.auth.accounts import Accounts
from entrepot.auth.cli_secrets import CliSecrets
from entrepot.auth.directory import Directory
from entrepot.auth.groups import Groups
from entrepot.auth.http.cli_secrets import CliSecretRoutes
from entrepot.auth.http.identity_providers import IdentityProviderRoutes
from entrepot.auth.http.ldap import LdapRoutes
from entrepot.auth.http.oidc_ping import OidcPing
from entrepot.auth.http.routes import UserRoutes
from entrepot.auth.identities import Identities
from entrepot.auth.identity_providers import IdentityProviders
from entrepot.auth.personal_tokens import PersonalTokens
from entrepot.auth.service import Users
from entrepot.auth.workload import Workloads
from entrepot.database import Database
from entrepot.projects.http.labels import LabelRoutes
from entrepot.projects.http.networks import NetworkRoutes
from entrepot.projects.http.projects import MetadataRoutes, ProjectRoutes
from entrepot.projects.http.quotas import QuotaRoutes
from entrepot.projects.labels import Labels
from entrepot.projects.networks import ProjectNetworks
from entrepot.projects.quota_list import QuotaSettings
from entrepot.projects.service import Projects
from entrepot.registry.listing.additions import Additions
from entrepot.registry.listing.artifacts import Artifacts
from entrepot.registry.listing.attributes import AttributeReader
from entrepot.registry.listing.contents import ProjectContents
from entrepot.registry.listing.labels import ArtifactLabels
from entrepot.registry.listing.repositories import RepositoryLists
from entrepot.registry.listing.search import Search
from entrepot.registry.manifests import Manifests
from entrepot.registry.repositories import Repositories
from entrepot.registry.rest.additions import AdditionRoutes
from entrepot.registry.rest.artifacts import ArtifactRoutes
from entrepot.registry.rest.repositories import RepositoryRoutes
from entrepot.registry.rest.search import SearchRoutes
from entrepot.registry.rest.tags import TagRoutes
from entrepot.registry.tags import Tags
from entrepot.settings.service import Settings
from entrepot.storage.verified import VerifiedStore
from entrepot.system.assessment.rest import AssessmentRest
from entrepot.system.assessment.service import Assessor
from entrepot.system.health import HealthChecker
from entrepot.system.info import SystemFacts, SystemInformation
from entrepot.system.rest import SystemRest
from entrepot.web.api import RestApi
from entrepot.web.rest import Route

HARBOR_PREFIX = "/api/v2.0"
OWN_PREFIX = "/api/entrepot/v1"


class Pieces(msgspec.Struct, frozen=True, kw_only=True):
    """What one process's share of the registry is made of, as far as REST asks for it."""

    database: Database
    content: VerifiedStore
    settings: Settings
    guardian: Guardian
    users: Users
    groups: Groups
    personal_tokens: PersonalTokens
    workloads: Workloads
    directory: Directory
    accounts: Accounts
    cli_secrets: CliSecrets
    identities: Identities
    providers: IdentityProviders
    repositories: Repositories
    manifests: Manifests
    tags: Tags
    health: HealthChecker
    facts: SystemFacts
    assessor: Assessor


class RestApis:
    """Harbor's API and our own additions to it."""

    def __init__(self, app: Pieces, *, documents_need_login: bool) -> None:
        self._content = _ContentRoutes(app)
        scopes = Scopes(app.database)
        robots = RobotAccounts(app.database, app.guardian, scopes, app.settings)
        self._users = UserRoutes(app.users, app.personal_tokens, app.groups, app.guardian, scopes, app.identities)
        self._sources: list[Any] = [
            LdapRoutes(app.directory, app.accounts),
            OidcPing(),
            CliSecretRoutes(app.cli_secrets),
            IdentityProviderRoutes(app.providers, app.directory),
        ]
        self._members = MemberRoutes(Members(app.database, app.guardian))
        self._robots = RobotRoutes(robots, RobotSecrets(app.database, robots))
        self._trusts = TrustRoutes(RobotTrusts(app.database, robots, app.workloads))
        self._roles = RoleRoutes(Roles(app.database))
        self._permissions = PermissionRoutes(Permits(app.database, app.guardian))
        self._audit = AuditRoutes(AuditLog(app.database, app.settings, app.guardian))
        self._system = SystemRest(SystemInformation(app.facts, app.settings, app.health), app.settings)
        self._assessment = AssessmentRest(app.assessor)
        self.harbor = RestApi(
            HARBOR_PREFIX,
            "Entrepôt: Harbor's API v2.0",
            __version__,
            self.harbor_routes,
            app.guardian,
            documents_need_login=documents_need_login,
        )
        self.own = RestApi(
            OWN_PREFIX,
            "Entrepôt: API v1",
            __version__,
            self.own_routes,
            app.guardian,
            documents_need_login=documents_need_login,
        )

    def build(self) -> None:
        """Make the applications: a third of a second, best spent in a thread."""
        self.harbor.build()
        self.own.build()

    def harbor_routes(self) -> list[Route]:
        """What Harbor's tools speak."""
        return [
            *self._permissions.routes(),
            *self._users.routes(),
            *self._members.routes(),
            *self._robots.routes(),
            *self._content.routes(),
            *self._audit.routes(),
            *self._system.routes(),
            *(route for part in self._sources if hasattr(part, "routes") for route in part.routes()),
        ]

    def own_routes(self) -> list[Route]:
        """What Harbor has no words for."""
        return [
            *self._users.own_routes(),
            *self._members.own_routes(),
            *self._robots.own_routes(),
            *self._trusts.own_routes(),
            *self._roles.own_routes(),
            *self._content.own_routes(),
            *self._audit.own_routes(),
            *(route for part in self._sources if hasattr(part, "own_routes") for route in part.own_routes()),
            *self._assessment.own_routes(),
        ]


class _ContentRoutes:
    """Projects, and what is in them."""

    def __init__(self, app: Pieces) -> None:
        database, guardian, repositories = app.database, app.guardian, app.repositories
        attributes = AttributeReader(database, app.content)
        artifacts = Artifacts(database, guardian, repositories, attributes)
        contents = ProjectContents(database)
        # The longer paths first: a repository's name takes any number of components.
        sight = Sight(database, guardian)
        projects = Projects(database, app.settings, contents, sight)
        self._parts: list[Any] = [
            ProjectRoutes(database, projects, app.settings, sight, guardian),
            MetadataRoutes(projects),
            NetworkRoutes(ProjectNetworks(database)),
            LabelRoutes(Labels(database), guardian),
            QuotaRoutes(QuotaSettings(database, contents)),
            AdditionRoutes(Additions(database, app.content, artifacts, attributes)),
            TagRoutes(artifacts, app.tags, ArtifactLabels(database, repositories)),
            ArtifactRoutes(database, artifacts, app.manifests),
            RepositoryRoutes(RepositoryLists(database, guardian, repositories), repositories),
            SearchRoutes(Search(database, guardian, contents)),
        ]

    def routes(self) -> list[Route]:
        return [route for part in self._parts for route in part.routes()]

    def own_routes(self) -> list[Route]:
        return [route for part in self._parts if hasattr(part, "own_routes") for route in part.own_routes()]
