"""Headers that the answers of ``/v2/`` share."""

from __future__ import annotations

from collections.abc import Sequence

from entrepot.web.exchange import Exchange, Headers

API_VERSION = (b"docker-distribution-api-version", b"registry/2.0")
"""Older clients refuse a registry without it."""

OCTETS = (b"content-type", b"application/octet-stream")
ACCEPT_RANGES = (b"accept-ranges", b"bytes")

_WARNING_BYTES = 4096
_IMMUTABLE = (b"cache-control", b"private, max-age=31536000, immutable")


def content_headers(digest: str, media_type: bytes) -> Headers:
    """What describes content by digest."""
    encoded = digest.encode()
    return [
        (b"content-type", media_type),
        (b"docker-content-digest", encoded),
        (b"etag", b'"%s"' % encoded),
        API_VERSION,
    ]


def immutable() -> tuple[bytes, bytes]:
    """Content by digest never changes; only whoever may read it may keep it."""
    return _IMMUTABLE


def warning_headers(warnings: Sequence[str]) -> Headers:
    """``Warning`` headers that clients show to people (distribution-spec, "Warnings"): at most 4096 bytes in all."""
    headers: Headers = []
    left = _WARNING_BYTES
    for text in warnings:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace")
        value = b'299 - "%s"' % quoted
        left -= len(value)
        if left >= 0:
            headers.append((b"warning", value))
    return headers


def is_not_modified(exchange: Exchange, digest: str) -> bool:
    """Whether ``If-None-Match`` names what would be sent (RFC 9110, 13.1.2)."""
    condition = exchange.header(b"if-none-match")
    if condition is None:
        return False
    tags = [tag.strip().removeprefix(b"W/").strip(b'"') for tag in condition.split(b",")]
    return digest.encode() in tags or b"*" in tags
