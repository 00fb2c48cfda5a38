"""Checks of room: quotas of projects, the disk, its inodes, the database on it."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import msgspec
from sqlalchemy import literal_column, select

from entrepot.database import Database
from entrepot.kit.finding import Check, Finding, Weakness, one
from entrepot.projects.tables import projects
from entrepot.settings.service import Settings
from entrepot.system.assessment.installation import Installation
from entrepot.system.assessment.rows import bounded, first_rows

FULL_PERCENT = 90
FILLING_PERCENT = 80

NO_QUOTA = Weakness(
    id="projects-without-quota",
    severity="low",
    title="Projects have no quota",
    reason="One of them can fill the disk, and then nobody pushes any more.",
    remedy='PUT /api/v2.0/quotas/ID {"hard": {"storage": 53687091200}}',
)
NO_DEFAULT_QUOTA = Weakness(
    id="default-quota-missing",
    severity="low",
    title="New projects get no quota",
    reason="Whoever may create projects can fill the disk.",
    remedy='PUT /api/v2.0/configurations {"quota_per_project_enable": true, "storage_per_project": 53687091200}',
)
DISK = Weakness(
    id="disk-full",
    severity="critical",
    title="The disk of the data folder fills up",
    reason=f"When it is full every push fails. It is told from {FILLING_PERCENT} % (medium); from {FULL_PERCENT} % it "
    "is critical.",
    remedy="Enlarge the file system or delete what nobody needs; set quotas (docs/quotas.md).",
)
INODES = Weakness(
    id="inodes-full",
    severity="critical",
    title="The file system of the data folder runs out of inodes",
    reason="When none is left every push fails, however many bytes are free. It is told from "
    f"{FILLING_PERCENT} % (medium); from {FULL_PERCENT} % it is critical.",
    remedy="Move data to a file system with more inodes (mkfs.ext4 -N), or to XFS, which makes them as needed.",
)
NO_ROOM = Weakness(
    id="database-room",
    severity="low",
    title="There is too little room beside the database",
    reason="A VACUUM, a migration or a backup of the database needs up to twice its size.",
    remedy="Free space where data lies, or enlarge the file system.",
)


class Usage(msgspec.Struct, frozen=True):
    """How full a file system is, as far as an ordinary user may fill it; bytes and counts."""

    total: int
    free: int
    inodes: int
    free_inodes: int


def checks(installation: Installation, database: Database, settings: Settings) -> list[Check]:
    """The checks of room."""

    async def quotas() -> list[Finding]:
        rows, total = await first_rows(database, _WITHOUT_QUOTA)
        return one(NO_QUOTA.found([f"{name} (id {id_})" for id_, name in rows], total) if total else None)

    async def default() -> list[Finding]:
        given = await settings.boolean("quota_per_project_enable") and await settings.number("storage_per_project") > 0
        return one(None if given else NO_DEFAULT_QUOTA.found())

    async def disk() -> list[Finding]:
        usage = await asyncio.to_thread(usage_of, installation.data)
        return one(filled(DISK, usage.total, usage.free, installation.data))

    async def inodes() -> list[Finding] | None:
        usage = await asyncio.to_thread(usage_of, installation.data)
        if not usage.inodes:
            return None  # a file system that makes them as needed
        return one(filled(INODES, usage.inodes, usage.free_inodes, installation.data))

    async def beside() -> list[Finding]:
        usage = await asyncio.to_thread(usage_of, installation.database.parent)
        size = await asyncio.to_thread(size_of, installation.database)
        return one(crowded(size, usage.free))

    return [
        Check(NO_QUOTA, quotas),
        Check(NO_DEFAULT_QUOTA, default),
        Check(DISK, disk),
        Check(INODES, inodes),
        Check(NO_ROOM, beside),
    ]


_WITHOUT_QUOTA = bounded(
    select(projects.c.id, projects.c.name).where(projects.c.quota < literal_column("0")).order_by(projects.c.id)
)


def usage_of(folder: Path) -> Usage:
    """How full the file system of ``folder`` is.

    Raises:
        OSError: it cannot be asked.
    """
    found = os.statvfs(folder)
    reserved = found.f_bfree - found.f_bavail
    return Usage(
        (found.f_blocks - reserved) * found.f_frsize,
        found.f_bavail * found.f_frsize,
        found.f_files,
        found.f_favail,
    )


def size_of(database: Path) -> int:
    """Bytes of the database with its log."""
    size = 0
    for path in (database, database.with_name(f"{database.name}-wal")):
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


def filled(weakness: Weakness, total: int, free: int, folder: Path) -> Finding | None:
    """What it means that ``free`` of ``total`` are left."""
    percent = 100 * (total - free) / total if total else 0
    if percent < FILLING_PERCENT:
        return None
    return weakness.found(
        [str(folder)],
        severity="critical" if percent >= FULL_PERCENT else "medium",
        title=f"{weakness.title}: {percent:.0f} % used",
    )


def crowded(size: int, free: int) -> Finding | None:
    """Whether a copy of the database would not fit twice."""
    if free >= 2 * size:
        return None
    return NO_ROOM.found(
        title=f"{NO_ROOM.title}: {free / 2**20:,.0f} MiB free, the database has {size / 2**20:,.0f} MiB"
    )
