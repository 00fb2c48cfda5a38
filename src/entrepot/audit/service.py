"""Reading the audit log.

A record is a row of the journal that has an operation. The setting ``disabled_audit_log_event_types`` leaves records
out of every list here, and not out of the journal: the journal is also what webhooks, replication and the relay read,
so a fact that was not written would be a fact that never happened to them. Harbor does not store such records; who
looks at its API sees no difference, and what was hidden by mistake can be shown again.

How much is looked at. The journal is walked in windows of ``WINDOW`` ids, newest first, each by a statement of its own
in the surveyor's thread, so that others get their turn in between; windows that lie outside of the time asked for are
passed over. A page is sought through all of them, so that what is there is found however old it is. The count is exact
as long as that is cheap: of all records and of one operation by index; else through at least ``COUNT_WINDOWS`` windows
(``INDEXED_WINDOWS`` where an index on project, principal or operation leads) or up to ``COUNT_MOST`` records. Beyond,
the total is how many were counted, and always more than the page's last record while more may follow, so that clients
which go on while there is a next page reach the end. A list sorted by anything but time is made of the newest
``WINDOW`` rows.
"""

from __future__ import annotations

from typing import Protocol

from entrepot.access.model import API, Places, Rights, decide_system
from entrepot.access.permissions import Permission
from entrepot.audit import store
from entrepot.audit.model import WINDOW, Page, Record, hidden_types, period_of, windows
from entrepot.audit.store import FIELDS, INDEXED, OWN_FIELDS, Question
from entrepot.auth.model import Caller, Principal
from entrepot.database import Database
from entrepot.errors import Denied, NotFound
from entrepot.kit.listing import Listing
from entrepot.kit.selection import Fields, order_by, select_by
from entrepot.projects import store as projects
from entrepot.projects.model import Project
from entrepot.settings.service import Settings

LIST_EVERYTHING: Permission = ("audit-log", "list")
LIST_IN_PROJECT: Permission = ("log", "list")

COUNT_WINDOWS = 5
INDEXED_WINDOWS = 100
COUNT_MOST = 100_000


class Judge(Protocol):
    """Who knows what callers may do; ``access.service.Guardian`` is one."""

    async def places(self, caller: Caller, permission: Permission) -> Places:
        """Where the caller holds a permission."""

    async def rights(self, principal: Principal, project: Project) -> Rights:
        """All that a principal may do in a project."""


class AuditLog:
    """The records, as far as a caller may see them."""

    def __init__(self, database: Database, settings: Settings, judge: Judge, *, window: int = WINDOW) -> None:
        """``window`` is how many ids one statement looks at."""
        self._database = database
        self._settings = settings
        self._judge = judge
        self._window = window

    async def list_visible(self, caller: Caller, listing: Listing) -> Page:
        """Every record for who may list the audit log; else those of the projects whose logs the caller may list.

        Raises:
            Denied: the caller's token is for repositories only.
            InvalidInput: a condition or a sort key that the list does not know.
        """
        if caller.bound is not None and API not in caller.bound:
            raise Denied("A token for repositories does not open the audit log: use a password or a personal token.")
        question = await self._ask(listing, FIELDS)
        if not decide_system(caller.principal, LIST_EVERYTHING):
            places = await self._judge.places(caller, LIST_IN_PROJECT)
            if not places.everywhere:
                # A right that is limited to some repositories says nothing about the records of the others.
                visible = tuple(sorted(id_ for id_, held in places.projects.items() if _is_whole(held)))
                question = _within(question, visible)
        return await self._search(question, listing, None)

    async def list_in_project(self, caller: Caller, project_name: str, listing: Listing) -> Page:
        """The records of one project, named by its present or a former name.

        Raises:
            Denied: the caller may list the log of some of its repositories only.
            NotFound: there is no such project.
            InvalidInput: as in ``list_visible``.
        """
        project = await projects.find_by_reference(self._database, project_name, by_name=True)
        if project is None:
            raise NotFound(f"There is no project {project_name}.")
        held = (await self._judge.rights(caller.principal, project)).patterns(LIST_IN_PROJECT)
        if not _is_whole(held):
            raise Denied(f"The log of {project.name} is for those who may see all of its repositories.")
        question = _within(await self._ask(listing, FIELDS), (project.id,))
        return await self._search(question, listing, None)

    async def list_all(self, listing: Listing, after: int | None = None) -> Page:
        """Every record, for a caller who may see them; ``after`` is the id of the record that the page follows.

        Raises:
            InvalidInput: as in ``list_visible``.
        """
        return await self._search(await self._ask(listing, OWN_FIELDS), listing, after)

    async def _ask(self, listing: Listing, fields: Fields) -> Question:
        # Indexed or not, the keys are checked here, before anything is read.
        order_by(listing.sort, fields, (), fields.columns["id"].column)
        hidden = hidden_types(await self._settings.text("disabled_audit_log_event_types"))
        return Question(select_by(listing.conditions, fields), None, hidden, listing.sort, fields)

    async def _search(self, question: Question, listing: Listing, after: int | None) -> Page:
        if question.projects == ():
            return Page([], 0)
        least, greatest = await store.ends(self._database)
        if after is not None and question.is_descending:
            greatest = min(greatest, after - 1)
        elif after is not None:
            least = max(least, after + 1)
        if after is None:
            exact = await self._count_by_index(question, listing)
            if exact is not None and listing.offset >= exact:
                return Page([], exact)
            page = await self._walk(question, listing, (least, greatest), count=exact is None)
            return page if exact is None else Page(page.records, exact)
        return await self._walk(question, listing, (least, greatest), count=True)

    async def _count_by_index(self, question: Question, listing: Listing) -> int | None:
        """How many records answer the question, where an index alone knows."""
        if question.is_plain:
            return await store.count_all(self._database) if question.follows_journal else None
        if question.projects is None and not question.hidden and question.follows_journal:
            match listing.conditions:
                case (condition,) if condition.key == "operation" and condition.kind == "exact":
                    return await store.count_operation(self._database, condition.value)
        return None

    async def _walk(self, question: Question, listing: Listing, span: tuple[int, int], *, count: bool) -> Page:
        """Look through the ids of ``span`` until the page is full, and with ``count`` on until enough is counted."""
        period = period_of(listing.conditions)
        is_indexed = question.projects is not None or any(
            condition.key in INDEXED and condition.kind == "exact" for condition in listing.conditions
        )
        budget = INDEXED_WINDOWS if is_indexed else COUNT_WINDOWS
        records: list[Record] = []
        total = 0
        looked_at = 0
        for window in windows(*span, newest_first=question.is_descending, width=self._window):
            is_full = len(records) == listing.limit
            if is_full and (not count or looked_at >= budget or total >= COUNT_MOST):
                # There may be more: the total must not say that this page is the last.
                return Page(records, max(total, listing.offset + len(records) + 1))
            edges = await store.edges(self._database, window) if period.is_bounded else None
            if edges is not None and period.misses(*edges):
                continue
            looked_at += 1
            found, matches = await self._look(question, window, listing.limit - len(records), listing.offset - total)
            records += found
            total += matches
            if not question.follows_journal:
                break
        return Page(records, total)

    async def _look(
        self, question: Question, window: tuple[int, int], wanted: int, offset: int
    ) -> tuple[list[Record], int]:
        """Up to ``wanted`` records of a window after the first ``offset``, and how many it has in all."""
        found: list[Record] = []
        if wanted:
            found = await store.list_in(self._database, question, window, limit=wanted, offset=max(0, offset))
            if offset <= 0 and len(found) < wanted:
                return found, len(found)
        return found, await store.count_in(self._database, question, window)


def _is_whole(held: tuple[tuple[str, ...] | None, ...]) -> bool:
    """Whether a permission is held, and in every repository."""
    return bool(held) and all(patterns is None for patterns in held)


def _within(question: Question, visible: tuple[int, ...]) -> Question:
    return Question(question.selection, visible, question.hidden, question.sort, question.fields)
