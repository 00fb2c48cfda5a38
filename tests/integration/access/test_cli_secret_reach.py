"""What a CLI secret opens, and what a token opens that was fetched with it: docker login, and no way further in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import bindparam, update

from entrepot.auth.tables import robots, users
from entrepot.database import query
from tests.integration.access.served import HARBOR, OWN, Credential, Served, basic, bearer, opened
from tests.integration.auth.moving_clock import MovingClock
from tests.integration.rig import Bench, caller

SECRET = "Correct-horse-9"
_MAKE_ADMIN = query(
    update(users)
    .where(users.c.name == bindparam("called"))
    .values(source=bindparam("corp"), source_admin=bindparam("yes"))
)
_SET_NETWORKS = query(update(robots).where(robots.c.id == bindparam("robot_id")).values(networks=bindparam("only")))


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch) -> MovingClock:
    return MovingClock(monkeypatch)


def at(bench: Bench, work: Callable[[Served], Awaitable[None]], **more: str) -> None:
    async def run() -> None:
        async with opened(bench.config(**more)) as served:
            await work(served)

    asyncio.run(run())


async def boss(served: Served, days: int = 1) -> Credential:
    """An administrator whom a provider vouches for, with a CLI secret."""
    app = served.app
    user_id = await served.user("boss")
    await app.database.write(lambda tx: tx.run(_MAKE_ADMIN, called="boss", corp="corp", yes=1))
    await app.settings.update(caller((await app.users.get(1)).principal).origin, {"entrepot_cli_secret_days": days})
    user = await app.users.get(user_id)
    await app.cli_secrets.set(caller(user.principal, credential="session"), user_id, SECRET)
    return basic("boss", SECRET)


async def refresh_token(served: Served) -> str:
    form = {
        "grant_type": "password",
        "username": "boss",
        "password": SECRET,
        "service": "entrepot",
        "access_type": "offline",
    }
    return str((await served.done("POST", "/service/token", {}, data=form)).json()["refresh_token"])


async def refreshed(served: Served, token: str) -> Any:
    form = {"grant_type": "refresh_token", "refresh_token": token, "service": "entrepot", "access_type": "offline"}
    return await served.ask("POST", "/service/token", {}, data=form)


def test_a_cli_secret_and_its_tokens_push_and_pull_and_read(run: Bench) -> None:
    async def work(served: Served) -> None:
        who = await boss(served)
        await served.push("library/app", "v1", "one", who)
        for shown in (who, await served.bearer(who, "repository:library/app:pull,push")):
            await served.done("GET", "/v2/library/app/manifests/v1", shown)
        for shown in (who, await served.bearer(who)):
            await served.done("GET", f"{HARBOR}/users/current", shown)
            await served.done("GET", f"{HARBOR}/projects/library/repositories", shown)

    at(run, work)


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_cli_secret_opens_no_other_way_in(run: Bench, kind: str) -> None:
    async def work(served: Served) -> None:
        who = await boss(served)
        victim = await served.user("victim")
        _, first = await served.robot(
            "first",
            {"kind": "project", "namespace": "library", "access": [{"resource": "repository", "action": "pull"}]},
        )
        listed = (await served.done("GET", f"{HARBOR}/robots", params={"q": "Level=project,ProjectID=1"})).json()
        robot = listed[0]["id"]
        assert first
        if kind == "bearer":
            who = await served.bearer(who)
        permission = {
            "kind": "project",
            "namespace": "library",
            "access": [{"resource": "repository", "action": "push"}],
        }
        made = {"name": "mine", "level": "project", "duration": -1, "permissions": [permission]}
        provider = {"name": "evil", "kind": "ldap", "options": {"url": "ldaps://evil.test", "base_dn": "dc=evil"}}
        tries: list[tuple[str, str, Any]] = [
            ("POST", f"{OWN}/users/current/tokens", {"name": "t"}),
            ("POST", f"{OWN}/users/current/cli-secret", None),
            ("PUT", f"{HARBOR}/users/{victim}/password", {"new_password": "Taken-0ver-Now"}),
            ("PUT", f"{HARBOR}/users/{victim}/sysadmin", {"sysadmin_flag": True}),
            ("PUT", f"{OWN}/users/{victim}/auditor", {"auditor_flag": True}),
            ("POST", f"{HARBOR}/users", {"username": "mallory", "password": "Mallory-0ver-Now"}),
            ("POST", f"{HARBOR}/robots", made),
            ("PATCH", f"{HARBOR}/robots/{robot}", {"secret": ""}),
            ("POST", f"{OWN}/robots/{robot}/secrets", {}),
            ("POST", f"{HARBOR}/projects/library/members", {"role_id": 1, "member_user": {"user_id": victim}}),
            ("POST", f"{OWN}/projects/library/grants", {"role_id": 1, "member_user": {"user_id": victim}}),
            ("POST", f"{OWN}/identity-providers", provider),
            ("PUT", f"{HARBOR}/configurations", {"self_registration": True}),
            ("PUT", f"{HARBOR}/users/{victim}", {"email": "mallory@evil.test"}),
        ]
        answers = {
            f"{method} {path}": (await served.ask(method, path, who, json=body)).status_code
            for method, path, body in tries
        }
        assert set(answers.values()) == {403}, answers

    at(run, work)


def test_what_was_fetched_with_a_secret_ends_with_it(run: Bench, moving: MovingClock) -> None:
    async def work(served: Served) -> None:
        who = await boss(served)
        refresh = await refresh_token(served)
        moving.advance(86_400 - 600)
        again = await refreshed(served, refresh)
        assert again.status_code == 200
        access = bearer(again.json()["access_token"])
        await served.done("GET", f"{HARBOR}/users/current", await served.bearer(who))
        moving.advance(700)
        for token in (refresh, again.json()["refresh_token"]):
            answer = await refreshed(served, token)
            assert answer.status_code == 401, answer.text
        assert (await served.ask("GET", "/v2/", access)).status_code == 401

    at(run, work)


def test_what_was_fetched_with_a_revoked_secret_or_for_a_disabled_account_is_no_good(run: Bench) -> None:
    async def work(served: Served) -> None:
        who = await boss(served)
        refresh, access = await refresh_token(served), await served.bearer(who)
        await served.done("DELETE", f"{OWN}/users/current/cli-secret", access)
        assert (await refreshed(served, refresh)).status_code == 401
        assert (await served.ask("GET", "/v2/", access)).status_code == 401
        assert (await served.ask("GET", "/v2/", who)).status_code == 401

    at(run, work)


def test_a_refresh_token_is_for_nobody_elsewhere_than_its_robot_account(run: Bench) -> None:
    async def work(served: Served) -> None:
        pull = {"kind": "project", "namespace": "library", "access": [{"resource": "repository", "action": "pull"}]}
        robot, _ = await served.robot("puller", pull)
        shown = (await served.done("PATCH", f"{HARBOR}/robots/{robot}", json={"secret": "A-Secret-of-1"})).json()
        name = (await served.done("GET", f"{HARBOR}/robots/{robot}")).json()["name"]
        form = {
            "grant_type": "password",
            "username": name,
            "password": shown.get("secret") or "A-Secret-of-1",
            "access_type": "offline",
        }
        refresh = (await served.done("POST", "/service/token", {}, data=form)).json()["refresh_token"]
        assert (await refreshed(served, refresh)).status_code == 200
        await served.app.database.write(lambda tx: tx.run(_SET_NETWORKS, robot_id=robot, only=b'["198.51.100.0/24"]'))
        assert (await refreshed(served, refresh)).status_code == 401

    at(run, work)
