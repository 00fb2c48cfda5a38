"""HTTP with an issuer of tokens: bounded in time and size, and never led elsewhere."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urljoin, urlsplit

import msgspec

from entrepot import __version__
from entrepot.auth.provider import ProviderUnreachable

if TYPE_CHECKING:
    import aiohttp

LARGEST_ANSWER = 1024 * 1024
"""Bytes of one answer."""
_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK = 200

Answer = tuple[int, dict[str, Any]]
"""A status, and a JSON object; an empty one if the body is none."""


class IssuerHttp:
    """Connections to one issuer; made when they are needed, in the event loop that needs them."""

    def __init__(self, who: str, *, ca_file: str = "", verify_certificate: bool = True, timeout: float = 10.0) -> None:
        """``who`` is the issuer in sentences; ``timeout`` is in seconds, for one request with everything in it."""
        self._who = who
        self._ca_file = ca_file
        self._verify_certificate = verify_certificate
        self._timeout = timeout
        self._session: asyncio.Task[aiohttp.ClientSession] | None = None

    async def get(self, url: str, *, bearer: str = "") -> dict[str, Any]:
        """The JSON object at ``url``.

        Raises:
            ProviderUnreachable: there is none, or it cannot be had; the sentence says why.
        """
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        status, document = await self._within("GET", url, headers, None)
        if status != _OK:
            raise self._failed(url, f"answers with status {status}")
        if not document:
            raise self._failed(url, "answers with something that is no JSON object")
        return document

    async def post(self, url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None = None) -> Answer:
        """Send a form, with a client's name and secret if they are given; what was answered, refusals too.

        Raises:
            ProviderUnreachable: nothing was, or the server failed.
        """
        headers = {}
        if basic:
            # RFC 6749, 2.3.1: both are form-encoded first.
            pair = f"{quote_plus(basic[0])}:{quote_plus(basic[1])}".encode()
            headers["authorization"] = "Basic " + base64.b64encode(pair).decode()
        status, document = await self._within("POST", url, headers, form)
        if status >= 500 or status in _REDIRECTS:  # noqa: PLR2004 - the server's own failure
            raise self._failed(url, f"answers with status {status}")
        return status, document

    async def close(self) -> None:
        """End the connections."""
        session, self._session = self._session, None
        if session is None:
            return
        try:
            opened = await session
        except ProviderUnreachable:
            return  # it was never opened
        await opened.close()

    async def _within(self, method: str, url: str, headers: dict[str, str], form: Mapping[str, str] | None) -> Answer:
        import aiohttp  # noqa: PLC0415 - 15 MB that a registry without such providers does not need

        try:
            async with asyncio.timeout(self._timeout):
                session = await self._opened()
                return await self._follow(session, method, url, headers, form)
        except TimeoutError:
            raise self._failed(url, f"does not answer within {self._timeout:g} seconds") from None
        except aiohttp.ClientConnectorCertificateError:
            raise self._failed(url, "shows a certificate that is not trusted (set ca_file to its authority)") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._failed(url, f"does not answer ({_reason(error)})") from None

    async def _follow(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        headers: dict[str, str],
        form: Mapping[str, str] | None,
    ) -> Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            async with session.request(method, url, headers=headers, data=form, allow_redirects=False) as answer:
                if form is not None or answer.status not in _REDIRECTS:
                    return answer.status, _object(await self._read(answer, url))
                target = urljoin(url, answer.headers.get("location", ""))
            if not same_server(url, target):
                raise self._failed(url, "redirects to another server, which is not followed")
            url = target
        raise self._failed(url, "redirects again and again")

    async def _read(self, answer: aiohttp.ClientResponse, url: str) -> bytes:
        content = bytearray()
        async for piece in answer.content.iter_chunked(65_536):
            content += piece
            if len(content) > LARGEST_ANSWER:
                raise self._failed(url, f"answers with more than {LARGEST_ANSWER} bytes")
        return bytes(content)

    async def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = asyncio.ensure_future(self._open())
        opening = self._session
        try:
            return await asyncio.shield(opening)
        except ProviderUnreachable:
            if self._session is opening:
                self._session = None  # the file may be there next time
            raise

    async def _open(self) -> aiohttp.ClientSession:
        import aiohttp  # noqa: PLC0415 - as above

        context = await asyncio.to_thread(self._context)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=16, keepalive_timeout=30.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "accept": "application/json",
                "accept-encoding": "identity",  # a small answer must not grow
                "user-agent": f"entrepot/{__version__}",
            },
        )

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
        except (OSError, ssl.SSLError):
            raise ProviderUnreachable(f"{self._who}: ca_file cannot be read, or holds no certificate.") from None
        if not self._verify_certificate:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _failed(self, url: str, what: str) -> ProviderUnreachable:
        parts = urlsplit(url)
        return ProviderUnreachable(f"{self._who} {what} at {parts.scheme}://{parts.netloc}{parts.path}.")


def same_server(one: str, other: str) -> bool:
    """Whether two URLs have scheme, host and port in common."""
    try:
        first, second = (
            (parts.scheme, parts.hostname, parts.port) for parts in (urlsplit(url) for url in (one, other))
        )
    except ValueError:
        return False
    return first == second


def _object(content: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}


def _reason(error: Exception) -> str:
    words = str(error).strip() or type(error).__name__
    return words[:200]
