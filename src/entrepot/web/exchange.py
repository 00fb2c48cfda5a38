"""One request and its answer, on bare ASGI.

The hot path builds no framework objects (HOUSE.md §6): an exchange is a few slots around the scope.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, MutableMapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qs

from entrepot.errors import InvalidInput, RequestTimeout, TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ids = itertools.count()
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_WATCHED = 2 * 1024 * 1024
_PROGRESS = 1024
"""Bytes that must pass within one idle time-out: a byte a minute is not progress."""


class Budget(Protocol):
    """What may be asked for; ``door.py`` has the real one."""

    def charge(self, exchange: Exchange, principal: Hashable) -> None:
        """Count a request of a principal.

        Raises:
            TooManyRequests: it has asked too often.
        """


class ClientGone(Exception):
    """The client closed the connection before the exchange was over."""


class Exchange:
    """A request being answered; also what its access record is made of."""

    __slots__ = (
        "_headers",
        "_receive",
        "_send",
        "_unread",
        "aborted",
        "answer_headers",
        "behind_proxy",
        "budget",
        "bytes_in",
        "bytes_out",
        "client_address",
        "door_headers",
        "external_url",
        "host",
        "idle_timeout",
        "method",
        "operation",
        "path",
        "principal",
        "query",
        "request_id",
        "scheme",
        "scope",
        "status",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        process: str,
        idle_timeout: float,
        external_url: str = "",
    ) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._headers: dict[bytes, bytes] | None = None
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.scheme: str = scope["scheme"]
        self.host = ""
        self.external_url = external_url
        self.client_address: str = scope["client"][0] if scope["client"] else ""
        self.behind_proxy = False
        """Whether a trusted proxy passed the request on."""
        self.idle_timeout = idle_timeout
        self.principal = "-"
        self.operation = "unknown"
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.aborted = False
        self.answer_headers: Headers = []
        """More headers for the answer: cookies, and what protects a session."""
        self.door_headers: Headers = []
        """What the door adds to every answer, whoever gives it."""
        self.budget: Budget | None = None
        """What the principal is to be charged once it is known; none where nothing is limited."""
        self._unread = True
        given = self.header(b"x-request-id")
        self.request_id = given.decode() if given and _REQUEST_ID.fullmatch(given) else f"{process}-{next(_ids):x}"

    # what was asked

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The request's headers; repeated lines joined by commas (RFC 9110, 5.3)."""
        if self._headers is None:
            headers: dict[bytes, bytes] = {}
            for name, value in self.scope["headers"]:
                headers[name] = headers[name] + b", " + value if name in headers else value
            self._headers = headers
        return self._headers

    def header(self, name: bytes) -> bytes | None:
        """One header, or ``None``."""
        return self.headers.get(name)

    def text(self, name: bytes) -> str:
        """One header as text, empty if it is not there."""
        return self.headers.get(name, b"").decode("latin-1")

    def cookie(self, name: str) -> str:
        """One cookie's value, empty if it was not sent (RFC 6265, 5.4)."""
        for pair in self.text(b"cookie").replace(",", ";").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value
        return ""

    def parameters(self) -> dict[str, list[str]]:
        """The query's parameters."""
        if not self.query:
            return {}
        try:
            return parse_qs(self.query.decode("ascii"), keep_blank_values=True, max_num_fields=1000)
        except ValueError as error:
            raise InvalidInput(f"The query string cannot be read: {error}.") from None

    def content_length(self) -> int | None:
        """Bytes that the request says its body has, or ``None`` for a streamed body."""
        value = self.headers.get(b"content-length")
        if value is None:
            return None
        if not value.isdigit():
            raise InvalidInput("Content-Length must be a number of bytes.", code="SIZE_INVALID")
        return int(value)

    def _announces_body(self) -> bool:
        if not self.scope["http_version"].startswith("1"):
            return False
        return b"transfer-encoding" in self.headers or self.headers.get(b"content-length", b"0") != b"0"

    async def body(self) -> AsyncIterator[bytes]:
        """The body, piece by piece.

        Raises:
            ClientGone: the connection closed first.
            RequestTimeout: less than a trickle arrived within the idle time-out.
        """
        window = 0
        deadline = asyncio.get_running_loop().time() + self.idle_timeout
        more = True
        while more:
            try:
                async with asyncio.timeout_at(deadline):
                    message = await self._receive()
            except TimeoutError:
                raise RequestTimeout(
                    f"The body stopped arriving for {self.idle_timeout:g} seconds: go on where the upload stopped."
                ) from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            more = self._unread = message.get("more_body", False)
            if part:
                self.bytes_in += len(part)
                window += len(part)
                if window >= _PROGRESS:
                    window = 0
                    deadline = asyncio.get_running_loop().time() + self.idle_timeout
                yield part

    async def read(self, limit: int) -> bytes:
        """The whole body, if it has at most ``limit`` bytes.

        Raises:
            TooLarge: it has more.
        """
        too_large = TooLarge(f"The body is too large: at most {limit} bytes are accepted here.")
        length = self.content_length()
        if length is not None and length > limit:
            raise too_large
        parts = []
        size = 0
        async for part in self.body():
            size += len(part)
            if size > limit:
                raise too_large
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # the answer

    async def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Send a whole answer; ``headers`` without a Content-Length, unless the method is HEAD."""
        if self.method == "HEAD" or status in {204, 304}:
            body = b""
        else:
            headers.append((b"content-length", b"%d" % len(body)))
        await self.start(status, headers)
        await self.finish(body)

    async def start(self, status: int, headers: Headers) -> None:
        """Send status and headers."""
        self.status = status
        headers.append((b"x-request-id", self.request_id.encode()))
        if self.door_headers:
            headers.extend(self.door_headers)
        if self._unread and self.method in _WITH_BODY and self._announces_body():
            # The rest of the body is not waited for, so the connection ends with this answer.
            headers.append((b"connection", b"close"))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def finish(self, body: bytes | bytearray = b"") -> None:
        """Send the last piece."""
        self.bytes_out += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def stream(self, pieces: AsyncIterator[bytes | bytearray], length: int) -> None:
        """Send ``pieces``, ``length`` bytes in all, watching for a client that hangs up or stops reading.

        A send after a hang-up never raises, so ``receive`` is watched for it.

        Raises:
            ClientGone: the client went away or took nothing for the idle time-out.
        """
        # A task a request to watch for a hang-up is worth it only where much would be sent in vain.
        gone = asyncio.ensure_future(self._disconnected()) if length > _WATCHED else None
        try:
            sent, look_at = 0, _WATCHED
            async for piece in pieces:
                sent += len(piece)
                try:
                    async with asyncio.timeout(self.idle_timeout):
                        await self._send({"type": "http.response.body", "body": piece, "more_body": sent < length})
                except TimeoutError:
                    raise ClientGone from None
                self.bytes_out += len(piece)
                if gone is None or sent == length:
                    continue
                if sent >= look_at:
                    # After a hang-up a send returns at once: without a turn of the loop nobody would notice.
                    look_at = sent + _WATCHED
                    await asyncio.sleep(0)
                if gone.done():
                    raise ClientGone
        finally:
            if gone is not None:
                gone.cancel()

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def origin_url(self) -> str:
        """Scheme and host as the client sees them, for absolute URLs."""
        if self.external_url:
            return self.external_url
        host = self.host or self.text(b"host") or "{}:{}".format(*self.scope["server"])
        return f"{self.scheme}://{host}"


def process_name() -> str:
    """A random prefix for the request ids of one process."""
    return secrets.token_hex(6)


def join_values(values: Sequence[str]) -> bytes:
    """A comma-separated header value."""
    return ", ".join(values).encode("latin-1", "replace")
