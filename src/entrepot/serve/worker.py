"""A web worker: one process, one event loop, HTTP servers on sockets that it was given."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
import uvloop

from entrepot.app import App
from entrepot.config import Config, split_address
from entrepot.kit import clock
from entrepot.serve.certificates import Certificate
from entrepot.serve.chores import Chores
from entrepot.serve.server import Server
from entrepot.web.access_log import AccessLog
from entrepot.web.edge import Edge
from entrepot.web.redirect import Redirect

log = structlog.get_logger()

RETIRE = signal.SIGUSR1
"""Tells a worker that another one has taken its place."""

_REST_SECONDS = 3.0
_HANDSHAKE_SECONDS = 2.0
"""How long handshakes and requests that are on their way to a retired worker are waited for."""
_RETIRED_SECONDS = 12 * 3600.0
"""How long the transfers of a retired worker may go on.

``limits.drain_timeout`` is the patience of somebody who waits for the end of the server; for a retired worker nobody
waits. A push of 5 GB over a slow line takes hours, and ``limits.idle_timeout`` ends those that stand still.
"""


class Post(msgspec.Struct, frozen=True):
    """What the supervisor hands to a worker."""

    index: int
    """The worker's number; number 0 also runs what one process only may run."""
    alive: int
    """A pipe that reads end-of-file when the supervisor has died."""
    ready: int
    """A pipe to which one byte is written once the worker answers."""
    turn: int
    """What workers with the number 0 take turns with (``chores.new_turn``)."""
    sockets: Mapping[str, socket.socket]
    """Bound, by address."""
    certificate: Certificate | None


def run(config: Config, post: Post) -> None:
    """Serve until SIGTERM, until the supervisor is gone, or when retired until the last transfer is over."""
    uvloop.run(_Worker(config, post).main())


class _Worker:
    def __init__(self, config: Config, post: Post) -> None:
        self._config = config
        self._post = post
        self._wake = asyncio.Event()
        self._stop = False
        self._hurry = False
        self._retired = False

    async def main(self) -> None:
        gc.set_threshold(50_000, 20, 50)  # requests make little garbage in cycles, and much that is not
        config, post = self._config, self._post
        access_log = AccessLog(1) if config.log.access else None
        app = App(config, access_log)
        app.database.open()
        self._watch()
        edge = app.edge(app.web())
        servers = self._servers(app, edge)
        serving = [asyncio.ensure_future(server.serve()) for server in servers]
        chores = Chores(app.tasks(), post.turn if post.index == 0 else None)
        chores.start()
        for server, future in zip(servers, serving, strict=True):
            await server.until_accepting(future)
        if not any(future.done() for future in serving):
            os.write(post.ready, b"r")
        os.close(post.ready)
        loading = asyncio.ensure_future(_load_rest(app))
        waking = asyncio.ensure_future(self._wake.wait())
        await asyncio.wait([waking, *serving], return_when=asyncio.FIRST_COMPLETED)
        if not self._wake.is_set():
            raise SystemExit("the HTTP server ended by itself")
        if not self._stop:
            chores.leave()
            await self._retire(edge, servers)
        await self._drain(app, edge, servers, serving)
        loading.cancel()
        await chores.end()
        await app.close()
        if access_log:
            access_log.close()

    def _servers(self, app: App, edge: Edge) -> list[Server]:
        config, post = self._config, self._post
        http2 = config.tls.http2
        certificate = post.certificate
        client_ca = certificate.client_ca if certificate else None
        servers = [Server(edge, post.sockets[config.listen], certificate=certificate, client_ca=client_ca, http2=http2)]
        if config.metrics.listen:
            # Whoever collects metrics has seldom a certificate: this listener asks for none.
            metrics = app.edge(app.metrics_web())
            servers.append(Server(metrics, post.sockets[config.metrics.listen], certificate=certificate, http2=http2))
        if config.http_redirect_listen:
            redirect = Redirect(split_address(config.listen)[1], config.external_url)
            servers.append(Server(redirect, post.sockets[config.http_redirect_listen]))
        return servers

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        alive = self._post.alive

        def stop(*, hurry: bool) -> None:
            self._hurry = self._hurry or hurry
            self._stop = True
            self._wake.set()

        def retire() -> None:
            self._retired = True
            self._wake.set()

        loop.add_signal_handler(signal.SIGTERM, lambda: stop(hurry=False))
        loop.add_signal_handler(signal.SIGQUIT, lambda: stop(hurry=True))
        loop.add_signal_handler(RETIRE, retire)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a terminal's reach us through the supervisor

        def orphaned() -> None:
            loop.remove_reader(alive)
            stop(hurry=True)

        loop.add_reader(alive, orphaned)

    async def _retire(self, edge: Edge, servers: list[Server]) -> None:
        """Leave new connections to the worker that has taken our place, and finish what is under way."""
        for server in servers:
            server.leave()
        await _wait(lambda: self._stop, _HANDSHAKE_SECONDS)
        for server in servers:
            server.stop()  # type: ignore[no-untyped-call]
        await _wait(lambda: self._stop or edge.in_flight == 0, _RETIRED_SECONDS, step=0.5)

    async def _drain(self, app: App, edge: Edge, servers: list[Server], serving: Sequence[asyncio.Future[Any]]) -> None:
        """Say that we are going, stop accepting, let running transfers finish up to the limit."""
        app.health.is_draining = True
        limits = self._config.limits
        if not self._hurry and not self._retired:
            await _wait(lambda: self._hurry, limits.drain_delay)
        for server in servers:
            server.stop()  # type: ignore[no-untyped-call]
        await _wait(lambda: edge.in_flight == 0, limits.drain_timeout)
        if edge.in_flight:
            log.warning("transfers cut off at the drain limit", count=edge.in_flight)
        _, pending = await asyncio.wait(serving, timeout=1)
        for task in pending:
            task.cancel()
        await asyncio.sleep(0)


async def _load_rest(app: App) -> None:
    # Half a second of imports: those who waited for the start to push and pull come first. REST itself does not wait.
    await asyncio.sleep(_REST_SECONDS)
    await app.load_rest()
    gc.freeze()  # it stays: the collector need not look at it again


async def _wait(condition: Callable[[], bool], seconds: float, step: float = 0.05) -> None:
    """Until ``condition`` holds, at most ``seconds``, looking every ``step``."""
    deadline = clock.monotonic() + seconds
    while not condition() and clock.monotonic() < deadline:  # noqa: ASYNC110 - a counter, not an event
        await asyncio.sleep(min(step, max(0.0, deadline - clock.monotonic())))
