"""What the HTTP server does not set on its sockets."""

from __future__ import annotations

import os
import socket
import stat


def close_stalled(seconds: float) -> None:
    """Let the kernel close connections whose client takes nothing for ``seconds``.

    An application can end its answer but not the connection under it. Accepted sockets inherit the option from the
    listening ones (tcp(7), ``TCP_USER_TIMEOUT``), and those are found among this process's descriptors.
    """
    for name in os.listdir("/proc/self/fd"):
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as candidate:
                if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
        except OSError:
            continue  # a descriptor that is gone already, or a socket that is not TCP
