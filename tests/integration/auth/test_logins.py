"""Logging in: right, wrong, unknown, disabled, too often."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import func, select

from entrepot.auth import passwords, throttle
from entrepot.auth.tables import login_failures
from entrepot.database import query
from entrepot.errors import NotAuthenticated, TooManyRequests
from tests.integration.auth.accounts import disable
from tests.integration.auth.desk import PASSWORD, Desk, Office, origin
from tests.integration.auth.moving_clock import MovingClock

_COUNTS = query(select(func.count()).select_from(login_failures))


async def refused(desk: Desk, name: str, password: str, address: str = "192.0.2.1") -> str:
    with pytest.raises(NotAuthenticated) as error:
        await desk.users.log_in(name, password, origin(address))
    return error.value.message


async def too_many(desk: Desk, name: str, password: str, address: str = "192.0.2.1") -> int:
    """Seconds after which to come back."""
    began = time.perf_counter()
    with pytest.raises(TooManyRequests) as error:
        await desk.users.log_in(name, password, origin(address))
    assert time.perf_counter() - began < 0.5  # nobody is held
    return int(dict(error.value.headers)[b"retry-after"])


async def let_in(desk: Desk, name: str = "admin", address: str = "192.0.2.1") -> None:
    assert (await desk.users.log_in(name, PASSWORD, origin(address))).name == name


async def seconds_of_refusal(desk: Desk, name: str, password: str, address: str) -> float:
    began = time.perf_counter()
    await refused(desk, name, password, address)
    return time.perf_counter() - began


def test_name_and_password_that_belong_together_are_the_user(office: Office) -> None:
    async def work(desk: Desk) -> None:
        user = await desk.users.log_in("admin", PASSWORD, origin())
        assert (user.id, user.name, user.is_admin) == (1, "admin", True)

    office(work)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("admin", "wrong"),
        ("admin", ""),
        ("admin", PASSWORD + "x"),
        ("admin", PASSWORD[:-1]),
        ("admin", PASSWORD.upper()),
        ("Admin", PASSWORD),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("a\x00b", PASSWORD),
        ("admin", "\ud800"),
        ("\ud800", PASSWORD),
        ("admin", "x" * 100_000),
        ("x" * 100_000, "x"),
    ],
)
def test_anything_else_is_refused_with_one_and_the_same_sentence_and_recorded(
    office: Office, name: str, password: str
) -> None:
    async def work(desk: Desk) -> None:
        assert await refused(desk, name, password) == "The user name or the password is wrong."
        [event] = await desk.events("LoginFailed")
        assert event["is_refused"] == 1
        assert event["operation"] == "login"
        assert event["principal"] == event["resource"] == event["user"]
        assert len(event["user"]) <= 255

    office(work)


def test_an_unknown_user_costs_the_same_work_as_a_wrong_password(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await refused(desk, "admin", "warm up")

        async def least(name: str) -> float:
            return min([await seconds_of_refusal(desk, name, f"wrong {n}", f"192.0.2.{n}") for n in range(4)])

        known = await least("admin")
        assert 0.4 < await least("nobody") / known < 2.5
        assert 0.4 < await least("no name") / known < 2.5

    office(work)


def test_an_unknown_user_is_throttled_just_as_a_known_one(office: Office) -> None:
    async def work(desk: Desk) -> None:
        told: dict[str, list[str]] = {}
        for name, address in (("admin", "192.0.2.1"), ("nobody", "192.0.2.2"), ("no name", "192.0.2.3")):
            told[name] = []
            for number in range(8):
                with pytest.raises((NotAuthenticated, TooManyRequests)) as error:
                    await desk.users.log_in(name, f"wrong {number}", origin(address))
                told[name].append(str(error.value))
        assert told["admin"] == told["nobody"] == told["no name"]
        assert "try again in 1 second" in told["admin"][6]

    office(work)


def test_a_password_found_right_or_wrong_is_not_checked_again(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await let_in(desk)
        await refused(desk, "admin", "wrong")
        began = time.perf_counter()
        for _ in range(50):
            await let_in(desk)
            await refused(desk, "admin", "wrong")
        assert time.perf_counter() - began < 1.0  # a hundred checks take two seconds and more
        assert len(await desk.events("LoggedIn")) == 1
        assert len(await desk.events("LoginFailed")) == 1

    office(work)


def test_five_failures_are_free_and_then_each_doubles_the_wait(office: Office, moving: MovingClock) -> None:
    async def work(desk: Desk) -> None:
        for number in range(6):
            await refused(desk, "admin", f"wrong {number}")
        for number, wait in enumerate((1, 2, 4, 8, 16, 32, 60, 60)):
            assert await too_many(desk, "admin", f"more {number}") == wait
            moving.advance(wait - 0.5)
            assert await too_many(desk, "admin", f"more {number}") == 1
            moving.advance(0.5)
            await refused(desk, "admin", f"more {number}")
        assert await too_many(desk, "admin", PASSWORD) == 60  # even the right one, else guessing would go on

    office(work)


def test_all_worker_processes_count_together(office: Office) -> None:
    async def work(one: Desk, two: Desk) -> None:
        for number in range(3):
            await refused(one, "admin", f"wrong {number}")
            await refused(two, "admin", f"other {number}")
        await too_many(one, "admin", "more")
        await too_many(two, "admin", "more")

    office.both(work)


def test_a_password_that_was_right_a_moment_ago_is_let_in_whatever_others_try(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await let_in(desk)
        for number in range(6):
            await refused(desk, "admin", f"wrong {number}")
        await too_many(desk, "admin", "more")
        await let_in(desk)

    office(work)


def test_a_job_with_one_wrong_password_makes_nobody_wait_however_often_it_tries(office: Office) -> None:
    async def work(desk: Desk) -> None:
        for _ in range(200):
            await refused(desk, "admin", "last month's password")
        await let_in(desk)
        await desk.add("jane")
        await let_in(desk, "jane")

    office(work)


def test_success_forgets_the_failures_of_this_account_at_this_address_only(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await desk.add("jane")
        for number in range(5):
            await refused(desk, "jane", f"wrong {number}")
            await refused(desk, "admin", f"wrong {number}")
        await let_in(desk, "jane")
        for number in range(5):
            await refused(desk, "jane", f"again {number}")
        await refused(desk, "admin", "the sixth")
        await too_many(desk, "admin", "the seventh")

    office(work)


def test_an_address_that_tries_many_names_waits_and_nobody_else_does(office: Office) -> None:
    async def work(desk: Desk) -> None:
        for number in range(31):
            await refused(desk, f"user{number}", "Summer-2026", "2001:db8::1")
        await too_many(desk, "another", "Summer-2026", "2001:db8::2")  # the same customer's
        await too_many(desk, "admin", PASSWORD, "2001:db8::3")
        await let_in(desk, "admin", "2001:db8:0:1::1")

    office(work)


def test_an_account_that_is_tried_from_everywhere_waits_but_not_where_it_is_used(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await let_in(desk, "admin", "198.51.100.1")
        for number in range(101):
            await refused(desk, "admin", f"wrong {number}", f"192.0.2.{number}")
        assert await too_many(desk, "admin", "more", "192.0.2.200") == 1
        desk.logins._checker._right.discard(
            desk.logins._checker.fingerprint("admin", PASSWORD, ((await desk.user()).password_hash,))
        )
        await let_in(desk, "admin", "198.51.100.1")

    office(work)


def test_after_an_hour_without_failures_all_is_forgotten_and_the_rows_go(office: Office, moving: MovingClock) -> None:
    async def work(desk: Desk) -> None:
        for number in range(6):
            await refused(desk, "admin", f"wrong {number}")
        await desk.logins.expire()
        assert await desk.database.one(_COUNTS) == (3,)
        moving.advance(throttle.FORGOTTEN_AFTER + 1)
        await refused(desk, "admin", "an hour later")
        await refused(desk, "admin", "and another")
        await refused(desk, "jane", "wrong")
        await let_in(desk)
        moving.advance(throttle.FORGOTTEN_AFTER + 1)
        await desk.logins.expire()
        assert await desk.database.one(_COUNTS) == (0,)

    office(work)


def test_a_storm_of_names_leaves_a_bounded_number_of_rows(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_COUNTS", 5000)

    async def work(desk: Desk) -> None:
        counts = throttle.Throttle(desk.database)
        keys = [throttle.key_of("account", f"user{number}") for number in range(7500)]
        await desk.database.write(lambda tx: counts.count(tx, keys[:4000]))
        await desk.database.write(lambda tx: counts.count(tx, keys[4000:]))
        await desk.logins.expire()
        assert await desk.database.one(_COUNTS) == (5000,)
        assert await counts.require({keys[-1]: throttle.BY_ACCOUNT}) == {keys[-1]: 1}  # the newest stay
        assert await counts.require({keys[0]: throttle.BY_ACCOUNT}) == {}

    office(work)


def test_guesses_at_one_account_made_at_once_are_bounded_too(office: Office) -> None:
    async def work(desk: Desk) -> None:
        attempts = [desk.users.log_in("admin", f"wrong {n}", origin()) for n in range(15)]
        results = await asyncio.gather(*attempts, return_exceptions=True)
        assert sum(isinstance(result, NotAuthenticated) for result in results) == 5
        assert sum(isinstance(result, TooManyRequests) for result in results) == 10

    office(work)


def test_a_disabled_account_cannot_log_in_even_with_a_remembered_password(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await let_in(desk)
        await disable(desk, "admin")
        assert await refused(desk, "admin", PASSWORD) == await refused(desk, "nobody", "x")
        assert len(await desk.events("LoggedIn")) == 1
        await disable(desk, "admin", disabled=False)
        await let_in(desk)

    office(work)


def test_a_login_is_recorded_once_for_every_time_that_it_was_really_checked(office: Office) -> None:
    async def work(one: Desk, two: Desk) -> None:
        for desk in (one, one, two):
            await let_in(desk)
        events = await one.events("LoggedIn")
        assert [(e["principal"], e["operation"], e["resource_type"], e["is_refused"]) for e in events] == [
            ("admin", "login", "user", 0)
        ] * 2
        await one.users.log_in("admin", PASSWORD, origin(), begins_session=True)
        assert len(await one.events("LoggedIn")) == 3

    office.both(work)


def test_neither_right_nor_wrong_passwords_are_kept_anywhere(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await desk.users.create(origin(), "jane", "Visible-Password-1")
        await desk.users.log_in("jane", "Visible-Password-1", origin())
        await refused(desk, "jane", "Visible-Password-2")
        await desk.users.set_password(origin(), "jane", "Visible-Password-3", old="Visible-Password-1")
        assert (await desk.user("jane")).password_hash.startswith("$argon2id$")

    office(work)
    assert not office.holds(b"isible-Password")
    assert office.holds(b"jane")


def test_when_the_queue_is_full_more_logins_are_told_to_come_back(office: Office) -> None:
    async def work(desk: Desk) -> None:
        queue, per_address = passwords._QUEUE, passwords._QUEUE_PER_ADDRESS
        addresses = queue // per_address + 2
        attempts = [
            desk.users.log_in(f"user{number}", f"wrong {address}", origin(f"192.0.2.{address}"))
            for address in range(addresses)
            for number in range(per_address)
        ]
        results = await asyncio.gather(*attempts, return_exceptions=True)
        refusals = [result for result in results if isinstance(result, TooManyRequests)]
        assert len(refusals) == len(attempts) - queue
        assert sum(isinstance(result, NotAuthenticated) for result in results) == queue
        assert dict(refusals[0].headers)[b"retry-after"].isdigit()
        await let_in(desk, "admin", "198.51.100.1")

    office(work)


def test_one_address_cannot_take_the_whole_queue(office: Office) -> None:
    async def work(desk: Desk) -> None:
        attempts = [
            desk.users.log_in(f"user{n}", "wrong", origin("192.0.2.66"))
            for n in range(passwords._QUEUE_PER_ADDRESS + 5)
        ]
        results = await asyncio.gather(
            *attempts, desk.users.log_in("admin", PASSWORD, origin()), return_exceptions=True
        )
        assert sum(isinstance(result, TooManyRequests) for result in results) == 5
        assert getattr(results[-1], "name", None) == "admin"

    office(work)


def test_the_same_credentials_asked_at_once_are_checked_and_recorded_once(office: Office) -> None:
    async def work(desk: Desk) -> None:
        async def all_of(password: str) -> list[Any]:
            attempts = [desk.users.log_in("admin", password, origin()) for _ in range(300)]
            return await asyncio.gather(*attempts, return_exceptions=True)

        assert {getattr(result, "name", None) for result in await all_of(PASSWORD)} == {"admin"}
        assert {type(result) for result in await all_of("wrong")} == {NotAuthenticated}
        assert [e["kind"] for e in await desk.events("LoggedIn", "LoginFailed")] == ["LoggedIn", "LoginFailed"]

    office(work)


def test_a_login_that_is_given_up_does_not_end_the_others(office: Office) -> None:
    async def work(desk: Desk) -> None:
        first = asyncio.ensure_future(desk.users.log_in("admin", PASSWORD, origin()))
        second = asyncio.ensure_future(desk.users.log_in("admin", PASSWORD, origin()))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).name == "admin"
        assert desk.logins._running == {}
        assert desk.logins._guesses == {}
        assert desk.logins._checker._by_address == {}
        assert desk.logins._checker._waiting == 0

    office(work)
