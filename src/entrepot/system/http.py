"""``/livez``, ``/readyz``, ``/metrics``, ``/api/version``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from entrepot.access.service import Guardian
from entrepot.access.tokens import SERVICE
from entrepot.errors import Denied, NotAllowed, NotAuthenticated
from entrepot.system.health import HealthChecker
from entrepot.web.exchange import JSON, Exchange
from entrepot.web.metrics import GaugeReading, RequestMetrics
from entrepot.web.render import render

_NO_STORE = (b"cache-control", b"no-store")

Gauges = Mapping[str, Callable[[], Awaitable[GaugeReading]]]


class SystemRoutes:
    """Answers for operators and their machines."""

    def __init__(
        self,
        health: HealthChecker,
        metrics: RequestMetrics,
        guardian: Guardian,
        gauges: Gauges,
        *,
        login: bool,
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._guardian = guardian
        self._gauges = gauges
        self._login = login

    async def livez(self, exchange: Exchange) -> None:
        """The process answers."""
        exchange.operation = "livez"
        _require_get(exchange)
        await exchange.respond(200, [JSON, _NO_STORE], b'{"status":"alive"}')

    async def readyz(self, exchange: Exchange) -> None:
        """Database and store have just been tried."""
        exchange.operation = "readyz"
        _require_get(exchange)
        health = await self._health.check()
        await exchange.respond(200 if health.is_ready else 503, [JSON, _NO_STORE], msgspec.json.encode(health))

    async def api_version(self, exchange: Exchange) -> None:
        """The version of Harbor's API that is spoken: what its clients and its replication ask first, unknown."""
        exchange.operation = "api_version"
        _require_get(exchange)
        await exchange.respond(200, [JSON, _NO_STORE], b'{"version":"v2.0"}')

    async def metrics(self, exchange: Exchange) -> None:
        """The Prometheus exposition of all workers."""
        exchange.operation = "metrics"
        _require_get(exchange)
        try:
            await self._admit(exchange)
        except NotAuthenticated as error:
            error.headers = ((b"www-authenticate", f'Basic realm="{SERVICE}"'.encode()),)
            await render(exchange, error)
            return
        body, content_type = self._metrics.expose([await read() for read in self._gauges.values()])
        await exchange.respond(200, [(b"content-type", content_type), _NO_STORE], body)

    async def _admit(self, exchange: Exchange) -> None:
        if not self._login:
            return
        caller = await self._guardian.identify(exchange.text(b"authorization"), client_address=exchange.client_address)
        exchange.principal = caller.principal.name
        if caller.principal.is_anonymous:
            raise NotAuthenticated("Metrics need the login of an administrator.")
        if not caller.principal.is_admin:
            raise Denied("Metrics are for administrators.")


def _require_get(exchange: Exchange) -> None:
    if exchange.method not in {"GET", "HEAD"}:
        raise NotAllowed("Use GET.", headers=((b"allow", b"GET, HEAD"),))
