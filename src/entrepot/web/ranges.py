"""Byte ranges (RFC 9110, section 14)."""

from __future__ import annotations

import re

from entrepot.errors import RangeNotSatisfiable

Span = tuple[int, int]
"""Start and end (exclusive) in bytes."""

_SPEC = re.compile(r"(\d*)-(\d*)")
_MOST_SPANS = 1024
_LONGEST = 32 * 1024


def parse(header: str, size: int) -> list[Span] | None:
    """The spans that ``header`` asks of ``size`` bytes; ``None`` if it is to be ignored.

    Another unit is ignored, as the RFC says.

    Raises:
        RangeNotSatisfiable: no span lies within the content, or one ends before it begins.
    """
    if not header.startswith("bytes="):
        return None
    if len(header) > _LONGEST:
        return None
    spans = []
    for text in header.removeprefix("bytes=").split(","):
        matched = _SPEC.fullmatch(text.strip())
        if matched is None or text.strip() == "-":
            if text.strip():
                raise _unsatisfiable(size)
            continue
        span = _span(matched.group(1), matched.group(2), size)
        if span:
            spans.append(span)
    if not spans:
        raise _unsatisfiable(size)
    if len(spans) > _MOST_SPANS or sum(end - start for start, end in spans) > size:
        # Overlapping or absurdly many spans would cost more than the content itself.
        return None
    return spans


def _span(first: str, last: str, size: int) -> Span | None:
    if not first:
        length = _number(last)
        return (max(0, size - length), size) if length and size else None
    start = _number(first)
    end = _number(last) + 1 if last else size
    if end <= start and last:
        raise _unsatisfiable(size)
    return (start, min(end, size)) if start < size else None


def _number(digits: str) -> int:
    """The number; one too long to be a position is as good as any that lies behind every content."""
    return int(digits) if len(digits) <= 18 else 10**18  # noqa: PLR2004 - fits 64 bits


def _unsatisfiable(size: int) -> RangeNotSatisfiable:
    return RangeNotSatisfiable(
        f"The range is not satisfiable: the content has {size} bytes.",
        headers=((b"content-range", b"bytes */%d" % size),),
    )
