"""Who is calling, what a token is worth, and for how long."""

from __future__ import annotations

import base64
import json
import stat
import time
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from entrepot.access.errors import TokenNeeded
from entrepot.access.identity import Identity
from entrepot.access.issue import IssuedToken
from entrepot.access.model import DELETE_ARTIFACT as DELETE
from entrepot.access.model import PULL, PUSH, Access, parse_scopes
from entrepot.access.permissions import Permission
from entrepot.access.tokens import load_key
from entrepot.auth.model import Caller, User
from entrepot.errors import ConfigError, Denied, NotAuthenticated
from entrepot.journal.model import SYSTEM
from entrepot.oci import digest as digests
from tests.integration.auth.accounts import disable
from tests.integration.rig import PASSWORD, Bench, Rig, body, name_of


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


async def issue(rig: Rig, user: User | None, *scopes: str, offline: bool = False) -> IssuedToken:
    return await rig.tokens.issue(identity_of(user), parse_scopes(list(scopes)), SYSTEM, offline=offline)


def identity_of(user: User | None) -> Identity | None:
    return Identity(user.principal, user.credential_version) if user else None


async def bearer(rig: Rig, user: User | None, *scopes: str) -> Caller:
    return await rig.guardian.identify("Bearer " + (await issue(rig, user, *scopes)).token)


def expired_token(rig: Rig, user: User | None, *names: str) -> str:
    access = [Access("repository", name, ("pull", "push")) for name in names]
    return "Bearer " + rig.issuer.issue_access(identity_of(user), access, int(time.time()) - 10_000, 300)


async def needs_token(rig: Rig, caller: Caller, action: Permission, name: str) -> TokenNeeded:
    with pytest.raises(TokenNeeded) as refused:
        await rig.repositories.enter(caller, action, name_of(name))
    return refused.value


# who is it?


def test_without_credentials_one_is_anonymous_and_basic_names_the_user(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        assert (await rig.guardian.identify("")).principal.is_anonymous
        caller = await rig.guardian.identify(basic("admin", PASSWORD), client_address="192.0.2.9", request_id="r")
        assert caller.principal.name == "admin"
        assert caller.bound is None
        assert (caller.client_address, caller.request_id) == ("192.0.2.9", "r")

    run(work)


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + base64.b64encode(b"nocolon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        basic("admin", "wrong"),
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer ..",
        "Bearer " + "x" * 10_000,
        "Bearer é.é.é",
        "Digest abc",
        "x",
        " ",
    ],
)
def test_a_credential_that_does_not_hold_is_refused_and_never_a_failure_of_ours(run: Bench, authorization: str) -> None:
    async def work(rig: Rig) -> None:
        with pytest.raises(NotAuthenticated):
            await rig.guardian.identify(authorization)

    run(work)


def test_a_token_that_was_changed_or_signed_otherwise_is_refused(run: Bench, tmp_path: Path) -> None:
    async def work(rig: Rig) -> None:
        token = (await issue(rig, await rig.user(), "repository:a/b:pull")).token
        head, payload, signature = token.split(".")

        def encoded(value: object) -> str:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

        more = encoded({**claims_of(token), "uid": 1, "sub": "root"})
        none = encoded({"alg": "none", "typ": "JWT"})
        hmac = encoded({"alg": "HS256", "typ": "JWT"})
        for forged in (
            f"{head}.{more}.{signature}",
            f"{none}.{payload}.",
            f"{hmac}.{payload}.{signature}",
            f"{head}.{payload}.",
            f"{head}.{payload}",
            f"{head}.{payload}.{signature}.{signature}",
        ):
            with pytest.raises(NotAuthenticated):
                await rig.guardian.identify(f"Bearer {forged}")
        other = type(rig.issuer)(load_key(tmp_path / "other" / "key.pem"), rig.issuer._options)
        with pytest.raises(NotAuthenticated):
            await rig.guardian.identify(
                "Bearer " + other.issue_access(identity_of(await rig.user()), [], int(time.time()), 300)
            )

    run(work)


# what a token says


def test_the_answer_of_the_token_service_has_all_that_clients_read(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        issued = await issue(rig, await rig.user(), "repository:a/b:pull,push", offline=True)
        assert issued.token == issued.access_token
        assert issued.expires_in == 1800
        assert abs(datetime.fromisoformat(issued.issued_at).timestamp() - time.time()) < 5
        assert issued.issued_at.endswith("Z")
        claims = claims_of(issued.token)
        assert claims["exp"] - claims["iat"] == 1800
        assert claims["nbf"] < claims["iat"]
        assert claims["sub"] == "admin"
        assert claims["access"] == [{"type": "repository", "name": "a/b", "actions": ["pull", "push", "delete"]}]
        assert issued.refresh_token
        assert (await issue(rig, await rig.user())).refresh_token == ""
        assert (await issue(rig, None, offline=True)).refresh_token == ""

    run(work)


def test_a_token_carries_what_the_user_may_really_do(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.make_project("open", is_public=True)
        await rig.make_project("closed", is_public=False)
        scopes = (
            "repository:open/a:pull,push,delete",
            "repository:closed/a:pull",
            "repository:new/a:push",
            "registry:catalog:*",
        )
        granted = {}
        for user in (await rig.user(), await rig.add_user("jane"), None):
            token = (await issue(rig, user, *scopes)).token
            granted[user.name if user else ""] = {e["name"]: e["actions"] for e in claims_of(token)["access"]}
        everything = ["pull", "push", "delete"]
        assert granted["admin"] == {"open/a": everything, "closed/a": everything, "new/a": everything, "catalog": ["*"]}
        assert granted["jane"] == {"open/a": ["pull"], "catalog": ["*"]}
        assert granted[""] == {"open/a": ["pull"]}

    run(work)


@pytest.mark.parametrize(
    "scope",
    ["plugin:a:pull", "repository:NOT VALID:pull", "repository:UPPER:pull", "registry:other:*", "x", "repository:a:"],
)
def test_a_scope_that_means_nothing_here_grants_nothing_and_refuses_nothing(run: Bench, scope: str) -> None:
    async def work(rig: Rig) -> None:
        token = (await issue(rig, None, scope)).token
        assert claims_of(token)["access"] == []
        assert (await rig.guardian.identify(f"Bearer {token}")).principal.is_anonymous

    run(work)


# what it is worth


def test_a_token_is_bound_to_the_repositories_it_names_and_not_to_the_actions(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        caller = await bearer(rig, await rig.user(), "repository:a/b:pull")
        for action in (PULL, PUSH, DELETE):
            await rig.repositories.enter(caller, action, name_of("a/b"))
        needed = await needs_token(rig, caller, PUSH, "a/c")
        assert needed.reason == "insufficient_scope"
        assert needed.scope == "repository:a/c:pull,push"

    run(work)


def test_a_token_for_a_short_name_is_one_for_the_library(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        for asked, used in product(("app", "library/app"), repeat=2):
            caller = await bearer(rig, await rig.user(), f"repository:{asked}:pull,push")
            await rig.repositories.enter(caller, PUSH, name_of(used))

    run(work)


def test_a_token_without_scopes_opens_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.make_project("open", is_public=True)
        caller = await bearer(rig, await rig.user())
        await needs_token(rig, caller, PULL, "open/a")
        with pytest.raises(TokenNeeded) as refused:
            await rig.repositories.catalog(caller, "", 10)
        assert refused.value.scope == "registry:catalog:*"
        assert refused.value.reason == "insufficient_scope"

    run(work)


def test_who_may_not_is_denied_and_who_is_nobody_is_asked_to_log_in(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.make_project("open", is_public=True)
        await rig.make_project("closed", is_public=False)
        jane = await bearer(rig, await rig.add_user("jane"), "repository:open/a:pull", "repository:closed/a:pull")
        await rig.repositories.enter(jane, PULL, name_of("open/a"))
        for action, name in ((PUSH, "open/a"), (PULL, "closed/a"), (DELETE, "closed/a"), (PUSH, "new/a")):
            with pytest.raises(Denied):
                await rig.repositories.enter(jane, action, name_of(name))
            needed = await needs_token(rig, rig.anonymous, action, name)
            assert needed.reason == ""
        await rig.repositories.enter(rig.anonymous, PULL, name_of("open/a"))
        anybody = await bearer(rig, None, "repository:open/a:pull")
        await rig.repositories.enter(anybody, PULL, name_of("open/a"))

    run(work)


def test_a_project_that_does_not_exist_looks_like_one_that_is_closed(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.make_project("closed", is_public=False)
        jane = await bearer(rig, await rig.add_user("jane"), "repository:closed/a:pull", "repository:nosuch/a:pull")
        for caller in (jane, rig.anonymous):
            said = []
            for project in ("closed", "nosuch"):
                with pytest.raises((Denied, TokenNeeded)) as refused:
                    await rig.repositories.enter(caller, PULL, name_of(f"{project}/a"))
                said.append((type(refused.value), refused.value.message.replace(project, "*")))
            assert said[0] == said[1]

    run(work)


def test_a_setting_forbids_that_a_push_creates_a_project(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        with pytest.raises(Denied):
            await rig.push_blob("new/a", b"content")
        await rig.make_project("old", is_public=False)
        await rig.push_blob("old/a", b"content")

    run(work, ENTREPOT_REGISTRY_CREATE_PROJECTS="false")


def test_a_token_follows_what_the_project_is_now(run: Bench) -> None:
    from entrepot.projects import service  # noqa: PLC0415

    async def work(one: Rig, two: Rig) -> None:
        await one.make_project("p", is_public=True)
        jane = await bearer(one, await one.add_user("jane"), "repository:p/a:pull")
        await one.repositories.enter(jane, PULL, name_of("p/a"))
        await service.set_public(two.database, SYSTEM, "p", is_public=False)
        with pytest.raises(Denied):
            await one.repositories.enter(jane, PULL, name_of("p/a"))

    run.both(work)


# how long


def test_a_refresh_token_stands_for_the_password_and_nowhere_else(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        issued = await issue(rig, await rig.user(), offline=True)
        assert (await rig.tokens.refresh(issued.refresh_token, rig.admin.origin)).principal.name == "admin"
        with pytest.raises(NotAuthenticated):
            await rig.guardian.identify(f"Bearer {issued.refresh_token}")
        with pytest.raises(NotAuthenticated):
            await rig.tokens.refresh(issued.token, rig.admin.origin)
        with pytest.raises(NotAuthenticated):
            await rig.tokens.refresh("nonsense", rig.admin.origin)
        old = rig.issuer.issue_refresh(Identity((await rig.user()).principal, 1), int(time.time()) - 40 * 86_400)
        with pytest.raises(NotAuthenticated):
            await rig.tokens.refresh(old, rig.admin.origin)

    run(work)


@pytest.mark.parametrize("change", ["password", "disabled"])
def test_tokens_end_with_the_password_or_the_account_they_came_from(run: Bench, change: str) -> None:
    async def work(one: Rig, two: Rig) -> None:
        issued = await issue(one, await one.user(), "repository:a/b:pull", offline=True)
        for rig in (one, two):
            assert (await rig.guardian.identify(f"Bearer {issued.token}")).principal.name == "admin"
        if change == "password":
            await two.users.set_password(SYSTEM, "admin", "Another-passw0rd-77")
        else:
            await disable(two, "admin")
        for rig in (one, two):
            with pytest.raises(NotAuthenticated):
                await rig.guardian.identify(f"Bearer {issued.token}")
            with pytest.raises(NotAuthenticated):
                await rig.tokens.refresh(issued.refresh_token, rig.admin.origin)

    run.both(work)


def test_tokens_survive_a_restart_and_hold_in_every_process(run: Bench) -> None:
    async def give(rig: Rig) -> str:
        return (await issue(rig, await rig.user(), "repository:a/b:pull")).token

    token = run(give)

    async def use(rig: Rig) -> None:
        assert (await rig.guardian.identify(f"Bearer {token}")).principal.name == "admin"

    run(use)


def test_the_signing_key_is_its_owner_s_alone(run: Bench) -> None:
    key = run.folder / "keys" / "token.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert [path.name for path in key.parent.iterdir()] == ["token.pem"]


def test_a_damaged_signing_key_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "token.pem"
    for content in (b"", b"nonsense", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"token\.pem"):
            load_key(path)


def test_an_expired_token_opens_nothing_but_says_so(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.make_project("open", is_public=True)
        caller = await rig.guardian.identify(expired_token(rig, await rig.user(), "open/a"))
        assert caller.credential == "expired"
        for action in (PULL, PUSH, DELETE):
            assert (await needs_token(rig, caller, action, "open/a")).reason == "invalid_token"
        with pytest.raises(TokenNeeded) as refused:
            await rig.repositories.catalog(caller, "", 10)
        assert refused.value.reason == "invalid_token"
        assert await rig.repositories.may_pull(caller, name_of("open/a")) is None

    run(work)


def test_an_expired_token_goes_on_with_its_own_upload_and_with_no_other(run: Bench) -> None:
    content = b"first and second"

    async def work(rig: Rig) -> None:
        own = name_of("open/a")
        await rig.make_project("open", is_public=True)
        caller = await rig.guardian.identify(expired_token(rig, await rig.user(), "open/a"))
        session = await rig.uploads.start(rig.admin, own)
        await rig.uploads.append(caller, own, session, body(b"first"), None)
        assert await rig.uploads.offset(caller, own, session) == 5
        with pytest.raises(TokenNeeded):
            await rig.uploads.start(caller, own)
        with pytest.raises(TokenNeeded):
            await rig.uploads.push(caller, own, digests.of(b""), body())
        jane = await rig.add_user("jane")
        stranger = await rig.guardian.identify(expired_token(rig, jane, "open/a"))
        with pytest.raises(TokenNeeded):
            await rig.uploads.append(stranger, own, session, body(b"xx"), None)
        elsewhere = await rig.guardian.identify(expired_token(rig, await rig.user(), "open/b"))
        with pytest.raises(TokenNeeded):
            await rig.uploads.append(elsewhere, own, session, body(b"xx"), None)
        blob = await rig.uploads.finish(caller, own, session, digests.of(content), body(b" and second"), None)
        assert blob.size == len(content)
        with pytest.raises(TokenNeeded):
            await rig.uploads.append(caller, own, session, body(b"x"), None)

    run(work)


def test_an_expired_token_of_a_changed_password_goes_on_with_nothing(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        token = expired_token(rig, await rig.user(), "a/b")
        await rig.uploads.start(rig.admin, name_of("a/b"))
        await rig.users.set_password(SYSTEM, "admin", "Another-passw0rd-77")
        with pytest.raises(NotAuthenticated):
            await rig.guardian.identify(token)

    run(work)
