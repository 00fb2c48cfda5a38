"""Pages of ``/v2/`` lists: ``n``, ``last`` and the Link to the next page."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from entrepot.errors import InvalidInput

PAGE_LIMIT = 10_000
"""Items on the largest page; a client that wants more follows the Link."""


class Page(msgspec.Struct, frozen=True):
    """What the client asked for: at most ``size`` items after ``last``."""

    size: int
    last: str


def parse(parameters: dict[str, list[str]]) -> Page:
    """Read ``n`` and ``last``.

    Raises:
        InvalidInput: ``PAGINATION_NUMBER_INVALID``.
    """
    text = parameters.get("n", [""])[-1]
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004 - fits 64 bits
        raise InvalidInput(
            "n must be a whole number of items.", code="PAGINATION_NUMBER_INVALID", detail={"n": text[:32]}
        )
    return Page(min(int(text), PAGE_LIMIT) if text else PAGE_LIMIT, parameters.get("last", [""])[-1])


def link(path: str, last: str, size: int, **more: str) -> tuple[bytes, bytes]:
    """The ``Link`` header to the page after ``last`` (RFC 8288)."""
    extra = "".join(f"&{name}={quote(value, safe='')}" for name, value in more.items())
    target = f"{quote(path)}?last={quote(last, safe='')}&n={size}{extra}"
    return b"link", f'<{target}>; rel="next"'.encode("ascii")
