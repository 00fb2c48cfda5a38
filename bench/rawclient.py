"""A raw-socket HTTP/1.1 client: cheap enough to share two cores with the server it loads.

Requests are bytes made in advance, bodies are sent from memoryviews, answers are received into one
reused buffer and dropped unless somebody asks to keep them. Every answer's status (and size, when
it is known) is checked here, so that a wrong answer can never be counted as throughput.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Generator, Sequence
from typing import Self, TypeVar
from urllib.parse import urlsplit

import msgspec

RECEIVE_BUFFER = 256 * 1024
"""Bytes asked for in one receive: large enough for few calls, small enough for the L2 cache."""

PATIENCE = 60.0
"""Seconds without a single byte after which a connection counts as stalled."""

Body = Sequence[bytes | memoryview]
Result = TypeVar("Result")


class WrongAnswerError(Exception):
    """A server's answer was not the one asked for; the row that saw it has no figure."""


class Address(msgspec.Struct, frozen=True):
    """Where a server listens: loopback port, and the TLS context to reach it with (if any)."""

    port: int
    tls: ssl.SSLContext | None = None

    @property
    def authority(self) -> str:
        """`host:port`, as in a Host header."""
        return f"127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        """`scheme://host:port`."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"


class Request(msgspec.Struct, frozen=True):
    """One request, ready to send, and what its answer must look like.

    `expect` holds the right statuses (empty: any); `size` the right length of the answer's body in
    bytes (None: any); `keep` says whether that body is wanted or dropped as it arrives.
    """

    method: str
    target: str
    head: bytes
    body: Body = ()
    expect: tuple[int, ...] = (200,)
    size: int | None = None
    keep: bool = False


class Response(msgspec.Struct, frozen=True):
    """An answer: status, head as received, head in lower case (for look-ups), kept body."""

    status: int
    head: bytes
    lowered: bytes
    body: bytes

    def find(self, name: bytes) -> bytes | None:
        """Return the value of the header `name` (given in lower case), or None."""
        return _find_header(self.head, self.lowered, name)

    def get(self, name: bytes) -> bytes:
        """Return the value of the header `name`; raise WrongAnswerError when it is absent."""
        value = self.find(name)
        if value is None:
            raise WrongAnswerError(f"an answer {self.status} lacks the header {name.decode()}")
        return value


Exchange = Generator[Request, Response, Result]
"""A conversation on one connection: yields requests, is sent their answers, returns a result."""


def make_request(
    method: str,
    target: str,
    fields: bytes,
    *,
    body: Body = (),
    expect: tuple[int, ...] = (200,),
    size: int | None = None,
    keep: bool = False,
) -> Request:
    """Build a Request; `fields` are ready header lines, each ended by CRLF, Host among them."""
    length = b""
    if method in {"POST", "PUT", "PATCH"}:
        length = b"Content-Length: %d\r\n" % sum(len(part) for part in body)
    head = b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method.encode(), target.encode(), fields, length)
    return Request(method, target, head, body, expect, size, keep)


def target_of(location: bytes) -> str:
    """Turn a Location header, absolute or relative, into a request target (path and query)."""
    parts = urlsplit(location.decode())
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _find_header(head: bytes, lowered: bytes, name: bytes) -> bytes | None:
    start = lowered.find(b"\r\n" + name + b":")
    if start < 0:
        return None
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()


def _unchunk(raw: bytes | bytearray) -> bytes | None:
    """Decode a complete chunked body; None while it is incomplete."""
    if not raw.endswith(b"0\r\n\r\n"):
        return None
    pieces: list[bytes] = []
    at = 0
    while True:
        line_end = raw.find(b"\r\n", at)
        if line_end < 0:
            return None
        length = int(bytes(raw[at:line_end]).split(b";")[0], 16)
        if length == 0:
            return b"".join(pieces)
        pieces.append(bytes(raw[line_end + 2 : line_end + 2 + length]))
        at = line_end + 4 + length


class ResponseReader:
    """Assemble the answer to one request from pieces, however they are cut."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._raw = bytearray()
        self._body = bytearray()
        self._head: bytes | None = None
        self._lowered = b""
        self._status = 0
        self._length = 0
        self._chunked = False
        self._keep = request.keep
        self.received = 0
        """Bytes of the body so far."""

    def feed(self, data: memoryview) -> Response | None:
        """Take the next piece; return the answer when it is complete, else None.

        Raises WrongAnswerError when the status or the size is not what the request expects.
        """
        if self._head is None:
            self._raw += data
            end = self._raw.find(b"\r\n\r\n")
            if end < 0:
                return None
            self._read_head(bytes(self._raw[:end]))
            data = memoryview(self._raw)[end + 4 :]
        self.received += len(data)
        if self._keep or self._chunked:
            self._body += data
        if self._chunked:
            decoded = _unchunk(self._body)
            return None if decoded is None else self._finish(decoded)
        if self.received < self._length:
            return None
        if self.received > self._length:
            raise WrongAnswerError(f"{self._name()}: more bytes than its Content-Length says")
        return self._finish(bytes(self._body))

    def _name(self) -> str:
        return f"{self._request.method} {self._request.target[:120]}"

    def _read_head(self, head: bytes) -> None:
        self._head = head
        self._lowered = head.lower()
        self._status = int(head[9:12])
        right = self._is_right()
        self._keep = self._keep or not right
        if self._request.method == "HEAD" or self._status in {204, 304}:
            return
        length = _find_header(head, self._lowered, b"content-length")
        self._chunked = length is None
        self._length = int(length or 0)
        if right and self._request.size is not None and self._length != self._request.size:
            raise WrongAnswerError(f"{self._name()}: {self._length} bytes announced, {self._request.size} expected")

    def _is_right(self) -> bool:
        return not self._request.expect or self._status in self._request.expect

    def _finish(self, body: bytes) -> Response:
        if not self._is_right():
            expected = " or ".join(map(str, self._request.expect))
            text = body[:200].decode(errors="replace").strip()
            raise WrongAnswerError(f"{self._name()}: {self._status}, expected {expected}; {text}")
        return Response(self._status, self._head or b"", self._lowered, body)


def open_socket(address: Address) -> socket.socket:
    """Connect (and shake hands, over TLS); the socket blocks for at most PATIENCE seconds."""
    plain = socket.create_connection(("127.0.0.1", address.port), timeout=PATIENCE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if address.tls is None:
        return plain
    try:
        return address.tls.wrap_socket(plain, server_hostname="127.0.0.1")
    except BaseException:
        plain.close()
        raise


class Connection:
    """One blocking keep-alive connection; opened again when the server closes it politely."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket = open_socket(address)
        self._buffer = memoryview(bytearray(RECEIVE_BUFFER))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: Request) -> Response:
        """Send one request and return its answer, checked."""
        self._send(request)
        reader = ResponseReader(request)
        while True:
            count = self._socket.recv_into(self._buffer)
            if not count:
                raise WrongAnswerError(f"{request.method} {request.target[:120]}: connection closed")
            response = reader.feed(self._buffer[:count])
            if response is not None:
                if (response.find(b"connection") or b"").lower() == b"close":
                    self._socket.close()
                    self._socket = open_socket(self._address)
                return response

    def run(self, exchange: Exchange[Result]) -> Result:
        """Hold a whole exchange on this connection and return its result."""
        try:
            request = next(exchange)
            while True:
                request = exchange.send(self.ask(request))
        except StopIteration as stop:
            result: Result = stop.value
            return result

    def download(self, request: Request, deadline: float) -> int:
        """Repeat a GET until `deadline` (time.monotonic), then hang up; return bytes of bodies.

        The last transfer is cut where the deadline finds it: its bytes arrived, so they count.
        """
        total = 0
        while True:
            self._socket.sendall(request.head)
            reader = ResponseReader(request)
            response = None
            while response is None:
                count = self._socket.recv_into(self._buffer)
                if not count:
                    raise WrongAnswerError(f"GET {request.target[:120]}: cut after {reader.received} B")
                response = reader.feed(self._buffer[:count])
                if time.monotonic() >= deadline:
                    return total + reader.received
            total += reader.received

    def _send(self, request: Request) -> None:
        try:
            if not request.body:
                self._socket.sendall(request.head)
            elif sum(map(len, request.body)) <= RECEIVE_BUFFER:
                self._socket.sendall(b"".join((request.head, *request.body)))
            else:
                self._socket.sendall(request.head)
                for part in request.body:
                    self._socket.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            # Refused early: the answer that says why may still be waiting to be read.
            if not request.body:
                raise
