"""What a self-assessment is made of: checks, the weakness that each looks for, and what it found.

It stands here so that every feature may contribute checks: features do not know each other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

Severity = Literal["critical", "high", "medium", "low", "info"]

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")
"""The worst first."""

MOST_RESOURCES = 20
"""How many things a finding names; it always tells how many there are."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be."""

    check: str
    """The id of the check that found it."""
    severity: Severity
    title: str
    reason: str
    """Why that is bad."""
    remedy: str
    """The command or setting that mends it."""
    resources: tuple[str, ...] = ()
    """What it is about, at most ``MOST_RESOURCES``."""
    total: int = 0
    """How many there are of them."""


class Weakness(msgspec.Struct, frozen=True, kw_only=True):
    """What a check looks for, in the words of its finding and of the documentation."""

    id: str
    severity: Severity
    """The worst that it can be."""
    title: str
    reason: str
    remedy: str

    def found(
        self,
        resources: Sequence[str] = (),
        total: int | None = None,
        *,
        severity: Severity | None = None,
        title: str = "",
        reason: str = "",
        remedy: str = "",
    ) -> Finding:
        """The finding; its words are the weakness' own unless others are given."""
        return Finding(
            check=self.id,
            severity=severity or self.severity,
            title=title or self.title,
            reason=reason or self.reason,
            remedy=remedy or self.remedy,
            resources=tuple(resources[:MOST_RESOURCES]),
            total=len(resources) if total is None else total,
        )


Look = Callable[[], Awaitable[Sequence[Finding] | None]]
"""What is wrong (nothing: all is well); ``None``: it cannot be so here, or cannot be seen from here."""


class Check(msgspec.Struct, frozen=True):
    """One line of the list: independent of all others."""

    weakness: Weakness
    run: Look

    @property
    def id(self) -> str:
        """Names it, in documents and in answers."""
        return self.weakness.id

    @property
    def title(self) -> str:
        """What it finds, if it finds it."""
        return self.weakness.title

    @property
    def severity(self) -> Severity:
        """The worst that it can find."""
        return self.weakness.severity


def one(finding: Finding | None) -> list[Finding]:
    """What a check that found ``finding``, or nothing, answers."""
    return [] if finding is None else [finding]
