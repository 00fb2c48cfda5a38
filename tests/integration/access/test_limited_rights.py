"""What is limited stays limited: grants by pattern, tokens by scope or repository, permissions over users."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.integration.access.served import ADMIN, HARBOR, OWN, Served, basic, bearer, opened
from tests.integration.rig import PASSWORD, Bench

PROJECT_ADMIN, MAINTAINER = 1, 4
ALL_OF = f"{HARBOR}/projects/private"


def serve(bench: Bench, work: Callable[[Served], Awaitable[None]]) -> None:
    """Run ``work`` where a private project holds ``app`` and ``other``."""

    async def inside() -> None:
        async with opened(bench.config()) as served:
            await served.project("private", is_public=False)
            await served.push("private/app", "v1", "app")
            await served.push("private/app", "dev-1", "in development")
            await served.push("private/other", "v1", "other")
            await work(served)

    asyncio.run(inside())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", ALL_OF, {"metadata": {"public": "true"}}),
        ("POST", f"{ALL_OF}/metadatas/", {"severity": "low"}),
        ("PUT", f"{ALL_OF}/metadatas/public", {"public": "true"}),
        ("PUT", f"{OWN}/projects/private/name", {"name": "mine"}),
        ("POST", f"{HARBOR}/labels", {"name": "mine", "scope": "p", "project_id": 2}),
    ],
)
def test_an_administrator_of_some_repositories_changes_nothing_that_concerns_all(
    run: Bench, method: str, path: str, body: object
) -> None:
    async def work(served: Served) -> None:
        await served.grant("private", await served.user("alice"), PROJECT_ADMIN, repositories=["app"])
        answer = await served.ask(method, path, basic("alice"), json=body)
        assert (await served.ask("GET", "/v2/private/other/manifests/v1", basic("alice"))).status_code == 403
        assert answer.status_code == 403

    serve(run, work)


def test_an_administrator_of_some_repositories_deletes_no_robot_account_for_others(run: Bench) -> None:
    async def work(served: Served) -> None:
        await served.grant("private", await served.user("alice"), PROJECT_ADMIN, repositories=["app"])
        pull = {
            "kind": "project",
            "namespace": "private",
            "access": [{"resource": "repository", "action": "pull"}],
        }
        robot, _ = await served.robot("ci", pull)
        assert (await served.ask("DELETE", f"{HARBOR}/robots/{robot}", basic("alice"))).status_code == 403

    serve(run, work)


def test_rights_on_some_tags_delete_no_repository(run: Bench) -> None:
    async def work(served: Served) -> None:
        user = await served.user("alice")
        await served.grant("private", user, MAINTAINER, repositories=["app"], tags=["dev-*"])
        await served.done("DELETE", f"{ALL_OF}/repositories/app/artifacts/dev-1", basic("alice"))
        assert (await served.ask("DELETE", f"{ALL_OF}/repositories/app/artifacts/v1", basic("alice"))).is_error
        assert (await served.ask("DELETE", f"{ALL_OF}/repositories/app", basic("alice"))).status_code == 403
        await served.done("GET", "/v2/private/app/manifests/v1")

    serve(run, work)


@pytest.mark.parametrize("flag", ["sysadmin", "auditor"])
def test_an_administrators_token_that_is_limited_to_users_makes_no_administrators(run: Bench, flag: str) -> None:
    async def work(served: Served) -> None:
        user = await served.user("alice")
        scope = {"kind": "system", "namespace": "/", "access": [{"resource": "user", "action": "update"}]}
        _, token = await served.token(ADMIN, "limited", [scope])
        prefix = HARBOR if flag == "sysadmin" else OWN
        body = {f"{flag}_flag": True}
        refused = await served.ask("PUT", f"{prefix}/users/{user}/{flag}", bearer(token), json=body)
        assert refused.status_code == 403
        _, unlimited = await served.token(ADMIN, "unlimited")
        await served.done("PUT", f"{prefix}/users/{user}/{flag}", bearer(unlimited), json=body)

    serve(run, work)


@pytest.mark.parametrize("flag", ["sysadmin", "auditor"])
def test_a_robot_account_that_manages_users_takes_over_nobody_who_may_more(run: Bench, flag: str) -> None:
    async def work(served: Served) -> None:
        user = await served.user("alice")
        prefix = HARBOR if flag == "sysadmin" else OWN
        await served.done("PUT", f"{prefix}/users/{user}/{flag}", json={f"{flag}_flag": True})
        access = [{"resource": "user", "action": action} for action in ("update", "delete")]
        _, robot = await served.robot("users", {"kind": "system", "namespace": "/", "access": access}, level="system")
        change = {"new_password": f"{PASSWORD}-2"}
        taken = await served.ask("PUT", f"{HARBOR}/users/{user}/password", robot, json=change)
        assert taken.status_code == 403
        assert (await served.ask("DELETE", f"{HARBOR}/users/{user}", robot)).status_code == 403

    serve(run, work)


@pytest.mark.parametrize("path", ["projects", "repositories", "search?q=private", "statistics", "audit-logs"])
def test_a_token_for_a_repository_lists_nothing_else(run: Bench, path: str) -> None:
    async def work(served: Served) -> None:
        token = await served.bearer(ADMIN, "repository:private/app:pull")
        answer = await served.ask("GET", f"{HARBOR}/{path}", token)
        assert answer.status_code == 403 or answer.json() == []

    serve(run, work)


@pytest.mark.parametrize("path", ["projects", "repositories", "search?q=private", "statistics", "audit-logs"])
def test_a_token_without_a_scope_stands_for_its_owner(run: Bench, path: str) -> None:
    async def work(served: Served) -> None:
        await served.done("GET", f"{HARBOR}/{path}", await served.bearer(ADMIN))

    serve(run, work)


@pytest.mark.parametrize(
    "path",
    [
        f"{HARBOR}/repositories",
        f"{ALL_OF}/repositories",
        f"{ALL_OF}/artifacts",
        f"{HARBOR}/search?q=o",
        f"{HARBOR}/audit-logs",
        "/v2/_catalog",
    ],
)
def test_lists_hold_nothing_from_repositories_that_a_grant_leaves_out(run: Bench, path: str) -> None:
    async def work(served: Served) -> None:
        digest, _ = await served.push("private/other", "v2", "only there")
        await served.push("private/team/open", "v1", "open")
        user = await served.user("alice")
        await served.grant("private", user, PROJECT_ADMIN, repositories=["team/*"])
        access = [{"resource": "repository", "action": "pull"}, {"resource": "repository", "action": "read"}]
        entry = {"kind": "project", "namespace": "private", "repositories": ["team/*"], "access": access}
        _, robot = await served.robot("ci", entry)
        _, token = await served.token(ADMIN, "limited", [entry])
        for who in (basic("alice"), robot, bearer(token)):
            answer = await served.ask("GET", path, who)
            assert answer.status_code in {200, 403}
            assert "private/other" not in answer.text
            assert digest not in answer.text
        shown = (await served.done("GET", path, basic("alice"))).json()
        assert shown or path == f"{HARBOR}/audit-logs"  # whoever may not see all of a project sees none of its log

    serve(run, work)


def test_an_upload_is_continued_only_in_its_own_repository(run: Bench) -> None:
    async def work(served: Served) -> None:
        await served.project("mine", is_public=False)
        await served.grant("mine", await served.user("alice"), PROJECT_ADMIN)
        await served.push("mine/app", "v1", "mine")
        begun = await served.done("POST", "/v2/private/app/blobs/uploads/")
        path = "/v2/mine/app/blobs/uploads/" + begun.headers["location"].rpartition("/")[2]
        for method in ("GET", "PATCH", "DELETE"):
            answer = await served.ask(method, path, basic("alice"), content=b"x" if method == "PATCH" else None)
            assert answer.status_code == 404

    serve(run, work)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", HARBOR + "/projects/mine/members/{grant}"),
        ("PUT", OWN + "/projects/mine/grants/{grant}"),
        ("GET", OWN + "/projects/mine/grants/{grant}"),
        ("DELETE", OWN + "/projects/mine/former-names/before"),
        ("POST", HARBOR + "/projects/mine/repositories/app/artifacts?from=private/app:v1"),
        ("POST", HARBOR + "/projects/mine/repositories/app/artifacts/v1/labels"),
        ("POST", "/v2/mine/app/blobs/uploads/?from=private/app&mount={blob}"),
        ("GET", "/v2/mine/app/blobs/{blob}"),
        ("PUT", HARBOR + "/labels/{label}"),
        ("DELETE", HARBOR + "/robots/{robot}"),
        ("PATCH", HARBOR + "/robots/{robot}"),
    ],
)
def test_an_administrator_of_one_project_reaches_nothing_of_another_by_its_id(
    run: Bench, method: str, path: str
) -> None:
    async def work(served: Served) -> None:
        await served.project("mine", is_public=False)
        await served.push("mine/app", "v1", "mine")
        await served.grant("mine", await served.user("alice"), PROJECT_ADMIN)
        _, blob = await served.push("private/app", "v3", "theirs")
        project = (await served.done("GET", f"{ALL_OF}")).json()["project_id"]
        await served.done("PUT", f"{OWN}/projects/private/name", json={"name": "before"})
        await served.done("PUT", f"{OWN}/projects/before/name", json={"name": "private"})
        label = await served.made(f"{HARBOR}/labels", {"name": "x", "scope": "p", "project_id": project})
        pull = {"kind": "project", "namespace": "private", "access": [{"resource": "repository", "action": "pull"}]}
        robot, _ = await served.robot("ci", pull)
        grant = await served.grant("private", await served.user("bob"), MAINTAINER)
        there = path.format(grant=grant, blob=blob, label=label, robot=robot)
        body = {"POST": {"id": label}, "PUT": {"role_id": 5, "name": "y"}, "PATCH": {}}.get(method)
        answer = await served.ask(method, there, basic("alice"), **({"json": body} if body is not None else {}))
        assert answer.status_code in {403, 404} or "/blobs/uploads/" in path
        assert answer.headers.get("docker-content-digest") is None

    serve(run, work)
