"""Address rules of the server, of its administration and of projects; what is recorded of a refusal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from entrepot.access.refusals import MOST_PENDING, PROJECT, QUIET_SECONDS, SERVER, Refusals
from entrepot.auth.model import Principal
from entrepot.database import query
from entrepot.errors import Denied, InvalidInput
from entrepot.journal.model import SYSTEM, Origin
from entrepot.journal.store import journal
from entrepot.kit.networks import parse_rules
from entrepot.oci.name import parse_name
from entrepot.projects.networks import ProjectNetworks
from tests.integration.access.served import ADMIN, HARBOR, NOBODY, OWN, Credential, Served, basic, bearer, opened
from tests.integration.rig import Bench, Rig, caller

INSIDE, OUTSIDE = "203.0.113.7", "198.51.100.9"
NETWORK = "203.0.113.0/24"
LOCAL = "127.0.0.1/32"
"""From where a test asks that says nothing of it."""
PROXY = {"ENTREPOT_TRUSTED_PROXIES": "127.0.0.1/32"}
SETTINGS = f"{HARBOR}/configurations"
RULES = f"{OWN}/projects/shut/addresses"
CATALOG = "registry:catalog:*"
PROJECT_ADMIN = 1

REFUSALS = query(
    select(
        journal.c.operation,
        journal.c.resource_type,
        journal.c.resource,
        journal.c.principal,
        journal.c.client_address,
        journal.c.project_id,
        journal.c.is_refused,
        journal.c.body,
    )
    .where(journal.c.kind == "AddressRefused")
    .order_by(journal.c.id)
)


def at(address: str, who: Credential = NOBODY) -> Credential:
    """A credential that is shown from an address, behind the trusted proxy."""
    return {**who, "x-forwarded-for": address}


def serve(bench: Bench, work: Callable[[Served], Awaitable[None]], **settings: str) -> None:
    async def inside() -> None:
        async with opened(bench.config(**PROXY, **settings)) as served:
            await work(served)

    asyncio.run(inside())


async def statuses(served: Served, requests: Iterable[tuple[str, str, Credential]]) -> list[int]:
    return [(await served.ask(method, path, who)).status_code for method, path, who in requests]


def codes(answer: httpx.Response) -> set[str]:
    return {entry["code"] for entry in answer.json()["errors"]}


async def refusals(served: Served) -> list[dict[str, Any]]:
    await served.app.refusals.flush()
    names = ("operation", "resource_type", "resource", "principal", "client_address", "project_id", "is_refused")
    return [
        {**dict(zip(names, row[:7], strict=True)), **json.loads(row[7])}
        for row in await served.app.database.all(REFUSALS)
    ]


# the whole server, and its administration


def test_rules_of_the_server_hold_for_all_but_the_probes(run: Bench) -> None:
    async def work(served: Served) -> None:
        await served.done("PUT", SETTINGS, at(INSIDE, ADMIN), json={"entrepot_addresses_allow": NETWORK})
        for path in ("/v2/", "/service/token", "/metrics", SETTINGS, "/c/log_out", "/account", "/no/such/thing"):
            answer = await served.ask("GET", path, at(OUTSIDE, ADMIN))
            assert answer.status_code == 403, path
            assert codes(answer) == {"DENIED" if path in {"/v2/", "/service/token", "/metrics"} else "FORBIDDEN"}
            assert OUTSIDE in answer.json()["errors"][0]["message"]
        asked = [("GET", path, at(OUTSIDE)) for path in ("/livez", "/readyz")]
        assert await statuses(served, asked) == [200, 200]
        asked = [("GET", path, at(INSIDE, ADMIN)) for path in ("/v2/", "/service/token", SETTINGS)]
        assert await statuses(served, asked) == [200, 200, 200]

    serve(run, work)


def test_rules_of_the_administration_leave_the_registry_open(run: Bench) -> None:
    async def work(served: Served) -> None:
        rules = {"entrepot_admin_addresses_allow": f"{NETWORK}, 2001:db8::/32"}
        await served.done("PUT", SETTINGS, at(INSIDE, ADMIN), json=rules)
        open_ = [("GET", path, at(OUTSIDE, ADMIN)) for path in ("/v2/", "/service/token")]
        assert await statuses(served, open_) == [200, 200]
        paths = (SETTINGS, f"{OWN}/openapi.json", "/api/version", "/c/log_out")
        assert await statuses(served, [("GET", path, at(OUTSIDE, ADMIN)) for path in paths]) == [403] * 4
        assert await statuses(served, [("GET", path, at("2001:db8::9", ADMIN)) for path in paths]) == [200] * 4
        login = await served.ask("POST", "/c/login", at(OUTSIDE), data={"principal": "admin", "password": "x"})
        assert login.status_code == 403
        assert codes(login) == {"FORBIDDEN"}

    serve(run, work)


def test_who_cannot_be_placed_is_refused_where_there_is_any_rule(run: Bench) -> None:
    async def work(served: Served) -> None:
        assert (await served.ask("GET", "/v2/", at("unknown", ADMIN))).status_code == 200
        await served.done("PUT", SETTINGS, at(INSIDE, ADMIN), json={"entrepot_addresses_deny": "10.6.6.6"})
        for chain in ("unknown", "_hidden", "garbage", f"{INSIDE}, nonsense"):
            assert (await served.ask("GET", "/v2/", at(chain, ADMIN))).status_code == 403
        assert (await served.ask("GET", "/v2/", at(OUTSIDE, ADMIN))).status_code == 200
        assert (await served.ask("GET", "/v2/", at("10.6.6.6", ADMIN))).status_code == 403

    serve(run, work)


@pytest.mark.parametrize(
    "rules",
    [
        {"entrepot_addresses_allow": "10.0.0.0/8"},
        {"entrepot_addresses_deny": NETWORK},
        {"entrepot_admin_addresses_allow": "10.0.0.0/8"},
        {"entrepot_admin_addresses_deny": "203.0.113.7"},
        {"entrepot_admin_addresses_allow": NETWORK, "entrepot_admin_addresses_deny": "0.0.0.0/0"},
    ],
)
def test_nobody_shuts_out_himself(run: Bench, rules: dict[str, str]) -> None:
    async def work(served: Served) -> None:
        answer = await served.ask("PUT", SETTINGS, at(INSIDE, ADMIN), json={**rules, "session_timeout": 7})
        assert answer.status_code == 400
        assert "could not administer the registry from 203.0.113.7" in answer.json()["errors"][0]["message"]
        assert await served.app.settings.number("session_timeout") == 60, "all of it or nothing"
        await served.app.settings.update(SYSTEM, rules)
        assert (await served.ask("GET", SETTINGS, at(INSIDE, ADMIN))).status_code == 403

    serve(run, work)


def test_rules_that_the_operator_fixes_hold_from_the_start(run: Bench) -> None:
    async def work(served: Served) -> None:
        assert await statuses(served, [("GET", "/v2/", at(a, ADMIN)) for a in (INSIDE, OUTSIDE)]) == [200, 403]
        answer = await served.ask("PUT", SETTINGS, at(INSIDE, ADMIN), json={"entrepot_addresses_allow": ""})
        assert answer.status_code == 403

    serve(run, work, ENTREPOT_SETTINGS=json.dumps({"entrepot_addresses_allow": NETWORK}))


@pytest.mark.parametrize("text", ["nonsense", "10.0.0.0/33", "10.0.0.0/8; 11.0.0.0/8", "fe80::%1/64", "a" * 5000])
def test_what_is_no_network_is_refused_with_an_example(run: Bench, text: str) -> None:
    async def work(served: Served) -> None:
        answer = await served.ask("PUT", SETTINGS, at(INSIDE, ADMIN), json={"entrepot_addresses_deny": text})
        assert answer.status_code == 400
        assert "networks such as 10.0.0.0/8 or 2001:db8::/32" in answer.json()["errors"][0]["message"]

    serve(run, work)


# projects


async def shut(served: Served, *, is_public: bool = True, **rules: list[str]) -> None:
    """A project that may be used from inside only, with an image; and one without rules."""
    for name in ("shut", "open"):
        await served.project(name, is_public=is_public)
        await served.push(f"{name}/app", "v1", "an image")
    await served.done("PUT", RULES, ADMIN, json=rules or {"allow": [NETWORK, LOCAL]})


async def image_requests(served: Served, address: str, who: Credential) -> list[int]:
    digest = (await served.done("GET", "/v2/shut/app/manifests/v1", at(INSIDE, ADMIN))).headers["docker-content-digest"]
    return await statuses(
        served,
        [
            ("GET", "/v2/shut/app/manifests/v1", at(address, who)),
            ("HEAD", f"/v2/shut/app/manifests/{digest}", at(address, who)),
            ("GET", "/v2/shut/app/tags/list", at(address, who)),
            ("GET", f"/v2/shut/app/referrers/{digest}", at(address, who)),
        ],
    )


def test_a_project_is_shut_to_everybody_from_elsewhere_and_open_to_them_from_inside(run: Bench) -> None:
    async def work(served: Served) -> None:
        await shut(served)
        await served.grant("shut", await served.user("alice"), PROJECT_ADMIN)
        scope = "repository:shut/app:pull,push,delete"
        for who in (
            NOBODY,
            ADMIN,
            basic("alice"),
            await served.bearer(ADMIN, scope),
            await served.bearer(basic("alice"), scope),
            bearer((await served.token(basic("alice"), "laptop"))[1]),
        ):
            assert await image_requests(served, INSIDE, who) == [200] * 4
            assert await image_requests(served, OUTSIDE, who) == [403] * 4, "who was let in a moment ago, too"
            assert await image_requests(served, INSIDE, who) == [200] * 4
        answer = await served.ask("GET", "/v2/shut/app/manifests/v1", at(OUTSIDE, ADMIN))
        assert codes(answer) == {"DENIED"}
        assert OUTSIDE in answer.json()["errors"][0]["message"]
        assert (await served.ask("GET", "/v2/open/app/manifests/v1", at(OUTSIDE))).status_code == 200

    serve(run, work)


def test_nothing_is_written_into_a_project_from_elsewhere(run: Bench) -> None:
    async def work(served: Served) -> None:
        await shut(served)
        who = at(OUTSIDE, ADMIN)
        digest = (await served.push("open/app", "v2", "layers to mount"))[1]
        inside_only = (await served.push("shut/app", "v2", "only there", at(INSIDE, ADMIN)))[1]
        mount = {"mount": digest, "from": "open/app"}
        for method, path, more in (
            ("POST", "/v2/shut/app/blobs/uploads/", {}),
            ("POST", "/v2/shut/app/blobs/uploads/", {"params": mount}),
            ("PUT", "/v2/shut/app/manifests/v3", {"content": b"{}"}),
            ("DELETE", "/v2/shut/app/manifests/v1", {}),
            ("POST", f"{HARBOR}/projects/shut/repositories/app/artifacts", {"params": {"from": "open/app:v1"}}),
        ):
            assert (await served.ask(method, path, who, **more)).status_code == 403, (method, path)
        for source in ("shut/app", None):
            asked = {"mount": inside_only, **({"from": source} if source else {})}
            answer = await served.ask("POST", "/v2/open/app/blobs/uploads/", who, params=asked)
            assert answer.status_code == 202, "it must be pushed: nothing comes out of the project"
        answer = await served.ask(
            "POST", f"{HARBOR}/projects/open/repositories/app/artifacts", who, params={"from": "shut/app:v1"}
        )
        assert answer.status_code == 403

    serve(run, work)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{HARBOR}/projects/shut"),
        ("PUT", f"{HARBOR}/projects/shut"),
        ("DELETE", f"{HARBOR}/projects/shut"),
        ("GET", f"{HARBOR}/projects/shut/summary"),
        ("GET", f"{HARBOR}/projects/shut/metadatas/"),
        ("GET", f"{HARBOR}/projects/shut/members"),
        ("GET", f"{HARBOR}/projects/shut/logs"),
        ("GET", f"{HARBOR}/projects/shut/repositories"),
        ("GET", f"{HARBOR}/projects/shut/artifacts"),
        ("GET", f"{HARBOR}/projects/shut/repositories/app"),
        ("DELETE", f"{HARBOR}/projects/shut/repositories/app"),
        ("GET", f"{HARBOR}/projects/shut/repositories/app/artifacts"),
        ("GET", f"{HARBOR}/projects/shut/repositories/app/artifacts/v1"),
        ("GET", f"{HARBOR}/projects/shut/repositories/app/artifacts/v1/tags"),
        ("GET", f"{OWN}/projects/shut/former-names"),
    ],
)
def test_the_rest_api_is_shut_from_elsewhere_too(run: Bench, method: str, path: str) -> None:
    async def work(served: Served) -> None:
        await shut(served)
        answer = await served.ask(method, path, at(OUTSIDE, ADMIN), **({"json": {}} if method == "PUT" else {}))
        assert answer.status_code == 403
        assert codes(answer) == {"FORBIDDEN"}

    serve(run, work)


def test_an_administrator_of_the_system_reaches_the_rules_from_anywhere_and_nobody_else(run: Bench) -> None:
    async def work(served: Served) -> None:
        await shut(served)
        await served.grant("shut", await served.user("alice"), PROJECT_ADMIN)
        alice = basic("alice")
        for method in ("GET", "PUT"):
            more: dict[str, Any] = {"json": {"allow": []}} if method == "PUT" else {}
            assert (await served.ask(method, RULES, at(OUTSIDE, alice), **more)).status_code == 403
            assert (await served.ask(method, RULES, at(INSIDE), **more)).status_code == 401
        rules = (await served.done("GET", RULES, at(OUTSIDE, ADMIN))).json()
        assert rules == {"allow": [NETWORK, LOCAL], "deny": []}
        await served.done("PUT", RULES, at(OUTSIDE, ADMIN), json={})
        assert (await served.done("GET", RULES, at(OUTSIDE, alice))).json() == {"allow": [], "deny": []}
        await served.done("PUT", RULES, at(INSIDE, alice), json={"allow": [NETWORK], "deny": ["203.0.113.66"]})
        answer = await served.ask("PUT", RULES, at(INSIDE, alice), json={"allow": ["10.0.0.0/8"]})
        assert answer.status_code == 400
        assert "could not use the project from 203.0.113.7" in answer.json()["errors"][0]["message"]

    serve(run, work)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"allow": ["nonsense"]}, 400),
        ({"deny": ["10.0.0.0/33"]}, 400),
        ({"allow": "10.0.0.0/8"}, 422),
        ({"allow": [7]}, 422),
        ({"allow": ["x" * 65]}, 422),
        ({"allow": ["10.0.0.1"] * 101}, 422),
        ({"allow": None}, 422),
    ],
)
def test_rules_that_make_no_sense_are_refused(run: Bench, body: dict[str, Any], status: int) -> None:
    async def work(served: Served) -> None:
        await served.project("shut", is_public=True)
        answer = await served.ask("PUT", RULES, ADMIN, json=body)
        assert answer.status_code == status
        assert (await served.done("GET", RULES)).json() == {"allow": [], "deny": []}

    serve(run, work)


def test_lists_leave_out_what_may_not_be_used_from_there(run: Bench) -> None:
    async def work(served: Served) -> None:
        await shut(served)
        await served.grant("shut", await served.user("alice"), PROJECT_ADMIN)

        async def names(address: str, who: Credential) -> list[list[str]]:
            seen = at(address, who)
            found = (await served.done("GET", f"{HARBOR}/search?q=app", seen)).json()
            listed = (await served.done("GET", f"{HARBOR}/projects", seen)).json()
            everywhere = (await served.done("GET", f"{HARBOR}/repositories", seen)).json()
            return [
                sorted(project["name"] for project in listed),
                sorted(repository["name"] for repository in everywhere),
                sorted(repository["repository_name"] for repository in found["repository"]),
            ]

        both = [["open", "shut"], ["open/app", "shut/app"], ["open/app", "shut/app"]]
        for who in (NOBODY, basic("alice")):
            assert await names(INSIDE, who) == both
            assert await names(OUTSIDE, who) == [["open"], ["open/app"], ["open/app"]]
            assert await names(INSIDE, who) == both
        catalog = await served.done("GET", "/v2/_catalog", at(OUTSIDE, basic("alice")))
        assert catalog.json()["repositories"] == ["open/app"]
        assert "shut" in (await names(OUTSIDE, ADMIN))[0], "whoever sees everything anyhow"

    serve(run, work)


def test_who_has_no_rights_learns_nothing_of_a_private_project_from_its_rules(run: Bench) -> None:
    async def work(served: Served) -> None:
        await shut(served, is_public=False)
        await served.user("stranger")
        for who in (NOBODY, basic("stranger")):
            seen = []
            for name in ("shut", "no-such-project"):
                paths = (
                    f"/v2/{name}/app/manifests/v1",
                    f"{HARBOR}/projects/{name}",
                    f"{OWN}/projects/{name}/addresses",
                )
                seen.append(await statuses(served, [("GET", path, at(OUTSIDE, who)) for path in paths]))
            assert seen[0] == seen[1]

    serve(run, work)


def test_a_project_keeps_its_rules_under_a_former_name_and_after_other_changes(run: Bench) -> None:
    async def work(served: Served) -> None:
        await shut(served)
        await served.done("PUT", f"{OWN}/projects/shut/name", at(INSIDE, ADMIN), json={"name": "closed"})
        for name in ("shut", "closed"):
            requests = [("GET", f"/v2/{name}/app/manifests/v1", at(address, ADMIN)) for address in (INSIDE, OUTSIDE)]
            assert await statuses(served, requests) == [200, 403]
        body = {"metadata": {"public": "false"}}
        await served.done("PUT", f"{HARBOR}/projects/closed", at(INSIDE, ADMIN), json=body)
        assert (await served.done("GET", f"{OWN}/projects/closed/addresses")).json()["allow"] == [NETWORK, LOCAL]

    serve(run, work)


def test_a_change_of_rules_holds_in_other_processes_at_once_and_is_recorded_with_them(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        await one.push_image("shut/app", "v1")
        networks = ProjectNetworks(one.database)
        name = parse_name("shut/app")
        await two.manifests.get(two.admin, name, "v1")
        since = len(await one.events())
        await networks.change(one.admin, "shut", by_name=True, allow=["10.0.0.1/8"], deny=["10.6.0.0/16"])
        await networks.change(one.admin, "shut", by_name=True, allow=["10.0.0.0/8"], deny=["10.6.0.0/16"])
        (event,) = await one.events(since)
        assert event["kind"] == "ProjectAddressesChanged"
        assert event["principal"] == "admin"
        assert (event["allow"], event["deny"]) == (["10.0.0.0/8"], ["10.6.0.0/16"])
        with pytest.raises(Denied, match="may not be used from"):
            await two.manifests.get(two.admin, name, "v1")
        assert await networks.read("shut", by_name=True) == parse_rules(["10.0.0.0/8"], ["10.6.0.0/16"])
        somebody = caller(Principal(99, "somebody"))
        with pytest.raises(InvalidInput, match="use the project from"):
            await networks.change(somebody, "shut", by_name=True, allow=["10.0.0.0/8"], deny=[])

    run.both(work)


# records


def test_every_refusal_is_recorded_with_a_count(run: Bench) -> None:
    async def work(served: Served) -> None:
        await shut(served)
        await served.done("PUT", SETTINGS, at(INSIDE, ADMIN), json={"entrepot_addresses_deny": "192.0.2.0/24"})
        for _ in range(5):
            await served.ask("GET", "/v2/", at("192.0.2.5", ADMIN))
        await served.ask("GET", "/v2/shut/app/manifests/v1", at(OUTSIDE, ADMIN))
        project = (await served.done("GET", f"{HARBOR}/projects/shut", at(INSIDE, ADMIN))).json()["project_id"]
        common = {"operation": "access", "resource_type": "address", "is_refused": 1}
        assert [{key: value for key, value in told.items() if key != "address"} for told in await refusals(served)] == [
            {
                **common,
                "resource": "192.0.2.5",
                "client_address": "192.0.2.5",
                "principal": "anonymous",
                "area": "server",
                "project_id": None,
                "count": 5,
            },
            {
                **common,
                "resource": OUTSIDE,
                "client_address": OUTSIDE,
                "principal": "admin",
                "area": "project",
                "project_id": project,
                "count": 1,
            },
        ]
        found = (await served.done("GET", f"{HARBOR}/auditlog-exts?q=operation=access", at(INSIDE, ADMIN))).json()
        assert {record["resource"] for record in found} == {"192.0.2.5", OUTSIDE}

    serve(run, work)


class Clock:
    def __init__(self) -> None:
        self.time = 50.0

    def __call__(self) -> float:
        return self.time


def origin(address: str, principal: str = "anonymous") -> Origin:
    return Origin(principal, address, "curl", "r-1")


async def recorded(rig: Rig) -> list[tuple[str, str, int]]:
    return [(e["address"], e["area"], e["count"]) for e in await rig.events() if e["kind"] == "AddressRefused"]


def test_an_address_that_insists_is_recorded_now_and_then_and_no_refusal_is_lost(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        clock = Clock()
        pending = Refusals(rig.database, clock)
        for _ in range(100):
            for _ in range(7):
                pending.note(origin("192.0.2.1"), SERVER)
            await pending.flush()
            clock.time += 1
        told = await recorded(rig)
        assert len(told) == 100 / QUIET_SECONDS
        clock.time += QUIET_SECONDS
        await pending.flush()
        assert sum(count for *_, count in await recorded(rig)) == 700
        clock.time += QUIET_SECONDS
        await pending.flush()
        assert pending._refusals == {}, "what is over is forgotten"

    run(work)


def test_100000_addresses_make_no_more_rows_than_one_process_may_write(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        clock = Clock()
        pending = Refusals(rig.database, clock)
        for second in range(60):
            for number in range(2000):
                pending.note(origin(f"2001:db8::{second:x}:{number:x}"), SERVER)
            await pending.flush()
            clock.time += 1
        told = await recorded(rig)
        assert len(told) <= MOST_PENDING + 60 + 60 / QUIET_SECONDS
        assert len(pending._refusals) <= MOST_PENDING
        clock.time += 3600
        await pending.flush()
        assert sum(count for *_, count in await recorded(rig)) == 120_000
        assert any(address == "" for address, *_ in told)

    run(work)


def test_refusals_of_several_projects_and_principals_are_told_apart(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        pending = Refusals(rig.database)
        for project_id in (1, 2):
            for principal in ("jane", "joe"):
                pending.note(origin("192.0.2.1", principal), PROJECT, project_id)
        await pending.flush()
        assert await recorded(rig) == [("192.0.2.1", "project", 1)] * 4

    run(work)
