"""One structured record a request, written in batches by a thread of its own."""

from __future__ import annotations

import os
import threading

import msgspec

from entrepot.kit import clock
from entrepot.web.exchange import Exchange

_FLUSH_SECONDS = 0.1
_MOST_PENDING = 100_000


class AccessRecord(msgspec.Struct, omit_defaults=False):
    """What is recorded of a request; ``duration`` in seconds, sizes in bytes of the bodies."""

    time: str
    kind: str
    request_id: str
    principal: str
    client_address: str
    method: str
    path: str
    operation: str
    status: int
    bytes_in: int
    bytes_out: int
    duration: float
    aborted: bool
    user_agent: str


class AccessLog:
    """Takes records in microseconds; a slow reader of the output delays no request.

    When the output stalls for long, the newest records are dropped and counted.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._encoder = msgspec.json.Encoder()
        self._lines: list[bytes] = []
        self._dropped = 0
        self._wake = threading.Event()
        self._stopped = False
        self._stamped = 0
        self._stamp_text = ""
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def append(self, exchange: Exchange, started: float, duration: float) -> None:
        """Record ``exchange``, which began at ``started`` (seconds since the epoch)."""
        if len(self._lines) >= _MOST_PENDING:
            self._dropped += 1
            return
        record = AccessRecord(
            self._stamp(started),
            "access",
            exchange.request_id,
            exchange.principal,
            exchange.client_address,
            exchange.method,
            exchange.path,
            exchange.operation,
            exchange.status,
            exchange.bytes_in,
            exchange.bytes_out,
            round(duration, 6),
            exchange.aborted,
            exchange.text(b"user-agent")[:256],
        )
        self._lines.append(self._encoder.encode(record))
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what is left."""
        self._stopped = True
        self._wake.set()
        self._thread.join(2)

    def _stamp(self, seconds: float) -> str:
        # Formatting a time takes 2 µs, and under load many requests begin within one millisecond.
        milliseconds = int(seconds * 1000)
        if milliseconds != self._stamped:
            self._stamped, self._stamp_text = milliseconds, clock.rfc3339(milliseconds / 1000)
        return self._stamp_text

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait()
            threading.Event().wait(0 if self._stopped else _FLUSH_SECONDS)
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if self._dropped:
            lines.append(b'{"kind":"access","dropped":%d}' % self._dropped)
            self._dropped = 0
        if not lines:
            return
        rest = memoryview(b"\n".join(lines) + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            # Nobody reads the log any more; the registry goes on serving.
            return
