"""The ASGI application: what stands before every answer.

Request id → client address → the door → the mount that answers → error rendering → access record and metrics.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from entrepot.errors import Denied, EntrepotError, NotFound
from entrepot.kit import clock
from entrepot.web import address
from entrepot.web.access_log import AccessLog
from entrepot.web.door import Budgets, Porter
from entrepot.web.exchange import ClientGone, Exchange, Receive, Scope, Send, process_name
from entrepot.web.metrics import RequestMetrics
from entrepot.web.render import render

Answer = Callable[[Exchange], Awaitable[None]]
Mount = tuple[str, Answer]
"""A path, or with a final slash everything below it, and what answers."""

CLIENT_GONE = 499
"""The status recorded for an exchange that the client left (nginx's number for it)."""

log = structlog.get_logger()


class EdgeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the edge needs of the configuration."""

    trusted_proxies: tuple[address.Network, ...] = ()
    external_url: str = ""
    https_only: bool = False
    hsts_seconds: int = 0
    """How long browsers insist on HTTPS, told with ``https_only``; 0: not told."""
    idle_timeout: float = 60.0
    """Seconds without progress after which a transfer is given up."""


class Edge:
    """Routes by prefix; mounts are tried in order."""

    def __init__(
        self,
        mounts: Sequence[Mount],
        options: EdgeOptions,
        *,
        metrics: RequestMetrics,
        access_log: AccessLog | None,
        porter: Porter | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        """Without a ``porter`` every address may come, without ``budgets`` as often as it likes."""
        self._mounts = tuple(mounts)
        self._options = options
        self._porter = porter
        self._budgets = budgets
        hsts = options.hsts_seconds if options.https_only else 0
        self._hsts = [(b"strict-transport-security", b"max-age=%d" % hsts)] if hsts else []
        self._metrics = metrics
        self._access_log = access_log
        self._process = process_name()
        self.in_flight = 0
        """Requests being answered now."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        started = clock.now()
        began = clock.monotonic()
        options = self._options
        exchange = Exchange(
            scope,
            receive,
            send,
            process=self._process,
            idle_timeout=options.idle_timeout,
            external_url=options.external_url,
        )
        self.in_flight += 1
        try:
            if ":" in exchange.client_address:
                exchange.client_address = address.normalise(exchange.client_address)
            if options.trusted_proxies:
                address.apply_forwarded(exchange, options.trusted_proxies)
            if self._hsts and exchange.scheme == "https":
                exchange.door_headers = self._hsts
            await self._answer(exchange)
        finally:
            duration = clock.monotonic() - began
            self.in_flight -= 1
            self._metrics.observe(exchange, duration, self.in_flight)
            if self._access_log is not None:
                self._access_log.append(exchange, started, duration)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            if exchange.path not in _PROBES:
                await self._pass_door(exchange)
            await self._find(exchange)(exchange)
        except EntrepotError as error:
            if error.status >= 500:  # noqa: PLR2004 - the server's own failures
                log.error(  # noqa: TRY400 - an expected kind of failure, told in one sentence
                    "request failed",
                    request_id=exchange.request_id,
                    error=error.message,
                    cause=repr(error.__cause__),
                )
            if exchange.status:
                self._abort(exchange, error)
            await render(exchange, error)
        except (ClientGone, asyncio.CancelledError) as gone:
            exchange.aborted = True
            exchange.status = exchange.status or CLIENT_GONE
            if isinstance(gone, asyncio.CancelledError):
                raise
        except Exception as error:
            log.exception("request failed", request_id=exchange.request_id, path=exchange.path)
            if exchange.status:
                self._abort(exchange, error)
            await render(
                exchange,
                EntrepotError(f"The registry failed; its log says why under request id {exchange.request_id}."),
            )

    async def _pass_door(self, exchange: Exchange) -> None:
        """Refuse what must not come in before anything is done for it."""
        if self._options.https_only and exchange.scheme != "https":
            raise Denied(f"This registry is reached over HTTPS only: use https:// ({exchange.host or 'this host'}).")
        if self._porter is not None:
            await self._porter.let_in(exchange)
        if self._budgets is not None:
            self._budgets.spend(exchange)

    def _abort(self, exchange: Exchange, error: Exception) -> None:
        """The answer has begun: closing the connection is the only way left to say that it is not whole."""
        exchange.aborted = True
        raise AnswerBroken from error

    def _find(self, exchange: Exchange) -> Answer:
        path = exchange.path
        for prefix, answer in self._mounts:
            if path == prefix or (prefix[-1] == "/" and path.startswith(prefix)):
                return answer
        raise NotFound("There is nothing here: the registry's API begins at /v2/.")


class AnswerBroken(Exception):
    """Raised out of the application so that the server closes the connection."""


_PROBES = frozenset({"/livez", "/readyz"})
"""Answered over plain HTTP, from any address and however often: an orchestrator must always know."""
