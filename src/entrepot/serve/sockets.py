"""The listening sockets: bound by the supervisor, served by one worker after another.

Each worker has its own socket on a shared port (``SO_REUSEPORT``). The supervisor keeps them open, so a worker takes
over the very socket of the one before it with every connection that waits in its queue: nothing is lost between them.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
from collections.abc import Mapping, Sequence

from entrepot.config import split_address
from entrepot.errors import ConfigError

_EPOLL = "anon_inode:[eventpoll]"


class Listeners:
    """The sockets of every worker, by the address that they are bound to."""

    def __init__(self, addresses: Sequence[str], workers: int, stalled: float) -> None:
        """Bind them.

        Args:
            addresses: such as ``127.0.0.1:5000``, all different.
            workers: how many processes share each port.
            stalled: seconds after which the kernel closes a connection whose client takes nothing.

        Raises:
            ConfigError: one of them is taken, or cannot be bound.
        """
        self._addresses = tuple(addresses)
        self._stalled = stalled
        for address in self._addresses:
            check_free(address)
        self._sockets = [self._bind_all() for _ in range(workers)]

    def of(self, index: int) -> Mapping[str, socket.socket]:
        """The sockets of one worker."""
        return self._sockets[index]

    def keep(self, index: int) -> Mapping[str, socket.socket]:
        """In a worker: its own sockets; those of the others are closed here."""
        own = self._sockets[index]
        for sockets in self._sockets:
            if sockets is not own:
                _close(sockets)
        return own

    def renew(self, index: int) -> None:
        """Close a worker's sockets and bind others: until they are served, connections go to the other workers."""
        former, self._sockets[index] = self._sockets[index], self._bind_all()
        _close(former)

    def close(self) -> None:
        """Close them here; workers go on."""
        for sockets in self._sockets:
            _close(sockets)

    def _bind_all(self) -> dict[str, socket.socket]:
        return {address: _bind(address, self._stalled) for address in self._addresses}


def check_free(listen: str) -> None:
    """Refuse an address that another program holds: workers share their port, and would share it with that one.

    Raises:
        ConfigError: it is taken, or cannot be bound.
    """
    probe, address = _socket_for(listen)
    with probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _try_bind(probe, address, listen)


def is_served(listener: int) -> bool:
    """Whether the HTTP server of this process waits for connections on the descriptor ``listener``."""
    return _epoll_of(listener) is not None


def stop_accepting(listener: int) -> None:
    """Let the HTTP server take no more connections from ``listener``, though it goes on with those that it has.

    The server itself can only stop as a whole, and then drops connections in the middle of their handshake. Its event
    loop is told nothing of this socket any more: what waits in the queue is left to the worker that shares it.
    """
    epoll = _epoll_of(listener)
    if epoll is None:
        return
    with contextlib.suppress(OSError), select.epoll.fromfd(os.dup(epoll)) as waiting:
        waiting.unregister(listener)


def _epoll_of(listener: int) -> int | None:
    """The epoll descriptor of this process that ``listener`` is registered with (proc_pid_fdinfo(5))."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") != _EPOLL:
                continue
            with open(f"/proc/self/fdinfo/{name}", encoding="ascii") as info:
                if re.search(rf"^tfd:\s+{listener}\s", info.read(), re.MULTILINE):
                    return int(name)
        except OSError:
            continue  # a descriptor that is gone already
    return None


def _bind(listen: str, stalled: float) -> socket.socket:
    bound, address = _socket_for(listen)
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
        (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1),
        # Accepted sockets inherit these. An application can end its answer but not the connection under it, so the
        # kernel closes those whose client takes nothing (tcp(7)).
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stalled * 1000)),
    ):
        bound.setsockopt(level, option, value)
    _try_bind(bound, address, listen)
    return bound


def _socket_for(listen: str) -> tuple[socket.socket, tuple[object, ...]]:
    host, port = split_address(listen)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _unusable(listen, error) from error
    family, kind, protocol, _, address = found[0]
    return socket.socket(family, kind, protocol), address


def _try_bind(unbound: socket.socket, address: tuple[object, ...], listen: str) -> None:
    try:
        unbound.bind(address)
    except OSError as error:
        unbound.close()
        raise _unusable(listen, error) from error


def _unusable(listen: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"{listen} cannot be listened on ({error.strerror}): stop what uses it or set another with --listen."
    )


def _close(sockets: Mapping[str, socket.socket]) -> None:
    for each in sockets.values():
        each.close()
