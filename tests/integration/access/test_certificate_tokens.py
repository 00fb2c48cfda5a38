"""Client certificates at the token endpoint: who shows nothing else gets a token for the account of the certificate."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.integration.access.served import HARBOR, Credential, Served, basic, bearer, opened
from tests.integration.rig import Bench

BUILDER = "spiffe://prod/ns/ci/sa/builder"
XFCC = {"x-forwarded-client-cert": f"Hash={'0' * 64};URI={BUILDER}"}
STRANGER = {"x-forwarded-client-cert": f"Hash={'1' * 64};URI=spiffe://prod/ns/x/sa/y"}
SCOPE = {"scope": "repository:library/app:pull,push"}
RULES = json.dumps([{"rule": f'uri == "{BUILDER}"', "principal": "builder"}])


def at(bench: Bench, work: Callable[[Served], Awaitable[None]], proxies: str = "127.0.0.1/32") -> None:
    more = {
        "ENTREPOT_TRUSTED_PROXIES": proxies,
        "ENTREPOT_CLIENT_CERTIFICATES_HEADER": "X-Forwarded-Client-Cert",
        "ENTREPOT_CLIENT_CERTIFICATES_RULES": RULES,
    }

    async def run() -> None:
        async with opened(bench.config(**more)) as served:
            await served.grant("library", await served.user("builder"), 2)
            await work(served)

    asyncio.run(run())


async def rights_of(served: Served, token: str) -> tuple[str, list[Any]]:
    claims = served.app.issuer.check(token)
    return claims.subject, [list(access.actions) for access in claims.access]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_certificate_alone_fetches_a_token_of_its_account(run: Bench, method: str) -> None:
    async def work(served: Served) -> None:
        sent: dict[str, Any] = {"params" if method == "GET" else "data": SCOPE}
        said = (await served.done(method, "/service/token", XFCC, **sent)).json()
        assert await rights_of(served, said["token"]) == ("builder", [["pull", "push"]])
        await served.push("library/app", "v1", "one", bearer(said["token"]))

    at(run, work)


def test_it_fetches_nothing_that_outlives_it(run: Bench) -> None:
    async def work(served: Served) -> None:
        said = (await served.done("GET", "/service/token", XFCC, params={**SCOPE, "offline_token": "true"})).json()
        assert "refresh_token" not in said
        said = (await served.done("POST", "/service/token", XFCC, data={**SCOPE, "access_type": "offline"})).json()
        assert "refresh_token" not in said

    at(run, work)


def test_a_password_beside_it_counts_and_a_wrong_one_is_not_made_good_by_it(run: Bench) -> None:
    async def work(served: Served) -> None:
        said = (await served.done("GET", "/service/token", {**XFCC, **basic("admin")}, params=SCOPE)).json()
        assert (await rights_of(served, said["token"]))[0] == "admin"
        for shown in (basic("admin", "wrong"), basic("builder", "wrong"), {"authorization": "Basic ?"}):
            assert (await served.ask("GET", "/service/token", {**XFCC, **shown}, params=SCOPE)).status_code == 401
        form = {"grant_type": "password", "username": "admin", "password": "wrong"}
        assert (await served.ask("POST", "/service/token", XFCC, data=form)).status_code == 401

    at(run, work)


def test_the_account_must_be_there(run: Bench) -> None:
    async def work(served: Served) -> None:
        builder = (await served.done("GET", f"{HARBOR}/users/search", params={"username": "builder"})).json()[0]
        await served.done("DELETE", f"{HARBOR}/users/{builder['user_id']}")
        answer = await served.ask("GET", "/service/token", XFCC, params=SCOPE)
        assert answer.status_code == 401

    at(run, work)


@pytest.mark.parametrize(
    ("shown", "proxies"),
    [(STRANGER, "127.0.0.1/32"), (XFCC, "192.0.2.0/24")],
    ids=["no rule for it", "no trusted proxy"],
)
def test_else_the_token_is_anybodys(run: Bench, shown: Credential, proxies: str) -> None:
    async def work(served: Served) -> None:
        said = (await served.done("GET", "/service/token", shown, params=SCOPE)).json()
        assert await rights_of(served, said["token"]) == ("anonymous", [])

    at(run, work, proxies)
