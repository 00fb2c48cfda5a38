"""Quotas as they are listed, read and set, and what a project says of its bytes."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import bindparam, update

from entrepot.database import query
from entrepot.errors import InvalidInput, NotFound
from entrepot.journal.model import SYSTEM, Origin
from entrepot.kit.listing import Listing, SortKey
from entrepot.projects import ledger
from entrepot.projects import store as projects
from entrepot.projects.http.quotas import QuotaRoutes
from entrepot.projects.quota_list import QuotaSettings
from entrepot.projects.tables import projects as projects_table
from entrepot.registry.listing.contents import ProjectContents
from entrepot.web.api import RestApi
from entrepot.web.exchange import Exchange
from tests.integration.rig import PASSWORD, Bench, Rig

JANE = Origin("jane", "192.0.2.1", "curl", "r-7")
TIB = 2**40
_MADE_AT = query(
    update(projects_table).where(projects_table.c.id == bindparam("project")).values(created_at=bindparam("created_at"))
)


def settings_of(rig: Rig) -> QuotaSettings:
    return QuotaSettings(rig.database, ProjectContents(rig.database))


async def make(rig: Rig, name: str, limit: int = -1, reserved: int = 0) -> int:
    """A project's id; in the order they are made each is a second younger."""
    await rig.make_project(name, is_public=False)
    found = await projects.find(rig.database, name)
    assert found is not None
    id_ = found.id

    async def work(tx: Any) -> None:
        await tx.run(_MADE_AT, project=id_, created_at=2**50 + id_ * 1_000_000)
        if reserved:
            await ledger.reserve(tx, id_, f"upload-{name}", reserved, 2**60)

    await rig.database.write(work)
    if limit != -1:
        await settings_of(rig).update(SYSTEM, id_, limit)
    return id_


async def three(rig: Rig) -> None:
    await make(rig, "large", 500, 30)
    await make(rig, "endless", reserved=10)
    await make(rig, "small", 100, 20)


class Asked:
    """The routes behind the guardian."""

    def __init__(self, rig: Rig) -> None:
        routes = QuotaRoutes(settings_of(rig))
        self._api = RestApi("/api", "test", "0", lambda: [*routes.routes(), *routes.own_routes()], rig.guardian)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._api(Exchange(scope, receive, send, process="test", idle_timeout=5))

    async def ask(self, path: str, method: str = "GET", who: str = "admin", **more: Any) -> httpx.Response:
        transport, auth = httpx.ASGITransport(app=self), httpx.BasicAuth(who, PASSWORD) if who else None
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, f"/api{path}", auth=auth, **more)


def test_what_is_pushed_and_what_is_reserved_counts_as_used(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        quotas = settings_of(rig)
        id_ = await make(rig, "team", 10_000)
        _, payload = await rig.push_image("team/app", "1", "one")
        await rig.push_blob("team/app", b"nobody names me")
        blobs = len(b"config one") + len(b"layer one")
        quota = await quotas.get(id_)
        assert (quota.project, quota.limit) == ("team", 10_000)
        assert quota.used == len(payload) + blobs + 15
        found = await quotas.usage("team", by_name=False)
        assert (found.usage.used, found.usage.reserved) == (len(payload) + blobs, 15)
        assert found.reclaimable == 15
        assert found.logical == len(payload) + blobs
        assert await quotas.usage(str(id_), by_name=False) == found
        with pytest.raises(NotFound):
            await quotas.usage(str(id_), by_name=True)

    run(work)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("", ["small", "endless", "large"]),
        ("creation_time", ["large", "endless", "small"]),
        ("hard.storage", ["small", "large", "endless"]),
        ("-hard.storage", ["endless", "large", "small"]),
        ("used.storage", ["endless", "small", "large"]),
        ("-used.storage", ["large", "small", "endless"]),
    ],
)
def test_the_list_is_ordered_as_asked_and_no_limit_is_more_than_any(run: Bench, sort: str, expected: list[str]) -> None:
    async def work(rig: Rig) -> None:
        await three(rig)
        keys = (SortKey(sort.removeprefix("-"), sort.startswith("-")),) if sort else ()
        found, total = await settings_of(rig).list(Listing(1, 100, (), keys))
        assert total == len(found) == 4
        assert [quota.project for quota in found if quota.project != "library"] == expected

    run(work)


def test_a_change_is_one_record_and_counts_for_the_next_push(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        quotas = settings_of(rig)
        id_ = await make(rig, "team")
        since = len(await rig.events())
        await quotas.update(JANE, id_, 5)
        await quotas.update(JANE, id_, 5)
        event = {"kind": "QuotaChanged", "principal": "jane", "project": "team", "project_id": id_}
        assert await rig.events(since) == [{**event, "previous": -1, "limit": 5}]
        with pytest.raises(ledger.QuotaExceededError):
            await rig.push_blob("team/app", b"123456")
        await quotas.update(JANE, id_, -1)
        await rig.push_blob("team/app", b"123456")

    run(work)


@pytest.mark.parametrize("limit", [0, -2, 1024 * TIB + 1])
def test_a_limit_that_is_none_is_refused(run: Bench, limit: int) -> None:
    async def work(rig: Rig) -> None:
        quotas = settings_of(rig)
        id_ = await make(rig, "team", 1024 * TIB)
        with pytest.raises(InvalidInput):
            await quotas.update(JANE, id_, limit)
        assert (await quotas.get(id_)).limit == 1024 * TIB

    run(work)


def test_changes_from_two_workers_each_tell_what_they_replaced(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        id_ = await make(one, "team")
        since = len(await one.events())
        await asyncio.gather(*(settings_of((one, two)[n % 2]).update(JANE, id_, n + 1) for n in range(10)))
        told = await one.events(since)
        assert [event["previous"] for event in told] == [-1, *(event["limit"] for event in told[:-1])]
        assert (await settings_of(two).get(id_)).limit == told[-1]["limit"]

    run.both(work)


def test_quotas_go_round_over_rest(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        api = Asked(rig)
        id_ = await make(rig, "team", 100, 20)
        shown = (await api.ask(f"/quotas/{id_}")).json()
        assert shown.pop("creation_time").endswith("Z")
        assert shown.pop("update_time").endswith("Z")
        ref = {"id": id_, "name": "team", "owner_name": ""}
        assert shown == {"id": id_, "ref": ref, "hard": {"storage": 100}, "used": {"storage": 20}}
        listed = await api.ask(f"/quotas?reference=project&reference_id={id_}")
        assert [quota["id"] for quota in listed.json()] == [id_]
        assert listed.headers["x-total-count"] == "1"
        answer = await api.ask(f"/quotas/{id_}", "PUT", json={"hard": {"storage": -1}})
        assert (answer.status_code, answer.content) == (200, b"")
        usage = (await api.ask("/projects/team/usage")).json()
        assert usage == {"limit": -1, "used": 0, "reserved": 20, "total": 20, "logical": 0, "reclaimable": 0}
        assert (await api.ask(f"/projects/{id_}/usage")).json() == usage
        assert (await api.ask("/quotas?sort=-used.storage&page_size=1")).json()[0]["id"] == id_
        assert (await api.ask("/quotas?q=hard.storage%3D-1,name%3Dteam")).json()[0]["id"] == id_

    run(work)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/quotas/404", None, 404),
        ("/quotas/99999999999999999999", None, 422),
        ("/quotas/404", {"hard": {"storage": 1}}, 404),
        ("/quotas/1", {"hard": {"storage": 0}}, 400),
        ("/quotas/1", {"hard": {"storage": 2**63 - 1}}, 400),
        ("/quotas/1", {"hard": {"storage": 2**63}}, 422),
        ("/quotas/1", {"hard": {"storage": 1, "count": 1}}, 400),
        ("/quotas/1", {"hard": {}}, 400),
        ("/quotas/1", {}, 422),
        ("/quotas?reference_id=abc", None, 400),
        ("/quotas?reference_id=99999999999999999999", None, 400),
        ("/quotas?reference=registry", None, 200),
        ("/quotas?sort=hard.count", None, 400),
        ("/quotas?q=hard.storage%3D~1", None, 400),
        ("/projects/nowhere/usage", None, 404),
    ],
)
def test_what_is_not_there_or_cannot_be_is_refused(run: Bench, path: str, body: Any, status: int) -> None:
    async def work(rig: Rig) -> None:
        answer = await Asked(rig).ask(path, **({"method": "PUT", "json": body} if body is not None else {}))
        assert answer.status_code == status, answer.text
        assert status != 200 or answer.json() == []

    run(work)


def test_nobody_but_administrators_sees_quotas(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        api = Asked(rig)
        await rig.users.create(SYSTEM, "bob", PASSWORD)
        for path in ("/quotas", "/quotas/1", "/projects/library/usage"):
            assert (await api.ask(path, who="bob")).status_code == 403
            assert (await api.ask(path, who="")).status_code == 401
        assert (await api.ask("/quotas/1", "PUT", "bob", json={"hard": {"storage": 1}})).status_code == 403

    run(work)
