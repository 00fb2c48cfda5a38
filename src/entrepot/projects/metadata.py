"""Harbor's project metadata: which keys there are, and what each may hold. Every value is a text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from entrepot.errors import InvalidInput

PUBLIC = "public"

_BOOLEANS = frozenset(
    {
        PUBLIC,
        "enable_content_trust",
        "enable_content_trust_cosign",
        "prevent_vul",
        "auto_scan",
        "auto_sbom_generation",
        "reuse_sys_cve_allowlist",
        "proxy_cache_local_on_not_found",
        "proxy_referrer_api",
    }
)
_NUMBERS = {"proxy_speed_kb": "a whole number of 32 bits", "max_upstream_conn": "-1 for no limit, or 1 and more"}
_CHOICES = {
    "severity": frozenset({"critical", "high", "medium", "low", "negligible", "none"}),
    "proxy_cache_filter_kind": frozenset({"doublestar", "regex"}),
}
_SAME = {"negligible": "none"}
"""CVSS 3 has no word for it."""
_TEXTS = frozenset({"proxy_cache_filter_pattern"})
_RETENTION = "retention_id"
_NUMBER = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
_LONGEST = 1024
_LARGEST = 2**31

KEYS = _BOOLEANS | frozenset({*_NUMBERS, *_CHOICES, _RETENTION}) | _TEXTS
"""Every key that Harbor has."""


def check(values: Mapping[str, str]) -> dict[str, str]:
    """The known keys among ``values``, each checked; what Harbor does not know, and what is empty, is left out.

    Raises:
        InvalidInput: saying what the key takes.
    """
    return {key: check_one(key, value) for key, value in values.items() if key in KEYS and value}


def check_one(key: str, value: str) -> str:
    """``value`` as it is kept under ``key``.

    Raises:
        InvalidInput: there is no such key, or saying what it takes.
    """
    if key not in KEYS:
        raise InvalidInput(f"There is no project metadata {key[:64]!r}.", code="BAD_REQUEST")
    if key == _RETENTION:
        raise InvalidInput(f"{_RETENTION} is set by making a retention policy: leave it out.", code="BAD_REQUEST")
    lowered = value.lower()
    if key in _BOOLEANS:
        if lowered not in {"true", "false"}:
            raise _wrong(key, "true or false")
        return lowered
    if key in _NUMBERS:
        number = int(value) if _NUMBER.fullmatch(value) else _LARGEST
        least = -_LARGEST if key == "proxy_speed_kb" else 1
        if number != -1 and not least <= number < _LARGEST:
            raise _wrong(key, _NUMBERS[key])
        return str(number)
    if key in _CHOICES:
        if lowered not in _CHOICES[key]:
            raise _wrong(key, "one of " + ", ".join(sorted(_CHOICES[key])))
        return _SAME.get(lowered, lowered)
    if len(value) > _LONGEST:
        raise _wrong(key, f"at most {_LONGEST} characters")
    return value


def _wrong(key: str, takes: str) -> InvalidInput:
    return InvalidInput(f"The project's metadata {key} takes {takes}.", code="BAD_REQUEST")
