"""Checks of what is recorded, and of a registry that is shut."""

from __future__ import annotations

from entrepot.kit.finding import Check, Finding, Weakness, one
from entrepot.settings.service import Settings
from entrepot.system.assessment.installation import Installation

DEBUG = Weakness(
    id="log-debug",
    severity="medium",
    title="Everything is logged, for debugging",
    reason="Such a log grows fast, slows the registry, and tells more than whoever reads logs should know.",
    remedy="Set log.level = info.",
)
NO_ACCESS_LOG = Weakness(
    id="log-access-off",
    severity="info",
    title="Requests are not logged",
    reason="Who asked for what, and was refused, cannot be found out later; the audit log has only what was changed "
    "and pulled.",
    remedy="Set log.access = true.",
)
NO_PULLS = Weakness(
    id="audit-pulls-off",
    severity="medium",
    title="Pulls are not recorded",
    reason="After a leak nobody can say who has had which image.",
    remedy='PUT /api/v2.0/configurations {"pull_audit_log_disable": false}',
)
READ_ONLY = Weakness(
    id="read-only",
    severity="info",
    title="The registry is read-only",
    reason="Every push is refused; it may have been forgotten after a backup or a move.",
    remedy='PUT /api/v2.0/configurations {"read_only": false}',
)


def checks(installation: Installation, settings: Settings) -> list[Check]:
    """The checks of records."""

    async def debug() -> list[Finding]:
        return one(DEBUG.found() if installation.log_level == "debug" else None)

    async def access() -> list[Finding]:
        return one(None if installation.log_access else NO_ACCESS_LOG.found())

    async def pulls() -> list[Finding]:
        return one(NO_PULLS.found() if await settings.boolean("pull_audit_log_disable") else None)

    async def read_only() -> list[Finding]:
        return one(READ_ONLY.found() if await settings.boolean("read_only") else None)

    return [
        Check(DEBUG, debug),
        Check(NO_ACCESS_LOG, access),
        Check(NO_PULLS, pulls),
        Check(READ_ONLY, read_only),
    ]
