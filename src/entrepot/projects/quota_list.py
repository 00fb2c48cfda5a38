"""Quotas as administrators see and set them: one for each project, under the project's id."""

from __future__ import annotations

import re
from typing import Any, Protocol

import msgspec
from sqlalchemy import BigInteger, bindparam, case, func, literal_column, select, update

from entrepot.database import Database, Transaction, query
from entrepot.errors import NotFound
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.kit.listing import Condition, Listing, SortKey
from entrepot.kit.selection import Field, Fields, integer, text, time
from entrepot.projects import ledger
from entrepot.projects.model import QuotaChanged, Usage
from entrepot.projects.service import check_quota
from entrepot.projects.store import find_by_reference
from entrepot.projects.tables import project_usage, projects
from entrepot.web.lists import Lister

_BYTES = re.compile(r"-1|[0-9]{1,18}", re.ASCII)
_ENDLESS = 2**63 - 1


class Quota(msgspec.Struct, frozen=True):
    """What a project may hold, and what counts against it; bytes, and microseconds since the epoch."""

    id: int
    """The project's."""
    project: str
    owner_name: str
    limit: int
    """-1: no limit."""
    used: int
    """With what is reserved for pushes under way."""
    created_at: int
    updated_at: int


class ProjectUsage(msgspec.Struct, frozen=True):
    """All that there is to say about the bytes of a project."""

    usage: Usage
    logical: int
    """The sizes of its artifacts, each counted in full."""
    reclaimable: int
    """What its repositories hold and no manifest names."""


class Sizes(Protocol):
    """Knows what the repositories of a project hold."""

    async def sizes(self, project_id: int) -> tuple[int, int]:
        """Logical and reclaimable bytes of a project."""


_USED = func.coalesce(project_usage.c.used + project_usage.c.reserved, literal_column("0", BigInteger))
# No limit is more than any limit, in the order of lists and in their filters.
_HARD = case(
    (projects.c.quota < literal_column("0"), literal_column(str(_ENDLESS), BigInteger)), else_=projects.c.quota
)


def _limit_of(value: str) -> int:
    if not _BYTES.fullmatch(value):
        raise ValueError(value)
    return _ENDLESS if value == "-1" else int(value)


_COLUMNS = (
    projects.c.id,
    projects.c.name,
    projects.c.owner_name,
    projects.c.quota,
    _USED,
    projects.c.created_at,
    projects.c.updated_at,
)
_FIELDS = Fields(
    {
        "reference_id": integer(projects.c.id),
        "name": text(projects.c.name),
        "hard.storage": Field(
            _HARD, _limit_of, "bytes, or -1 for no limit", frozenset({"exact", "range", "any"}), nullable=False
        ),
        "used.storage": integer(_USED),
        "creation_time": time(projects.c.created_at),
        "update_time": time(projects.c.updated_at),
    }
)
_SOURCE = projects.outerjoin(project_usage, project_usage.c.project_id == projects.c.id)

_FIND = query(select(*_COLUMNS).select_from(_SOURCE).where(projects.c.id == bindparam("id")))
_SET = query(
    update(projects)
    .where(projects.c.id == bindparam("project_id"))
    .values(quota=bindparam("quota"), updated_at=bindparam("updated_at"))
)
_LIST = Lister(_COLUMNS, _FIELDS, (SortKey("creation_time", descending=True),), projects.c.id, _SOURCE)


class QuotaSettings:
    """The quotas of one database, to look at and to change; pushes meet them in ``projects.quota``."""

    def __init__(self, database: Database, sizes: Sizes) -> None:
        self._database = database
        self._sizes = sizes

    async def list(self, listing: Listing, project_id: str | None = None) -> tuple[list[Quota], int]:
        """A page of the quotas, the newest project first, and how many there are; or that of one project.

        Raises:
            InvalidInput: a field or a value that the list does not know.
        """
        if project_id is not None:
            one = Condition("reference_id", "exact", (project_id,))
            listing = msgspec.structs.replace(listing, conditions=(*listing.conditions, one))
        rows, total = await _LIST.page(self._database, listing)
        return [Quota(*row) for row in rows], total

    async def get(self, quota_id: int) -> Quota:
        """The quota of the project with this id.

        Raises:
            NotFound: there is none.
        """
        return _quota(await self._database.one(_FIND, id=quota_id), quota_id)

    async def update(self, origin: Origin, quota_id: int, limit: int) -> None:
        """Let a project hold ``limit`` bytes, or whatever comes (-1); it counts with the next byte of a push.

        Raises:
            InvalidInput: the limit is neither -1 nor from 1 to 1024 TiB.
            NotFound: there is no such quota.
        """
        check_quota(limit)

        async def work(tx: Transaction) -> None:
            before = _quota(await tx.one(_FIND, id=quota_id), quota_id)
            if before.limit == limit:
                return
            await tx.run(_SET, project_id=quota_id, quota=limit, updated_at=clock.now_us())
            event = QuotaChanged(project=before.project, project_id=quota_id, previous=before.limit, limit=limit)
            await journal.append(tx, origin, event)

        await self._database.write(work)

    async def usage(self, reference: str, *, by_name: bool) -> ProjectUsage:
        """What the project that a path names holds and may hold.

        Raises:
            NotFound: there is no such project.
        """
        project = await find_by_reference(self._database, reference, by_name=by_name)
        if project is None:
            raise NotFound(f"There is no project {reference[:255]}.")
        usage = await ledger.usage(self._database, project.id)
        return ProjectUsage(usage, *await self._sizes.sizes(project.id))


def _quota(row: tuple[Any, ...] | None, quota_id: int) -> Quota:
    if row is None:
        raise NotFound(f"There is no quota {quota_id}.")
    return Quota(*row)
