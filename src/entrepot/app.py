"""The system, put together. Its lists are the system: what answers, what runs by itself, who adds what.

The list of subscriptions comes with the first reader of the journal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from entrepot.access.challenge import TOKEN_PATH
from entrepot.access.http import TokenEndpoint
from entrepot.access.service import AccessOptions, Guardian
from entrepot.access.tokens import TokenIssuer, TokenOptions, load_key
from entrepot.auth.service import Users
from entrepot.config import Config
from entrepot.database import Database
from entrepot.registry.blobs import Blobs
from entrepot.registry.http.blobs import BlobRoutes
from entrepot.registry.http.listings import ListingRoutes
from entrepot.registry.http.manifests import ManifestRoutes
from entrepot.registry.http.router import PREFIX, RegistryRoutes
from entrepot.registry.http.uploads import UploadRoutes
from entrepot.registry.manifests import ManifestOptions, Manifests
from entrepot.registry.referrers import Referrers
from entrepot.registry.repositories import Repositories
from entrepot.registry.tags import Tags
from entrepot.registry.uploads import UploadOptions, Uploads
from entrepot.storage.open import open_store
from entrepot.system.health import HealthChecker, Probe
from entrepot.system.http import SystemRoutes
from entrepot.web.access_log import AccessLog
from entrepot.web.address import parse_networks
from entrepot.web.edge import Edge, EdgeOptions, Mount
from entrepot.web.metrics import GaugeReading, RequestMetrics


class Periodic(msgspec.Struct, frozen=True):
    """Work that one worker repeats."""

    name: str
    seconds: float
    work: Callable[[], Awaitable[Any]]


def database_path(config: Config) -> Path:
    """Where the embedded database lies."""
    return config.data / "entrepot.db"


def key_path(config: Config) -> Path:
    """Where the key that signs tokens lies."""
    return config.data / "keys" / "token.pem"


class App:
    """One process's share of the registry. Build it in the process that serves."""

    def __init__(self, config: Config, access_log: AccessLog | None) -> None:
        self._config = config
        self._access_log = access_log
        self.database = Database(database_path(config))
        self.content = open_store(config.storage.driver, folder=config.data, memory_limit=config.storage.memory_limit)
        issuer = TokenIssuer(
            load_key(key_path(config)),
            TokenOptions(
                access_seconds=config.auth.access_token_seconds,
                refresh_seconds=config.auth.refresh_token_seconds,
            ),
        )
        self._guardian = Guardian(
            self.database,
            Users(self.database),
            issuer,
            AccessOptions(create_projects=config.registry.create_projects),
        )
        self._repositories = Repositories(self.database, self._guardian)
        self._blobs = Blobs(self.database, self.content, self._repositories)
        self._uploads = Uploads(
            self.database,
            self.content,
            self._repositories,
            UploadOptions(expiry=config.registry.upload_expiry),
        )
        self._tags = Tags(self.database, self._repositories)
        self._manifests = Manifests(self.database, self._repositories, ManifestOptions(sparse=config.registry.sparse))
        self._metrics = RequestMetrics()
        self.health = HealthChecker(self.contributions())

    def contributions(self) -> dict[str, Probe]:
        """Who adds what to whose answers: the components that readiness asks."""
        return {"database": self.database.probe, "storage": self.content.inner.probe}

    def tasks(self) -> list[Periodic]:
        """What runs by itself, in one worker."""
        expiry = self._config.registry.upload_expiry
        return [Periodic("expire uploads", max(1.0, min(600.0, expiry / 4)), self._uploads.expire)]

    def web(self) -> list[Mount]:
        """What answers on the registry's listener."""
        system = self._system()
        registry = RegistryRoutes(
            self._guardian,
            ManifestRoutes(self._manifests, self._tags),
            BlobRoutes(self._blobs),
            UploadRoutes(self._uploads, self._blobs),
            ListingRoutes(self._repositories, self._tags, Referrers(self.database, self._repositories)),
        )
        return [
            (PREFIX, registry),
            (PREFIX[:-1], registry),
            (TOKEN_PATH, TokenEndpoint(self._guardian)),
            ("/livez", system.livez),
            ("/readyz", system.readyz),
            *([] if self._config.metrics.listen else [("/metrics", system.metrics)]),
        ]

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
            idle_timeout=config.limits.idle_timeout,
        )
        return Edge(
            mounts,
            options,
            metrics=self._metrics,
            access_log=self._access_log,
        )

    def _system(self) -> SystemRoutes:
        async def upload_sessions() -> GaugeReading:
            return GaugeReading(
                "entrepot_upload_sessions", "Upload sessions that are open.", await self._uploads.count()
            )

        return SystemRoutes(
            self.health,
            self._metrics,
            self._guardian,
            {"upload_sessions": upload_sessions},
            login=self._config.metrics.login,
        )
