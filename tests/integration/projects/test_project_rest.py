"""Projects over REST: Harbor's shapes, and who sees and may do what."""

from __future__ import annotations

from typing import Any, cast

import httpx
import pytest

from entrepot.access.members import Entity, Members
from entrepot.access.permissions import DEVELOPER, GUEST, LIMITED_GUEST, MAINTAINER, PROJECT_ADMIN
from entrepot.access.service import AccessOptions, Guardian
from entrepot.access.sight import Sight
from entrepot.auth.model import ANONYMOUS, Caller, Principal, ScopeEntry
from entrepot.journal.model import SYSTEM, Origin
from entrepot.projects import store
from entrepot.projects.http.projects import MetadataRoutes, ProjectRoutes
from entrepot.projects.service import Projects
from entrepot.registry.listing.contents import ProjectContents
from entrepot.web.api import RestApi
from entrepot.web.exchange import Exchange
from tests.integration.rig import Bench, Rig

ALL = "/projects?page_size=100"


class Believing:
    """Takes everybody for who they say they are; in the place of identifier and session guard."""

    def __init__(self) -> None:
        self.bound: frozenset[str] | None = None
        self.people: dict[str, Principal] = {"": ANONYMOUS, "admin": Principal(1, "admin", is_admin=True)}

    async def identify(self, authorization: str, origin: Origin, **more: object) -> Caller:
        del origin, more
        credential = "basic" if authorization else ""
        return Caller(principal=self.people[authorization], credential=credential, bound=self.bound)

    def protect(self, exchange: Exchange, caller: Caller) -> None:
        del exchange, caller


class Asked:
    """Both APIs behind the guardian."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.settings = rig.app.settings
        self.believing = Believing()
        doorman = cast("Any", self.believing)
        guardian = Guardian(rig.database, doorman, doorman, self.settings, AccessOptions())
        self.members = Members(rig.database, guardian)
        contents, sight = ProjectContents(rig.database), Sight(rig.database, guardian)
        projects = Projects(rig.database, self.settings, contents, sight)
        routes = ProjectRoutes(rig.database, projects, self.settings, sight, guardian)
        metadata = MetadataRoutes(projects)
        self._harbor = RestApi("/api/v2.0", "t", "0", lambda: [*routes.routes(), *metadata.routes()], guardian)
        self._own = RestApi("/api/entrepot/v1", "t", "0", routes.own_routes, guardian)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        exchange = Exchange(scope, receive, send, process="test", idle_timeout=5)
        await (self._own if scope["path"].startswith("/api/entrepot") else self._harbor)(exchange)

    async def ask(
        self, method: str, path: str, body: Any = None, who: str = "admin", *, own: bool = False, **headers: str
    ) -> httpx.Response:
        prefix = "/api/entrepot/v1" if own else "/api/v2.0"
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"authorization": who}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self), base_url="http://test") as client:
            more = {"content": body} if isinstance(body, bytes) else {} if body is None else {"json": body}
            answer = await client.request(method, prefix + path, headers=sent, **more)
        assert answer.status_code < 500, answer.text
        return answer

    async def status(self, *args: Any, **more: Any) -> int:
        return (await self.ask(*args, **more)).status_code

    async def json(self, path: str, who: str = "admin", *, own: bool = False) -> Any:
        answer = await self.ask("GET", path, who=who, own=own)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def make(self, name: str, who: str = "admin", **body: Any) -> int:
        answer = await self.ask("POST", "/projects", {"project_name": name, **body}, who)
        assert answer.status_code == 201, answer.text
        found = await store.find(self.rig.database, name)
        assert found is not None
        return found.id

    async def user(self, name: str) -> Principal:
        self.believing.people[name] = principal = (await self.rig.add_user(name)).principal
        return principal

    async def member(self, name: str, project_id: int, role_id: int) -> None:
        principal = self.believing.people.get(name) or await self.user(name)
        project = await store.find_by_id(self.rig.database, project_id)
        assert project is not None
        assert principal.id is not None
        entity = Entity(user_id=principal.id)
        repositories = [] if role_id != GUEST.id else ["app"]
        await self.members.add(self.rig.admin, project, entity, role_id, repositories=repositories, is_first=False)

    async def names(self, path: str = ALL, who: str = "admin") -> list[str]:
        return [project["name"] for project in await self.json(path, who)]


# one project


def test_a_project_is_answered_in_harbors_shape(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        answer = await asked.ask(
            "POST", "/projects", {"project_name": "team", "metadata": {"public": "true", "severity": "Low"}}
        )
        found = await store.find(rig.database, "team")
        assert found is not None
        assert (answer.status_code, answer.content) == (201, b"")
        assert answer.headers["location"] == f"/api/v2.0/projects/{found.id}"
        await rig.push_image("team/app", "1")
        project = await asked.json("/projects/team")
        assert project.pop("creation_time") == project.pop("update_time")
        assert project == {
            "project_id": found.id,
            "name": "team",
            "owner_id": 1,
            "owner_name": "admin",
            "deleted": False,
            "togglable": False,
            "current_user_role_id": 1,
            "current_user_role_ids": [1],
            "repo_count": 1,
            "metadata": {"public": "true", "severity": "low"},
            "cve_allowlist": {"project_id": found.id, "items": []},
        }
        listed = next(one for one in await asked.json(ALL) if one["name"] == "team")
        assert listed == await asked.json("/projects/team")

    run(work)


def test_location_carries_the_name_where_that_is_asked_for(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        answer = await Asked(rig).ask("POST", "/projects", {"project_name": "team"}, x_resource_name_in_location="true")
        assert answer.headers["location"] == "/api/v2.0/projects/team"

    run(work)


def test_a_name_of_digits_is_meant_where_the_header_says_so(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        await asked.make("7001")
        assert await asked.status("GET", "/projects/7001") == 404
        answer = await asked.ask("GET", "/projects/7001", x_is_resource_name="true")
        assert answer.json()["name"] == "7001"

    run(work)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"project_name": "Team"}, 400),
        ({"project_name": "x" * 256}, 422),
        ({"project_name": "library"}, 409),
        ({"project_name": "team", "registry_id": 1}, 400),
        ({"project_name": "team", "metadata": {"public": "yes"}}, 400),
        ({"project_name": "team", "metadata": {"public": True}}, 422),
        ({"project_name": "team", "metadata": {"retention_id": "1"}}, 400),
        ({"project_name": "team", "metadata": []}, 422),
        ({"project_name": "team", "storage_limit": -2}, 422),
        ({"project_name": "team", "storage_limit": 1024**5 + 1}, 400),
        ({"project_name": "team", "storage_limit": 2**70}, 422),
        ({"project_name": "team", "cve_allowlist": {"items": [{"cve_id": "CVE-2019-10164"}]}}, 400),
        ({"project_name": "team\0"}, 400),
        (b'{"project_name": "\\ud800"}', 422),
        (b'{"project_name": "team", "metadata": {"severity": "\\ud800"}}', 422),
        (b"[", 422),
        (None, 422),
        ({"project_name": "team", "storage_limit": 0, "cve_allowlist": {"items": []}, "color": 1}, 201),
        ({"project_name": "team", "public": True, "metadata": {"severity": "", "retention_id": ""}}, 201),
    ],
)
def test_what_cannot_be_made_is_refused_and_what_harbor_ignores_is_ignored(run: Bench, body: Any, status: int) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        assert await asked.status("POST", "/projects", body) == status
        assert len(await asked.names()) == (2 if status == 201 else 1)

    run(work)


def test_who_may_create_is_a_setting_and_robots_need_the_right(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        jane = await asked.user("jane")
        people = asked.believing.people
        right = (ScopeEntry("system", (("project", "create"),)),)
        people["robot"] = Principal(1, "robot$ci", kind="robot", scope=())
        people["maker"] = Principal(2, "robot$maker", kind="robot", scope=right)
        people["limited"] = Principal(jane.id, "jane", scope=())

        async def creates(who: str) -> int:
            return await asked.status("POST", "/projects", {"project_name": f"by-{who or 'nobody'}"}, who)

        assert [await creates(who) for who in ("", "jane", "limited", "robot", "maker", "admin")] == [
            401,
            201,
            403,
            403,
            201,
            201,
        ]
        await asked.settings.update(SYSTEM, {"project_creation_restriction": "adminonly"})
        await rig.add_user("mary")
        people["mary"] = (await rig.user("mary")).principal
        assert await creates("mary") == 403
        assert (await asked.json("/projects/by-jane", "jane"))["current_user_role_id"] == PROJECT_ADMIN.id

    run(work)


def test_only_who_may_create_anyhow_chooses_the_quota(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        await asked.settings.update(SYSTEM, {"storage_per_project": 500})
        await asked.user("jane")
        right = (ScopeEntry("system", (("project", "create"),)),)
        asked.believing.people["maker"] = Principal(2, "robot$maker", kind="robot", scope=right)
        for who, limit in (("jane", 500), ("maker", 9000), ("admin", 9000)):
            id_ = await asked.make(f"by-{who}", who, storage_limit=9000)
            made = await store.find_details(rig.database, id_)
            assert made is not None
            assert made.quota == limit

    run(work)


def test_a_change_is_for_those_who_administer_the_project(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        team = await asked.make("team", metadata={"public": "true"})
        for name, role in (("boss", PROJECT_ADMIN), ("keeper", MAINTAINER), ("maker", DEVELOPER)):
            await asked.member(name, team, role.id)
        await asked.user("stranger")
        change = {"metadata": {"auto_scan": "true"}, "project_name": "ignored"}
        for who, status in (("", 401), ("stranger", 403), ("maker", 403), ("keeper", 403), ("boss", 200)):
            assert await asked.status("PUT", "/projects/team", change, who) == status
            assert await asked.status("PUT", "/projects/team/name", {"name": "team"}, who, own=True) == status
            assert await asked.status("GET", "/projects/team/_deletable", None, who) == status
        assert (await asked.json("/projects/team"))["metadata"] == {"public": "true", "auto_scan": "true"}
        assert (await asked.json("/projects/team"))["name"] == "team"
        assert await asked.status("DELETE", "/projects/team", None, "keeper") == 403
        assert await asked.status("DELETE", "/projects/team", None, "boss") == 200
        assert await asked.status("GET", "/projects/team") == 404

    run(work)


def test_what_is_private_is_not_told_from_what_is_not_there(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        await asked.make("secret")
        await asked.user("jane")
        for who in ("", "jane"):
            for path in ("", "/summary", "/_deletable", "/metadatas/"):
                there = await asked.ask("GET", f"/projects/secret{path}", who=who)
                not_there = await asked.ask("GET", f"/projects/nosuch{path}", who=who)
                assert there.status_code == not_there.status_code == (403 if who else 401)
                assert there.text.replace("secret", "X") == not_there.text.replace("nosuch", "X")

    run(work)


def test_deletable_says_why_not(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        await rig.push_image("team/app", "1")
        assert (await asked.json("/projects/team/_deletable"))["deletable"] is False
        refused = await asked.ask("DELETE", "/projects/team")
        assert refused.status_code == 412
        assert refused.json()["errors"][0]["code"] == "PRECONDITION"
        assert await asked.json("/projects/library/_deletable") == {"deletable": True, "message": ""}

    run(work)


def test_the_summary_tells_members_and_quota_to_those_who_may_see_them(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        team = await asked.make("team", metadata={"public": "true"}, storage_limit=1_000_000)
        await asked.member("maker", team, DEVELOPER.id)
        await asked.member("reader", team, LIMITED_GUEST.id)
        await asked.user("stranger")
        await rig.push_image("team/app", "1")
        full = await asked.json("/projects/team/summary", "maker")
        used = full["quota"].pop("used")
        assert used["storage"] > 0
        assert full == {
            "repo_count": 1,
            "project_admin_count": 1,
            "maintainer_count": 0,
            "developer_count": 1,
            "guest_count": 0,
            "limited_guest_count": 1,
            "quota": {"hard": {"storage": 1_000_000}},
        }
        assert (await asked.json("/projects/team/summary", "reader")).keys() == {"repo_count", "quota"}
        for who in ("", "stranger"):
            assert await asked.json("/projects/team/summary", who) == {"repo_count": 1}
        await asked.settings.update(SYSTEM, {"quota_per_project_enable": False})
        assert "quota" not in await asked.json("/projects/team/summary")

    run(work)


def test_the_highest_of_several_roles_is_named(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        team = await asked.make("team")
        for role in (GUEST, DEVELOPER, MAINTAINER):
            await asked.member("jane", team, role.id)
        project = await asked.json("/projects/team", "jane")
        assert project["current_user_role_id"] == MAINTAINER.id
        assert project["current_user_role_ids"] == [2, 3, 4]

    run(work)


# names


def test_a_renamed_project_answers_to_both_names(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        team = await asked.make("team")
        await asked.member("boss", team, PROJECT_ADMIN.id)
        assert await asked.status("PUT", "/projects/team/name", {"name": "crew"}, "boss", own=True) == 200
        for name in ("team", "crew"):
            assert (await asked.json(f"/projects/{name}", "boss"))["name"] == "crew"
            assert await asked.status("HEAD", f"/projects?project_name={name}", None, "boss") == 200
        assert (await asked.ask("POST", "/projects", {"project_name": "team"})).status_code == 409
        [former] = await asked.json("/projects/crew/former-names", "boss", own=True)
        assert former["name"] == "team"
        assert former["expires_at"].endswith("Z")
        assert await asked.status("DELETE", "/projects/crew/former-names/team", None, "boss", own=True) == 200
        assert await asked.status("DELETE", "/projects/crew/former-names/team", None, "boss", own=True) == 404
        assert await asked.status("HEAD", "/projects?project_name=team", None, "boss") == 404
        for name, status in (("library", 409), ("Crew", 400), ("", 400), ("x" * 256, 422)):
            assert await asked.status("PUT", "/projects/crew/name", {"name": name}, own=True) == status

    run(work)


def test_whether_a_name_is_taken_is_told_to_those_who_are_logged_in(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        await asked.user("jane")
        for who, query, status in (
            ("", "?project_name=library", 401),
            ("jane", "?project_name=library", 200),
            ("jane", "?project_name=nosuch", 404),
            ("jane", "?project_name=%00%ff", 404),
            ("jane", "", 422),
        ):
            assert await asked.status("HEAD", f"/projects{query}", None, who) == status

    run(work)


# lists


def test_everybody_lists_what_is_public_and_where_a_role_or_a_scope_lets_in(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        await asked.make("open", metadata={"public": "true"})
        team, other = await asked.make("team"), await asked.make("other")
        await asked.member("jane", team, DEVELOPER.id)
        await asked.member("part", other, GUEST.id)  # in one repository only
        people = asked.believing.people
        people["auditor"] = Principal(900, "auditor", is_auditor=True)
        people["robot"] = Principal(
            901, "robot", kind="robot", scope=(ScopeEntry("project", (("repository", "list"),), team),)
        )
        people["puller"] = Principal(
            902, "puller", kind="robot", scope=(ScopeEntry("project", (("repository", "pull"),)),)
        )
        expected = {
            "": ["open"],
            "jane": ["open", "team"],
            "part": ["open", "other"],
            "robot": ["open", "team"],
            "puller": ["open"],
            "auditor": ["library", "open", "other", "team"],
            "admin": ["library", "open", "other", "team"],
        }
        for who, names in expected.items():
            assert await asked.names(who=who) == names
            assert await asked.names(f"{ALL}&public=false", who) == [name for name in names if name != "open"]
            answer = await asked.ask("GET", ALL, who=who)
            assert answer.headers["x-total-count"] == str(len(names))

    run(work)


def test_a_token_for_repositories_lists_no_projects(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        for bound, who, status in (
            ("repository:a/b", "admin", 403),
            ("api:*", "admin", 200),
            ("repository:a/b", "", 200),
        ):
            asked.believing.bound = frozenset({bound})
            assert await asked.status("GET", ALL, who=who) == status

    run(work)


@pytest.mark.parametrize(
    ("asked_for", "names"),
    [
        ("name=e", ["beta", "gamme"]),
        ("name=%25", []),
        ("name=_", []),
        ("public=true", ["gamme"]),
        ("public=false&name=a", ["alpha", "beta", "library"]),
        ("owner=jane", ["beta"]),
        ("owner=nobody", []),
        ("q=name=~a,public=true", ["gamme"]),
        ("q=owner_name=jane", ["beta"]),
        ("q=creation_time=[2020-01-01T00:00:00~]&name=alpha", ["alpha"]),
        ("sort=-name", ["library", "gamme", "beta", "alpha"]),
        ("sort=-project_id", ["gamme", "beta", "alpha", "library"]),
        ("sort=public,-creation_time", ["beta", "alpha", "library", "gamme"]),
        ("page=2&page_size=3&sort=name", ["library"]),
        ("page=9", []),
    ],
)
def test_a_list_is_filtered_ordered_and_cut_as_asked(run: Bench, asked_for: str, names: list[str]) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        await asked.user("jane")
        await asked.make("alpha")
        await asked.make("beta", "jane")
        await asked.make("gamme", metadata={"public": "true"})
        assert await asked.names(f"/projects?{asked_for}") == names

    run(work)


@pytest.mark.parametrize(
    "asked_for",
    [
        "q=color=red",
        "sort=color",
        "page_size=101",
        "q=project_id=x",
        "q=((",
        "public=maybe",
        "name=" + "x" * 256,
    ],
)
def test_what_a_list_does_not_know_is_refused(run: Bench, asked_for: str) -> None:
    async def work(rig: Rig) -> None:
        assert await Asked(rig).status("GET", f"/projects?{asked_for}") in {400, 422}

    run(work)


def test_a_page_costs_a_handful_of_statements(run: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        for n in range(60):
            await rig.make_project(f"p{n:02}", is_public=n % 2 == 0)
        await asked.member("jane", (await store.list_all(rig.database))[2].id, DEVELOPER.id)
        counted: list[str] = []
        database = rig.database
        for name in ("survey", "all", "one"):
            original = getattr(database, name)

            async def counting(*args: Any, _original: Any = original, _name: str = name, **values: Any) -> Any:
                counted.append(_name)
                return await _original(*args, **values)

            monkeypatch.setattr(database, name, counting)
        assert len(await asked.names(ALL, "jane")) == 31
        assert len(counted) <= 8, counted

    run(work)


# metadata


def test_single_metadata_go_round(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        await asked.make("team")
        path = "/projects/team/metadatas/"
        assert await asked.json(path) == {"public": "false"}
        assert await asked.status("POST", path, {"auto_scan": "true"}) == 200
        assert await asked.status("POST", path, {"auto_scan": "false"}) == 409
        assert await asked.status("POST", path, {"public": "true"}) == 409
        assert await asked.status("PUT", path + "public", {"public": "true"}) == 200
        assert await asked.status("PUT", path + "severity", {"severity": "Critical", "auto_scan": "false"}) == 200
        assert await asked.json(path) == {"public": "true", "auto_scan": "true", "severity": "critical"}
        assert await asked.json(path + "severity") == {"severity": "critical"}
        assert await asked.status("DELETE", path + "severity") == 200
        assert await asked.status("GET", path + "severity") == 404
        assert await asked.status("DELETE", path + "public") == 200
        assert await asked.json(path) == {"public": "false", "auto_scan": "true"}

    run(work)


@pytest.mark.parametrize(
    ("method", "key", "body"),
    [
        ("POST", "", {}),
        ("POST", "", {"auto_scan": "true", "prevent_vul": "true"}),
        ("POST", "", {"color": "red"}),
        ("POST", "", {"retention_id": "1"}),
        ("POST", "", {"auto_scan": ""}),
        ("PUT", "severity", {"severity": "unknown"}),
        ("PUT", "severity", {"auto_scan": "true"}),
        ("PUT", "color", {"color": "red"}),
    ],
)
def test_metadata_that_harbor_does_not_have_are_refused(run: Bench, method: str, key: str, body: Any) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        assert await asked.status(method, f"/projects/library/metadatas/{key}", body) == 400
        assert await asked.json("/projects/library/metadatas/") == {"public": "false"}

    run(work)


def test_metadata_are_changed_by_those_who_administer_the_project(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        asked = Asked(rig)
        team = await asked.make("team", metadata={"public": "true"})
        for name, role in (("boss", PROJECT_ADMIN), ("keeper", MAINTAINER), ("maker", DEVELOPER)):
            await asked.member(name, team, role.id)
        path = "/projects/team/metadatas/"
        for who, reads, writes in (("", 401, 401), ("maker", 403, 403), ("keeper", 200, 403), ("boss", 200, 200)):
            assert await asked.status("GET", path + "public", None, who) == reads
            assert await asked.status("PUT", path + "public", {"public": "true"}, who) == writes

    run(work)
