"""A TCP proxy that cuts one connection in the middle of its bytes, as a bad network does."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

CHUNK = 65_536
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER on, zero seconds: closing sends a reset instead of the polite end."""


class CuttingProxy:
    """Passes bytes on; the first connection to carry `cut_after` bytes in one direction is reset."""

    def __init__(self, port: int, cut_after: int, towards: Literal["client", "server"]) -> None:
        self._port = port
        self._cut_after = cut_after
        self._towards = towards
        self._lock = threading.Lock()
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        # close() alone would not wake the thread that waits in accept()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._pass, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _pass(self, client: socket.socket) -> None:
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._port)) as server,
            selectors.DefaultSelector() as ready,
        ):
            passed = {"server": 0, "client": 0}
            ready.register(client, selectors.EVENT_READ, (client, server, "server"))
            ready.register(server, selectors.EVENT_READ, (server, client, "client"))
            while True:
                for key, _ in ready.select(timeout=60):
                    end, peer, towards = key.data
                    data = end.recv(CHUNK)
                    if not data:
                        return
                    passed[towards] += len(data)
                    if towards == self._towards and self._cut(passed[towards]):
                        for either in (client, server):
                            either.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                        return
                    peer.sendall(data)

    def _cut(self, passed: int) -> bool:
        with self._lock:
            if self.cuts or passed < self._cut_after:
                return False
            self.cuts += 1
            return True


@contextmanager
def cutting_proxy(port: int, *, cut_after: int, towards: Literal["client", "server"]) -> Iterator[CuttingProxy]:
    """Stand before the server on `port`; cut once, after `cut_after` bytes `towards` one side."""
    proxy = CuttingProxy(port, cut_after, towards)
    try:
        yield proxy
    finally:
        proxy.close()
