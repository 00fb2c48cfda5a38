"""Which tokens a robot account trusts: said by whoever may change its secrets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from entrepot.access.trusts import MOST_TRUSTS
from entrepot.auth.store import trusts as store
from entrepot.auth.trusts import MOST_ASKED
from entrepot.database import Transaction
from tests.integration.access.served import OWN, basic
from tests.integration.access.workload import NAME, RULE, Place, events, place
from tests.integration.rig import Bench

PROJECT_ADMIN, MAINTAINER = 1, 4


def test_a_trust_is_added_listed_and_removed_and_each_is_recorded(run: Bench) -> None:
    async def work() -> None:
        async with place(run) as made:
            path = f"{OWN}/robots/{made.robot}/trusts"
            answer = await made.served.done("POST", path, json={"name": "tags", "issuer": NAME, "rule": 'ref == "x"'})
            assert answer.status_code == 201
            added = answer.json()["id"]
            assert answer.headers["location"] == f"{path}/{added}"
            listed = (await made.other.done("GET", path)).json()
            assert [(trust["id"], trust["name"], trust["issuer"], trust["rule"]) for trust in listed] == [
                (made.trust, "main", NAME, RULE),
                (added, "tags", NAME, 'ref == "x"'),
            ]
            await made.served.done("DELETE", f"{path}/{added}")
            assert (await made.served.ask("DELETE", f"{path}/{added}")).status_code == 404
            other, _ = await made.add_robot("other")
            assert (await made.served.ask("DELETE", f"{OWN}/robots/{other}/trusts/{made.trust}")).status_code == 404
            told = {"robot": made.name, "trust": "tags", "trust_id": added, "issuer": NAME, "rule": 'ref == "x"'}
            for kind in ("RobotTrustAdded", "RobotTrustRemoved"):
                assert told.items() <= (await events(made, kind))[-1].items()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"rule": "ref = 1"}, 400, "cannot be read at character 5"),
        ({"rule": 'ref != "x"'}, 400, "compare a claim that says who shows the token"),
        ({"rule": 'ref == "' + "x" * 2000 + '"'}, 400, "at most 2000 characters"),
        ({"rule": 'ref == "\u0000"'}, 400, "cannot be printed"),
        ({"rule": ""}, 400, "needs the name of a claim"),
        ({"issuer": "elsewhere"}, 400, "There is no issuer 'elsewhere'"),
        ({"name": " "}, 400, "1 to 255 characters"),
        ({"name": "a\nb"}, 400, "can be printed"),
        ({"name": "main"}, 409, "already"),
        ({"name": 1}, 422, "name"),
        ({"name": None}, 422, "name"),
    ],
)
def test_a_trust_that_cannot_be_is_refused(run: Bench, body: dict[str, Any], status: int, words: str) -> None:
    async def work() -> None:
        async with place(run) as made:
            sent = {"name": "another", "issuer": NAME, "rule": RULE, **body}
            answer = await made.served.ask("POST", f"{OWN}/robots/{made.robot}/trusts", json=sent)
            assert answer.status_code in {status, 400} if status == 422 else answer.status_code == status, answer.text
            assert words in answer.text
            assert len(await events(made, "RobotTrustAdded")) == 1

    asyncio.run(work())


def test_a_robot_has_so_many_trusts_and_no_more(run: Bench) -> None:
    async def work() -> None:
        async with place(run) as made:
            for number in range(1, MOST_TRUSTS):
                await made.add_trust(made.robot, f"t{number}", f'repository == "r{number}"')
            path = f"{OWN}/robots/{made.robot}/trusts"
            answer = await made.served.ask("POST", path, json={"name": "one more", "issuer": NAME, "rule": RULE})
            assert answer.status_code == 409
            assert f"at most {MOST_TRUSTS}" in answer.text
            assert (await made.exchange(made.token(repository=f"r{MOST_TRUSTS - 1}"))).status_code == 200

    asyncio.run(work())


def test_where_very_many_robots_trust_an_issuer_the_robot_must_be_named(run: Bench) -> None:
    async def work() -> None:
        async with place(run) as made:
            await _add_many(made, MOST_ASKED)
            answer = await made.exchange(made.token())
            assert answer.status_code == 400
            assert "name the robot with account=" in answer.json()["error_description"]
            assert (await made.exchange(made.token(), account=made.name)).status_code == 200

    asyncio.run(work())


async def _add_many(made: Place, count: int) -> None:
    other, _ = await made.add_robot("other")

    async def work(tx: Transaction) -> None:
        for number in range(count):
            await store.add(tx, robot_id=other, name=f"t{number}", issuer=NAME, rule='ref == "never"', now=0)

    await made.served.app.database.write(work)


def test_whoever_may_change_the_secrets_may_change_the_trusts_and_nobody_else(run: Bench) -> None:
    async def work() -> None:
        async with place(run) as made:
            served = made.served
            for name, role in (("boss", PROJECT_ADMIN), ("keeper", MAINTAINER)):
                await served.grant("acme", await served.user(name), role)
            path = f"{OWN}/robots/{made.robot}/trusts"
            for name in ("boss", "keeper"):
                who = basic(name)
                sent = {"name": name, "issuer": NAME, "rule": RULE}
                secret = await served.ask("POST", f"{OWN}/robots/{made.robot}/secrets", who, json={"keep": True})
                trust = await served.ask("POST", path, who, json=sent)
                assert trust.status_code == secret.status_code, name
                read = await served.ask("GET", f"{OWN}/robots/{made.robot}/secrets", who)
                assert (await served.ask("GET", path, who)).status_code == read.status_code, name
            assert (await served.ask("GET", path, {})).status_code == 401
            # nobody takes over a robot that may do more than they may
            mirror, _ = await made.add_robot("mirror", project="*", level="system")
            sent = {"name": "x", "issuer": NAME, "rule": RULE}
            refused = await served.ask("POST", f"{OWN}/robots/{mirror}/trusts", basic("boss"), json=sent)
            assert refused.status_code == 403
            # a token that a workload got makes no trust either
            job = await made.exchanged(made.token(ref="refs/heads/y"), account=made.name)
            assert (await served.ask("POST", path, job, json={**sent, "name": "y"})).status_code == 403

    asyncio.run(work())
