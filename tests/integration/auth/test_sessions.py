"""Sessions: begun by a password, ended by time, by logging out, by a new password."""

from __future__ import annotations

import pytest

from entrepot.auth import sessions as module
from entrepot.journal.model import SYSTEM
from tests.integration.auth.accounts import disable
from tests.integration.auth.desk import Desk, Office, origin
from tests.integration.auth.moving_clock import MovingClock


async def is_on(desk: Desk, cookie: str) -> bool:
    return await desk.sessions.find(cookie) is not None


def test_a_session_is_known_in_every_process_until_it_ends(office: Office) -> None:
    async def work(one: Desk, two: Desk) -> None:
        cookie = await one.sessions.begin(await one.user(), origin())
        assert len(cookie) == 43
        for desk in (one, two):
            assert await desk.sessions.find(cookie) == await desk.user()
        for wrong in ("", cookie[:-1], cookie + "x", "x" * 43, "é" * 43):
            assert not await is_on(one, wrong)
        await one.sessions.end(cookie, origin())
        await one.sessions.end(cookie, origin())
        assert not await is_on(one, cookie)
        assert not await is_on(two, cookie)
        [event] = await one.events("LoggedOut")
        assert (event["operation"], event["resource"], event["principal"]) == ("logout", "admin", "admin")

    office.both(work)


def test_the_cookie_is_not_kept(office: Office) -> None:
    async def work(desk: Desk) -> str:
        cookie = await desk.sessions.begin(await desk.user(), origin())
        await desk.sessions.end(cookie, origin())
        return cookie

    cookie = office(work)
    assert not office.holds(cookie[:12].encode())


def test_a_new_password_and_a_disabled_or_deleted_account_end_every_session(office: Office) -> None:
    async def work(one: Desk, two: Desk) -> None:
        jane = await one.add("jane")
        cookie = await one.sessions.begin(jane, origin())
        assert await is_on(two, cookie)
        await disable(one, "jane")
        assert not await is_on(two, cookie)
        await disable(one, "jane", disabled=False)
        assert await is_on(two, cookie)
        await one.users.set_password(origin(), "jane", "Another-Password-2")
        assert not await is_on(two, cookie)
        other = await one.sessions.begin(await one.user("jane"), origin())
        await one.users.delete(origin(), jane.id)
        assert not await is_on(two, other)

    office.both(work)


@pytest.mark.parametrize("minutes", [1, 60])
def test_a_session_that_is_used_lasts_and_an_idle_one_is_over(
    office: Office, moving: MovingClock, minutes: int
) -> None:
    async def work(one: Desk, two: Desk) -> None:
        await one.settings.update(SYSTEM, {"session_timeout": minutes})
        cookie = await one.sessions.begin(await one.user(), origin())
        for _ in range(3):
            moving.advance(minutes * 60 * 0.7)
            assert await is_on(one, cookie)
            await one.sessions.flush()  # now the other process knows, too
            moving.advance(minutes * 60 * 0.7)
            assert await is_on(two, cookie)
            await two.sessions.flush()
        moving.advance(minutes * 60 + 1)
        assert not await is_on(one, cookie)
        assert not await is_on(two, cookie)
        await one.sessions.expire()
        await one.settings.update(SYSTEM, {"session_timeout": 10_000})
        assert not await is_on(one, cookie)  # the row is gone

    office.both(work)


def test_reading_does_not_write_and_a_use_is_written_once_a_minute_at_most(office: Office, moving: MovingClock) -> None:
    async def work(desk: Desk) -> None:
        cookie = await desk.sessions.begin(await desk.user(), origin())
        version = desk.database.version()
        moving.advance(59)
        assert await is_on(desk, cookie)
        await desk.sessions.flush()
        moving.advance(2)
        for _ in range(3):
            assert await is_on(desk, cookie)
        assert desk.database.version() == version
        await desk.sessions.flush()
        assert desk.database.version() != version
        assert desk.sessions._used == {}

    office(work)


def test_the_sessions_of_one_user_are_not_without_number(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_SESSIONS", 3)

    async def work(desk: Desk) -> None:
        jane = await desk.add("jane")
        other = await desk.sessions.begin(await desk.user(), origin())
        cookies = [await desk.sessions.begin(jane, origin()) for _ in range(5)]
        assert [await is_on(desk, cookie) for cookie in cookies] == [False, False, True, True, True]
        assert await is_on(desk, other)

    office(work)
