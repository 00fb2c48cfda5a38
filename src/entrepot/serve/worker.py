"""A web worker: one process, one event loop, one HTTP server on a shared port."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import structlog
import uvloop
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server

from entrepot.app import App, Periodic
from entrepot.config import Config, split_address
from entrepot.kit import clock
from entrepot.serve.sockets import close_stalled
from entrepot.web.access_log import AccessLog
from entrepot.web.edge import Edge

log = structlog.get_logger()

_BACKLOG = 4096
_PIECE = 1024 * 1024
"""Bytes of the largest piece of a body, and of what waits for a client that takes nothing.

Each piece costs a hop between threads (bench: push 400 MB, 4 streams), and its size memory for every stalled client.
"""

_REST_SECONDS = 3.0

_CONCURRENCY = 8192
"""Requests that one worker answers at once; idle connections do not count."""


def run(config: Config, index: int, alive_fd: int, ready_fd: int) -> None:
    """Serve until SIGTERM, or until the supervisor is gone.

    Args:
        config: the configuration.
        index: the worker's number; number 0 also runs the periodic tasks.
        alive_fd: a pipe that reads end-of-file when the supervisor has died.
        ready_fd: a pipe to which one byte is written once the worker answers.
    """
    uvloop.run(_Worker(config, index).main(alive_fd, ready_fd))


class _Worker:
    def __init__(self, config: Config, index: int) -> None:
        self._config = config
        self._index = index
        self._stop = asyncio.Event()
        self._hurry = False

    async def main(self, alive_fd: int, ready_fd: int) -> None:
        gc.set_threshold(50_000, 20, 50)  # requests make little garbage in cycles, and much that is not
        config = self._config
        access_log = AccessLog(1) if config.log.access else None
        app = App(config, access_log)
        app.database.open()
        self._watch(alive_fd)
        edge = app.edge(app.web())
        servers = [_server(config, config.listen, edge)]
        if config.metrics.listen:
            servers.append(_server(config, config.metrics.listen, app.edge(app.metrics_web())))
        serving = [asyncio.ensure_future(server.serve()) for server in servers]
        own = [task for task in app.tasks() if task.everywhere or self._index == 0]
        tasks = [asyncio.ensure_future(_repeat(task)) for task in own]
        await _until_listening(config.listen, serving[0])
        close_stalled(config.limits.idle_timeout)
        with contextlib.suppress(BrokenPipeError):  # another worker was first
            os.write(ready_fd, b"r")
        os.close(ready_fd)
        loading = asyncio.ensure_future(_load_rest(app))
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait([stopping, *serving], return_when=asyncio.FIRST_COMPLETED)
        if not self._stop.is_set():
            raise SystemExit("the HTTP server ended by itself")
        await self._drain(app, edge, servers, serving)
        for task in (*tasks, loading):
            task.cancel()
        for periodic in own:
            if periodic.everywhere:
                await _try(periodic)
        await app.database.close()
        if access_log:
            access_log.close()

    def _watch(self, alive_fd: int) -> None:
        loop = asyncio.get_running_loop()

        def stop(*, hurry: bool) -> None:
            self._hurry = self._hurry or hurry
            self._stop.set()

        loop.add_signal_handler(signal.SIGTERM, lambda: stop(hurry=False))
        loop.add_signal_handler(signal.SIGQUIT, lambda: stop(hurry=True))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches us through the supervisor

        def orphaned() -> None:
            loop.remove_reader(alive_fd)
            stop(hurry=True)

        loop.add_reader(alive_fd, orphaned)

    async def _drain(self, app: App, edge: Edge, servers: list[Server], serving: Sequence[asyncio.Future[Any]]) -> None:
        """Say that we are going, stop accepting, let running transfers finish up to the limit."""
        app.health.is_draining = True
        limits = self._config.limits
        if not self._hurry:
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


async def _wait(condition: Callable[[], bool], seconds: float) -> None:
    """Until ``condition`` holds, at most ``seconds``."""
    deadline = clock.monotonic() + seconds
    while not condition() and clock.monotonic() < deadline:  # noqa: ASYNC110 - a counter, not an event
        await asyncio.sleep(min(0.05, max(0.0, deadline - clock.monotonic())))


async def _repeat(task: Periodic) -> None:
    while True:
        await asyncio.sleep(task.seconds)
        await _try(task)


async def _try(task: Periodic) -> None:
    try:
        await task.work()
    except Exception:
        # It is tried again at its next turn.
        log.exception("periodic task failed", task=task.name)


async def _until_listening(listen: str, serving: asyncio.Future[Any]) -> None:
    host, port = split_address(listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - to connect to
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.005)
            continue
        writer.close()
        return


def _server(config: Config, listen: str, edge: Edge) -> Server:
    host, port = split_address(listen)
    tls = config.tls
    return Server(
        edge,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.auto if tls.http2 else HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=30_000, max_buffer_size=_PIECE),
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_CONCURRENCY,
        log_enabled=False,
        ssl_cert=tls.cert_file,
        ssl_key=tls.key_file,
        ssl_protocol_min=SSLProtocols.tls12,
    )
