"""Harbor's project metadata: which keys there are, and what each may hold. Every value is a text."""

from __future__ import annotations

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
_NUMBERS = frozenset({"retention_id", "proxy_speed_kb", "max_upstream_conn"})
_CHOICES = {
    "severity": frozenset({"critical", "high", "medium", "low", "negligible", "none", "unknown"}),
    "proxy_cache_filter_kind": frozenset({"doublestar", "regex"}),
}
_TEXTS = frozenset({"proxy_cache_filter_pattern"})
_LONGEST = 1024
_LARGEST = 2**31

KEYS = _BOOLEANS | _NUMBERS | frozenset(_CHOICES) | _TEXTS
"""Every key that Harbor has; what it has not is ignored, as Harbor does."""


def check(values: Mapping[str, str]) -> dict[str, str]:
    """The known keys among ``values``, each checked.

    Raises:
        InvalidInput: saying what the key takes.
    """
    return {key: _check(key, value) for key, value in values.items() if key in KEYS}


def _check(key: str, value: str) -> str:
    lowered = value.lower()
    if key in _BOOLEANS:
        if lowered not in {"true", "false"}:
            raise _wrong(key, "true or false")
        return lowered
    if key in _NUMBERS:
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 11 and int(digits) < _LARGEST):  # noqa: PLR2004
            raise _wrong(key, "a whole number")
        return value
    if key in _CHOICES:
        if lowered not in _CHOICES[key]:
            raise _wrong(key, "one of " + ", ".join(sorted(_CHOICES[key])))
        return lowered
    if len(value) > _LONGEST:
        raise _wrong(key, f"at most {_LONGEST} characters")
    return value


def _wrong(key: str, takes: str) -> InvalidInput:
    return InvalidInput(f"The project's metadata {key} takes {takes}.", code="BAD_REQUEST")
