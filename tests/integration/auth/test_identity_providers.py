"""Identity providers of our own API: made, changed, tried, deleted; their secrets told nowhere, sent nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from entrepot.auth.events import IdentityProviderEvent
from tests.integration.access.served import OWN, Credential, Served, basic, opened
from tests.integration.rig import Bench
from tests.issuer import CLIENT, Issuer

ALL = f"{OWN}/identity-providers"
SECRET = "hunter2-hunter2"
LDAP: dict[str, Any] = {
    "name": "corp",
    "kind": "ldap",
    "options": {"url": "ldaps://ldap.example.com", "base_dn": "dc=example,dc=com", "bind_password": SECRET},
}
FIXED = '[{"name": "fixed", "url": "ldaps://ldap.example.com", "base_dn": "dc=example", "bind_password": "x"}]'


def serve(run: Bench, work: Callable[[Served], Awaitable[None]], **more: str) -> None:
    async def inner() -> None:
        async with opened(run.config(**more)) as served:
            await work(served)

    asyncio.run(inner())


def options(**more: Any) -> dict[str, Any]:
    return {"kind": "ldap", "options": {"url": "ldaps://ldap.example.com", "base_dn": "dc=example,dc=com", **more}}


def test_a_provider_is_made_read_changed_and_deleted(run: Bench) -> None:
    async def work(served: Served) -> None:
        made = await served.done("POST", ALL, json=LDAP)
        assert made.status_code == 201
        assert made.headers["location"] == f"{ALL}/corp"
        shown = (await served.done("GET", f"{ALL}/corp")).json()
        assert shown["has_secret"] is True
        assert shown["is_fixed"] is False
        assert shown["options"]["user_attribute"] == "uid"
        await served.done("PUT", f"{ALL}/corp", json=options(user_attribute="cn"))
        again = (await served.done("GET", ALL)).json()
        assert [each["name"] for each in again] == ["corp"]
        assert again[0]["options"]["user_attribute"] == "cn"
        assert again[0]["has_secret"] is True
        assert [each.name for each in await served.app.directory.options("ldap")] == ["corp"]
        assert (await served.app.directory.options("ldap"))[0].secret == SECRET
        await served.done("DELETE", f"{ALL}/corp")
        assert (await served.ask("GET", f"{ALL}/corp")).status_code == 404
        assert (await served.ask("DELETE", f"{ALL}/corp")).status_code == 404
        assert await served.app.directory.options("ldap") == []

    serve(run, work)


def test_what_was_answered_can_be_sent_back_and_changes_nothing(run: Bench) -> None:
    async def work(served: Served) -> None:
        await served.done("POST", ALL, json=LDAP)
        shown = (await served.done("GET", f"{ALL}/corp")).json()
        await served.done("PUT", f"{ALL}/corp", json=shown)
        assert (await served.done("GET", f"{ALL}/corp")).json() == shown

    serve(run, work)


def test_the_secret_is_told_nowhere_and_kept_sealed(run: Bench) -> None:
    async def work(served: Served) -> None:
        answers = [
            await served.done("POST", ALL, json=LDAP),
            await served.done("GET", ALL),
            await served.done("GET", f"{ALL}/corp"),
            await served.done("PUT", f"{ALL}/corp", json=options(bind_password=SECRET + "x")),
            await served.done("GET", f"{OWN}/audit"),
            await served.ask("POST", ALL, json=LDAP | {"options": {"bind_password": SECRET}}),
            await served.ask("POST", ALL, json=LDAP | {"options": {**LDAP["options"], "url": "x://" + "y"}}),
        ]
        assert answers[-2].status_code == 422
        assert answers[-1].status_code == 400
        assert not any(SECRET in answer.text for answer in answers)
        kinds = [record["kind"] for record in answers[4].json()]
        assert {"IdentityProviderCreated", "IdentityProviderUpdated"} <= set(kinds)

    serve(run, work)
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in run.folder.glob("entrepot.db*"))


ELSEWHERE: list[dict[str, Any]] = [
    {"url": "ldaps://evil.example.com"},
    {"url": "ldap://ldap.example.com"},
    {"verify_certificate": False},
    {"ca_file": "/tmp/evil.pem"},
    {"url": "ldap://ldap.example.com", "start_tls": True},
]


def test_a_kept_secret_goes_to_no_other_place(run: Bench) -> None:
    async def work(served: Served) -> None:
        await served.done("POST", ALL, json=LDAP)
        for elsewhere in ELSEWHERE:
            refused = await served.ask("PUT", f"{ALL}/corp", json=options(**elsewhere))
            assert refused.status_code == 400, elsewhere
            assert "cannot change without bind_password" in refused.text
            await served.done("PUT", f"{ALL}/corp", json=options(**elsewhere, bind_password=SECRET))
            await served.done("PUT", f"{ALL}/corp", json=options(bind_password=""))
            assert (await served.done("GET", f"{ALL}/corp")).json()["has_secret"] is False
            await served.done("PUT", f"{ALL}/corp", json=options(**elsewhere))
            await served.done("PUT", f"{ALL}/corp", json=options(bind_password=SECRET))

    serve(run, work)


def test_names_that_are_taken_are_refused(run: Bench) -> None:
    async def work(served: Served) -> None:
        await served.done("POST", ALL, json=LDAP)
        for taken in ("corp", "fixed", "ldap", "oidc"):
            assert (await served.ask("POST", ALL, json=LDAP | {"name": taken})).status_code == 409
        for wrong in ("local", "Upper", "1st", "a b", "", "ä"):
            assert (await served.ask("POST", ALL, json=LDAP | {"name": wrong})).status_code == 400
        listed = (await served.done("GET", ALL)).json()
        assert [(each["name"], each["is_fixed"]) for each in listed] == [("fixed", True), ("corp", False)]
        assert "creation_time" not in listed[0] or listed[0]["creation_time"] is None
        assert (await served.ask("PUT", f"{ALL}/fixed", json=options())).status_code == 409
        assert (await served.ask("DELETE", f"{ALL}/fixed")).status_code == 409
        assert (await served.ask("DELETE", f"{ALL}/oidc")).status_code == 409

    serve(run, work, ENTREPOT_IDENTITY_LDAP=FIXED)


WRONG: list[dict[str, Any]] = [
    {},
    {"kind": "ldap"},
    {"kind": "saml", "options": {}},
    LDAP | {"options": []},
    LDAP | {"options": {**LDAP["options"], "base_dm": "x"}},
    LDAP | {"options": {**LDAP["options"], "timeout": 0}},
    LDAP | {"options": {**LDAP["options"], "url": "x" * 4097}},
    LDAP | {"options": {**LDAP["options"], "filter": "a\x00b"}},
    LDAP | {"options": {**LDAP["options"], "filter": "no parentheses"}},
    LDAP | {"kind": "oidc"},
    {"name": "id", "kind": "oidc", "options": {"endpoint": "x", "client_id": "y"}},
    {
        "name": "id",
        "kind": "oidc",
        "options": {"endpoint": "https://x.test", "client_id": "y", "group_filter": "("},
    },
    {"name": "ci", "kind": "workload", "options": {"issuer": "https://ci.test", "audiences": []}},
    {"name": "ci", "kind": "workload", "options": {"issuer": "https://ci.test", "audiences": [""]}},
    {
        "name": "ci",
        "kind": "workload",
        "options": {"issuer": "https://ci.test", "audiences": ["x"], "bearer_file": "/data/keys/token.pem"},
    },
]


def test_what_cannot_be_is_refused_with_a_reason(run: Bench) -> None:
    async def work(served: Served) -> None:
        for wrong in WRONG:
            assert (await served.ask("POST", ALL, json=wrong)).status_code in {400, 422}, wrong
        assert (await served.done("GET", ALL)).json() == []

    serve(run, work)


def test_a_provider_keeps_its_kind(run: Bench) -> None:
    async def work(served: Served) -> None:
        await served.done("POST", ALL, json=LDAP)
        other = {"kind": "oidc", "options": {"endpoint": "https://id.test", "client_id": "x"}}
        refused = await served.ask("PUT", f"{ALL}/corp", json=other)
        assert refused.status_code == 400
        assert "of kind ldap" in refused.text

    serve(run, work)


def test_only_administrators_see_and_change_them(run: Bench) -> None:
    async def work(served: Served) -> None:
        await served.user("jane")
        jane: Credential = basic("jane")
        for method, path, body in (
            ("GET", ALL, None),
            ("POST", ALL, LDAP),
            ("GET", f"{ALL}/corp", None),
            ("PUT", f"{ALL}/corp", options()),
            ("DELETE", f"{ALL}/corp", None),
            ("POST", f"{ALL}/corp/ping", None),
        ):
            assert (await served.ask(method, path, jane, json=body)).status_code == 403
            assert (await served.ask(method, path, {}, json=body)).status_code == 401

    serve(run, work)


def test_a_ping_says_whether_the_provider_answers_and_why_not(run: Bench) -> None:
    async def work(served: Served) -> None:
        with Issuer() as issuer:
            described = {"endpoint": issuer.url, "client_id": CLIENT, "timeout": 2}
            await served.done("POST", ALL, json={"name": "id", "kind": "oidc", "options": described})
            assert (await served.done("POST", f"{ALL}/id/ping")).json() == {"is_reachable": True, "message": ""}
            await served.done("PUT", f"{ALL}/id", json={"kind": "oidc", "options": {**described, "title": "Corp"}})
        await served.app.directory.close()
        answer = (await served.done("POST", f"{ALL}/id/ping")).json()
        assert answer["is_reachable"] is False
        assert answer["message"]
        assert (await served.ask("POST", f"{ALL}/nobody/ping")).status_code == 404
        tokens = {"issuer": "https://ci.test", "audiences": ["registry"]}
        await served.done("POST", ALL, json={"name": "ci", "kind": "workload", "options": tokens})
        assert (await served.ask("POST", f"{ALL}/ci/ping")).status_code == 412
        await served.app.directory.close()

    serve(run, work)


def test_there_can_be_many_but_not_any_number(run: Bench) -> None:
    async def work(served: Served) -> None:
        for number in range(50):
            await served.done("POST", ALL, json=LDAP | {"name": f"corp-{number}"})
        assert (await served.ask("POST", ALL, json=LDAP)).status_code == 409

    serve(run, work)


def test_every_event_of_theirs_names_the_provider() -> None:
    for kind in IdentityProviderEvent.__subclasses__():
        assert kind.operation in {"create", "update", "delete"}
        assert kind.resource_type == "identity-provider"
