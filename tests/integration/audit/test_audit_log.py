"""The audit log: who sees what of it, how it is asked, what it costs."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from entrepot.audit import store
from entrepot.audit.http import AuditRoutes
from entrepot.audit.model import EVENT_TYPES, Page
from entrepot.audit.service import AuditLog
from entrepot.auth.model import Caller
from entrepot.journal.model import SYSTEM
from entrepot.kit.listing import Condition, Listing, SortKey
from entrepot.kit.selection import select_by
from entrepot.projects.model import ProjectCreated, QuotaExceeded
from entrepot.registry.model import ManifestPulled, ManifestPushed, TagMoved
from entrepot.settings.service import Settings
from tests.integration.audit.served import PEOPLE, Served, serve

DIGEST = "sha256:" + "a" * 64
NOON = 1_700_000_000


def pushed(project_id: int, name: str = "a/app", tag: str = "1") -> ManifestPushed:
    return ManifestPushed(project_id=project_id, repository=name, digest=DIGEST, media_type="m", tags=(tag,))


def pulled(project_id: int, name: str = "a/app") -> ManifestPulled:
    return ManifestPulled(project_id=project_id, repository=name, digest=DIGEST, reference="1")


def ids(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [entry["id"] for entry in answer.json()]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Served], Awaitable[None]]], None]:
    """Serves two projects: seven rows, six of them records."""

    async def prepared(served: Served, work: Callable[[Served], Awaitable[None]]) -> None:
        routes = AuditRoutes(log_of(served))
        served.routes = [*routes.routes(), *routes.own_routes()]
        await served.add_project("a", 1)
        await served.add_project("b", 2)
        await served.record(
            [
                (NOON + 1, "admin", ProjectCreated(project_id=1, project="a", is_public=False)),
                (NOON + 2, "alice", pushed(1)),
                (NOON + 3, "alice", TagMoved(project_id=1, repository="a/app", digest=DIGEST, tag="1", previous="x")),
                (NOON + 4, "bob", pulled(1)),
                (NOON + 5, "bob", pushed(2, "b/app", "50%")),
                (NOON + 6, "bob", QuotaExceeded(project_id=2, project="b", used=1, limit=2, needed=3)),
                (NOON + 7, "admin", ProjectCreated(project="c", is_public=False)),
            ]
        )
        await work(served)

    return lambda work: serve(tmp_path, lambda served: prepared(served, work))


def log_of(served: Served, **more: int) -> AuditLog:
    return AuditLog(served.database, Settings(served.database, {}), served.doors, **more)


def test_the_newest_record_comes_first_and_what_is_no_record_never(run: Any) -> None:
    async def work(served: Served) -> None:
        for path in ("/audit-logs", "/auditlog-exts", "/audit"):
            answer = await served.ask(path)
            assert ids(answer) == [7, 6, 5, 4, 2, 1]
            assert answer.headers["x-total-count"] == "6"

    run(work)


def test_the_shapes_are_harbors_and_ours_tells_everything(run: Any) -> None:
    async def work(served: Served) -> None:
        old = (await served.ask("/audit-logs?q=id=2")).json()
        assert old == [
            {
                "id": 2,
                "username": "alice",
                "resource": "a/app:1",
                "resource_type": "artifact",
                "operation": "create",
                "op_time": "2023-11-14T22:13:22Z",
            }
        ]
        new = (await served.ask("/auditlog-exts?q=id=6")).json()[0]
        assert new["operation_result"] is False
        assert new["operation_description"].startswith("push quota ")
        own = (await served.ask("/audit?q=id=2")).json()[0]
        assert own["client_address"] == "192.0.2.7"
        assert own["user_agent"] == "docker/27"
        assert own["request_id"] == f"r-{NOON + 2}"
        assert (own["kind"], own["outcome"], own["project_id"]) == ("ManifestPushed", "success", 1)
        assert own["changes"]["tags"] == ["1"]
        assert (await served.ask("/audit?q=id=6")).json()[0]["outcome"] == "refused"

    run(work)


def test_who_may_not_list_everything_sees_the_projects_whose_logs_it_may_list(run: Any) -> None:
    async def work(served: Served) -> None:
        served.doors.members["alice", 1] = ()
        assert ids(await served.ask("/audit-logs", "auditor")) == [7, 6, 5, 4, 2, 1]
        answer = await served.ask("/auditlog-exts", "alice")
        assert (ids(answer), answer.headers["x-total-count"]) == ([4, 2, 1], "3")
        assert ids(await served.ask("/auditlog-exts?q=project_id=2", "alice")) == []
        assert ids(await served.ask("/audit-logs", "bob")) == []
        served.doors.members["alice", 2] = ()
        assert ids(await served.ask("/auditlog-exts", "alice")) == [6, 5, 4, 2, 1]
        for path in ("/audit", "/auditlog-exts/events"):
            assert (await served.ask(path, "alice")).status_code == 403
        for path in ("/audit", "/audit-logs", "/auditlog-exts", "/auditlog-exts/events"):
            assert (await served.ask(path, "")).status_code == 401

    run(work)


def test_a_right_for_some_repositories_does_not_open_the_records_of_the_others(run: Any) -> None:
    async def work(served: Served) -> None:
        served.doors.members["alice", 1] = ("app/*",)
        assert ids(await served.ask("/audit-logs", "alice")) == []
        assert (await served.ask("/projects/a/logs", "alice")).status_code == 403

    run(work)


def test_a_token_for_repositories_does_not_open_the_audit_log(run: Any) -> None:
    async def work(served: Served) -> None:
        served.doors.bound = frozenset({"repository:a/app"})
        assert (await served.ask("/audit-logs")).status_code == 403

    run(work)


def test_a_projects_log_is_for_its_administrators(run: Any) -> None:
    async def work(served: Served) -> None:
        served.doors.members["alice", 1] = ()
        for path in ("/projects/a/logs", "/projects/a/auditlog-exts"):
            answer = await served.ask(path, "alice")
            assert (ids(answer), answer.headers["x-total-count"]) == ([4, 2, 1], "3")
            assert (await served.ask(path, "bob")).status_code == 403
        assert ids(await served.ask("/projects/b/logs?q=op_result=false")) == [6]
        assert (await served.ask("/projects/none/logs")).status_code == 404

    run(work)


def test_the_former_name_of_a_project_leads_to_its_log(run: Any) -> None:
    async def work(served: Served) -> None:
        await served.add_alias("old", served.doors.projects["a"])
        assert ids(await served.ask("/projects/old/logs")) == [4, 2, 1]

    run(work)


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("username=bob", [6, 5, 4]),
        ("username=~LIC", [2]),
        ("operation=pull", [4]),
        ("operation={pull push}", [6, 4]),
        ("resource_type=artifact", [5, 4, 2]),
        ("resource=b/app:50%25", [5]),
        ("resource=~50%25", [5]),
        ("op_result=false", [6]),
        ("operation_result=true,username=bob", [5, 4]),
        ("op_time=[2023-11-14T22:13:24~2023-11-14T22:13:25]", [5, 4]),
        ("op_time=[2023-11-14T22:13:26~]", [7, 6]),
        ("op_time=[~2023-11-14T22:13:21]", [1]),
        ("op_time=[2030-01-01T00:00:00~]", []),
        ("id=[2~5]", [5, 4, 2]),
        ("project_id=2", [6, 5]),
        ("username={}", []),
    ],
)
def test_records_are_found_by(run: Any, q: str, expected: list[int]) -> None:
    async def work(served: Served) -> None:
        answer = await served.ask(f"/auditlog-exts?q={q}")
        assert ids(answer) == expected
        assert answer.headers["x-total-count"] == str(len(expected))

    run(work)


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("client_address=192.0.2.7,kind=ManifestPulled", [4]),
        (f"request_id=r-{NOON + 5}", [5]),
        ("principal=alice", [2]),
        ("is_refused=true", [6]),
        ("time=[2023-11-14T22:13:26~]", [7, 6]),
    ],
)
def test_our_own_list_is_asked_by_more(run: Any, q: str, expected: list[int]) -> None:
    async def work(served: Served) -> None:
        assert ids(await served.ask(f"/audit?q={q}")) == expected
        assert (await served.ask(f"/auditlog-exts?q={q}")).status_code == 400

    run(work)


@pytest.mark.parametrize(
    "query",
    [
        "q=nothing=1", "q=op_time=yesterday", "q=op_result=maybe", "q=operation=(a b)", "q=id=x", "q=username=a%00b",
        "sort=nothing", "page_size=101", "q=op_result=~t", "page=99999999999999999999", "q=op_time=~2023",
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused(run: Any, query: str) -> None:
    async def work(served: Served) -> None:
        assert (await served.ask(f"/auditlog-exts?{query}")).status_code == 400

    run(work)


def test_pages_and_their_links(run: Any) -> None:
    async def work(served: Served) -> None:
        first = await served.ask("/auditlog-exts?page_size=4")
        assert (ids(first), first.headers["x-total-count"]) == ([7, 6, 5, 4], "6")
        assert 'rel="next"' in first.headers["link"]
        last = await served.ask("/auditlog-exts?page_size=4&page=2")
        assert (ids(last), last.headers["x-total-count"]) == ([2, 1], "6")
        assert "next" not in last.headers["link"]
        beyond = await served.ask("/auditlog-exts?page_size=4&page=1000000")
        assert (ids(beyond), beyond.headers["x-total-count"]) == ([], "6")

    run(work)


def test_the_order_may_be_another(run: Any) -> None:
    async def work(served: Served) -> None:
        assert ids(await served.ask("/auditlog-exts?sort=op_time")) == [1, 2, 4, 5, 6, 7]
        assert ids(await served.ask("/auditlog-exts?sort=-op_time")) == [7, 6, 5, 4, 2, 1]
        assert ids(await served.ask("/auditlog-exts?sort=id&page_size=2&page=2")) == [4, 5]
        assert ids(await served.ask("/auditlog-exts?sort=username,-op_time")) == [7, 1, 2, 6, 5, 4]

    run(work)


def test_one_reads_on_from_a_record(run: Any) -> None:
    async def work(served: Served) -> None:
        assert ids(await served.ask("/audit?page_size=2&after=6")) == [5, 4]
        assert ids(await served.ask("/audit?page_size=2&after=4")) == [2, 1]
        assert ids(await served.ask("/audit?after=1")) == []
        assert ids(await served.ask("/audit?sort=op_time&page_size=2&after=4")) == [5, 6]
        assert ids(await served.ask("/audit?after=9007199254740992")) == [7, 6, 5, 4, 2, 1]
        assert (await served.ask("/audit?after=-1")).status_code == 422

    run(work)


def test_event_types_that_are_disabled_are_not_listed_and_come_back(run: Any) -> None:
    async def work(served: Served) -> None:
        settings = Settings(served.database, {})
        await settings.update(SYSTEM, {"disabled_audit_log_event_types": "pull_artifact, create_project,nonsense"})
        for path in ("/audit-logs", "/audit"):
            answer = await served.ask(path)
            assert (ids(answer)[1:], answer.headers["x-total-count"]) == ([6, 5, 2], "4")
        assert ids(await served.ask("/projects/a/logs")) == [2]
        await settings.update(SYSTEM, {"disabled_audit_log_event_types": ""})
        assert ids(await served.ask("/audit"))[2:] == [7, 6, 5, 4, 2, 1]

    run(work)


def test_the_event_types_are_listed_harbors_first(run: Any) -> None:
    async def work(served: Served) -> None:
        listed = [entry["event_type"] for entry in (await served.ask("/auditlog-exts/events")).json()]
        assert listed == list(EVENT_TYPES)
        assert listed[:3] == ["create_artifact", "delete_artifact", "pull_artifact"]

    run(work)


def test_an_empty_journal_is_an_empty_list(tmp_path: Path) -> None:
    async def work(served: Served) -> None:
        page = await log_of(served).list_all(Listing())
        assert (page.records, page.total) == ([], 0)

    serve(tmp_path, work)


# many rows


def fill(path: Path, rows: int) -> None:
    """A busy registry: pulls in project 1, and in project 2 one record in ten thousand."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "INSERT INTO journal (kind, occurred_at, principal, client_address, user_agent, request_id, body,"
            " operation, resource_type, resource, project_id, is_refused)"
            " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " SELECT 'ManifestPulled', (1700000000 + i) * 1000000, 'robot$' || (i % 50), '192.0.2.1', 'containerd/2.0',"
            " 'r-' || i, CAST('{\"repository\":\"a/app\"}' AS BLOB), 'pull', 'artifact', 'a/app:' || i,"
            " CASE WHEN i % 10000 = 0 THEN 2 ELSE 1 END, 0 FROM n",
            (rows,),
        )
    connection.close()


def condition(key: str, *values: str | None, kind: Any = "exact") -> Condition:
    return Condition(key, kind, values)


def test_what_is_rare_and_old_is_found_through_all_windows_and_counted(tmp_path: Path) -> None:
    async def work(served: Served) -> None:
        fill(served.path, 60_000)
        log = log_of(served, window=5000)
        await served.add_project("a", 1)
        await served.add_project("b", 2)
        admin = Caller(principal=PEOPLE["admin"])
        page = await log.list_in_project(admin, "b", Listing(1, 4))
        assert [record.id for record in page.records] == [60_000, 50_000, 40_000, 30_000]
        assert page.total == 6
        page = await log.list_in_project(admin, "b", Listing(2, 4))
        assert [record.id for record in page.records] == [20_000, 10_000]
        page = await log.list_all(Listing(1, 10, (condition("request_id", "r-17"),)))
        assert ([record.id for record in page.records], page.total) == ([17], 1)
        # a filter that nothing helps: the page is right, the total is a lower bound that says that there is more
        page = await log.list_all(Listing(3, 10, (condition("user_agent", "containerd/2.0"),)))
        assert [record.id for record in page.records] == list(range(59_980, 59_970, -1))
        assert page.total == 5 * 5000
        page = await log.list_all(Listing(300, 100, (condition("user_agent", "containerd/2.0"),)))
        assert page.records[0].id == 60_000 - 299 * 100
        assert page.total >= 30_001
        page = await log.list_all(Listing(600, 100, (condition("user_agent", "containerd/2.0"),)))
        assert (page.records[-1].id, page.total) == (1, 60_000)
        between = condition("op_time", "2023-11-14T22:13:21", "2023-11-14T22:13:25", kind="range")
        page = await log.list_all(Listing(1, 10, (between,)))
        assert ([record.id for record in page.records], page.total) == ([5, 4, 3, 2, 1], 5)

    serve(tmp_path, work)


def test_windows_outside_of_the_time_asked_for_are_not_looked_at(tmp_path: Path) -> None:
    looked: list[tuple[int, int]] = []

    class Watching(AuditLog):
        async def _look(self, question: Any, window: tuple[int, int], wanted: int, offset: int) -> Any:
            looked.append(window)
            return await super()._look(question, window, wanted, offset)

    async def work(served: Served) -> None:
        fill(served.path, 40_000)
        log = Watching(served.database, Settings(served.database, {}), served.doors, window=1000)
        begin, end = "2023-11-15T03:46:40", "2023-11-15T03:46:49"  # rows 20,000 to 20,009
        page = await log.list_all(Listing(1, 100, (condition("op_time", begin, end, kind="range"),)))
        assert [record.id for record in page.records] == list(range(20_009, 19_999, -1))
        assert len(looked) <= 10

    serve(tmp_path, work)


def test_half_a_million_rows_are_listed_and_counted_in_no_time(tmp_path: Path) -> None:
    async def work(served: Served) -> None:
        fill(served.path, 500_000)
        log = log_of(served)
        await served.add_project("a", 1)
        admin = Caller(principal=PEOPLE["admin"])
        asked: dict[str, Callable[[], Awaitable[Page]]] = {
            "all": lambda: log.list_visible(admin, Listing()),
            "last page": lambda: log.list_visible(admin, Listing(50_000, 10)),
            "operation": lambda: log.list_visible(admin, Listing(1, 10, (condition("operation", "pull"),))),
            "project": lambda: log.list_in_project(admin, "a", Listing()),
            "user": lambda: log.list_visible(admin, Listing(1, 10, (condition("username", "robot$7"),))),
            "fuzzy": lambda: log.list_visible(admin, Listing(1, 10, (condition("resource", "app", kind="fuzzy"),))),
            "nothing": lambda: log.list_visible(admin, Listing(1, 10, (condition("resource", "zz", kind="fuzzy"),))),
            "by name": lambda: log.list_visible(admin, Listing(1, 10, (), (SortKey("resource"),))),
        }
        took = {}
        for name, ask in asked.items():
            began = time.perf_counter()
            page = await ask()
            took[name] = round(time.perf_counter() - began, 3)
            assert page.total == 0 or page.records
        assert max(took.values()) < 3, took  # generous: the figures of an idle machine stand in the bench

    serve(tmp_path, work)


@pytest.mark.parametrize(
    ("conditions", "projects", "index"),
    [
        ((), (1,), "ix_journal_project_id"),
        ((condition("username", "bob"),), None, "ix_journal_principal"),
        ((condition("operation", "pull"),), None, "ix_journal_operation"),
        ((), None, "INTEGER PRIMARY KEY"),
    ],
)
def test_an_index_leads_to_a_page_without_sorting(
    tmp_path: Path, conditions: tuple[Condition, ...], projects: tuple[int, ...] | None, index: str
) -> None:
    async def work(served: Served) -> None:
        question = store.Question(select_by(conditions, store.FIELDS), projects)
        statement = store._statements_for(question).page
        text, values = statement.bind("sqlite", {"least": 1, "greatest": 9, "limit": 1, "offset": 0, **question.values})
        connection = sqlite3.connect(served.path)
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values))
        connection.close()
        assert index in plan
        assert "TEMP B-TREE" not in plan

    serve(tmp_path, work)
