"""Personal access tokens: made by their user, shown once, ended at once."""

from __future__ import annotations

import re

import msgspec
import pytest

from entrepot.auth import personal_tokens
from entrepot.auth.model import Principal, ScopeEntry
from entrepot.errors import Conflict, Denied, InvalidInput, NotAuthenticated, NotFound, TooManyRequests
from entrepot.kit import clock
from tests.integration.auth.desk import Desk, Office, origin
from tests.integration.auth.moving_clock import MovingClock

SCOPE = (ScopeEntry("project", (("repository", "pull"),), 7),)


async def refused(desk: Desk, secret: str) -> str:
    with pytest.raises(NotAuthenticated) as error:
        await desk.tokens.verify(secret, origin())
    return error.value.message


def test_a_token_is_its_users_until_it_is_revoked_on_every_worker(office: Office) -> None:
    async def work(one: Desk, two: Desk) -> None:
        caller = await one.caller()
        token, secret = await one.tokens.create(caller, 1, "laptop", SCOPE, None)
        assert re.fullmatch(r"entp_1_[A-Za-z0-9_-]{43}", secret)
        for desk in (one, two):
            assert await desk.tokens.verify(secret, None) == token
            assert await desk.tokens.find(token.id) == token
        assert await two.tokens.list(1) == [token]
        await one.tokens.revoke(caller, 1, token.id)
        await refused(one, secret)
        await refused(two, secret)
        assert await two.tokens.find(token.id) is None
        with pytest.raises(NotFound):
            await one.tokens.revoke(caller, 1, token.id)
        events = await one.events("PersonalTokenCreated", "PersonalTokenRevoked")
        assert [(e["resource"], e["operation"]) for e in events] == [("laptop", "create"), ("laptop", "delete")]

    office.both(work)


def test_no_part_of_a_secret_is_kept(office: Office) -> None:
    async def work(desk: Desk) -> str:
        _, secret = await desk.tokens.create(await desk.caller(), 1, "laptop", None, None)
        await desk.tokens.verify(secret, origin())
        await refused(desk, secret[:-1] + ("a" if secret[-1] != "a" else "b"))
        await refused(desk, secret + "x")
        return secret

    secret = office(work).split("_", 2)[2]
    assert not office.holds(secret[:12].encode())
    assert not office.holds(secret[-12:-1].encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda secret: secret[:-1] + ("a" if secret[-1] != "a" else "b"),
        lambda secret: secret.replace("entp_1_", "entp_2_"),
        lambda secret: secret.replace("entp_1_", "entp_01_"),
        lambda secret: secret.replace("entp_1_", "entp_99999999999999999999_"),
        lambda secret: secret.replace("entp_1_", "entp_٣_"),
        lambda secret: secret + "\n",
        lambda secret: "entp_",
        lambda secret: "entp_1_",
        lambda secret: "entp_1_" + "\ud800" * 43,
        lambda secret: "entp_1_" + "x" * 100_000,
    ],
)
def test_anything_but_the_secret_is_refused_and_recorded(office: Office, change: object) -> None:
    async def work(desk: Desk) -> None:
        _, secret = await desk.tokens.create(await desk.caller(), 1, "laptop", None, None)
        assert await refused(desk, change(secret)) == "The personal access token is not valid: make a new one."  # type: ignore[operator]
        [event] = await desk.events("LoginFailed")
        assert event["is_refused"] == 1
        assert len(event["user"]) < 25

    office(work)


def test_a_token_ends_with_its_time_and_with_its_user(office: Office, moving: MovingClock) -> None:
    async def work(desk: Desk) -> None:
        jane = await desk.add("jane")
        caller = await desk.caller("jane")
        soon = clock.now_us() + 60_000_000
        _, expiring = await desk.tokens.create(caller, jane.id, "an hour", None, soon)
        _, lasting = await desk.tokens.create(caller, jane.id, "for ever", None, None)
        await desk.tokens.verify(expiring, origin())
        moving.advance(61)
        assert "expired" in await refused(desk, expiring)
        await desk.tokens.verify(lasting, origin())
        await desk.users.delete(origin(), jane.id)
        await refused(desk, lasting)

    office(work)


def test_names_and_times_must_be_good_and_tokens_are_not_without_number(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_tokens, "MOST_TOKENS", 3)

    async def work(desk: Desk) -> None:
        caller = await desk.caller()
        for name in ("", "  ", "x" * 256):
            with pytest.raises(InvalidInput):
                await desk.tokens.create(caller, 1, name, None, None)
        with pytest.raises(InvalidInput, match="in the future"):
            await desk.tokens.create(caller, 1, "late", None, clock.now_us() - 1)
        for name in ("a", "b", "c"):
            await desk.tokens.create(caller, 1, name, None, None)
            if name == "a":
                with pytest.raises(Conflict, match="already"):
                    await desk.tokens.create(caller, 1, "a", None, None)
        with pytest.raises(Conflict, match="at most"):
            await desk.tokens.create(caller, 1, "d", None, None)

    office(work)


def test_only_the_user_makes_and_revokes_them_and_never_with_a_token(office: Office) -> None:
    async def work(desk: Desk) -> None:
        jane = await desk.add("jane")
        admin = await desk.caller()
        token, _ = await desk.tokens.create(admin, 1, "laptop", None, None)
        other, _ = await desk.tokens.create(admin, 1, "desktop", None, None)
        with_token = msgspec.structs.replace(
            admin, principal=msgspec.structs.replace(admin.principal, token_id=token.id)
        )
        robot = msgspec.structs.replace(admin, principal=Principal(1, "robot$ci", kind="robot"))
        bound = msgspec.structs.replace(admin, bound=frozenset({"repository:library/app"}))
        for caller, user_id in ((with_token, 1), (robot, 1), (bound, 1), (admin, jane.id)):
            with pytest.raises(Denied):
                await desk.tokens.create(caller, user_id, "another", None, None)
            with pytest.raises(Denied):
                await desk.tokens.revoke(caller, user_id, other.id)
        await desk.tokens.revoke(with_token, 1, token.id)  # what leaked may end itself

    office(work)


def test_wrong_tokens_are_throttled_by_address_and_harm_nobody_else_there(office: Office) -> None:
    async def work(desk: Desk) -> None:
        _, secret = await desk.tokens.create(await desk.caller(), 1, "laptop", None, None)
        for _ in range(31):
            await refused(desk, "entp_1_" + "x" * 43)
        with pytest.raises(TooManyRequests):
            await desk.tokens.verify("entp_1_" + "x" * 43, origin())
        await desk.tokens.verify(secret, origin())
        await desk.users.log_in("admin", "correct-horse-battery-staple-9", origin())
        with pytest.raises(NotAuthenticated):
            await desk.tokens.verify("entp_1_" + "x" * 43, None)
        assert len(await desk.events("LoginFailed")) == 31

    office(work)
