"""Byte ranges (RFC 9110, section 14)."""

from __future__ import annotations

import re

from entrepot.errors import RangeNotSatisfiable

Span = tuple[int, int]
"""Start and end (exclusive) in bytes."""

_SET = re.compile(r"bytes=((?:\s*(?:\d+-\d*|-\d+)\s*,?)+)")
_SPEC = re.compile(r"(\d*)-(\d*)")
_MOST_SPANS = 1024


def parse(header: str, size: int) -> list[Span] | None:
    """The spans that ``header`` asks of ``size`` bytes; ``None`` if it is to be ignored.

    Another unit is ignored, as the RFC says.

    Raises:
        RangeNotSatisfiable: no span lies within the content, or one ends before it begins.
    """
    if not header.startswith("bytes="):
        return None
    matched = _SET.fullmatch(header.strip())
    if not matched:
        raise _unsatisfiable(size)
    spans = []
    for spec in matched.group(1).split(","):
        parts = _SPEC.fullmatch(spec.strip())
        if parts is None:
            continue
        span = _span(parts.group(1), parts.group(2), size)
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
        length = int(last)
        return (max(0, size - length), size) if length and size else None
    start = int(first)
    end = int(last) + 1 if last else size
    if end <= start and last:
        raise _unsatisfiable(size)
    return (start, min(end, size)) if start < size else None


def _unsatisfiable(size: int) -> RangeNotSatisfiable:
    return RangeNotSatisfiable(
        f"The range is not satisfiable: the content has {size} bytes.",
        headers=((b"content-range", b"bytes */%d" % size),),
    )
