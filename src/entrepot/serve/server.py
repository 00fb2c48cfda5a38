"""One HTTP server of a worker: on a socket that it was given, with a certificate that it was given."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server as Granian

from entrepot.serve.certificates import Certificate
from entrepot.serve.sockets import is_served, stop_accepting
from entrepot.web.exchange import Message, Receive, Scope, Send

_BACKLOG = 4096
_PIECE = 1024 * 1024
"""Bytes of the largest piece of a body, and of what waits for a client that takes nothing.

Each piece costs a hop between threads (bench: push 400 MB, 4 streams), and its size memory for every stalled client.
"""

_CONCURRENCY = 8192
"""Requests that one worker answers at once; idle connections do not count."""


class Application:
    """An ASGI application that can ask its clients to come again on another connection."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.is_leaving = False
        """Whether each answer ends its connection (RFC 9112, 9.6; HTTP/2 has a frame for it, sent by the server)."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request. Not a coroutine function: that would cost each request another frame."""
        if self.is_leaving and scope["type"] == "http" and scope["http_version"].startswith("1"):
            send = _closing(send)
        answering: Awaitable[None] = self._answer(scope, receive, send)
        return answering


class Server(Granian):
    """The HTTP server, embedded into this process's event loop."""

    def __init__(
        self,
        answer: Any,
        listener: socket.socket,
        *,
        certificate: Certificate | None = None,
        client_ca: Path | None = None,
        http2: bool = False,
    ) -> None:
        """Prepare it; ``listener`` is bound, and closed here when the server has stopped."""
        self._application = Application(answer)
        self._listener = os.dup(listener.fileno())
        listener.close()
        super().__init__(
            self._application,
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto if http2 else HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=30_000, max_buffer_size=_PIECE),
            websockets=False,
            backlog=_BACKLOG,
            backpressure=_CONCURRENCY,
            log_enabled=False,
            ssl_cert=certificate.chain if certificate else None,
            ssl_key=certificate.key if certificate else None,
            ssl_ca=client_ca,
            ssl_client_verify=client_ca is not None,
            ssl_protocol_min=SSLProtocols.tls12,
        )

    async def until_accepting(self, serving: asyncio.Future[Any]) -> None:
        """Wait until connections are accepted, or ``serving`` has failed."""
        while not serving.done() and not is_served(self._listener):  # noqa: ASYNC110 - the kernel tells no event
            await asyncio.sleep(0.005)

    def leave(self) -> None:
        """Accept no more connections, and ask the clients of those that are open to come again on another one."""
        self._application.is_leaving = True
        stop_accepting(self._listener)

    def build_ssl_context(
        self,
        cert: Path | None,
        key: Path | None,
        password: str | None,
        proto: SSLProtocols,
        ca: Path | None,
        crl: list[Path],
        client_verify: bool,
    ) -> None:
        """Take the paths as they are: resolved, those of files in memory would name nothing."""
        self.ssl_ctx: Any = (
            cert is not None,
            str(cert) if cert else None,
            str(key) if key else None,
            password,
            str(proto),
            str(ca) if ca else None,
            [str(path) for path in crl],
            client_verify,
        )

    def _init_shared_socket(self) -> None:
        # It would bind a socket of its own.
        self._ssp = None
        self._shd: Any = SocketHolder(self._listener, False, _BACKLOG)  # type: ignore[call-arg]


def _closing(send: Send) -> Send:
    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [pair for pair in message["headers"] if pair[0] != b"connection"]
            message = {**message, "headers": [*headers, (b"connection", b"close")]}
        await send(message)

    return closing
