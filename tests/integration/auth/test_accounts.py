"""Logging in: right, wrong, unknown, disabled, too often."""

from __future__ import annotations

import asyncio
import time

import pytest

from entrepot.auth import passwords
from entrepot.errors import InvalidInput, NotAuthenticated, NotFound, TooManyRequests
from tests.integration.auth.accounts import disable
from tests.integration.rig import PASSWORD, Bench, Rig


async def refused(rig: Rig, name: str, password: str, address: str = "192.0.2.1") -> str:
    with pytest.raises(NotAuthenticated) as error:
        await rig.users.log_in(name, password, address)
    return error.value.message


async def seconds_of_refusal(rig: Rig, name: str, password: str) -> float:
    began = time.perf_counter()
    await refused(rig, name, password)
    return time.perf_counter() - began


def test_name_and_password_that_belong_together_are_the_principal(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        principal = await rig.users.log_in("admin", PASSWORD, "192.0.2.1")
        assert (principal.name, principal.is_admin, principal.is_anonymous) == ("admin", True, False)

    run(work)


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
        ("admin", "x" * 100_000),
        ("x" * 100_000, "x"),
    ],
)
def test_anything_else_is_refused_with_one_and_the_same_sentence(run: Bench, name: str, password: str) -> None:
    async def work(rig: Rig) -> None:
        assert await refused(rig, name, password) == "The user name or the password is wrong."

    run(work)


def test_an_unknown_user_costs_the_same_work_as_a_wrong_password(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await refused(rig, "admin", "warm up")
        known = min([await seconds_of_refusal(rig, "admin", f"wrong {n}") for n in range(4)])
        unknown = min([await seconds_of_refusal(rig, f"nobody{n}", "wrong") for n in range(4)])
        malformed = min([await seconds_of_refusal(rig, f"no name {n}", "wrong") for n in range(4)])
        assert 0.4 < unknown / known < 2.5
        assert 0.4 < malformed / known < 2.5

    run(work)


def test_a_password_found_right_or_wrong_is_not_checked_again(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.users.log_in("admin", PASSWORD, "192.0.2.1")
        await refused(rig, "admin", "wrong")
        began = time.perf_counter()
        for _ in range(50):
            await rig.users.log_in("admin", PASSWORD, "192.0.2.1")
            await refused(rig, "admin", "wrong")
        assert time.perf_counter() - began < 1.0  # a hundred checks take two seconds and more

    run(work)


def test_a_disabled_account_cannot_log_in_even_with_a_remembered_password(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.users.log_in("admin", PASSWORD, "192.0.2.1")
        await disable(rig, "admin")
        assert await refused(rig, "admin", PASSWORD) == await refused(rig, "nobody", "x")
        await disable(rig, "admin", disabled=False)
        await rig.users.log_in("admin", PASSWORD, "192.0.2.1")

    run(work)


def test_a_new_password_ends_the_old_one_at_once_in_every_process(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        for rig in (one, two):
            await rig.users.log_in("admin", PASSWORD, "192.0.2.1")
            await refused(rig, "admin", "a new password")
        before = await one.user()
        await two.users.set_password("admin", "a new password")
        for rig in (one, two):
            await refused(rig, "admin", PASSWORD)
            await rig.users.log_in("admin", "a new password", "192.0.2.1")
        assert (await one.user()).credential_version == before.credential_version + 1

    run.both(work)


def test_a_new_password_is_of_a_sensible_length_and_of_somebody(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        for password in ("", "short", "x" * 7, "x" * 1025):
            with pytest.raises(InvalidInput):
                await rig.users.set_password("admin", password)
        with pytest.raises(NotFound):
            await rig.users.set_password("nobody", "long enough")
        await rig.users.log_in("admin", PASSWORD, "192.0.2.1")
        for password in ("x" * 8, "x" * 1024, "pässwörd-日本語"):
            await rig.users.set_password("admin", password)
            await rig.users.log_in("admin", password, "192.0.2.1")

    run(work)


def test_only_the_password_itself_is_right_however_long(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        longest = "x" * 1024
        await rig.users.set_password("admin", longest)
        await refused(rig, "admin", longest + "y")

    run(work)


def test_admin_is_made_once(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        assert await rig.users.ensure_admin("another password") is None
        assert await rig.users.ensure_admin(None) is None
        await rig.users.log_in("admin", PASSWORD, "192.0.2.1")

    run(work)


def test_no_password_is_kept_in_the_clear(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.users.set_password("admin", "a very visible password")
        assert (await rig.user()).password_hash.startswith("$argon2id$")

    run(work)
    for path in run.folder.iterdir():
        if path.is_file():
            assert b"visible password" not in path.read_bytes()


def test_when_the_queue_is_full_more_logins_are_told_to_come_back(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        queue, per_address = passwords._QUEUE, passwords._QUEUE_PER_ADDRESS
        addresses = queue // per_address + 2
        attempts = [
            rig.users.log_in("admin", f"wrong {address} {number}", f"192.0.2.{address}")
            for address in range(addresses)
            for number in range(per_address)
        ]
        results = await asyncio.gather(*attempts, return_exceptions=True)
        too_many = [result for result in results if isinstance(result, TooManyRequests)]
        assert len(too_many) == len(attempts) - queue
        assert sum(isinstance(result, NotAuthenticated) for result in results) == queue
        assert dict(too_many[0].headers)[b"retry-after"].isdigit()
        await rig.users.log_in("admin", PASSWORD, "192.0.2.1")

    run(work)


def test_one_address_cannot_take_the_whole_queue(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        attempts = [
            rig.users.log_in("admin", f"wrong {n}", "192.0.2.66") for n in range(passwords._QUEUE_PER_ADDRESS + 5)
        ]
        other = rig.users.log_in("admin", PASSWORD, "192.0.2.1")
        results = await asyncio.gather(*attempts, other, return_exceptions=True)
        assert sum(isinstance(result, TooManyRequests) for result in results) == 5
        assert getattr(results[-1], "name", None) == "admin"

    run(work)


def test_the_same_credentials_asked_at_once_are_checked_once(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        results = await asyncio.gather(
            *(rig.users.log_in("admin", PASSWORD, "192.0.2.1") for _ in range(300)), return_exceptions=True
        )
        assert {getattr(result, "name", None) for result in results} == {"admin"}

    run(work)


def test_a_login_that_is_given_up_does_not_end_the_others(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        first = asyncio.ensure_future(rig.users.log_in("admin", PASSWORD, "192.0.2.1"))
        second = asyncio.ensure_future(rig.users.log_in("admin", PASSWORD, "192.0.2.1"))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).name == "admin"
        assert rig.users._checker._by_address == {}
        assert rig.users._checker._running == {}

    run(work)
