"""``/v2/<name>/blobs/<digest>``: end-2, end-10, with ranges."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from entrepot.auth.model import Caller
from entrepot.oci.name import parse_name
from entrepot.registry.blobs import Blobs
from entrepot.registry.http.headers import (
    ACCEPT_RANGES,
    API_VERSION,
    content_headers,
    immutable,
    is_not_modified,
)
from entrepot.storage.verified import PIECE, Content
from entrepot.web import ranges
from entrepot.web.exchange import Exchange, Headers
from entrepot.web.ranges import Span

_OCTETS = b"application/octet-stream"


class BlobRoutes:
    """Decodes and encodes; the verbs are in ``registry.blobs``."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def head(self, exchange: Exchange, caller: Caller, name: str, digest: str) -> None:
        """Size and presence."""
        exchange.operation = "blob.head"
        blob = await self._blobs.stat(caller, parse_name(name), digest)
        headers = [*content_headers(digest, _OCTETS), ACCEPT_RANGES, immutable()]
        headers.append((b"content-length", b"%d" % blob.size))
        await exchange.respond(200, headers)

    async def get(self, exchange: Exchange, caller: Caller, name: str, digest: str) -> None:
        """The bytes, whole or in ranges."""
        exchange.operation = "blob.get"
        content = await self._blobs.open(caller, parse_name(name), digest)
        try:
            headers = content_headers(digest, _OCTETS)
            headers += (ACCEPT_RANGES, immutable())
            if is_not_modified(exchange, digest):
                await exchange.respond(304, headers)
                return
            spans = _spans(exchange, digest, content.size)
            if spans is None:
                await _send(exchange, 200, headers, content, (0, content.size))
            elif len(spans) == 1:
                headers.append((b"content-range", _content_range(spans[0], content.size)))
                await _send(exchange, 206, headers, content, spans[0])
            else:
                await _send_several(exchange, headers, content, spans)
        finally:
            content.close()

    async def delete(self, exchange: Exchange, caller: Caller, name: str, digest: str) -> None:
        """Take the blob out of the repository."""
        exchange.operation = "blob.delete"
        await self._blobs.delete(caller, parse_name(name), digest)
        await exchange.respond(202, [API_VERSION])


def _spans(exchange: Exchange, digest: str, size: int) -> list[Span] | None:
    header = exchange.text(b"range")
    if not header:
        return None
    condition = exchange.text(b"if-range")
    if condition and condition.strip('"') != digest:
        return None
    return ranges.parse(header, size)


async def _send(exchange: Exchange, status: int, headers: Headers, content: Content, span: Span) -> None:
    start, end = span
    if end - start <= PIECE:
        # One piece needs no watching for hang-ups.
        body = b"".join([bytes(piece) async for piece in content.stream(start, end)])
        await exchange.respond(status, headers, body)
        return
    headers.append((b"content-length", b"%d" % (end - start)))
    await exchange.start(status, headers)
    await exchange.stream(content.stream(start, end), end - start)


async def _send_several(exchange: Exchange, headers: Headers, content: Content, spans: list[Span]) -> None:
    """``multipart/byteranges`` (RFC 9110, 14.6), as the lazy-pulling snapshotters ask for."""
    boundary = secrets.token_hex(16)
    heads = [
        (
            f"\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: ".encode()
            + _content_range(span, content.size)
            + b"\r\n\r\n"
        )
        for span in spans
    ]
    tail = f"\r\n--{boundary}--\r\n".encode()
    length = sum(map(len, heads)) + sum(end - start for start, end in spans) + len(tail)
    headers[0] = (b"content-type", f"multipart/byteranges; boundary={boundary}".encode())
    headers.append((b"content-length", b"%d" % length))

    async def pieces() -> AsyncIterator[bytes | bytearray]:
        for head, (start, end) in zip(heads, spans, strict=True):
            yield head
            async for piece in content.stream(start, end):
                yield piece
        yield tail

    await exchange.start(206, headers)
    await exchange.stream(pieces(), length)


def _content_range(span: Span, size: int) -> bytes:
    return b"bytes %d-%d/%d" % (span[0], span[1] - 1, size)
