"""The HTTP edge: users, groups, tokens, sessions."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from entrepot.auth.model import ScopeEntry
from entrepot.journal.model import SYSTEM
from tests.integration.auth.desk import API, OWN, PASSWORD, Desk, Office, origin

ADMIN = ("admin", PASSWORD)
NEW = "Another-Password-2"
JANE = {"username": "jane", "password": PASSWORD, "email": "jane@example.org", "realname": "Jane Doe"}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


async def log_in(client: httpx.AsyncClient, name: str = "admin", password: str = PASSWORD) -> httpx.Response:
    return await client.post("/c/login", data={"principal": name, "password": password})


# users


def test_an_administrator_creates_reads_lists_and_deletes_users(office: Office) -> None:
    async def work(desk: Desk) -> None:
        async with desk.client(auth=ADMIN) as client:
            made = await client.post(f"{API}/users", json=JANE)
            assert (made.status_code, made.content) == (201, b"")
            where = made.headers["location"]
            assert where.startswith(f"{API}/users/")
            read = (await client.get(where)).json()
            assert {k: v for k, v in read.items() if not k.endswith("_time")} == {
                "user_id": int(where.rpartition("/")[2]),
                "username": "jane",
                "email": "jane@example.org",
                "realname": "Jane Doe",
                "comment": "",
                "sysadmin_flag": False,
                "admin_role_in_auth": False,
            }
            assert read["creation_time"].endswith("Z")
            assert code(await client.post(f"{API}/users", json=JANE)) == (409, "CONFLICT")
            listed = await client.get(f"{API}/users", params={"q": "username=~JAN", "sort": "-username"})
            assert ([u["username"] for u in listed.json()], listed.headers["x-total-count"]) == (["jane"], "1")
            listed = await client.get(f"{API}/users", params={"email": "example.org"})
            assert [u["username"] for u in listed.json()] == ["jane"]
            found = await client.get(f"{API}/users/search", params={"username": "jan"})
            assert found.json() == [{"user_id": read["user_id"], "username": "jane"}]
            assert (await client.delete(where)).status_code == 200
            assert code(await client.get(where)) == (404, "NOT_FOUND")
            assert code(await client.delete(where)) == (404, "NOT_FOUND")
            assert code(await client.delete(f"{API}/users/1")) == (403, "FORBIDDEN")

    office(work)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"password": "weak"}, 400),
        ({"password": None}, 422),
        ({"username": "a b"}, 400),
        ({"username": "x" * 256}, 422),
        ({"email": "nowhere"}, 400),
        ({"email": "a\0@example.org"}, 422),
        ({"comment": "x" * 256}, 422),
        ({"realname": None, "comment": None}, 201),
    ],
)
def test_what_is_no_user_is_refused_and_a_password_never_repeated(
    office: Office, change: dict[str, Any], status: int
) -> None:
    async def work(desk: Desk) -> None:
        async with desk.client(auth=ADMIN) as client:
            answer = await client.post(f"{API}/users", json=JANE | change)
            assert answer.status_code == status, answer.text
            assert "weak" not in answer.text

    office(work)


def test_a_user_sees_and_changes_only_itself(office: Office) -> None:
    async def work(desk: Desk) -> None:
        jane = await desk.add("jane")
        me = f"{API}/users/{jane.id}"
        async with desk.client(auth=("jane", PASSWORD)) as client:
            assert (await client.get(f"{API}/users/current")).json()["username"] == "jane"
            assert (await client.get(me)).status_code == 200
            assert (await client.put(me, json={"realname": "Jane"})).status_code == 200
            assert (await client.get(me)).json()["realname"] == "Jane"
            refused = [
                await client.get(f"{API}/users"),
                await client.post(f"{API}/users", json=JANE),
                await client.get(f"{API}/users/1"),
                await client.put(f"{API}/users/1", json={"realname": "x"}),
                await client.put(f"{API}/users/1/password", json={"new_password": NEW}),
                await client.put(f"{me}/sysadmin", json={"sysadmin_flag": True}),
                await client.put(f"{OWN}/users/{jane.id}/auditor", json={"auditor_flag": True}),
                await client.delete(me),
                await client.get(f"{API}/usergroups"),
                await client.post(f"{API}/usergroups", json={"group_name": "g"}),
            ]
            assert [code(answer) for answer in refused] == [(403, "FORBIDDEN")] * len(refused)
        async with desk.client() as client:
            for path in (
                "users",
                "users/current",
                "users/1",
                "users/search?username=a",
                "usergroups/search?groupname=a",
            ):
                assert code(await client.get(f"{API}/{path}")) == (401, "UNAUTHORIZED")

    office(work)


def test_ones_own_password_needs_the_present_one_and_another_ones_does_not(office: Office) -> None:
    async def work(desk: Desk) -> None:
        jane = await desk.add("jane")
        path = f"{API}/users/{jane.id}/password"
        async with desk.client(auth=("jane", PASSWORD)) as client:
            assert code(await client.put(path, json={"new_password": NEW})) == (403, "FORBIDDEN")
            wrong = {"new_password": NEW, "old_password": "wrong"}
            assert code(await client.put(path, json=wrong)) == (403, "FORBIDDEN")
            same = {"new_password": PASSWORD, "old_password": PASSWORD}
            assert code(await client.put(path, json=same)) == (400, "BAD_REQUEST")
            weak = {"new_password": "weak", "old_password": PASSWORD}
            assert code(await client.put(path, json=weak)) == (400, "BAD_REQUEST")
            right = {"new_password": NEW, "old_password": PASSWORD}
            assert (await client.put(path, json=right)).status_code == 200
            assert code(await client.get(f"{API}/users/current")) == (401, "UNAUTHORIZED")
        async with desk.client(auth=ADMIN) as client:
            assert (await client.put(path, json={"new_password": PASSWORD})).status_code == 200
            assert code(await client.put(f"{API}/users/1/password", json={"new_password": NEW})) == (403, "FORBIDDEN")
            assert code(await client.put(f"{API}/users/99/password", json={"new_password": NEW})) == (404, "NOT_FOUND")

    office(work)


def test_flags_of_administrators_and_auditors_are_set(office: Office) -> None:
    async def work(desk: Desk) -> None:
        jane = await desk.add("jane")
        async with desk.client(auth=ADMIN) as client:
            admin, auditor = f"{API}/users/{jane.id}/sysadmin", f"{OWN}/users/{jane.id}/auditor"
            assert (await client.put(admin, json={"sysadmin_flag": True})).status_code == 200
            assert (await client.get(f"{API}/users/{jane.id}")).json()["sysadmin_flag"] is True
            assert (await client.put(admin, json={"sysadmin_flag": False})).status_code == 200
            assert (await client.put(auditor, json={"auditor_flag": True})).status_code == 200
            assert (await client.get(auditor)).json() == {"auditor_flag": True}
            first = await client.put(f"{API}/users/1/sysadmin", json={"sysadmin_flag": False})
            assert code(first) == (403, "FORBIDDEN")

    office(work)


def test_a_robot_that_manages_users_becomes_no_administrator(office: Office) -> None:
    async def work(desk: Desk) -> None:
        actions = tuple(("user", action) for action in ("create", "read", "update", "delete", "list"))
        await desk.add_robot("ci", "the-secret", scope=(ScopeEntry("system", actions),))
        jane = await desk.add("jane")
        root = await desk.add("root", is_admin=True)
        async with desk.client(auth=("robot$ci", "the-secret")) as client:
            assert code(await client.get(f"{API}/users/current")) == (412, "PRECONDITION")
            assert (await client.post(f"{API}/users", json=JANE | {"username": "joe"})).status_code == 201
            assert (await client.put(f"{API}/users/{jane.id}", json={"comment": "x"})).status_code == 200
            assert (await client.put(f"{API}/users/{jane.id}/password", json={"new_password": NEW})).status_code == 200
            refused = [
                await client.put(f"{API}/users/{root.id}/password", json={"new_password": NEW}),
                await client.put(f"{API}/users/{root.id}", json={"email": "evil@example.org"}),
                await client.delete(f"{API}/users/{root.id}"),
                await client.put(f"{API}/users/{jane.id}/sysadmin", json={"sysadmin_flag": True}),
                await client.put(f"{OWN}/users/{jane.id}/auditor", json={"auditor_flag": True}),
                await client.post(f"{OWN}/users/current/tokens", json={"name": "t"}),
            ]
            assert [code(answer) for answer in refused] == [(403, "FORBIDDEN")] * len(refused)
            assert (await client.delete(f"{API}/users/{jane.id}")).status_code == 200

    office(work)


def test_anybody_registers_where_that_is_on_but_not_without_end(office: Office) -> None:
    async def work(desk: Desk) -> None:
        async with desk.client() as client:
            assert code(await client.post(f"{API}/users", json=JANE)) == (401, "UNAUTHORIZED")
            await desk.settings.update(SYSTEM, {"self_registration": True})
            answers = [await client.post(f"{API}/users", json=JANE | {"username": f"user{n}"}) for n in range(12)]
            assert [a.status_code for a in answers] == [201] * 11 + [429]
            assert answers[-1].headers["retry-after"].isdigit()
        async with desk.client(auth=("user0", PASSWORD)) as client:
            assert code(await client.post(f"{API}/users", json=JANE)) == (403, "FORBIDDEN")
        created = (await desk.events("UserCreated"))[-1]
        assert created["principal"] == "anonymous"

    office(work)


# groups


def test_groups_and_their_users(office: Office) -> None:
    async def work(desk: Desk) -> None:
        jane = await desk.add("jane")
        async with desk.client(auth=ADMIN) as client:
            made = await client.post(f"{API}/usergroups", json={"group_name": "devs", "group_type": 2})
            assert made.status_code == 201
            where = made.headers["location"]
            group_id = int(where.rpartition("/")[2])
            assert (await client.get(where)).json() == {
                "id": group_id,
                "group_name": "devs",
                "group_type": 2,
                "ldap_group_dn": "",
            }
            assert code(await client.post(f"{API}/usergroups", json={"group_name": "devs"})) == (409, "CONFLICT")
            assert code(await client.post(f"{API}/usergroups", json={"group_name": "x", "group_type": 9})) == (
                400,
                "BAD_REQUEST",
            )
            assert (await client.put(where, json={"group_name": "builders"})).status_code == 200
            found = await client.get(f"{API}/usergroups/search", params={"groupname": "build"})
            assert found.json() == [{"id": group_id, "group_name": "builders", "group_type": 2}]
            assert [g["id"] for g in (await client.get(f"{API}/usergroups?group_name=uild")).json()] == [group_id]
            users = f"{OWN}/usergroups/{group_id}/users"
            assert (await client.post(users, json={"user_id": jane.id})).status_code == 201
            listed = await client.get(users)
            assert (listed.json(), listed.headers["x-total-count"]) == (
                [{"user_id": jane.id, "username": "jane"}],
                "1",
            )
            assert (await client.delete(f"{users}/{jane.id}")).status_code == 200
            assert (await client.delete(where)).status_code == 200
            assert code(await client.get(where)) == (404, "NOT_FOUND")
            assert code(await client.get(f"{API}/usergroups/{2**60}")) == (422, "UNPROCESSABLE_ENTITY")

    office(work)


# personal access tokens


def test_a_token_is_shown_once_and_opens_what_its_scope_says(office: Office) -> None:
    async def work(desk: Desk) -> None:
        tokens = f"{OWN}/users/current/tokens"
        async with desk.client(auth=ADMIN) as client:
            scope = [{"kind": "system", "namespace": "/", "access": [{"resource": "user", "action": "list"}]}]
            wanted = {"name": "ci", "scope": scope, "expires_at": "2999-01-01T00:00:00Z"}
            made = await client.post(tokens, json=wanted)
            assert made.status_code == 201, made.text
            token = made.json()
            assert made.headers["location"] == f"{tokens}/{token['id']}"
            assert token["scope"][0]["access"] == [{"resource": "user", "action": "list", "effect": "allow"}]
            [listed] = (await client.get(tokens)).json()
            assert "secret" not in listed
            assert listed == {k: v for k, v in token.items() if k != "secret"}
            past = await client.post(tokens, json={"name": "late", "expires_at": "2001-01-01T00:00:00"})
            assert code(past) == (400, "BAD_REQUEST")
            nothing = await client.post(tokens, json={"name": "none", "scope": []})
            assert nothing.status_code == 422
            access = [{"resource": "repository", "action": "pull"}]
            unknown = [{"kind": "project", "namespace": "no-such", "access": access}]
            for far in ("9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00"):
                answer = await client.post(tokens, json={"name": "far", "expires_at": far})
                assert code(answer) == (400, "BAD_REQUEST")
            assert (await client.post(tokens, json={"name": "x", "scope": unknown})).status_code in {400, 404}
        secret = token["secret"]
        for credential in ({"auth": ("admin", secret)}, {"headers": {"authorization": f"Bearer {secret}"}}):
            async with desk.client(**credential) as client:
                assert (await client.get(f"{API}/users")).status_code == 200
                assert code(await client.get(f"{API}/usergroups")) == (403, "FORBIDDEN")
                assert code(await client.post(tokens, json={"name": "another"})) == (403, "FORBIDDEN")
                change = {"new_password": NEW, "old_password": PASSWORD}
                assert code(await client.put(f"{API}/users/1/password", json=change)) == (403, "FORBIDDEN")
                assert code(await client.put(f"{API}/users/1", json={"comment": "x"})) == (403, "FORBIDDEN")
        async with desk.client(auth=ADMIN) as client:
            assert (await client.delete(f"{tokens}/{token['id']}")).status_code == 200
            assert code(await client.delete(f"{tokens}/{token['id']}")) == (404, "NOT_FOUND")
        async with desk.client(headers={"authorization": f"Bearer {secret}"}) as client:
            assert code(await client.get(f"{API}/users")) == (401, "UNAUTHORIZED")

    office(work)


def test_an_unlimited_token_changes_no_password_either(office: Office) -> None:
    async def work(desk: Desk) -> None:
        jane = await desk.add("jane")
        _, secret = await desk.tokens.create(await desk.caller(), 1, "all", None, None)
        async with desk.client(auth=("admin", secret)) as client:
            assert (await client.get(f"{API}/users")).status_code == 200
            for user_id in (1, jane.id):
                change = {"new_password": NEW, "old_password": PASSWORD}
                answer = await client.put(f"{API}/users/{user_id}/password", json=change)
                assert code(answer) == (403, "FORBIDDEN")
            assert code(await client.post(f"{OWN}/users/current/tokens", json={"name": "x"})) == (403, "FORBIDDEN")

    office(work)


# sessions


def test_a_session_begins_with_a_form_and_ends_with_a_visit(office: Office) -> None:
    async def work(desk: Desk) -> None:
        async with desk.client() as client:
            answer = await log_in(client)
            assert answer.status_code == 200
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith("sid=")
            assert cookie.endswith("; Path=/; HttpOnly; SameSite=Lax")
            assert (await client.get(f"{API}/users/current")).json()["username"] == "admin"
            sid = client.cookies["sid"]
            gone = await client.get("/c/log_out")
            assert gone.status_code == 200
            assert "Max-Age=0" in gone.headers["set-cookie"]
            headers = {"cookie": f"sid={sid}"}
            assert code(await client.get(f"{API}/users/current", headers=headers)) == (401, "UNAUTHORIZED")
        async with desk.client(scheme="https") as client:
            assert (await log_in(client)).headers["set-cookie"].endswith("; Secure")

    office(work)


def test_wrong_and_unknown_get_the_same_answer_and_no_cookie(office: Office) -> None:
    async def work(desk: Desk) -> None:
        async with desk.client() as client:
            answers = [await log_in(client, "admin", "wrong"), await log_in(client, "nobody", "wrong")]
            assert [code(answer) for answer in answers] == [(401, "UNAUTHORIZED")] * 2
            assert answers[0].content == answers[1].content
            for answer in answers:
                assert "set-cookie" not in answer.headers
                assert "www-authenticate" not in answer.headers  # a browser would open its own window
            for number in range(5):
                await log_in(client, "admin", f"wrong {number}")
            late = await log_in(client, "admin", "more")
            assert late.status_code == 429
            assert late.headers["retry-after"] == "1"

    office(work)


def test_a_session_changes_nothing_without_its_token(office: Office) -> None:
    async def work(desk: Desk) -> None:
        async with desk.client() as client:
            token = (await log_in(client)).headers["x-harbor-csrf-token"]
            assert (await client.get(f"{API}/users/current")).headers["x-harbor-csrf-token"] == token
            for headers in ({}, {"x-harbor-csrf-token": "wrong"}):
                refused = await client.post(f"{API}/users", json=JANE, headers=headers)
                assert code(refused) == (403, "FORBIDDEN")
                assert refused.headers["x-harbor-csrf-token"] == token
            made = await client.post(f"{API}/users", json=JANE, headers={"x-harbor-csrf-token": token})
            assert made.status_code == 201
            basic = await client.post(f"{API}/users", json=JANE | {"username": "joe"}, auth=ADMIN)
            assert basic.status_code == 201  # what a browser does not send by itself needs no token

    office(work)


def test_other_sites_log_nobody_in_or_out(office: Office) -> None:
    async def work(desk: Desk) -> None:
        async with desk.client(headers={"sec-fetch-site": "cross-site"}) as client:
            assert code(await log_in(client)) == (403, "FORBIDDEN")
            assert code(await client.get("/c/log_out")) == (403, "FORBIDDEN")

    office(work)


def test_only_an_administrators_session_learns_which_users_there_are(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await desk.users.create(origin(), "jane", PASSWORD, email="jane@example.org")
        question = {"target": "username", "value": "jane"}
        async with desk.client() as client:
            assert code(await client.post("/c/userExists", data=question)) == (401, "UNAUTHORIZED")
            await log_in(client, "jane")
            assert code(await client.post("/c/userExists", data=question)) == (403, "FORBIDDEN")
        async with desk.client() as client:
            await log_in(client)
            answers = [
                (await client.post("/c/userExists", data={"target": target, "value": value})).json()
                for target, value in (
                    ("username", "jane"),
                    ("username", "joe"),
                    ("username", "a b\0"),
                    ("email", "jane@example.org"),
                    ("email", "joe@example.org"),
                )
            ]
            assert answers == [True, False, False, True, False]
            assert code(await client.post("/c/userExists", data={"target": "x"})) == (400, "BAD_REQUEST")

    office(work)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/c/login", b"", 405),
        ("POST", "/c/log_out", b"", 405),
        ("GET", "/c/nothing", b"", 404),
        ("POST", "/c/login", b"\xff\xfe", 400),
        ("POST", "/c/login", b"&" * 1000 + b"a=1&" * 200, 400),
        ("POST", "/c/login", b"x" * 70_000, 413),
        ("POST", "/c/login", b"", 401),
        ("POST", "/c/login", b"principal=%ff%00&password=%ff", 401),
        ("POST", "/c/userExists", b"target=email&value=%00", 401),
    ],
)
def test_what_is_no_form_is_refused(office: Office, method: str, path: str, body: bytes, status: int) -> None:
    async def work(desk: Desk) -> None:
        async with desk.client() as client:
            headers = {"content-type": "application/x-www-form-urlencoded"}
            answer = await client.request(method, path, content=body, headers=headers)
            assert answer.status_code == status
            assert answer.json()["errors"]

    office(work)
