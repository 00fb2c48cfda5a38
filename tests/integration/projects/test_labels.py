"""Labels: unique in their scope, changed by whoever has the right where they belong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from entrepot.access.members import Entity, Members
from entrepot.access.permissions import LIMITED_GUEST, MAINTAINER
from entrepot.errors import Conflict, InvalidInput, NotFound
from entrepot.journal.model import Origin
from entrepot.kit.listing import Listing
from entrepot.projects import store as projects
from entrepot.projects.http.labels import LabelRoutes
from entrepot.projects.labels import Labels
from entrepot.projects.model import Project
from entrepot.registry.listing.labels import ArtifactLabels
from entrepot.web.api import RestApi
from entrepot.web.exchange import Exchange
from tests.integration.rig import PASSWORD, Bench, Rig, name_of

JANE = Origin("jane", "192.0.2.1", "curl", "r-7")


async def project_of(rig: Rig, name: str, *, is_public: bool = False) -> Project:
    await rig.make_project(name, is_public=is_public)
    found = await projects.find(rig.database, name)
    assert found is not None
    return found


async def page(labels: Labels, project_id: int | None = None) -> list[str]:
    found, total = await labels.list(project_id, Listing(1, 100))
    assert total == len(found)
    return [label.name for label in found]


def test_a_name_is_free_once_in_every_scope(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        labels = Labels(rig.database)
        alpha, beta = await project_of(rig, "alpha"), await project_of(rig, "beta")
        scopes = (None, alpha.id, beta.id)
        assert len({await labels.create(JANE, "stable", project_id=scope) for scope in scopes}) == 3
        for scope in scopes:
            with pytest.raises(Conflict, match="stable"):
                await labels.create(JANE, "stable", project_id=scope)
        other = await labels.create(JANE, "beta", project_id=alpha.id)
        with pytest.raises(Conflict):
            await labels.update(JANE, other, "stable", "", "")
        assert await page(labels, alpha.id) == ["beta", "stable"]
        assert await page(labels) == ["stable"]
        with pytest.raises(NotFound):
            await labels.create(JANE, "x", project_id=404)

    run(work)


def test_every_change_is_one_record_and_none_changes_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        labels = Labels(rig.database)
        alpha = await project_of(rig, "alpha")
        since = len(await rig.events())
        one = await labels.create(JANE, "new", "fresh", "#fff", project_id=alpha.id)
        await labels.update(JANE, one, "new", "fresh", "#fff")
        await labels.update(JANE, one, "old", "", "#A0b1C2")
        before = await labels.get(one)
        assert (before.name, before.description, before.color) == ("old", "", "#A0b1C2")
        assert before.updated_at >= before.created_at
        await labels.delete(JANE, one)
        for verb in (labels.get(one), labels.delete(JANE, one), labels.update(JANE, one, "x", "", "")):
            with pytest.raises(NotFound):
                await verb
        assert await rig.events(since) == [
            {"kind": "LabelCreated", "principal": "jane", "project_id": alpha.id, "label": "new"},
            {"kind": "LabelUpdated", "principal": "jane", "project_id": alpha.id, "label": "old"},
            {"kind": "LabelDeleted", "principal": "jane", "project_id": alpha.id, "label": "old"},
        ]

    run(work)


@pytest.mark.parametrize(
    ("name", "color"),
    [("", ""), (" ", ""), ("x" * 129, ""), ("a\n", ""), ("a\0", ""), ("a", "red"), ("a", "#ffff"), ("a", "#fff\n")],
)
def test_a_name_or_colour_that_is_none_is_refused(run: Bench, name: str, color: str) -> None:
    async def work(rig: Rig) -> None:
        labels = Labels(rig.database)
        with pytest.raises(InvalidInput):
            await labels.create(JANE, name, "", color)
        one = await labels.create(JANE, "fine" * 32, "", "")
        with pytest.raises(InvalidInput):
            await labels.update(JANE, one, name, "", color)

    run(work)


def test_a_label_that_is_deleted_leaves_its_artifacts(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        labels, worn = Labels(rig.database), ArtifactLabels(rig.database, rig.repositories)
        await rig.push_image("library/app", "1")
        one = await labels.create(JANE, "stable")
        await worn.add(rig.admin, name_of("library/app"), "1", one)
        await labels.delete(JANE, one)
        two = await labels.create(JANE, "stable")
        assert two != one
        await worn.add(rig.admin, name_of("library/app"), "1", two)

    run(work)


# over REST, behind the guardian


class Asked:
    """The routes, asked by people with passwords."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.labels = Labels(rig.database)
        routes = LabelRoutes(self.labels, rig.guardian).routes
        self._api = RestApi("/api/v2.0", "test", "0", routes, rig.guardian)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._api(Exchange(scope, receive, send, process="test", idle_timeout=5))

    async def ask(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        transport, auth = httpx.ASGITransport(app=self), httpx.BasicAuth(who, PASSWORD) if who else None
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, f"/api/v2.0{path}", auth=auth, **more)

    async def status(self, who: str, method: str, path: str, **more: Any) -> int:
        return (await self.ask(who, method, path, **more)).status_code

    async def member(self, name: str, project: Project, role_id: int) -> None:
        rig = self.rig
        user_id = await rig.users.create(JANE, name, PASSWORD)
        await Members(rig.database, rig.guardian).add(rig.admin, project, Entity(user_id=user_id), role_id)


def asked(run: Bench, work: Callable[[Asked], Awaitable[None]]) -> None:
    async def inside(rig: Rig) -> None:
        await work(Asked(rig))

    run(inside)


def test_labels_go_round_over_rest(run: Bench) -> None:
    async def work(api: Asked) -> None:
        alpha = await project_of(api.rig, "alpha")
        body = {"name": "stable", "description": "d", "color": "#00ff00", "scope": "p", "project_id": alpha.id}
        made = await api.ask("admin", "POST", "/labels", json=body)
        assert (made.status_code, made.content) == (201, b"")
        one = made.headers["location"].removeprefix("/api/v2.0")
        shown = (await api.ask("admin", "GET", one)).json()
        assert {key: shown[key] for key in body} == body
        assert shown["creation_time"].endswith("Z")
        assert await api.status("admin", "PUT", one, json={**body, "name": "newer", "color": ""}) == 200
        listed = await api.ask("admin", "GET", f"/labels?scope=p&project_id={alpha.id}")
        assert (listed.json()[0]["name"], listed.headers["x-total-count"]) == ("newer", "1")
        assert await api.status("admin", "DELETE", one) == 200
        assert await api.status("admin", "GET", one) == 404

    asked(run, work)


def test_a_list_is_filtered_sorted_and_paged(run: Bench) -> None:
    async def work(api: Asked) -> None:
        alpha = await project_of(api.rig, "alpha")
        for name in ("red", "dark-red", "blue", "100%"):
            await api.labels.create(JANE, name, project_id=alpha.id)
        await api.labels.create(JANE, "red")
        base = f"/labels?scope=p&project_id={alpha.id}"

        async def names(more: str) -> list[str]:
            answer = await api.ask("admin", "GET", base + more)
            assert answer.status_code == 200, answer.text
            return [label["name"] for label in answer.json()]

        assert await names("") == ["100%", "blue", "dark-red", "red"]
        assert await names("&name=RED&sort=-name") == ["red", "dark-red"]
        assert await names("&name=%25") == ["100%"]
        assert await names("&q=name%3Dblue") == ["blue"]
        assert await names("&sort=-creation_time&page_size=1&page=2") == ["blue"]
        paged = await api.ask("admin", "GET", base + "&page_size=3")
        assert paged.headers["x-total-count"] == "4"
        assert "page=2" in paged.headers["link"]
        everywhere = await api.ask("admin", "GET", "/labels?scope=g")
        assert [(label["name"], label["project_id"]) for label in everywhere.json()] == [("red", 0)]

    asked(run, work)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("scope=x", 400),
        ("scope=p", 400),
        ("scope=p&project_id=0", 400),
        ("scope=p&project_id=404", 404),
        ("scope=p&project_id=99999999999999999999", 422),
        ("scope=g&sort=secret", 400),
        ("scope=g&name=%00", 400),
        ("scope=g&page_size=101", 400),
    ],
)
def test_a_list_that_cannot_be_is_refused(run: Bench, query: str, status: int) -> None:
    async def work(api: Asked) -> None:
        assert await api.status("admin", "GET", f"/labels?{query}") == status

    asked(run, work)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"scope": "x"}, 400),
        ({"scope": "p"}, 400),
        ({"scope": "p", "project_id": 404}, 404),
        ({"color": "green"}, 400),
        ({"name": ""}, 400),
        ({"name": None}, 422),
        ({"description": "a\0"}, 400),
        ({"description": "x" * 1025}, 422),
        ({"project_id": 2**70}, 422),
        ({"description": None, "color": None}, 201),
    ],
)
def test_a_label_that_cannot_be_is_refused(run: Bench, more: dict[str, Any], status: int) -> None:
    async def work(api: Asked) -> None:
        body = {"name": "a", "scope": "g", **more}
        assert await api.status("admin", "POST", "/labels", json=body) == status

    asked(run, work)


def test_rights_are_asked_where_a_label_belongs(run: Bench) -> None:
    async def work(api: Asked) -> None:
        closed, opened = await project_of(api.rig, "closed"), await project_of(api.rig, "opened", is_public=True)
        await api.member("maya", closed, MAINTAINER.id)
        await api.member("lima", closed, LIMITED_GUEST.id)
        shared = f"/labels/{await api.labels.create(JANE, 'shared')}"
        inside = f"/labels/{await api.labels.create(JANE, 'inside', project_id=closed.id)}"
        public = f"/labels/{await api.labels.create(JANE, 'public', project_id=opened.id)}"
        expected = [
            ("", 401, ["GET " + shared, "GET " + inside, "PUT " + public, "DELETE /labels/404", "GET /labels?scope=g"]),
            ("", 401, [f"GET /labels?scope=p&project_id={closed.id}"]),
            ("", 200, ["GET " + public, f"GET /labels?scope=p&project_id={opened.id}"]),
            ("lima", 403, ["GET " + inside, "PUT " + inside, "DELETE " + inside, "DELETE " + shared]),
            ("lima", 200, ["GET " + shared, "GET /labels?scope=g", "GET " + public]),
            ("maya", 403, ["PUT " + shared, "DELETE " + shared, "PUT " + public]),
            ("admin", 200, ["PUT " + shared, "PUT " + inside, "DELETE " + public]),
            ("maya", 200, ["GET " + shared, "GET " + inside, "PUT " + inside, "DELETE " + inside]),
        ]
        for who, status, requests in expected:
            for request in requests:
                method, path = request.split()
                body = {"json": {"name": "renamed"}} if method == "PUT" else {}
                assert await api.status(who, method, path, **body) == status, (who, request)
        for who, scope, status in (("maya", "g", 403), ("maya", "p", 201), ("lima", "p", 403), ("", "p", 401)):
            made = {"name": "made", "scope": scope, "project_id": closed.id}
            assert await api.status(who, "POST", "/labels", json=made) == status, (who, scope)

    asked(run, work)
