"""CLI secrets: whose they are, who sets them, when they end and what ends with them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, update

from entrepot.auth.model import Caller, ScopeEntry, User
from entrepot.auth.tables import users
from entrepot.database import query
from entrepot.errors import Denied, InvalidInput, NotAuthenticated, NotFound, Precondition
from tests.integration.auth.moving_clock import MovingClock
from tests.integration.rig import Bench, Rig, caller

GOOD = "Correct-horse-9"
_SET_SOURCE = query(update(users).where(users.c.id == bindparam("user_id")).values(source=bindparam("of_source")))
_SET_GONE = query(update(users).where(users.c.id == bindparam("user_id")).values(is_gone=bindparam("gone")))


async def from_elsewhere(rig: Rig, name: str = "alice", source: str = "corp") -> User:
    """An account whose password is kept by a provider."""
    user = await rig.add_user(name, "")
    await rig.database.write(lambda tx: tx.run(_SET_SOURCE, user_id=user.id, of_source=source))
    return await rig.user(name)


def as_(user: User, credential: str = "session", **more: Any) -> Caller:
    return caller(user.principal, credential=credential, **more)


async def logs_in(rig: Rig, name: str, password: str) -> bool:
    try:
        await rig.app.identifier.log_in(name, password, rig.admin.origin)
    except NotAuthenticated:
        return False
    return True


def test_a_secret_that_was_made_up_logs_in_and_is_kept_as_a_hash(run: Bench) -> None:
    async def work(rig: Rig) -> str:
        alice = await from_elsewhere(rig)
        made = await rig.app.cli_secrets.set(as_(alice), alice.id)
        assert made.secret.startswith("entc_")
        assert await logs_in(rig, "alice", made.secret)
        assert not await logs_in(rig, "alice", made.secret + "x")
        events = await rig.events()
        assert events[0]["kind"] == "CliSecretSet"
        assert events[0]["expires_at"] == made.expires_at
        assert made.secret not in str(events)
        return made.secret

    secret = run(work)
    assert secret.encode() not in b"".join(path.read_bytes() for path in run.folder.glob("entrepot.db*"))


def test_whoever_comes_with_the_secret_is_marked_so_and_begins_no_session(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        alice = await from_elsewhere(rig)
        made = await rig.app.cli_secrets.set(as_(alice), alice.id)
        identity = await rig.app.identifier.log_in("alice", made.secret, rig.admin.origin)
        assert identity.is_cli_secret
        with pytest.raises(NotAuthenticated, match="CLI secret"):
            await rig.users.log_in("alice", made.secret, rig.admin.origin, begins_session=True)

    run(work)


def test_the_secret_ends_after_the_days_of_the_setting(run: Bench, moving: MovingClock) -> None:
    async def work(rig: Rig) -> None:
        alice = await from_elsewhere(rig)
        await rig.app.settings.update(rig.admin.origin, {"entrepot_cli_secret_days": 2})
        made = await rig.app.cli_secrets.set(as_(alice), alice.id)
        moving.advance(2 * 86_400 - 60)
        assert await rig.app.cli_secrets.find_hash(alice.id)
        moving.advance(120)
        assert await rig.app.cli_secrets.find_hash(alice.id) is None
        assert not await logs_in(rig, "alice", made.secret)
        await rig.app.settings.update(rig.admin.origin, {"entrepot_cli_secret_days": 0})
        assert (await rig.app.cli_secrets.set(as_(alice), alice.id)).expires_at is None

    run(work)


@pytest.mark.parametrize(
    "weak", ["Short-1", "no-capitals-9", "NO-SMALL-9", "No-Digits-here", "A1" + "a" * 127, "entp_1_ABCdef123456", ""]
)
def test_a_weak_secret_is_refused(run: Bench, weak: str) -> None:
    async def work(rig: Rig) -> None:
        alice = await from_elsewhere(rig)
        with pytest.raises(InvalidInput):
            await rig.app.cli_secrets.set(as_(alice), alice.id, weak)

    run(work)


def test_an_account_with_a_password_here_needs_none(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        bob = await rig.add_user("bob")
        with pytest.raises(Precondition, match="bob has a password here"):
            await rig.app.cli_secrets.set(as_(bob), bob.id, GOOD)
        with pytest.raises(NotFound):
            await rig.app.cli_secrets.set(as_(await rig.user(), "basic"), 4711, GOOD)

    run(work)


def test_only_a_password_or_a_session_sets_it(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        alice, mallory = await from_elsewhere(rig), await rig.add_user("mallory")
        secrets = rig.app.cli_secrets
        limited = as_(await rig.user())
        limited = caller(
            type(limited.principal)(1, "admin", is_admin=True, scope=(ScopeEntry("project", ()),), token_id=7),
            credential="basic",
        )
        for refused in (
            as_(alice, "cli-secret"),
            as_(alice, "bearer"),
            as_(alice, ""),
            as_(alice, bound=frozenset({"api:*"})),
            as_(mallory),
            rig.anonymous,
            limited,
        ):
            with pytest.raises(Denied):
                await secrets.set(refused, alice.id, GOOD)
        assert await secrets.find(alice.id) is None
        await secrets.set(as_(alice, "basic"), alice.id, GOOD)
        await secrets.set(as_(await rig.user(), "basic"), alice.id, GOOD + "x")
        assert await logs_in(rig, "alice", GOOD + "x")

    run(work)


def test_another_secret_ends_the_first_and_its_tokens_but_no_session(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        alice = await from_elsewhere(rig)
        await rig.app.cli_secrets.set(as_(alice), alice.id, GOOD)
        assert (await rig.user("alice")).credential_version == alice.credential_version
        session = await rig.app.sessions.begin(alice, rig.admin.origin)
        await rig.app.cli_secrets.set(as_(alice), alice.id, GOOD + "x")
        assert not await logs_in(rig, "alice", GOOD)
        assert (await rig.user("alice")).credential_version == alice.credential_version + 1
        assert await rig.app.sessions.find(session) is not None
        await rig.app.cli_secrets.revoke(as_(alice), alice.id)
        assert not await logs_in(rig, "alice", GOOD + "x")
        assert await rig.app.sessions.find(session) is not None
        assert "CliSecretRevoked" in await rig.kinds()
        with pytest.raises(NotFound):
            await rig.app.cli_secrets.revoke(as_(alice), alice.id)

    run(work)


def test_a_secret_that_leaked_can_be_ended_with_itself(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        alice, eve = await from_elsewhere(rig), await from_elsewhere(rig, "eve")
        await rig.app.cli_secrets.set(as_(alice), alice.id, GOOD)
        with pytest.raises(Denied):
            await rig.app.cli_secrets.revoke(as_(eve, "cli-secret"), alice.id)
        await rig.app.cli_secrets.revoke(as_(alice, "cli-secret"), alice.id)
        assert await rig.app.cli_secrets.find(alice.id) is None

    run(work)


def test_it_works_no_longer_once_the_provider_says_that_the_person_is_gone(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        alice = await from_elsewhere(rig)
        await rig.app.cli_secrets.set(as_(alice), alice.id, GOOD)
        assert await logs_in(rig, "alice", GOOD)
        await rig.database.write(lambda tx: tx.run(_SET_GONE, user_id=alice.id, gone=1))
        assert not await logs_in(rig, "alice", GOOD)

    run(work)


def test_what_one_process_sets_or_revokes_counts_in_the_other_at_once(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        alice = await from_elsewhere(one)
        assert await two.app.cli_secrets.find_hash(alice.id) is None
        await one.app.cli_secrets.set(as_(alice), alice.id, GOOD)
        assert await two.app.cli_secrets.find_hash(alice.id)
        await one.app.cli_secrets.revoke(as_(alice), alice.id)
        assert await two.app.cli_secrets.find_hash(alice.id) is None

    run.both(work)
