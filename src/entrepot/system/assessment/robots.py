"""Checks of robot accounts: those without end, those that nobody uses, those that may push everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, func, literal_column, or_, select

from entrepot.auth.model import Scope
from entrepot.auth.tables import robots
from entrepot.database import Database, query
from entrepot.kit import clock
from entrepot.kit.finding import Check, Finding, Weakness, one
from entrepot.projects.tables import projects
from entrepot.settings.service import Settings
from entrepot.system.assessment.rows import bounded, first_rows

UNUSED_DAYS = 90
_DAY = 86_400_000_000
"""Microseconds."""
_LONGEST_DESCRIPTION = 60
_scope = msgspec.json.Decoder(Scope)

FOREVER = Weakness(
    id="robots-without-expiry",
    severity="medium",
    title="Robot accounts never expire",
    reason="A secret that is lost, or forgotten in a pipeline, opens the registry for ever.",
    remedy='Give each a duration: PUT /api/v2.0/robots/ID with "duration": 90 (days), and replace its secret in time.',
)
UNUSED = Weakness(
    id="robots-unused",
    severity="low",
    title=f"Robot accounts have not been used for {UNUSED_DAYS} days",
    reason="Nobody misses what nobody uses, nor notices when somebody else uses it.",
    remedy='Delete them: DELETE /api/v2.0/robots/ID; or disable them: PUT with "disable": true.',
)
WIDE = Weakness(
    id="robots-push-everywhere",
    severity="low",
    title="Robot accounts may push to every project",
    reason="Whoever has the secret of one replaces every image of the registry.",
    remedy="Name the projects that each needs instead of *: PUT /api/v2.0/robots/ID.",
)

_SHOWN = (robots.c.id, robots.c.name, projects.c.name, robots.c.description)
_ALIVE = (
    robots.c.is_disabled == literal_column("0"),
    or_(robots.c.expires_at.is_(None), robots.c.expires_at > bindparam("now")),
)
_FOREVER = bounded(
    select(*_SHOWN)
    .join_from(robots, projects, robots.c.project_id == projects.c.id, isouter=True)
    .where(*_ALIVE, robots.c.expires_at.is_(None))
    .order_by(robots.c.id)
)
_UNUSED = bounded(
    select(*_SHOWN)
    .join_from(robots, projects, robots.c.project_id == projects.c.id, isouter=True)
    .where(*_ALIVE, func.coalesce(robots.c.last_used_at, robots.c.created_at) < bindparam("before"))
    .order_by(robots.c.id)
)
_OF_SYSTEM = query(
    select(robots.c.id, robots.c.name, robots.c.description, robots.c.permissions)
    .where(*_ALIVE, robots.c.project_id.is_(None))
    .order_by(robots.c.id)
)


def checks(database: Database, settings: Settings) -> list[Check]:
    """The checks of robot accounts."""

    async def forever() -> list[Finding]:
        rows, total = await first_rows(database, _FOREVER, now=clock.now_us())
        return one(FOREVER.found(await shown(rows), total) if total else None)

    async def unused() -> list[Finding]:
        now = clock.now_us()
        rows, total = await first_rows(database, _UNUSED, now=now, before=now - UNUSED_DAYS * _DAY)
        return one(UNUSED.found(await shown(rows), total) if total else None)

    async def wide() -> list[Finding]:
        rows = await database.survey(_OF_SYSTEM, now=clock.now_us())
        found = await asyncio.to_thread(lambda: [row for row in rows if pushes_everywhere(_scope.decode(row[3]))])
        names = await shown((id_, name, None, description) for id_, name, description, _ in found[:20])
        return one(WIDE.found(names, len(found)) if found else None)

    async def shown(rows: Iterable[Sequence[Any]]) -> list[str]:
        prefix = await settings.text("robot_name_prefix")
        return [describe(prefix, *row) for row in rows]

    return [Check(FOREVER, forever), Check(UNUSED, unused), Check(WIDE, wide)]


def describe(prefix: str, id_: int, name: str, project: str | None, description: str) -> str:
    """What a robot logs in with, its id, and what it was said to be for."""
    full = f"{prefix}{project}+{name}" if project else f"{prefix}{name}"
    said = " ".join(description.split())
    if len(said) > _LONGEST_DESCRIPTION:
        said = f"{said[:_LONGEST_DESCRIPTION]}…"
    return f"{full} (id {id_}{f': {said}' if said else ''})"


def pushes_everywhere(scope: Scope) -> bool:
    """Whether a robot may push to every project, whatever the repository is called."""
    return any(
        entry.kind == "project"
        and entry.project_id is None
        and not entry.repositories
        and ("repository", "push") in entry.permissions
        for entry in scope
    )
