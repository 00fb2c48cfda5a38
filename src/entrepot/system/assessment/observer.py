"""The observer: a client that connects to the running registry and tells what it saw.

It logs in nowhere. The listener's certificate is not verified here: what is wrong with it is what the checks tell.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import warnings
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec

from entrepot.kit import clock
from entrepot.system.assessment.installation import Installation
from entrepot.system.assessment.model import Observation

_STEP_SECONDS = 2.0
_ALL_SECONDS = 7.0
_REMEMBER_SECONDS = 30.0
_MOST_CIPHERS = 200
_EVERY_CIPHER = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
_BROKEN_CIPHERS = "eNULL:aNULL:3DES:RC4:IDEA:SEED:RC2:@SECLEVEL=0"
_VERSIONS = (
    ("TLS 1.0", ssl.TLSVersion.TLSv1),
    ("TLS 1.1", ssl.TLSVersion.TLSv1_1),
    ("TLS 1.2", ssl.TLSVersion.TLSv1_2),
    ("TLS 1.3", ssl.TLSVersion.TLSv1_3),
)
_OUTSIDE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what stands for every address, and where it answers
_ALIVE = b"alive"


class Target(msgspec.Struct, frozen=True):
    """Where to connect."""

    host: str
    port: int
    server_name: str
    """What is asked for in the handshake."""
    has_tls: bool

    @property
    def url(self) -> str:
        """As people write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.has_tls else 'http'}://{host}:{self.port}"


class Observer:
    """Looks at most every half minute, however many checks ask."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._lock = asyncio.Lock()
        self._last: Observation | None = None
        self._seen_at = -_REMEMBER_SECONDS

    async def observe(self) -> Observation | None:
        """What is seen from outside; ``None``: nothing answers."""
        async with self._lock:
            if clock.monotonic() - self._seen_at >= _REMEMBER_SECONDS:
                self._last = await asyncio.to_thread(look, target_of(self._installation))
                self._seen_at = clock.monotonic()
            return self._last


def target_of(installation: Installation) -> Target:
    """The proxy that ends TLS, if one is configured by its URL; else the listener."""
    host, port = installation.listen
    if installation.cert_file is None and installation.external_url.startswith("https://"):
        parts = urlsplit(installation.external_url)
        return Target(parts.hostname or "", parts.port or 443, parts.hostname or "", True)
    host = _OUTSIDE.get(host, host)
    return Target(host, port, installation.host or host, installation.cert_file is not None)


def look(target: Target) -> Observation | None:
    """Connect; ``None``: nothing answers, or something else than a registry."""
    deadline = clock.monotonic() + _ALL_SECONDS
    if not target.has_tls:
        alive, _ = _get(target, "/livez")
        if alive is None:
            return None
        catalog, _ = _get(target, "/v2/_catalog")
        return Observation(url=target.url, catalog_status=catalog)
    shown = _handshake(target, _context())
    if shown is None:
        return None
    catalog, headers = _get(target, "/v2/_catalog")
    return Observation(
        url=target.url,
        protocols=tuple(name for name, version in _VERSIONS if _speaks(target, version)),
        ciphers=_ciphers(target, deadline),
        certificate=shown.certificate,
        has_hsts=None if catalog is None else "strict-transport-security" in headers,
        catalog_status=catalog,
    )


class _Shown(msgspec.Struct, frozen=True):
    certificate: bytes
    cipher: str


def _context(
    least: ssl.TLSVersion | None = None, most: ssl.TLSVersion | None = None, ciphers: str = ""
) -> ssl.SSLContext:
    """A client that takes whatever it is given: it only looks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # to find out whether what is old is spoken, speak it
        if most is not None:
            context.maximum_version = most
        if least is not None:
            context.minimum_version = least
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def _handshake(target: Target, context: ssl.SSLContext) -> _Shown | None:
    """One handshake; ``None``: there was none."""
    try:
        with (
            socket.create_connection((target.host, target.port), timeout=_STEP_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=_server_name(target)) as connection,
        ):
            cipher = connection.cipher()
            return _Shown(connection.getpeercert(binary_form=True) or b"", cipher[0] if cipher else "")
    except ssl.SSLError as error:
        # A server that asks for the client's certificate got as far as agreeing on the protocol.
        return _Shown(b"", "") if "CERTIFICATE" in (error.reason or "") else None
    except (OSError, ValueError):
        return None


def _server_name(target: Target) -> str:
    return target.server_name or target.host


def _speaks(target: Target, version: ssl.TLSVersion) -> bool:
    ciphers = "" if version is ssl.TLSVersion.TLSv1_3 else _EVERY_CIPHER
    try:
        return _handshake(target, _context(version, version, ciphers)) is not None
    except (ssl.SSLError, ValueError):
        return False  # this machine's OpenSSL cannot speak it


def _ciphers(target: Target, deadline: float) -> tuple[str, ...]:
    """What the server agrees to, the broken ones looked for first: time may not suffice for all."""
    newest = _handshake(target, _context(ssl.TLSVersion.TLSv1_3))
    found = [newest.cipher] if newest is not None and newest.cipher else []
    found += _chosen(target, _BROKEN_CIPHERS, deadline)
    found += _chosen(target, _EVERY_CIPHER, deadline)
    return tuple(dict.fromkeys(found))


def _chosen(target: Target, offer: str, deadline: float) -> list[str]:
    """What the server takes of an offer: it is asked again without what it chose, until nothing is left."""
    found: list[str] = []
    refused = ""
    for _ in range(_MOST_CIPHERS):
        if clock.monotonic() > deadline:
            break
        try:
            context = _context(most=ssl.TLSVersion.TLSv1_2, ciphers=f"{offer}{refused}")
        except ssl.SSLError:
            break  # none is left
        shown = _handshake(target, context)
        if shown is None or not shown.cipher:
            break
        found.append(shown.cipher)
        refused += f":!{shown.cipher}"
    return found


def _get(target: Target, path: str) -> tuple[int | None, dict[str, str]]:
    """Status and headers of an answer; ``None``: there is none, or of something else."""
    if target.has_tls:
        context = _context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            target.host, target.port, timeout=_STEP_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(target.host, target.port, timeout=_STEP_SECONDS)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(4096)
    except (OSError, http.client.HTTPException, ValueError):
        return None, {}
    else:
        if path == "/livez" and _ALIVE not in body:
            return None, {}
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        with suppress(OSError):
            connection.close()
