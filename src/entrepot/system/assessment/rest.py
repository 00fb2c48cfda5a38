"""The assessment over REST: as JSON, or as a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from fastapi import Request, Response

from entrepot.errors import InvalidInput
from entrepot.kit.finding import Severity
from entrepot.system.assessment.model import Assessment
from entrepot.system.assessment.page import render_page
from entrepot.system.assessment.service import Assessor
from entrepot.web.rest import Body, Route, get
from entrepot.web.rule import system

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


class FindingView(Body):
    """One thing that is not as it should be; at most 20 of the total resources are named."""

    check: str
    severity: Severity
    title: str
    reason: str
    remedy: str
    resources: list[str]
    total: int


class SkippedView(Body):
    """A check that had nothing to look at here."""

    check: str
    title: str


class TlsView(Body):
    """How good the connection is, from A to F, and why not better."""

    url: str
    grade: str
    reasons: list[str]
    protocols: list[str]
    ciphers: list[str]


class CountsView(Body):
    """How many findings there are of each severity."""

    critical: int
    high: int
    medium: int
    low: int
    info: int


class AssessmentView(Body):
    """What was found, the worst first."""

    version: str
    assessed_at: datetime
    checks: int
    counts: CountsView
    findings: list[FindingView]
    skipped: list[SkippedView]
    tls: TlsView | None = None


class AssessmentRest:
    """Decode, ask, encode."""

    def __init__(self, assessor: Assessor) -> None:
        self._assessor = assessor

    def own_routes(self) -> list[Route]:
        """What Harbor has no words for."""
        return [get("/assessment", self.assessment, system("configuration", "read"), tag="assessment")]

    async def assessment(self, request: Request) -> AssessmentView:
        """Check the installation against the list of docs/assessment.md.

        An answer is kept for a minute. With ?format=html, or an Accept header that names text/html and not
        application/json, it is a page for people.
        """
        as_page = _wants_page(request)
        found = await self._assessor.assess()
        if as_page:
            page = Response(render_page(found), media_type="text/html", headers=_PAGE_HEADERS)
            return cast("AssessmentView", page)  # FastAPI hands a response through as it is
        return view_of(found)


def view_of(assessment: Assessment) -> AssessmentView:
    """An assessment as it is answered."""
    return AssessmentView(
        version=assessment.version,
        assessed_at=datetime.fromtimestamp(assessment.assessed_at, UTC),
        checks=assessment.checks,
        counts=CountsView.model_validate(assessment.counts()),
        findings=[FindingView.model_validate(finding) for finding in assessment.findings],
        skipped=[SkippedView.model_validate(skipped) for skipped in assessment.skipped],
        tls=None if assessment.tls is None else TlsView.model_validate(assessment.tls),
    )


def _wants_page(request: Request) -> bool:
    asked = request.query_params.get("format", "")
    if asked not in {"", "json", "html"}:
        raise InvalidInput("The format is json or html.", code="BAD_REQUEST")
    if asked:
        return asked == "html"
    accepted = request.headers.get("accept", "")
    return "text/html" in accepted and "application/json" not in accepted
