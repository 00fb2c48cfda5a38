"""CI jobs and pods: their tokens are exchanged, or shown as a password; whatever is wrong with one is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import update

from entrepot.access.tokens import Claims
from entrepot.auth.tables import robots
from entrepot.database import query
from tests.integration.access.served import HARBOR, OWN, basic, bearer, opened
from tests.integration.access.workload import (
    ACCESS_TOKEN,
    AUDIENCE,
    PULL_PUSH,
    RULE,
    Place,
    events,
    place,
)
from tests.integration.rig import Bench
from tests.issuer import Issuer

MANIFEST = "/v2/acme/app/manifests/v1"
UPLOADS = "/v2/acme/app/blobs/uploads/"


def at(bench: Bench, work: Callable[[Place], Awaitable[None]], **more: Any) -> None:
    async def run() -> None:
        async with place(bench, **more) as made:
            await work(made)

    asyncio.run(run())


def claims_of(made: Place, token: str) -> Claims:
    return made.served.app.issuer.check(token)


# the exchange


def test_a_token_is_exchanged_for_one_with_the_rights_of_the_robot_that_trusts_it(run: Bench) -> None:
    async def work(made: Place) -> None:
        answer = await made.exchange(made.token(), PULL_PUSH, "repository:elsewhere/app:pull")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        said = answer.json()
        assert said["token_type"] == "Bearer"
        assert said["issued_token_type"] == ACCESS_TOKEN
        assert said["scope"] == "repository:acme/app:pull,push"
        assert said["token"] == said["access_token"]
        assert said["expires_in"] == 120
        assert "refresh_token" not in said
        who = bearer(said["access_token"])
        for served in (made.served, made.other):
            assert (await served.ask("GET", MANIFEST, who)).status_code == 200
            assert (await served.ask("POST", UPLOADS, who)).status_code == 202
        assert (await made.served.ask("GET", f"{HARBOR}/projects/acme/repositories", who)).status_code == 403
        claims = claims_of(made, said["token"])
        assert (claims.subject, claims.account_id, claims.trust_id) == (made.name, made.robot, made.trust)

    at(run, work, token_seconds=120)


def test_without_a_scope_the_token_is_good_for_rest(run: Bench) -> None:
    async def work(made: Place) -> None:
        robot, _ = await made.served.robot(
            "reader",
            {"kind": "project", "namespace": "acme", "access": [{"resource": "repository", "action": "list"}]},
        )
        await made.add_trust(robot, rule='repository == "acme/reader"')
        answer = await made.exchange(made.token(repository="acme/reader"))
        assert answer.json()["scope"] == "api:*:*"
        listed = await made.served.done("GET", f"{HARBOR}/projects/acme/repositories", bearer(answer.json()["token"]))
        assert [repository["name"] for repository in listed.json()] == ["acme/app"]

    at(run, work)


def test_what_does_not_narrow_the_exchange_is_taken(run: Bench) -> None:
    async def work(made: Place) -> None:
        token = made.token(aud=["other", "second"])
        more: dict[str, Any] = {
            "requested_token_type": ACCESS_TOKEN,
            "audience": "entrepot",
            "account": made.name,
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        }
        assert (await made.exchange(token, f"{PULL_PUSH} registry:catalog:*", **more)).status_code == 200

    at(run, work)


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"subject_token": ""}, "invalid_request", "subject_token"),
        ({"subject_token_type": ""}, "invalid_request", "subject_token_type is"),
        ({"subject_token_type": ACCESS_TOKEN}, "invalid_request", "subject_token_type is"),
        (
            {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
            "invalid_request",
            "Only an access",
        ),
        ({"actor_token": "x", "actor_token_type": ACCESS_TOKEN}, "invalid_request", "actor_token"),
        ({"audience": "elsewhere"}, "invalid_target", "this registry only"),
        ({"audience": ["elsewhere", "entrepot"]}, "invalid_target", "this registry only"),
        ({"resource": "https://elsewhere.example.com/"}, "invalid_target", "this registry only"),
        ({"account": "robot$acme+other"}, "invalid_request", "There is no such robot account"),
        ({"account": "admin"}, "invalid_request", "There is no such robot account"),
        ({"account": "robot$\x00"}, "invalid_request", "There is no such robot account"),
        ({"account": "robot$" + "x" * 3000}, "invalid_request", "There is no such robot account"),
        ({"subject_token": "not.a.token"}, "invalid_request", "no signed JSON Web Token"),
        ({"subject_token": "e30.W10.x"}, "invalid_request", "no signed JSON Web Token"),
        ({"subject_token": "ey" + "A" * 20_000}, "invalid_request", "no signed JSON Web Token"),
        ({"subject_token": "é.é.é"}, "invalid_request", "no signed JSON Web Token"),
        ({"subject_token": "a.b.c.d.e"}, "invalid_request", "no signed JSON Web Token"),
    ],
)
def test_an_exchange_that_cannot_be_is_answered_as_oauth_does(
    run: Bench, more: dict[str, Any], error: str, words: str
) -> None:
    async def work(made: Place) -> None:
        answer = await made.exchange(made.token(), PULL_PUSH, **more)
        assert answer.status_code == 400
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json().keys() == {"error", "error_description"}
        assert answer.json()["error"] == error
        assert words in answer.json()["error_description"]

    at(run, work)


# what is wrong with a token


Make = Callable[[Place], str]
WRONG: dict[str, tuple[Make, str]] = {
    "wrong audience": (lambda made: made.token(aud="elsewhere"), f"the audience {AUDIENCE}, second"),
    "no audience": (lambda made: made.token(aud=None), "the audience"),
    "strange audience": (lambda made: made.token(aud={"a": 1}), "the audience"),
    "expired": (lambda made: made.token(exp=int(time.time()) - 120), "expired"),
    "without an end": (lambda made: made.token(exp=None), "expired"),
    "strange end": (lambda made: made.token(exp="later"), "expired"),
    "not yet valid": (lambda made: made.token(nbf=int(time.time()) + 300), "does not hold yet"),
    "issued in the future": (lambda made: made.token(iat=int(time.time()) + 300), "does not hold yet"),
    "alg none": (
        lambda made: made.issuer.unsigned(repository="acme/app", ref="refs/heads/main", aud=AUDIENCE),
        "not signed with a key",
    ),
    "key confusion": (
        lambda made: made.issuer.confused(repository="acme/app", ref="refs/heads/main", aud=AUDIENCE),
        "not signed with a key",
    ),
    "other issuer": (lambda made: made.token(iss="https://elsewhere.example.com"), "no tokens of this issuer"),
    "no issuer": (lambda made: made.token(iss=None), "no tokens of this issuer"),
    "issuer but for a slash": (lambda made: made.token(iss=made.issuer.url + "/"), "no tokens of this issuer"),
    "unknown key": (lambda made: made.issuer.token(header={"kid": "another"}, aud=AUDIENCE), "not signed with a key"),
    "changed": (lambda made: _changed(made.token()), "not signed with a key"),
    "other repository": (lambda made: made.token(repository="acme/other"), "No robot account trusts"),
    "no repository": (lambda made: made.token(repository=None), "No robot account trusts"),
    "other ref": (lambda made: made.token(ref="refs/tags/v1"), "No robot account trusts"),
}


def _changed(token: str) -> str:
    head, payload, signature = token.split(".")
    return ".".join((head, payload, signature[:-8] + ("A" * 8 if signature[-8:] != "A" * 8 else "B" * 8)))


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_token_opens_nothing_and_is_recorded(run: Bench, wrong: str) -> None:
    make, words = WRONG[wrong]

    async def work(made: Place) -> None:
        token = make(made)
        answer = await made.exchange(token, PULL_PUSH)
        assert answer.status_code == 400
        said = answer.json()["error_description"]
        assert words in said
        assert token not in answer.text
        login = await made.log_in(token)
        assert login.status_code == 401
        assert login.headers["www-authenticate"].startswith("Basic")
        assert token not in login.text
        direct = await made.served.ask("GET", MANIFEST, basic(made.name, token))
        assert direct.status_code == 401
        assert (await made.served.ask("GET", MANIFEST, bearer(token))).status_code == 401
        assert await made.records("login") == [("workload", False), (made.name, False), (made.name, False)]

    at(run, work)


def test_keys_rotate_in_the_middle(run: Bench) -> None:
    async def work(made: Place) -> None:
        before = made.token()
        who = await made.exchanged(before, PULL_PUSH)
        made.issuer.rotate()
        assert (await made.exchange(made.token(), PULL_PUSH)).status_code == 200
        assert (await made.log_in(made.token())).status_code == 200
        assert (await made.served.ask("GET", MANIFEST, who)).status_code == 200
        # what the issuer does not sign with any more is not taken any more
        assert (await made.exchange(before, PULL_PUSH)).status_code == 400

    at(run, work)


def test_a_storm_of_unknown_keys_does_not_reach_the_issuer(run: Bench) -> None:
    async def work(made: Place) -> None:
        await made.exchanged(made.token())
        asked = made.issuer.asked["/jwks"]
        wrong = [made.issuer.token(header={"kid": f"k{number}"}, aud=AUDIENCE) for number in range(40)]
        answers = [(await made.exchange(token)).status_code for token in wrong]
        assert answers[:20] == [400] * 20
        assert answers[-1] == 429  # guesses from one address are slowed down
        assert made.issuer.asked["/jwks"] <= asked + 5  # four at once, then one in half a minute
        assert (await made.exchange(made.token())).status_code == 200  # and who has a right one is not

    at(run, work)


def test_an_issuer_that_does_not_answer_fails_that_login_only_and_is_no_guess(run: Bench) -> None:
    async def work(made: Place) -> None:
        made.issuer.trouble["/.well-known/openid-configuration"] = 500
        answer = await made.exchange(made.token())
        assert answer.status_code == 429
        assert answer.headers["retry-after"]
        assert answer.json()["error"] == "temporarily_unavailable"
        assert (await made.log_in(made.token())).status_code == 503
        assert (await made.served.ask("GET", MANIFEST, made.secret)).status_code == 200
        assert ("workload", False) not in await made.records("login")

    at(run, work)


def test_a_key_file_stands_in_for_an_issuer_that_cannot_be_reached(run: Bench, tmp_path: Any) -> None:
    async def work(made: Place) -> None:
        assert (await made.exchange(made.token())).status_code == 200
        assert not made.issuer.asked

    with Issuer() as issuer:
        issuer.write_keys(tmp_path / "jwks.json")
        at(run, work, issuer=issuer, jwks_file=str(tmp_path / "jwks.json"))


# which robot account


def test_two_robots_that_trust_one_token_must_be_told_apart(run: Bench) -> None:
    async def work(made: Place) -> None:
        other, _ = await made.add_robot("deploy")
        await made.add_trust(other, rule='repository == "acme/app"')
        answer = await made.exchange(made.token(), PULL_PUSH)
        assert answer.status_code == 400
        assert "name the robot with account=" in answer.json()["error_description"]
        for name, robot in ((made.name, made.robot), ("robot$acme+deploy", other)):
            found = await made.exchange(made.token(), PULL_PUSH, account=name)
            assert claims_of(made, found.json()["token"]).account_id == robot
        await made.served.done("DELETE", f"{HARBOR}/robots/{other}")
        assert (await made.exchange(made.token(), PULL_PUSH, served=made.other)).status_code == 200

    at(run, work)


def test_a_robot_of_the_system_is_found_by_its_token_too(run: Bench) -> None:
    async def work(made: Place) -> None:
        robot, _ = await made.add_robot("mirror", level="system")
        await made.add_trust(robot, rule='sub == "mirror"')
        found = await made.exchange(made.token(sub="mirror", repository="x"), PULL_PUSH)
        claims = claims_of(made, found.json()["token"])
        assert (claims.account_id, claims.subject) == (robot, "robot$mirror")
        assert (await made.log_in(made.token(sub="mirror"), "robot$mirror")).status_code == 200
        assert (await made.log_in(made.token(), "robot$mirror")).status_code == 401

    at(run, work)


@pytest.mark.parametrize("state", ["disabled", "expired"])
def test_a_robot_that_is_no_good_is_not_let_in(run: Bench, state: str) -> None:
    async def work(made: Place) -> None:
        who = await made.exchanged(made.token(), PULL_PUSH)
        refresh = (await made.log_in(made.token())).json()["refresh_token"]
        if state == "disabled":
            await made.change_robot(disable=True)
        else:
            await _expire(made)
        for served in (made.other, made.served):
            assert (await made.exchange(made.token(), served=served)).status_code == 400
            assert (await made.exchange(made.token(), served=served, account=made.name)).status_code == 400
            assert (await served.ask("GET", MANIFEST, who)).status_code == 401
            assert (await made.refresh(refresh, served=served)).status_code == 401
        assert (await made.log_in(made.token())).status_code == 401

    at(run, work)


async def _expire(made: Place) -> None:
    statement = query(update(robots).values(expires_at=1))
    await made.served.app.database.write(lambda tx: tx.run(statement))


def test_a_robot_comes_from_its_networks_only(run: Bench) -> None:
    async def work(made: Place) -> None:
        path = f"{OWN}/robots/{made.robot}/networks"
        await made.served.done("PUT", path, json={"networks": ["192.0.2.0/24"]})
        answer = await made.exchange(made.token())
        assert answer.status_code == 400
        assert "may not be used from" in answer.json()["error_description"]
        assert (await made.log_in(made.token())).status_code == 401

    at(run, work)


# docker login


def test_a_token_is_a_password_of_the_robot_and_what_docker_keeps_ends_with_it(run: Bench) -> None:
    async def work(made: Place) -> None:
        ends = int(time.time()) + 300
        login = await made.log_in(made.token(exp=ends))
        assert login.status_code == 200
        kept = login.json()["refresh_token"]
        claims = claims_of(made, kept)
        assert claims.is_refresh
        assert claims.expires_at == ends + 1000
        fetched = await made.refresh(kept, PULL_PUSH, served=made.other, access_type="offline")
        assert fetched.json()["expires_in"] == 120
        assert (await made.served.ask("GET", MANIFEST, bearer(fetched.json()["token"]))).status_code == 200
        # a session does not go on by being used
        again = claims_of(made, fetched.json()["refresh_token"])
        assert (again.expires_at, again.trust_id, again.token_seconds) == (ends + 1000, made.trust, 120)
        assert (await made.served.ask("GET", MANIFEST, basic(made.name, made.token()))).status_code == 200

    at(run, work, session_seconds=1000, token_seconds=120)


def test_without_a_session_docker_is_given_nothing_to_keep(run: Bench) -> None:
    async def work(made: Place) -> None:
        login = await made.log_in(made.token())
        assert login.status_code == 200
        assert "refresh_token" not in login.json()

    at(run, work, session_seconds=0)


def test_a_token_goes_with_the_name_of_a_robot_that_trusts_it(run: Bench) -> None:
    async def work(made: Place) -> None:
        await made.add_robot("other")
        for name in ("robot$acme+other", "robot$acme+none", "admin", "alice"):
            assert (await made.log_in(made.token(), name)).status_code == 401, name
        assert (await made.served.ask("GET", MANIFEST, made.secret)).status_code == 200  # a secret goes on working

    at(run, work)


def test_the_same_token_may_be_shown_until_it_ends(run: Bench) -> None:
    async def work(made: Place) -> None:
        token = made.token()
        for served in (made.served, made.other, made.served):
            assert (await made.exchange(token, served=served)).status_code == 200
        assert (await made.records("login")).count((made.name, True)) == 2  # once for each process

    at(run, work)


# the end


async def _no_trust(made: Place) -> None:
    await made.remove_trust()


async def _no_robot(made: Place) -> None:
    await made.served.done("DELETE", f"{HARBOR}/robots/{made.robot}")


@pytest.mark.parametrize("end", [_no_trust, _no_robot], ids=["trust removed", "robot deleted"])
def test_what_was_issued_ends_at_once_on_every_worker(run: Bench, end: Callable[[Place], Awaitable[None]]) -> None:
    async def work(made: Place) -> None:
        token = made.token()
        who = await made.exchanged(token, PULL_PUSH)
        rest = await made.exchanged(token)
        kept = (await made.log_in(token)).json()["refresh_token"]
        for served in (made.served, made.other):
            assert (await served.ask("GET", MANIFEST, who)).status_code == 200
            assert (await made.refresh(kept, served=served)).status_code == 200
            assert (await served.ask("GET", MANIFEST, basic(made.name, token))).status_code == 200
        await end(made)
        for served in (made.other, made.served):
            assert (await served.ask("GET", MANIFEST, who)).status_code == 401
            assert (await served.ask("GET", f"{HARBOR}/projects", rest)).status_code == 401
            assert (await made.refresh(kept, served=served)).status_code == 401
            assert (await made.exchange(token, served=served)).status_code == 400
            assert (await served.ask("GET", MANIFEST, basic(made.name, token))).status_code == 401

    at(run, work)


def test_another_trust_of_the_same_robot_keeps_what_it_let_in(run: Bench) -> None:
    async def work(made: Place) -> None:
        await made.add_trust(made.robot, "tags", 'repository == "acme/app" and ref like "refs/tags/*"')
        who = await made.exchanged(made.token(ref="refs/tags/v1"), PULL_PUSH)
        await made.remove_trust()
        assert (await made.served.ask("GET", MANIFEST, who)).status_code == 200

    at(run, work)


def test_an_issuer_that_the_operator_takes_back_ends_what_came_by_it(run: Bench) -> None:
    with Issuer() as issuer:
        kept: dict[str, Any] = {}

        async def before(made: Place) -> None:
            kept["who"] = await made.exchanged(made.token(), PULL_PUSH)

        at(run, before, issuer=issuer)

        async def after() -> None:
            async with opened(run.config()) as served:
                assert (await served.ask("GET", MANIFEST, kept["who"])).status_code == 401

        asyncio.run(after())


# traces


def test_a_login_is_recorded_with_its_trust_and_subject_and_the_use_is_noted(run: Bench) -> None:
    async def work(made: Place) -> None:
        await made.exchanged(made.token())
        await made.exchanged(made.token(ref="refs/heads/other"), account=made.name)
        assert await made.records("login") == [(made.name, True), (made.name, True)]
        event = (await events(made))[-1]
        assert event == {
            "user": made.name,
            "provider": "ci-issuer",
            "trust": "main",
            "subject": "repo:acme/app",
        }
        path = f"{OWN}/robots/{made.robot}/trusts"
        assert "last_used_time" not in (await made.served.done("GET", path)).json()[0]
        await made.served.app.trusts.flush()
        trust = (await made.other.done("GET", path)).json()[0]
        assert trust["last_used_time"].startswith("20")
        assert (trust["name"], trust["rule"]) == ("main", RULE)

    at(run, work)
