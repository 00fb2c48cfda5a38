"""A directory's people as accounts: logging in, groups, outages; and Harbor's routes for administrators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from entrepot.auth.http.ldap import LdapRoutes
from entrepot.auth.model import ScopeEntry
from entrepot.auth.options import LdapOptions, Options, parse_options
from entrepot.auth.provider import Provider, ProviderUnreachable
from entrepot.auth.providers.ldap import LdapProvider
from entrepot.errors import NotAuthenticated
from entrepot.web.api import RestApi
from entrepot.web.edge import Edge, EdgeOptions
from entrepot.web.metrics import RequestMetrics
from tests.integration.auth.desk import API, PASSWORD, Desk, Office, origin
from tests.integration.auth.moving_clock import MovingClock
from tests.ldap_server import (
    BIND_DN,
    BIND_PASSWORD,
    GROUPS,
    PEOPLE,
    SUFFIX,
    Silent,
    Slapd,
    group_dn,
    password_of,
    person,
    require_slapd,
    user_dn,
)

ADMIN = ("admin", PASSWORD)
NESTED = ["admins", "developers", "platform", "ring-a", "ring-b"]


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    require_slapd()
    started = Slapd(tmp_path_factory.mktemp("slapd"))
    yield started
    started.stop()


@pytest.fixture
def own_slapd(tmp_path: Path) -> Iterator[Slapd]:
    """One that a test may change and stop."""
    require_slapd()
    started = Slapd(tmp_path / "slapd")
    yield started
    started.stop()


def build(options: Options) -> Provider:
    return LdapProvider(cast("LdapOptions", options))


def working(office: Office, *described: dict[str, Any]) -> Callable[[Callable[[Desk], Awaitable[None]]], None]:
    """Runs a coroutine function with a desk that asks directories."""
    office.providers = [parse_options("ldap", options) for options in described]
    office.build = build

    def run(work: Callable[[Desk], Awaitable[None]]) -> None:
        async def outer(desk: Desk) -> None:
            try:
                await work(desk)
            finally:
                await desk.directory.close()

        office(outer)

    return run


def client(desk: Desk, auth: tuple[str, str] = ADMIN) -> httpx.AsyncClient:
    routes = LdapRoutes(desk.directory, desk.accounts)
    edge = Edge(
        [(f"{API}/", RestApi(API, "API", "1", routes.routes, desk.guardian))],
        EdgeOptions(),
        metrics=RequestMetrics(),
        access_log=None,
    )
    transport = httpx.ASGITransport(app=edge, client=("192.0.2.1", 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://registry.test", auth=auth)


async def group_names(desk: Desk) -> list[str]:
    async with desk.client(auth=ADMIN) as rest:
        listed = await rest.get(f"{API}/usergroups", params={"page_size": 100})
    return sorted(group["group_name"] for group in listed.json())


# logging in


def test_people_of_a_directory_log_in_and_bring_their_groups(office: Office, slapd: Slapd) -> None:
    async def work(desk: Desk) -> None:
        user = await desk.users.log_in("alice", password_of("alice"), origin())
        assert (user.name, user.source, user.email) == ("alice", "corp", "alice@example.com")
        assert user.administers
        assert await group_names(desk) == NESTED
        with pytest.raises(NotAuthenticated):
            await desk.users.log_in("alice", "wrong", origin())
        local = await desk.users.log_in("admin", PASSWORD, origin())
        assert local.id == 1
        bob = await desk.users.log_in("bob", password_of("bob"), origin())
        assert not bob.administers

    working(office, slapd.options(admin_group=group_dn("admins")))(work)


def test_logins_in_the_cache_ask_no_directory(office: Office, own_slapd: Slapd) -> None:
    async def work(desk: Desk) -> None:
        first = await desk.users.log_in("alice", password_of("alice"), origin())
        own_slapd.stop()
        again = await desk.users.log_in("alice", password_of("alice"), origin())
        assert again.id == first.id
        with pytest.raises(ProviderUnreachable, match="corp"):
            await desk.users.log_in("carol", password_of("carol"), origin())
        await desk.users.log_in("admin", PASSWORD, origin())

    working(office, own_slapd.options())(work)


def test_who_leaves_the_directory_or_a_group_there_does_so_here(
    office: Office, own_slapd: Slapd, moving: MovingClock
) -> None:
    async def work(desk: Desk) -> None:
        user = await desk.users.log_in("carol", password_of("carol"), origin())
        assert user.administers
        own_slapd.modify(
            f"dn: {group_dn('developers')}\nchangetype: modify\ndelete: member\nmember: {user_dn('carol')}\n"
        )
        moving.advance(61)
        await desk.rechecks.ask(user.id)
        assert not (await desk.user("carol")).administers
        own_slapd.delete(user_dn("carol"))
        moving.advance(61)
        await desk.rechecks.ask(user.id)
        assert (await desk.user("carol")).is_disabled
        with pytest.raises(NotAuthenticated):
            await desk.users.log_in("carol", password_of("carol"), origin())

    working(office, own_slapd.options(admin_group=group_dn("admins"), cache_seconds=60))(work)


def test_two_directories_are_asked_side_by_side_and_one_that_is_away_does_not_stop_the_other(
    office: Office, slapd: Slapd
) -> None:
    silent = Silent()

    async def work(desk: Desk) -> None:
        user = await desk.users.log_in("alice", password_of("alice"), origin())
        assert user.source == "corp"
        with pytest.raises(ProviderUnreachable, match="away"):
            await desk.users.log_in("alice", "wrong", origin())

    away = slapd.options(name="away", url=f"ldap://127.0.0.1:{silent.port}", timeout=0.3)
    try:
        working(office, away, slapd.options())(work)
    finally:
        silent.close()


# /ldap/ping


def test_the_configured_directory_is_tried(office: Office, slapd: Slapd) -> None:
    async def work(desk: Desk) -> None:
        async with client(desk) as rest:
            for answer in (await rest.post(f"{API}/ldap/ping"), await rest.post(f"{API}/ldap/ping", json={})):
                assert (answer.status_code, answer.json()) == (200, {"success": True})

    working(office, slapd.options())(work)


def test_a_directory_is_tried_before_it_is_configured(office: Office, slapd: Slapd) -> None:
    whole = {
        "ldap_url": slapd.ldaps_url.removeprefix("ldaps://"),
        "ldap_search_dn": BIND_DN,
        "ldap_search_password": BIND_PASSWORD,
        "ldap_base_dn": PEOPLE,
        "ldap_filter": "objectClass=person",
        "ldap_uid": "uid",
        "ldap_scope": 2,
        "ldap_connection_timeout": 2**31,
        "ldap_verify_cert": False,
    }

    async def work(desk: Desk) -> None:
        async with client(desk) as rest:

            async def ping(**change: Any) -> tuple[bool, str]:
                answer = await rest.post(f"{API}/ldap/ping", json=whole | {"ldap_url": slapd.ldaps_url} | change)
                assert answer.status_code == 200
                assert BIND_PASSWORD not in answer.text
                return answer.json()["success"], answer.json().get("message", "")

            assert await ping() == (True, "")
            assert "not trusted" in (await ping(ldap_verify_cert=True))[1]
            assert "bind_password" in (await ping(ldap_search_password="wrong"))[1]
            assert "bind_password is empty" in (await ping(ldap_search_password=None))[1]
            assert "ou=nowhere" in (await ping(ldap_base_dn=f"ou=nowhere,{SUFFIX}"))[1]
            assert "Connection refused" in (await ping(ldap_url="127.0.0.1:1"))[1]
            for wrong in ({"ldap_url": "http://x"}, {"ldap_base_dn": " "}, {"ldap_uid": " "}):
                answer = await rest.post(f"{API}/ldap/ping", json=whole | wrong)
                assert answer.status_code == 400
                assert BIND_PASSWORD not in answer.text
            answer = await rest.post(f"{API}/ldap/ping")
            assert answer.json() == {"success": False, "message": "There is no LDAP directory: configure one."}

    working(office)(work)


def test_the_configured_password_goes_nowhere_else(office: Office, slapd: Slapd) -> None:
    async def work(desk: Desk) -> None:
        async with client(desk) as rest:

            async def ping(**conf: Any) -> dict[str, Any]:
                return dict((await rest.post(f"{API}/ldap/ping", json=conf)).json())

            assert (await ping(ldap_url=slapd.url, ldap_base_dn=GROUPS))["success"]
            silent = Silent()
            for change in (
                {"ldap_url": f"ldap://127.0.0.1:{silent.port}"},
                {"ldap_url": slapd.ldaps_url},
                {"ldap_url": slapd.url, "ldap_verify_cert": False},
                {"ldap_search_dn": user_dn("alice")},
            ):
                told = await ping(**change)
                assert not told["success"]
                assert told["message"].endswith("bind_dn is set, and bind_password is empty.")
            silent.close()

    working(office, slapd.options())(work)


# /ldap/users, /ldap/groups


def test_people_and_groups_are_found(office: Office, slapd: Slapd) -> None:
    async def work(desk: Desk) -> None:
        async with client(desk) as rest:
            found = await rest.get(f"{API}/ldap/users/search", params={"username": "ali"})
            assert found.json() == [
                {"username": "alice", "email": "alice@example.com", "realname": "Alice Example"},
            ]
            everybody = (await rest.get(f"{API}/ldap/users/search")).json()
            assert [one["username"] for one in everybody] == ["alice", "bob", "carol"]
            for injected in ("*", "alice)(uid=*", "\\2a"):
                found = await rest.get(f"{API}/ldap/users/search", params={"username": injected})
                assert found.json() == []
            found = await rest.get(f"{API}/ldap/groups/search", params={"groupname": "admin"})
            admins = {"id": 0, "group_name": "admins", "group_type": 1, "ldap_group_dn": group_dn("admins")}
            assert found.json() == [admins]
            found = await rest.get(f"{API}/ldap/groups/search", params={"groupdn": group_dn("admins").upper()})
            assert found.json() == [admins]
            for params in ({"groupdn": "nonsense"}, {"groupname": "a\0"}, {"groupdn": "cn=\0"}):
                assert (await rest.get(f"{API}/ldap/groups/search", params=params)).status_code == 400
            assert (await rest.get(f"{API}/ldap/users/search", params={"username": "\0"})).status_code == 400

    working(office, slapd.options(group_base_dn=GROUPS))(work)


def test_people_are_imported_and_who_cannot_be_is_listed(office: Office, own_slapd: Slapd) -> None:
    async def work(desk: Desk) -> None:
        with pytest.raises(NotAuthenticated):
            await desk.users.log_in("alice", password_of("alice"), origin())
        async with client(desk) as rest:
            answer = await rest.post(f"{API}/ldap/users/import", json={"ldap_uid_list": ["alice", "bob", "alice"]})
            assert (answer.status_code, answer.content) == (200, b"")
            assert (await desk.user("alice")).source == "corp"
            made = await desk.events("UserCreated")
            assert [(one["principal"], one["user"]) for one in made[-2:]] == [("admin", "alice"), ("admin", "bob")]
            answer = await rest.post(f"{API}/ldap/users/import", json={"ldap_uid_list": ["*", "", "carol", "bob", "x"]})
            assert answer.status_code == 404
            assert answer.json() == [
                {"uid": "*", "error": "unknown_user"},
                {"uid": "", "error": "empty_uid"},
                {"uid": "x", "error": "unknown_user"},
            ]
            assert (await desk.user("carol")).source == "corp"
            many = {"ldap_uid_list": ["x"] * 501}
            assert (await rest.post(f"{API}/ldap/users/import", json=many)).status_code == 422
            own_slapd.stop()
            answer = await rest.post(f"{API}/ldap/users/import", json={"ldap_uid_list": ["alice", "bob"]})
            assert answer.status_code == 404
            assert [one["uid"] for one in answer.json()] == ["alice", "bob"]
            assert all("does not answer" in one["error"] for one in answer.json())
        user = await desk.users.log_in("admin", PASSWORD, origin())
        assert user.id == 1

    working(office, own_slapd.options(onboard=False))(work)


def test_a_taken_name_gets_the_directorys_behind_it(office: Office, own_slapd: Slapd) -> None:
    own_slapd.add(person("admin"))

    async def work(desk: Desk) -> None:
        async with client(desk) as rest:
            answer = await rest.post(f"{API}/ldap/users/import", json={"ldap_uid_list": ["admin"]})
            assert answer.status_code == 200
        assert (await desk.user("admin@corp")).source == "corp"
        with pytest.raises(NotAuthenticated):
            await desk.users.log_in("admin", password_of("admin"), origin())

    working(office, own_slapd.options())(work)


def test_the_directory_of_the_settings_is_meant_before_others(office: Office, slapd: Slapd) -> None:
    async def work(desk: Desk) -> None:
        async with client(desk) as rest:
            found = await rest.get(f"{API}/ldap/users/search")
            assert found.json() == []

    working(office, slapd.options(), slapd.options(name="ldap", base_dn=GROUPS))(work)


ROUTES = [
    ("POST", "ping", {"json": {"ldap_url": "ldap://127.0.0.1:1"}}),
    ("GET", "users/search", {}),
    ("POST", "users/import", {"json": {"ldap_uid_list": ["alice"]}}),
    ("GET", "groups/search", {}),
]


@pytest.mark.parametrize(("method", "path", "more"), ROUTES)
def test_only_administrators_may(office: Office, slapd: Slapd, method: str, path: str, more: dict[str, Any]) -> None:
    async def work(desk: Desk) -> None:
        await desk.add("jane")
        for auth, status in ((ADMIN, 200), (("jane", PASSWORD), 403), (("jane", "wrong"), 401)):
            async with client(desk, auth) as rest:
                assert (await rest.request(method, f"{API}/ldap/{path}", **more)).status_code == status

    working(office, slapd.options())(work)


def test_a_robot_that_may_import_can_but_does_not_try_directories(office: Office, slapd: Slapd) -> None:
    async def work(desk: Desk) -> None:
        scope = (ScopeEntry("system", (("ldap-user", "create"), ("ldap-user", "list"))),)
        await desk.add_robot("importer", PASSWORD, scope=scope)
        async with client(desk, ("robot$importer", PASSWORD)) as rest:
            answer = await rest.post(f"{API}/ldap/users/import", json={"ldap_uid_list": ["alice"]})
            assert answer.status_code == 200
            assert (await rest.get(f"{API}/ldap/users/search")).status_code == 200
            assert (await rest.post(f"{API}/ldap/ping")).status_code == 403

    working(office, slapd.options())(work)


@pytest.mark.parametrize(("method", "path", "more"), ROUTES[1:])
def test_without_a_directory_that_is_said(office: Office, method: str, path: str, more: dict[str, Any]) -> None:
    async def work(desk: Desk) -> None:
        async with client(desk) as rest:
            answer = await rest.request(method, f"{API}/ldap/{path}", **more)
            assert answer.status_code == 412
            assert answer.json()["errors"][0]["message"] == "There is no LDAP directory: configure one."

    working(office)(work)


@pytest.mark.parametrize(("method", "path", "more"), ROUTES[1:4:2])
def test_a_directory_that_is_away_is_told_as_that(
    office: Office, slapd: Slapd, method: str, path: str, more: dict[str, Any]
) -> None:
    async def work(desk: Desk) -> None:
        async with client(desk) as rest:
            answer = await rest.request(method, f"{API}/ldap/{path}", **more)
            assert answer.status_code == 503
            assert "Connection refused" in answer.json()["errors"][0]["message"]

    working(office, slapd.options(url="ldap://127.0.0.1:1"))(work)
