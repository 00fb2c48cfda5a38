"""Rates: so many requests a period."""

from __future__ import annotations

import re

import msgspec

_RATE = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,5})?([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Rate(msgspec.Struct, frozen=True):
    """``requests`` in any ``seconds``."""

    requests: int
    seconds: int


def parse_rate(text: str) -> Rate:
    """A rate such as ``100/s``, ``600/m`` or ``5000/6h``.

    Raises:
        ValueError: it is none.
    """
    matched = _RATE.fullmatch(text.strip())
    if matched is None:
        raise ValueError(f"{text[:32]!r} is not a rate: write requests a period, such as 100/s, 600/m or 5000/6h")
    count, times, unit = matched.groups()
    return Rate(int(count), int(times or 1) * _SECONDS[unit])
