"""The system, put together. Its lists are the system: what answers, what runs by itself, who adds what.

The list of subscriptions comes with the first reader of the journal that is told of events; ``audit`` only looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from entrepot import __version__
from entrepot.access.certificates import Certificates
from entrepot.access.challenge import TOKEN_PATH
from entrepot.access.door import Door
from entrepot.access.http import TokenEndpoint
from entrepot.access.identity import Identifier, Strangers
from entrepot.access.issue import TokenService
from entrepot.access.refusals import Refusals
from entrepot.access.service import AccessOptions, Guardian
from entrepot.access.sessions import SessionGuard
from entrepot.access.tokens import TokenIssuer, TokenOptions, derive_key, load_key
from entrepot.auth.accounts import Accounts
from entrepot.auth.browser_logins import BrowserLogins
from entrepot.auth.cli_secrets import CliSecrets
from entrepot.auth.directory import Build, Directory
from entrepot.auth.elsewhere import Elsewhere
from entrepot.auth.foreign_bearers import ForeignBearers
from entrepot.auth.groups import Groups
from entrepot.auth.http.oidc import OidcRoutes
from entrepot.auth.http.sessions import SessionRoutes
from entrepot.auth.identities import Identities
from entrepot.auth.identity_providers import IdentityProviders
from entrepot.auth.logins import Logins
from entrepot.auth.personal_tokens import PersonalTokens
from entrepot.auth.provider import Provider
from entrepot.auth.rechecks import Rechecks
from entrepot.auth.robots import Robots
from entrepot.auth.service import Users
from entrepot.auth.sessions import Sessions
from entrepot.auth.trusts import Trusts
from entrepot.auth.usage import LastUses
from entrepot.auth.workload import Workloads
from entrepot.config import Config
from entrepot.config.assessed import installation_of
from entrepot.database import Database
from entrepot.kit.secretbox import SecretBox, ensure_key_file
from entrepot.projects.quota import Quotas
from entrepot.registry.blobs import Blobs
from entrepot.registry.http.blobs import BlobRoutes
from entrepot.registry.http.listings import ListingRoutes
from entrepot.registry.http.manifests import ManifestRoutes
from entrepot.registry.http.router import PREFIX, RegistryRoutes
from entrepot.registry.http.uploads import UploadRoutes
from entrepot.registry.manifests import ManifestOptions, Manifests
from entrepot.registry.pulls import Pulls
from entrepot.registry.referrers import Referrers
from entrepot.registry.repositories import Repositories
from entrepot.registry.tags import Tags
from entrepot.registry.uploads import UploadOptions, Uploads
from entrepot.settings.service import Settings
from entrepot.storage.open import open_store
from entrepot.system.assessment.checks import assessor, providers_of
from entrepot.system.assessment.service import Assessor
from entrepot.system.health import HealthChecker, Probe
from entrepot.system.http import SystemRoutes
from entrepot.system.info import SystemFacts
from entrepot.web.access_log import AccessLog
from entrepot.web.address import parse_networks
from entrepot.web.door import LOGINS, PULLS, PUSHES, REST, Budgets
from entrepot.web.edge import Answer, Edge, EdgeOptions, Mount
from entrepot.web.exchange import Exchange
from entrepot.web.metrics import GaugeReading, RequestMetrics
from entrepot.web.rates import parse_rate

if TYPE_CHECKING:
    from entrepot.rest import RestApis


class Periodic(msgspec.Struct, frozen=True):
    """Work that is repeated, in one worker or in each."""

    name: str
    seconds: float
    work: Callable[[], Awaitable[Any]]
    everywhere: bool = False
    """Whether each worker does it, for what it holds itself; once more when it stops."""


def database_path(config: Config) -> Path:
    """Where the embedded database lies."""
    return config.data / "entrepot.db"


def key_path(config: Config) -> Path:
    """Where the key that signs tokens lies."""
    return config.data / "keys" / "token.pem"


def secrets_key_path(config: Config) -> Path:
    """Where the key of what is kept sealed lies, unless the configuration holds it itself."""
    return config.secrets.key_file or config.data / "keys" / "secrets.key"


def open_box(config: Config) -> SecretBox:
    """What seals secrets: with the configured key, or one in the data folder, made at the first start.

    Raises:
        ConfigError: the key cannot be used.
    """
    if config.secrets.key:
        return SecretBox(keys=config.secrets.key.get_secret_value())
    path = secrets_key_path(config)
    if config.secrets.key_file is None:
        ensure_key_file(path)
    return SecretBox(path=path)


def open_certificates(config: Config) -> Certificates | None:
    """Who client certificates are, where a trusted proxy tells of them.

    Raises:
        ConfigError: a rule is none.
    """
    told = config.client_certificates
    if not told.header:
        return None
    return Certificates(told.header, [(rule.rule, rule.principal) for rule in told.rules])


def builders() -> dict[str, Build]:
    """How each kind of identity provider is made; each brings libraries that most installations never need."""

    def ldap(options: Any) -> Provider:
        from entrepot.auth.providers.ldap import LdapProvider  # noqa: PLC0415

        provider: Provider = LdapProvider(options)
        return provider

    def oidc(options: Any) -> Provider:
        from entrepot.auth.providers.oidc import OidcProvider  # noqa: PLC0415

        return OidcProvider(options)

    return {"ldap": ldap, "oidc": oidc}


def assessor_of(
    config: Config,
    database: Database,
    settings: Settings,
    box: SecretBox | None,
    *,
    config_file: Path | None = None,
    latest: str = "",
    is_outside: bool = False,
) -> Assessor:
    """What checks an installation, of a worker or of the command line; other features add their checks here."""
    installation = installation_of(
        config,
        database=database_path(config),
        token_key=key_path(config),
        secrets_key=None if config.secrets.key else secrets_key_path(config),
        config_file=config_file,
        latest=latest,
        is_outside=is_outside,
    )
    providers = providers_of(database, settings, config.identity.providers())
    return assessor(installation, database, settings, providers, box.open if box else None)


class App:
    """One process's share of the registry. Build it in the process that serves."""

    def __init__(self, config: Config, access_log: AccessLog | None) -> None:
        self._config = config
        self._access_log = access_log
        self.database = database = Database(database_path(config))
        self.content = open_store(config.storage.driver, folder=config.data, memory_limit=config.storage.memory_limit)
        self.box = open_box(config)
        self.settings = settings = Settings(database, config.settings, self.box)
        self._build_access(load_key(key_path(config)))
        self.quotas = Quotas(database, settings)
        self.pulls = Pulls(database, settings)
        self.repositories = Repositories(database, self.guardian)
        self.blobs = Blobs(database, self.content, self.repositories, self.quotas)
        self.uploads = Uploads(
            database,
            self.content,
            self.repositories,
            self.quotas,
            UploadOptions(expiry=config.registry.upload_expiry, sparse=config.registry.sparse),
        )
        self.tags = Tags(database, self.repositories)
        self.referrers = Referrers(database, self.repositories)
        self.manifests = Manifests(
            database, self.repositories, self.quotas, self.pulls, ManifestOptions(sparse=config.registry.sparse)
        )
        self._metrics = RequestMetrics()
        self.health = HealthChecker(self.contributions())
        self._rest: asyncio.Future[RestApis] | None = None
        self._pages: Answer | None = None

    def _build_access(self, key: Any) -> None:
        """Who asks, and what they may do."""
        config, database, settings = self._config, self.database, self.settings
        self.logins = Logins(database)
        box = self.box
        self.directory = Directory(database, settings, box, config.identity.providers(), builders())
        self.accounts = Accounts(database, settings, box, self.directory.is_sole)
        self.cli_secrets = CliSecrets(database, self.logins, settings)
        self.users = Users(
            database,
            self.logins,
            settings,
            elsewhere=Elsewhere(self.directory, self.accounts),
            cli_secrets=self.cli_secrets,
        )
        self.groups = Groups(database)
        self.robots = Robots(database, self.logins)
        self.personal_tokens = PersonalTokens(database)
        self.sessions = Sessions(database, settings, box)
        self.workloads = Workloads(self.directory)
        self.trusts = Trusts(database, self.robots, self.workloads)
        self.browser_logins = BrowserLogins(database, self.directory, self.accounts, self.sessions, box)
        self.identities = Identities(database, self.directory)
        self.last_uses = LastUses(database)
        self.refusals = Refusals(database)
        self.door = Door(settings, self.refusals)
        self.issuer = TokenIssuer(
            key,
            TokenOptions(
                access_seconds=config.auth.access_token_seconds, refresh_seconds=config.auth.refresh_token_seconds
            ),
        )
        self.identifier = Identifier(
            database,
            self.users,
            robots=self.robots,
            tokens=self.personal_tokens,
            sessions=self.sessions,
            uses=self.last_uses,
            issuer=self.issuer,
            settings=settings,
            strangers=Strangers(
                Rechecks(database, self.directory, self.accounts, box),
                self.trusts,
                ForeignBearers(database, self.directory, self.accounts),
            ),
        )
        self._session_guard = SessionGuard(derive_key(key, "sessions"))
        self.guardian = Guardian(
            database,
            self.identifier,
            self._session_guard,
            settings,
            AccessOptions(create_projects=config.registry.create_projects),
            self.refusals,
            certificates=open_certificates(config),
        )
        self.tokens = TokenService(database, self.identifier, self.guardian, self.issuer, settings)

    def contributions(self) -> dict[str, Probe]:
        """Who adds what to whose answers: the components that readiness asks."""
        return {"database": self.database.probe, "storage": self.content.inner.probe}

    def tasks(self) -> list[Periodic]:
        """What runs by itself."""
        expiry = self._config.registry.upload_expiry
        return [
            Periodic("expire uploads", max(1.0, min(600.0, expiry / 4)), self.uploads.expire),
            Periodic("expire reservations", 60.0, self.quotas.expire),
            Periodic("expire sessions", 600.0, self.sessions.expire),
            Periodic("forget failed logins", 600.0, self.logins.expire),
            Periodic("record pulls", 5.0, self.pulls.flush, everywhere=True),
            Periodic("record uses of sessions", 10.0, self.sessions.flush, everywhere=True),
            Periodic("record uses of robots and tokens", 1.0, self.last_uses.flush, everywhere=True),
            Periodic("record uses of trusts", 1.0, self.trusts.flush, everywhere=True),
            Periodic("expire logins under way", 300.0, self.browser_logins.expire),
            Periodic("record refused addresses", 1.0, self.refusals.flush, everywhere=True),
        ]

    def web(self) -> list[Mount]:
        """What answers on the registry's listener."""
        system = self._system()
        registry = RegistryRoutes(
            self.guardian,
            ManifestRoutes(self.manifests, self.tags),
            BlobRoutes(self.blobs),
            UploadRoutes(self.uploads, self.blobs),
            ListingRoutes(self.repositories, self.tags, self.referrers),
        )
        return [
            (PREFIX, registry),
            (PREFIX[:-1], registry),
            (TOKEN_PATH, TokenEndpoint(self.tokens)),
            ("/api/v2.0/", self._harbor_api),
            ("/api/entrepot/v1/", self._own_api),
            ("/api/version", system.api_version),
            ("/c/oidc/", OidcRoutes(self.browser_logins, self._session_guard.token)),
            ("/c/", SessionRoutes(self.users, self.sessions, self._session_guard.token)),
            ("/account", self._account),
            ("/account/", self._account),
            ("/livez", system.livez),
            ("/readyz", system.readyz),
            *([] if self._config.metrics.listen else [("/metrics", system.metrics)]),
        ]

    async def close(self) -> None:
        """End connections to identity providers, and close the database."""
        await self.directory.close()
        await self.workloads.close()
        await self.database.close()

    async def load_rest(self) -> RestApis:
        """The REST APIs; loaded once, beside the event loop, since that takes half a second."""
        if self._rest is None:
            self._rest = asyncio.ensure_future(asyncio.to_thread(self._build_rest))
        return await asyncio.shield(self._rest)

    def _build_rest(self) -> RestApis:
        from entrepot.rest import Pieces, RestApis  # noqa: PLC0415 - brings FastAPI, which the data plane does not wait for

        config = self._config
        facts = SystemFacts(
            version=__version__,
            data=config.data,
            driver=config.storage.driver,
            external_url=config.external_url,
            ca_file=config.tls.ca_file,
        )
        pieces = Pieces(
            database=self.database,
            content=self.content,
            settings=self.settings,
            guardian=self.guardian,
            users=self.users,
            groups=self.groups,
            personal_tokens=self.personal_tokens,
            workloads=self.workloads,
            directory=self.directory,
            accounts=self.accounts,
            cli_secrets=self.cli_secrets,
            identities=self.identities,
            providers=IdentityProviders(self.database, self.box, config.identity.providers()),
            repositories=self.repositories,
            manifests=self.manifests,
            tags=self.tags,
            health=self.health,
            facts=facts,
            assessor=assessor_of(config, self.database, self.settings, self.box),
        )
        apis = RestApis(pieces, documents_need_login=config.api.documents_login)
        apis.build()
        return apis

    async def _account(self, exchange: Exchange) -> None:
        if self._pages is None:
            from entrepot.portal.account import AccountPages, Services  # noqa: PLC0415 - most processes show no page

            services = Services(
                users=self.users,
                identifier=self.identifier,
                sessions=self.sessions,
                tokens=self.personal_tokens,
                cli_secrets=self.cli_secrets,
                identities=self.identities,
                directory=self.directory,
                browser_logins=self.browser_logins,
                settings=self.settings,
            )
            self._pages = AccountPages(services, self._session_guard.token)
        await self._pages(exchange)

    async def _harbor_api(self, exchange: Exchange) -> None:
        await (await self.load_rest()).harbor(exchange)

    async def _own_api(self, exchange: Exchange) -> None:
        await (await self.load_rest()).own(exchange)

    def metrics_web(self) -> list[Mount]:
        """What answers on the listener for metrics, if there is one."""
        system = self._system()
        return [("/livez", system.livez), ("/readyz", system.readyz), ("/metrics", system.metrics)]

    def edge(self, mounts: list[Mount]) -> Edge:
        """An ASGI application that answers with ``mounts``."""
        config = self._config
        options = EdgeOptions(
            trusted_proxies=parse_networks(config.trusted_proxies),
            external_url=config.external_url,
            https_only=config.https_only,
            hsts_seconds=config.tls.hsts_seconds,
            idle_timeout=config.limits.idle_timeout,
        )
        return Edge(
            mounts,
            options,
            metrics=self._metrics,
            access_log=self._access_log,
            porter=self.door,
            budgets=self._budgets(),
        )

    def _budgets(self) -> Budgets | None:
        limits = self._config.rate_limits
        texts = {PULLS: limits.pulls, PUSHES: limits.pushes, REST: limits.rest, LOGINS: limits.logins}
        rates = {area: parse_rate(text) for area, text in texts.items() if text}
        return Budgets(rates, workers=self._config.worker_count) if rates else None

    def _system(self) -> SystemRoutes:
        async def upload_sessions() -> GaugeReading:
            return GaugeReading(
                "entrepot_upload_sessions", "Upload sessions that are open.", await self.uploads.count()
            )

        return SystemRoutes(
            self.health,
            self._metrics,
            self.guardian,
            {"upload_sessions": upload_sessions},
            login=self._config.metrics.login,
        )
