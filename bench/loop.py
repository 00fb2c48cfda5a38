"""Many connections in one thread: an epoll loop, cheaper than threads for small requests."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable

from bench.rawclient import (
    PATIENCE,
    RECEIVE_BUFFER,
    Address,
    Exchange,
    Request,
    Response,
    ResponseReader,
    WrongAnswerError,
    open_socket,
)


class Lane:
    """One non-blocking connection holding one exchange."""

    def __init__(self, address: Address, exchange: Exchange[None], poll: select.epoll) -> None:
        self._address = address
        self._exchange = exchange
        self._poll = poll
        self._pending: list[memoryview] = []
        self._waits_to_write = False
        self._request: Request = next(exchange)
        self._open()

    @property
    def fileno(self) -> int:
        """The socket's descriptor; it changes when the server closes the connection."""
        return self.socket.fileno()

    def _open(self) -> None:
        self.socket: socket.socket = open_socket(self._address)
        self.socket.setblocking(False)
        self._poll.register(self.socket, select.EPOLLIN)
        self._waits_to_write = False

    def begin(self) -> None:
        """Send the request in hand."""
        request = self._request
        self._reader = ResponseReader(request)
        if sum(map(len, request.body)) <= RECEIVE_BUFFER // 4:
            self._pending = [memoryview(b"".join((request.head, *request.body)))]
        else:
            self._pending = [memoryview(request.head), *(memoryview(part) for part in request.body)]
        self.write()

    def write(self) -> None:
        """Send what the socket takes now; wait for room when something is left."""
        try:
            while self._pending:
                count = self.socket.send(self._pending[0])
                if count == len(self._pending[0]):
                    del self._pending[0]
                else:
                    self._pending[0] = self._pending[0][count:]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self._pending = []  # refused early: the answer that says why may wait to be read
        waits = bool(self._pending)
        if waits != self._waits_to_write:
            events = select.EPOLLIN | select.EPOLLOUT if waits else select.EPOLLIN
            self._poll.modify(self.socket, events)
            self._waits_to_write = waits

    def read(self, buffer: memoryview) -> bool:
        """Take what arrived and go on with the exchange; return False when that is over."""
        count = self.socket.recv_into(buffer)
        if not count:
            raise WrongAnswerError(f"{self._request.method} {self._request.target[:120]}: closed")
        response = self._reader.feed(buffer[:count])
        if response is None:
            return True
        try:
            self._request = self._exchange.send(response)
        except StopIteration:
            return False
        if self._closes(response):
            self._poll.unregister(self.socket)
            self.socket.close()
            self._open()
        self.begin()
        return True

    @staticmethod
    def _closes(response: Response) -> bool:
        return b"\r\nconnection: close" in response.lowered


def drive(address: Address, exchanges: Iterable[Exchange[None]]) -> float:
    """Hold every exchange at the same time, a connection each; return the seconds it took.

    Connections are opened before the clock starts. Raises WrongAnswerError for a wrong answer, or when
    nothing at all has moved for PATIENCE seconds.
    """
    poll = select.epoll()
    lanes: list[Lane] = []
    try:
        lanes.extend(Lane(address, exchange, poll) for exchange in exchanges)
        started = time.monotonic()
        for lane in lanes:
            lane.begin()
        _spin(poll, lanes)
        return time.monotonic() - started
    finally:
        for lane in lanes:
            lane.socket.close()
        poll.close()


def _spin(poll: select.epoll, lanes: list[Lane]) -> None:
    buffer = memoryview(bytearray(RECEIVE_BUFFER))
    by_file = {lane.fileno: lane for lane in lanes}
    while by_file:
        events = poll.poll(PATIENCE)
        if not events:
            raise WrongAnswerError(f"nothing was answered for {PATIENCE:.0f} seconds")
        for file, event in events:
            lane = by_file[file]
            if event & select.EPOLLOUT:
                lane.write()
            if event & ~select.EPOLLOUT:
                goes_on = lane.read(buffer)
                if not goes_on:
                    poll.unregister(file)
                    del by_file[file]
                elif lane.fileno != file:
                    del by_file[file]
                    by_file[lane.fileno] = lane


class Tally:
    """How often something was done, to its end and rightly."""

    def __init__(self) -> None:
        self.count = 0


def repeat_until(deadline: float, tally: Tally, make: Callable[[], Exchange[None]]) -> Exchange[None]:
    """Hold exchanges one after the other until `deadline` (time.monotonic), counting each."""
    while time.monotonic() < deadline:
        yield from make()
        tally.count += 1


def measure_rate(address: Address, connections: int, seconds: float, make: Callable[[], Exchange[None]]) -> float:
    """Repeat the exchange on so many connections for so many seconds; return exchanges/s.

    What runs when the time is over is finished and counted, in the time that it really took.
    """
    tally = Tally()
    deadline = time.monotonic() + seconds
    lanes = [repeat_until(deadline, tally, make) for _ in range(connections)]
    elapsed = drive(address, lanes)
    return tally.count / elapsed


def measure_heads(address: Address, request: Request, proof: bytes, connections: int, seconds: float) -> float:
    """Send one HEAD again and again on so many connections; return right answers/s.

    wrk cannot do it: it waits for the body that a Content-Length announces and HEAD never sends.
    This loop does the least that still checks each answer: the status line, and that the bytes
    `proof` (the digest) stand in the head.
    """
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    partial: dict[int, bytes] = {}
    count = 0
    try:
        for _ in range(connections):
            opened = open_socket(address)
            sockets[opened.fileno()] = opened
            poll.register(opened, select.EPOLLIN)
        started = time.monotonic()
        deadline = started + seconds
        for opened in sockets.values():
            opened.sendall(request.head)
        while (now := time.monotonic()) < deadline:
            for file, _ in poll.poll(PATIENCE):
                data = sockets[file].recv(8192)
                head = partial.pop(file, b"") + data
                if head.startswith(b"HTTP/1.1 200 ") and head.endswith(b"\r\n\r\n"):
                    if proof not in head:
                        raise WrongAnswerError(f"HEAD {request.target}: the digest is missing")
                    count += 1
                    sockets[file].send(request.head)
                elif data and len(head) < 16384 and not head.endswith(b"\r\n\r\n"):
                    partial[file] = head
                else:
                    line = head.split(b"\r\n")[0].decode(errors="replace")
                    raise WrongAnswerError(f"HEAD {request.target}: {line or 'connection closed'}")
        return count / (now - started)
    finally:
        for opened in sockets.values():
            opened.close()
        poll.close()
