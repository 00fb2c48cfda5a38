"""The audit log over REST: Harbor's lists, and one of our own that tells everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query

from entrepot.audit.model import EVENT_TYPES, Record
from entrepot.audit.service import AuditLog
from entrepot.auth.model import Caller
from entrepot.web.rest import Asking, Body, Listed, PathText, Route, get
from entrepot.web.rule import LOGIN, project, system

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOG = project("log", "list")
_AUDIT_LOG = system("audit-log", "list")


class AuditLogEntry(Body):
    """One record in Harbor's older form."""

    id: int
    username: str
    resource: str
    resource_type: str
    operation: str
    op_time: datetime


class AuditLogExtEntry(AuditLogEntry):
    """One record in Harbor's newer form."""

    operation_description: str
    operation_result: bool


class EventType(Body):
    """A type of audit records that can be left out of the lists."""

    event_type: str


class AuditRecord(Body):
    """One record, with everything that is known of it."""

    id: int
    time: datetime
    principal: str
    client_address: str
    user_agent: str
    request_id: str
    kind: str
    operation: str
    resource_type: str
    resource: str
    project_id: int | None = None
    outcome: Literal["success", "refused"]
    changes: dict[str, Any]


class AuditRoutes:
    """Decode, ask the audit log, encode."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def routes(self) -> list[Route]:
        """Harbor's operations."""
        return [
            get("/audit-logs", self.list_logs, LOGIN, tag="auditlog"),
            get("/auditlog-exts", self.list_log_exts, LOGIN, tag="auditlog"),
            get("/auditlog-exts/events", self.list_event_types, _AUDIT_LOG, tag="auditlog"),
            get("/projects/{project_name}/logs", self.list_project_logs, _LOG, tag="project"),
            get("/projects/{project_name}/auditlog-exts", self.list_project_log_exts, _LOG, tag="project"),
        ]

    def own_routes(self) -> list[Route]:
        """Our own operation."""
        return [get("/audit", self.list_records, _AUDIT_LOG, tag="audit")]

    async def list_logs(self, caller: Annotated[Caller, Asking], listed: Listed) -> list[AuditLogEntry]:
        """List the audit records that the caller may see.

        The newest come first. Who may not list the whole audit log sees the projects whose logs it may list.
        """
        page = await self._log.list_visible(caller, listed.listing)
        return listed.of([_entry(record) for record in page.records], page.total)

    async def list_log_exts(self, caller: Annotated[Caller, Asking], listed: Listed) -> list[AuditLogExtEntry]:
        """List the audit records that the caller may see, with their outcome."""
        page = await self._log.list_visible(caller, listed.listing)
        return listed.of([_ext_entry(record) for record in page.records], page.total)

    async def list_event_types(self) -> list[EventType]:
        """List the types that audit records can have."""
        return [EventType(event_type=event_type) for event_type in EVENT_TYPES]

    async def list_project_logs(
        self, project_name: PathText, caller: Annotated[Caller, Asking], listed: Listed
    ) -> list[AuditLogEntry]:
        """List the audit records of a project."""
        page = await self._log.list_in_project(caller, project_name, listed.listing)
        return listed.of([_entry(record) for record in page.records], page.total)

    async def list_project_log_exts(
        self, project_name: PathText, caller: Annotated[Caller, Asking], listed: Listed
    ) -> list[AuditLogExtEntry]:
        """List the audit records of a project, with their outcome."""
        page = await self._log.list_in_project(caller, project_name, listed.listing)
        return listed.of([_ext_entry(record) for record in page.records], page.total)

    async def list_records(
        self,
        listed: Listed,
        after: Annotated[
            int | None,
            Query(ge=0, le=2**53, description="The id of a record: the page is of those that follow it in this order."),
        ] = None,
    ) -> list[AuditRecord]:
        """List audit records with all that is known of them.

        To read on and on, give ``after`` the id of the last record that was read, instead of counting pages.
        """
        page = await self._log.list_all(listed.listing, after)
        return listed.of([_record(record) for record in page.records], page.total)


def _time(record: Record) -> datetime:
    return _EPOCH + timedelta(microseconds=record.occurred_at)


def _entry(record: Record) -> AuditLogEntry:
    return AuditLogEntry(
        id=record.id,
        username=record.principal,
        resource=record.resource,
        resource_type=record.resource_type,
        operation=record.operation,
        op_time=_time(record),
    )


def _ext_entry(record: Record) -> AuditLogExtEntry:
    return AuditLogExtEntry(
        **_entry(record).model_dump(),
        operation_description=record.description,
        operation_result=not record.is_refused,
    )


def _record(record: Record) -> AuditRecord:
    return AuditRecord(
        id=record.id,
        time=_time(record),
        principal=record.principal,
        client_address=record.client_address,
        user_agent=record.user_agent,
        request_id=record.request_id,
        kind=record.kind,
        operation=record.operation,
        resource_type=record.resource_type,
        resource=record.resource,
        project_id=record.project_id,
        outcome="refused" if record.is_refused else "success",
        changes=msgspec.json.decode(record.body, type=dict[str, Any]),
    )
