"""REST lists of a company: 1,000 projects, 10,000 repositories, 200,000 artifacts."""

from __future__ import annotations

import asyncio
import base64
import time
from urllib.parse import quote

from bench.company import LARGEST, PASSWORD, CompanySizes, fill
from bench.contest import Contest
from bench.rawclient import Connection, make_request
from bench.row import Figures
from bench.servers import Entrepot

_PAGE = 100
_REQUESTS = 20
_FLAGS = "with_tag=true&with_label=true&with_accessory=true&with_scan_overview=true&with_sbom_overview=true"


class Company(Entrepot):
    """Entrepôt on a data folder that was filled before."""

    def environment(self) -> dict[str, str]:
        """Nothing but what the folder holds."""
        return {name: value for name, value in super().environment().items() if name != "ENTREPOT_ADMIN_PASSWORD"}


def measure_projects_first(contest: Contest) -> Figures:
    """GET /projects, first page."""
    return _measure(contest, "/projects?")


def measure_projects_last(contest: Contest) -> Figures:
    """GET /projects, last page."""
    return _measure(contest, "/projects?", last=_sizes(contest).projects)


def measure_repositories_first(contest: Contest) -> Figures:
    """GET /repositories (all projects), first page."""
    return _measure(contest, "/repositories?")


def measure_repositories_last(contest: Contest) -> Figures:
    """GET /repositories (all projects), last page."""
    return _measure(contest, "/repositories?", last=_sizes(contest).repositories)


def measure_artifacts_first(contest: Contest) -> Figures:
    """GET …/artifacts of the largest repository with every flag, first page."""
    return _measure(contest, f"{_artifacts()}?{_FLAGS}&")


def measure_artifacts_last(contest: Contest) -> Figures:
    """The same, last page."""
    return _measure(contest, f"{_artifacts()}?{_FLAGS}&", last=_sizes(contest).artifacts // 2)


def measure_project_artifacts_first(contest: Contest) -> Figures:
    """GET /projects/…/artifacts with every flag, first page."""
    return _measure(contest, f"/projects/{LARGEST.project}/artifacts?{_FLAGS}&")


def measure_project_artifacts_last(contest: Contest) -> Figures:
    """The same, last page."""
    return _measure(contest, f"/projects/{LARGEST.project}/artifacts?{_FLAGS}&", last=_sizes(contest).artifacts // 2)


def measure_audit_first(contest: Contest) -> Figures:
    """GET /audit-logs, first page."""
    return _measure(contest, "/audit-logs?")


def _artifacts() -> str:
    return f"/projects/{LARGEST.project}/repositories/{quote(quote(LARGEST.path, safe=''), safe='')}/artifacts"


def _sizes(contest: Contest) -> CompanySizes:
    if contest.sizes.rounds > 1:
        return CompanySizes()
    return CompanySizes(projects=20, repositories=100, artifacts=1_000)


def _company(contest: Contest) -> Company:
    folder = contest.entrepot.folder.parent / "company"
    company = Company(folder)
    if not company.data.exists():
        asyncio.run(fill(company.data, _sizes(contest)))
    return company


def _measure(contest: Contest, target: str, *, last: int = 0) -> Figures:
    """The slowest of some requests on one connection, in the best round; ms."""
    page = max(1, last // _PAGE)
    authorization = base64.b64encode(f"admin:{PASSWORD}".encode())
    with _company(contest) as company:
        fields = company.host() + b"Authorization: Basic %b\r\n" % authorization
        request = make_request("GET", f"/api/v2.0{target}page_size={_PAGE}&page={page}", fields, keep=True)
        best = float("inf")
        with Connection(company.address) as connection:
            connection.ask(request)
            for _ in range(contest.sizes.rounds):
                slowest = 0.0
                for _ in range(_REQUESTS):
                    began = time.perf_counter()
                    answer = connection.ask(request)
                    slowest = max(slowest, time.perf_counter() - began)
                    assert answer.get(b"x-total-count")
                best = min(best, slowest)
    return Figures(entrepot=best * 1000)
