"""The plain HTTP listener that leads to HTTPS and does nothing else."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import quote, urlsplit

from entrepot.web.exchange import Receive, Scope, Send

_HTTPS_PORT = 443
_LONGEST_HOST = 253
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"((?:{_LABEL})(?:\.{_LABEL})*\.?|\[([0-9A-Fa-f:.]{{2,45}})\])(?::[0-9]{{0,5}})?")
_AS_IS = "".join(map(chr, range(0x21, 0x7F)))
"""Characters of a path or a query that need no quoting any more, what is quoted among them."""


class Redirect:
    """An ASGI application: 308 to the same path, or 400 where it cannot be told which host was meant.

    It reads no body, writes no record and calls nothing. 308 is the answer that keeps the method (RFC 9110, 15.4.9).
    """

    def __init__(self, port: int, external_url: str) -> None:
        """Lead to ``external_url`` if it is one of HTTPS, else to ``port`` of the host that was asked for."""
        parts = urlsplit(external_url)
        self._origin = f"https://{parts.netloc}" if parts.scheme == "https" and parts.netloc else ""
        self._port = "" if port == _HTTPS_PORT else f":{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - no body is read
        """Answer one request."""
        if scope["type"] != "http":
            return
        location = self.location_of(scope)
        # The connection ends: a body that is on its way is not waited for, and the next request goes elsewhere.
        headers = [(b"connection", b"close"), (b"content-length", b"0")]
        if location:
            headers.append((b"location", location.encode("ascii")))
        await send({"type": "http.response.start", "status": 308 if location else 400, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def location_of(self, scope: Scope) -> str:
        """Where a request is led, empty if that cannot be told."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        named = _host(hosts[0]) if len(hosts) == 1 else ""
        if hosts and not named:  # RFC 9112, 3.2: whatever it would be good for
            return ""
        origin = self._origin or (f"https://{named}{self._port}" if named else "")
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        if not origin or path[:1] != b"/":
            return ""
        query: bytes = scope["query_string"]
        return origin + quote(path, safe=_AS_IS) + (f"?{quote(query, safe=_AS_IS)}" if query else "")


def _host(value: bytes) -> str:
    """The host of a Host header without its port; empty if it is none."""
    found = _HOST.fullmatch(value.decode("latin-1"))
    if found is None or len(found[1]) > _LONGEST_HOST:
        return ""
    if found[2]:
        try:
            IPv6Address(found[2])
        except ValueError:
            return ""
    return found[1]
