"""Robot accounts: found at once everywhere, let in by any secret that counts."""

from __future__ import annotations

import pytest

from entrepot.auth.model import Principal, ScopeEntry
from entrepot.auth.store import robots as store
from entrepot.errors import InvalidInput, NotAuthenticated, TooManyRequests
from entrepot.kit import clock
from entrepot.kit.listing import Condition, Listing, SortKey
from tests.integration.auth.desk import Desk, Office, origin
from tests.integration.auth.moving_clock import MovingClock

SCOPE = (
    ScopeEntry("project", (("repository", "pull"),), 7, ("app/*",), ("v*",)),
    ScopeEntry("system", (("user", "list"),)),
)


async def log_in(desk: Desk, name: str, secret: str, address: str = "192.0.2.1") -> None:
    robot = await desk.robots.find_by_name(None, name)
    await desk.robots.log_in(f"robot${name}", secret, robot, origin(address))


async def refused(desk: Desk, name: str, secret: str, address: str = "192.0.2.1") -> str:
    with pytest.raises(NotAuthenticated) as error:
        await log_in(desk, name, secret, address)
    return error.value.message


def test_what_was_stored_is_found_in_full(office: Office) -> None:
    async def work(desk: Desk) -> None:
        robot_id = await desk.add_robot("ci", scope=SCOPE, networks=("10.0.0.0/8",), duration=30, expires_at=99)
        robot = await desk.robots.find(robot_id)
        assert robot is not None
        assert robot == await desk.robots.find_by_name(None, "ci")
        assert (robot.scope, robot.networks, robot.duration, robot.expires_at) == (SCOPE, ("10.0.0.0/8",), 30, 99)
        assert await desk.robots.find(99) is None
        assert await desk.robots.find_by_name(1, "ci") is None
        assert await desk.robots.find_by_name(None, "x" * 10_000) is None

    office(work)


def test_several_secrets_overlap_until_they_expire(office: Office, moving: MovingClock) -> None:
    async def work(one: Desk, two: Desk) -> None:
        robot_id = await one.add_robot("ci", "old-secret", "new-secret")
        for secret in ("old-secret", "new-secret"):
            await log_in(one, "ci", secret)
            await log_in(two, "ci", secret)
        new = (await store.list_secrets(one.database, robot_id))[1]
        soon = clock.now_us() + 60_000_000
        await one.database.write(lambda tx: store.expire_secrets(tx, robot_id, soon, keep=new.id))
        await log_in(two, "ci", "old-secret")
        moving.advance(61)
        await refused(two, "ci", "old-secret")
        await log_in(two, "ci", "new-secret")
        assert await one.database.write(lambda tx: store.delete_secret(tx, robot_id, new.id))
        await refused(two, "ci", "new-secret")

    office.both(work)


def test_unknown_disabled_and_wrong_look_the_same_and_count_the_same(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await desk.add_robot("ci", "the-secret")
        await desk.add_robot("off", "the-secret", is_disabled=True)
        told = {
            await refused(desk, "ci", "wrong"),
            await refused(desk, "off", "the-secret"),
            await refused(desk, "nobody", "the-secret"),
            await refused(desk, "ci", "x" * 5000),
        }
        assert told == {"The user name or the password is wrong."}
        assert [e["user"] for e in await desk.events("LoginFailed")] == [
            "robot$ci",
            "robot$off",
            "robot$nobody",
            "robot$ci",
        ]
        for name in ("ci", "nobody"):
            for number in range(6 if name == "nobody" else 4):
                await refused(desk, name, f"wrong {number}", f"198.51.100.{len(name)}")
        with pytest.raises(TooManyRequests):
            await log_in(desk, "nobody", "wrong", f"198.51.100.{len('nobody')}")

    office(work)


def test_disabling_moves_the_version_only_when_told_to(office: Office) -> None:
    async def work(desk: Desk) -> None:
        robot_id = await desk.add_robot("ci", "s")
        robot = await desk.robots.find(robot_id)
        assert robot is not None
        await desk.database.write(lambda tx: store.update_robot(tx, robot, now=5, ends_tokens=False))
        await desk.database.write(lambda tx: store.update_robot(tx, robot, now=6, ends_tokens=True))
        await desk.database.write(lambda tx: store.end_tokens(tx, robot_id))
        changed = await desk.robots.find(robot_id)
        assert changed is not None
        assert (changed.credential_version, changed.updated_at) == (3, 6)
        assert await desk.database.write(lambda tx: store.delete_secrets(tx, robot_id)) == 1
        assert await desk.database.write(lambda tx: store.delete_robot(tx, robot_id))
        assert not await desk.database.write(lambda tx: store.delete_robot(tx, robot_id))
        assert await desk.robots.find(robot_id) is None

    office(work)


def test_a_name_is_taken_once_in_each_place(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await desk.add_robot("ci")
        with pytest.raises(AssertionError):
            await desk.add_robot("ci")
        robots, total = await store.list_page(desk.database, Listing())
        assert ([r.name for r in robots], total) == (["ci"], 1)

    office(work)


def test_lists_know_levels_filters_and_order(office: Office) -> None:
    async def work(desk: Desk) -> None:
        for name in ("ci", "cd", "mirror"):
            await desk.add_robot(name, is_disabled=name == "cd")
        listing = Listing(conditions=(Condition("name", "fuzzy", ("c",)),), sort=(SortKey("name"),))
        robots, total = await store.list_page(desk.database, listing, level="system")
        assert ([r.name for r in robots], total) == (["cd", "ci"], 2)
        assert await store.list_page(desk.database, listing, level="project") == ([], 0)
        assert await store.list_page(desk.database, listing, project_id=1) == ([], 0)
        disabled = Listing(conditions=(Condition("disable", "exact", ("true",)), Condition("Level", "exact", ("x",))))
        assert [r.name for r in (await store.list_page(desk.database, disabled))[0]] == ["cd"]
        with pytest.raises(InvalidInput):
            await store.list_page(desk.database, Listing(conditions=(Condition("secret", "fuzzy", ("x",)),)))

    office(work)


def test_uses_are_noted_in_memory_and_written_together(office: Office, moving: MovingClock) -> None:
    async def work(desk: Desk) -> None:
        robot_id = await desk.add_robot("ci", "s")
        token, _ = await desk.tokens.create(await desk.caller(), 1, "laptop", None, None)
        robot = Principal(robot_id, "robot$ci", kind="robot")
        user = Principal(1, "admin", token_id=token.id)
        version = desk.database.version()
        for _ in range(3):
            desk.uses.note(robot, "192.0.2.1")
            desk.uses.note(user, "192.0.2.2")
        desk.uses.note(Principal(None, "anonymous"), "192.0.2.2")
        assert desk.database.version() == version
        await desk.uses.flush()
        found, used = await desk.robots.find(robot_id), await desk.tokens.find(token.id)
        assert found is not None
        assert used is not None
        assert (found.last_used_address, used.last_used_address) == ("192.0.2.1", "192.0.2.2")
        assert abs((found.last_used_at or 0) - clock.now_us()) < 5_000_000
        desk.uses.note(robot, "192.0.2.1")
        version = desk.database.version()
        await desk.uses.flush()
        assert desk.database.version() == version  # noted less than a minute ago, from the same address
        desk.uses.note(robot, "192.0.2.9")
        moving.advance(61)
        desk.uses.note(user, "192.0.2.2")
        await desk.uses.flush()
        again, later = await desk.robots.find(robot_id), await desk.tokens.find(token.id)
        assert again is not None
        assert later is not None
        assert again.last_used_address == "192.0.2.9"
        assert (later.last_used_at or 0) > (used.last_used_at or 0) + 60_000_000

    office(work)
