"""Robot accounts: what they can be given, by whom, and their secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from argon2 import PasswordHasher

from entrepot.access.robot import RobotRequest
from entrepot.auth.model import ANONYMOUS, Caller, Principal, Robot, ScopeEntry
from entrepot.auth.store import robots as store
from entrepot.errors import Conflict, Denied, InvalidInput, NotAuthenticated, NotFound
from entrepot.kit.listing import Condition, Listing, SortKey
from tests.integration.access.ground import Ground, on_ground

PULL = {"resource": "repository", "action": "pull"}
PUSH = {"resource": "repository", "action": "push"}
MAKE = {"resource": "robot", "action": "create"}
DAY = 86_400_000_000


def entry(namespace: str, *access: dict[str, Any], **more: Any) -> dict[str, Any]:
    kind = "system" if namespace == "/" else "project"
    return {"kind": kind, "namespace": namespace, "access": list(access or [PULL]), **more}


def project_robot(name: str, *entries: dict[str, Any], **more: Any) -> RobotRequest:
    return RobotRequest(name=name, level="project", entries=entries, **more)


def system_robot(name: str, *entries: dict[str, Any], **more: Any) -> RobotRequest:
    return RobotRequest(name=name, level="system", entries=entries, **more)


async def stored(ground: Ground, robot_id: int) -> Robot:
    robot = await store.find(ground.database, robot_id)
    assert robot is not None
    return robot


async def opens(ground: Ground, robot_id: int, secret: str) -> bool:
    """Whether a secret is among those that are kept."""
    for kept in await store.list_secrets(ground.database, robot_id):
        try:
            return PasswordHasher().verify(kept.secret_hash, secret)
        except Exception:  # noqa: BLE001
            continue
    return False


def test_a_project_robot_is_named_as_in_harbor_and_may_do_just_what_it_was_given(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        view, secret = await ground.robots.create(ground.admin, project_robot("ci", entry("alpha", PULL), duration=7))
        robot = view.robot
        assert (view.full_name, view.level, robot.project_id) == ("robot$alpha+ci", "project", alpha.id)
        assert robot.expires_at == robot.created_at + 7 * DAY
        assert len(secret) >= 32
        assert all(re.search(kind, secret) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
        assert await opens(ground, robot.id, secret)
        caller = await ground.as_robot(robot.id)
        assert await ground.may(caller, "repository", "pull", alpha)
        assert not await ground.may(caller, "repository", "push", alpha)
        event = await ground.last_event()
        assert (event["operation"], event["resource_type"], event["project_id"]) == ("create", "robot", alpha.id)
        assert event["resource"] == "robot$alpha+ci"
        assert secret not in str(await ground.events())

    on_ground(tmp_path, work)


def test_permissions_follow_a_project_that_is_renamed(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        await ground.project("beta")
        made = entry("alpha", PULL, repositories=["alpha/backend/*"], tags=["v*"])
        view, _ = await ground.robots.create(ground.admin, system_robot("ci", made, entry("*", PUSH), entry("/", MAKE)))
        await ground.rename(alpha, "omega")
        after = await ground.robots.get(ground.admin, view.robot.id)
        assert [e["namespace"] for e in after.entries] == ["omega", "*", "/"]
        assert (after.entries[0]["repositories"], after.entries[0]["tags"]) == (["backend/*"], ["v*"])
        assert after.entries[1]["access"] == [{"resource": "repository", "action": "push", "effect": "allow"}]

    on_ground(tmp_path, work)


@pytest.mark.parametrize(
    "wrong",
    [
        system_robot("Upper", entry("/", MAKE)),
        system_robot("a" * 256, entry("/", MAKE)),
        system_robot("with+plus", entry("/", MAKE)),
        system_robot("ci"),
        system_robot("ci", entry("/", MAKE), duration=-2),
        system_robot("ci", entry("/", MAKE), duration=10**9),
        system_robot("ci", entry("/", PULL)),  # not a permission over the system
        system_robot("ci", {**entry("/", MAKE), "namespace": "alpha"}),
        system_robot("ci", {**entry("/", MAKE), "access": []}),
        system_robot("ci", {**entry("/", MAKE), "repositories": ["a"]}),
        system_robot("ci", entry("alpha", {**PULL, "effect": "deny"})),
        system_robot("ci", entry("alpha", {"resource": "*", "action": "*"})),
        system_robot("ci", entry("alpha", PULL, repositories=["*/x"])),
        system_robot("ci", {"kind": "galaxy", "namespace": "alpha", "access": [PULL]}),
        system_robot("ci", {}),
        RobotRequest(name="ci", level="galaxy", entries=[entry("alpha")]),
        project_robot("ci", entry("alpha"), entry("alpha")),
        project_robot("ci", entry("/", MAKE)),
        project_robot("ci"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, wrong: RobotRequest) -> None:
    async def work(ground: Ground) -> None:
        await ground.project("alpha")
        with pytest.raises(InvalidInput):
            await ground.robots.create(ground.admin, wrong)
        assert await ground.events() == []

    on_ground(tmp_path, work)


def test_names_are_taken_per_project_and_unknown_projects_are_not_found(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        await ground.project("alpha")
        await ground.project("beta")
        for request in (project_robot("ci", entry("alpha")), project_robot("ci", entry("beta"))):
            await ground.robots.create(ground.admin, request)
        with pytest.raises(Conflict):
            await ground.robots.create(ground.admin, project_robot("ci", entry("alpha")))
        for request in (
            system_robot("x", entry("none")),
            project_robot("x", entry("none")),
            project_robot("x", entry("*")),
        ):
            with pytest.raises(NotFound):
                await ground.robots.create(ground.admin, request)

    on_ground(tmp_path, work)


def test_without_a_duration_the_setting_counts_and_minus_one_is_for_ever(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        for name, given, kept in (("a", None, 30), ("b", 0, 30), ("c", -1, -1)):
            view, _ = await ground.robots.create(ground.admin, system_robot(name, entry("/", MAKE), duration=given))
            assert view.robot.duration == kept
            assert (view.robot.expires_at is None) == (kept == -1)

    on_ground(tmp_path, work)


def test_administrators_of_a_project_make_robots_of_that_project_only(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha, _ = await ground.project("alpha"), await ground.project("beta")
        boss, guest = await ground.member("boss", alpha, 1), await ground.member("guest", alpha, 3)
        view, _ = await ground.robots.create(boss, project_robot("ci", entry("alpha", PULL, PUSH)))
        for request in (
            project_robot("ci", entry("beta")),
            project_robot("ci", entry("none")),
            system_robot("ci", entry("alpha")),
            system_robot("ci", entry("/", MAKE)),
        ):
            with pytest.raises(Denied):
                await ground.robots.create(boss, request)
        with pytest.raises(Denied):
            await ground.robots.create(guest, project_robot("x", entry("alpha")))
        with pytest.raises(NotAuthenticated):
            await ground.robots.create(Caller(principal=ANONYMOUS), project_robot("x", entry("alpha")))
        assert (await ground.robots.get(guest, view.robot.id)).full_name == "robot$alpha+ci"
        with pytest.raises(Denied):
            await ground.secrets.refresh(guest, view.robot.id)
        other, _ = await ground.robots.create(ground.admin, project_robot("ci", entry("beta")))
        for deed in (ground.robots.get, ground.robots.delete, ground.secrets.refresh, ground.secrets.list_valid):
            with pytest.raises(Denied):
                await deed(boss, other.robot.id)

    on_ground(tmp_path, work)


def test_nobody_makes_or_takes_over_a_robot_that_may_do_more_than_they(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        lead = await ground.member("lead", alpha, 1, repositories=["backend/**"])
        strong, _ = await ground.robots.create(ground.admin, project_robot("strong", entry("alpha", PUSH)))
        with pytest.raises(Denied):
            await ground.robots.create(lead, project_robot("wide", entry("alpha", PUSH)))
        weak, _ = await ground.robots.create(
            lead, project_robot("weak", entry("alpha", PUSH, repositories=["backend/api"]))
        )
        for deed in (
            ground.secrets.refresh(lead, strong.robot.id),
            ground.secrets.add(lead, strong.robot.id, overlap_hours=1),
            ground.robots.set_networks(lead, strong.robot.id, []),
            ground.robots.update(lead, weak.robot.id, project_robot("weak", entry("alpha", PUSH))),
        ):
            with pytest.raises(Denied):
                await deed
        await ground.secrets.refresh(lead, weak.robot.id)

    on_ground(tmp_path, work)


def test_robots_make_robots_with_at_most_their_own_permissions(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        await ground.project("alpha")
        await ground.project("beta")
        maker, _ = await ground.robots.create(ground.admin, project_robot("maker", entry("alpha", MAKE, PULL)))
        caller = await ground.as_robot(maker.robot.id)
        made, _ = await ground.robots.create(caller, project_robot("small", entry("alpha", PULL)))
        assert (made.robot.creator_kind, made.robot.creator_id) == ("robot", maker.robot.id)
        for request in (project_robot("x", entry("alpha", PUSH)), project_robot("x", entry("beta", PULL))):
            with pytest.raises(Denied):
                await ground.robots.create(caller, request)
        system, _ = await ground.robots.create(ground.admin, system_robot("maker", entry("/", MAKE), entry("*", PULL)))
        caller = await ground.as_robot(system.robot.id)
        await ground.robots.create(caller, system_robot("small", entry("beta", PULL)))
        for request in (
            system_robot("x", entry("beta", PUSH)),
            system_robot("x", entry("/", PULL | {"resource": "user", "action": "list"})),
        ):
            with pytest.raises(Denied):
                await ground.robots.create(caller, request)
        token = Principal(1, "admin", is_admin=True, scope=(ScopeEntry("system", (("robot", "create"),)),), token_id=3)
        with pytest.raises(Denied):
            await ground.robots.create(Caller(principal=token), system_robot("x", entry("*", PULL)))

    on_ground(tmp_path, work)


def test_an_update_replaces_what_can_change_and_refuses_the_rest(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        await ground.project("beta")
        view, _ = await ground.robots.create(ground.admin, project_robot("ci", entry("alpha", PULL), duration=5))
        robot = view.robot
        caller = await ground.as_robot(robot.id)
        assert not await ground.may(caller, "repository", "push", alpha)
        change = project_robot("robot$alpha+ci", entry("alpha", PUSH), description="new", duration=9, is_disabled=True)
        await ground.robots.update(ground.admin, robot.id, change)
        after = await stored(ground, robot.id)
        assert (after.description, after.is_disabled, after.duration) == ("new", True, 9)
        assert after.expires_at == robot.created_at + 9 * DAY
        assert after.credential_version > robot.credential_version
        assert await ground.may(await ground.as_robot(robot.id), "repository", "push", alpha)
        event = await ground.last_event()
        assert event["operation"] == "update"
        assert set(event["body"]["changes"]) == {"description", "disable", "duration", "permissions"}
        await ground.robots.update(ground.admin, robot.id, msgspec.structs.replace(change, name="ci", duration=None))
        assert len(await ground.events()) == 2  # nothing was different
        for wrong in (
            msgspec.structs.replace(change, name="other"),
            msgspec.structs.replace(change, level="system"),
            msgspec.structs.replace(change, entries=[entry("beta")]),
            msgspec.structs.replace(change, entries=[entry("alpha"), entry("alpha")]),
            msgspec.structs.replace(change, entries=[]),
            msgspec.structs.replace(change, duration=-5),
        ):
            with pytest.raises(InvalidInput):
                await ground.robots.update(ground.admin, robot.id, wrong)

    on_ground(tmp_path, work)


def test_lists_are_of_the_system_or_of_one_project(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        boss = await ground.member("boss", alpha, 1)
        for name in ("b", "a", "c"):
            await ground.robots.create(ground.admin, system_robot(name, entry("/", MAKE)))
        await ground.robots.create(ground.admin, project_robot("ci", entry("alpha")))
        found, total = await ground.robots.page(ground.admin, Listing(page=1, page_size=2))
        assert total == 3
        assert [view.full_name for view in found] == ["robot$a", "robot$b"]
        level, number = Condition("Level", "exact", ("project",)), Condition("ProjectID", "exact", (str(alpha.id),))
        found, total = await ground.robots.page(boss, Listing(conditions=(level, number)))
        assert [view.full_name for view in found] == ["robot$alpha+ci"]
        for name in ("ci", "alpha+ci", "robot$alpha+ci"):
            named = Condition("name", "exact", (name,))
            assert (await ground.robots.page(boss, Listing(conditions=(level, number, named))))[1] == 1
        with pytest.raises(Denied):
            await ground.robots.page(boss, Listing())
        for wrong in (
            (level,),
            (level, Condition("ProjectID", "exact", ("x",))),
            (Condition("Level", "exact", ("a",)),),
        ):
            with pytest.raises(InvalidInput):
                await ground.robots.page(ground.admin, Listing(conditions=wrong))
        missing = Condition("ProjectID", "exact", ("99",))
        with pytest.raises(NotFound):
            await ground.robots.page(ground.admin, Listing(conditions=(level, missing)))
        found, _ = await ground.robots.page(ground.admin, Listing(sort=(SortKey("creation_time", descending=True),)))
        assert [view.robot.name for view in found] == ["c", "a", "b"]

    on_ground(tmp_path, work)


def test_a_refresh_replaces_every_secret_and_a_chosen_one_must_be_good(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        view, first = await ground.robots.create(ground.admin, system_robot("ci", entry("/", MAKE)))
        robot_id = view.robot.id
        await ground.secrets.add(ground.admin, robot_id, overlap_hours=None)
        second = await ground.secrets.refresh(ground.admin, robot_id)
        assert await opens(ground, robot_id, second)
        assert not await opens(ground, robot_id, first)
        assert len(await ground.secrets.list_valid(ground.admin, robot_id)) == 1
        assert (await stored(ground, robot_id)).credential_version > view.robot.credential_version
        assert await ground.secrets.refresh(ground.admin, robot_id, "Chosen-123") == ""
        assert await opens(ground, robot_id, "Chosen-123")
        for bad in ("Short1", "lowercase1", "UPPERCASE1", "NoDigits", "Aa1" * 50, "entp_Abcdefg1"):
            with pytest.raises(InvalidInput):
                await ground.secrets.refresh(ground.admin, robot_id, bad)
        text = str(await ground.events())
        assert not [secret for secret in (first, second, "Chosen-123", "argon2") if secret in text]

    on_ground(tmp_path, work)


def test_secrets_overlap_while_one_replaces_another(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        view, first = await ground.robots.create(ground.admin, system_robot("ci", entry("/", MAKE)))
        robot_id = view.robot.id
        second = await ground.secrets.add(ground.admin, robot_id, overlap_hours=None)
        assert await opens(ground, robot_id, first)
        assert await opens(ground, robot_id, second.secret)
        assert (await stored(ground, robot_id)).credential_version == view.robot.credential_version
        third = await ground.secrets.add(ground.admin, robot_id, overlap_hours=2)
        old, middle, new = await ground.secrets.list_valid(ground.admin, robot_id)
        assert old.expires_at
        assert old.expires_at == middle.expires_at
        assert new.id == third.id
        assert new.expires_at is None
        await ground.secrets.remove(ground.admin, robot_id, second.id)
        assert (await stored(ground, robot_id)).credential_version > view.robot.credential_version
        with pytest.raises(NotFound):
            await ground.secrets.remove(ground.admin, robot_id, second.id)
        last = await ground.secrets.add(ground.admin, robot_id, overlap_hours=0)
        assert [s.id for s in await ground.secrets.list_valid(ground.admin, robot_id)] == [last.id]
        for _ in range(4):
            await ground.secrets.add(ground.admin, robot_id, overlap_hours=None)
        with pytest.raises(Conflict):
            await ground.secrets.add(ground.admin, robot_id, overlap_hours=None)
        assert all(event["resource"] == "robot$ci" for event in await ground.events())

    on_ground(tmp_path, work)


def test_networks_are_kept_in_cidr_notation(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        view, _ = await ground.robots.create(ground.admin, system_robot("ci", entry("/", MAKE)))
        robot_id = view.robot.id
        await ground.robots.set_networks(ground.admin, robot_id, ["192.0.2.7/24", "2001:db8::1", "192.0.2.0/24"])
        assert (await stored(ground, robot_id)).networks == ("192.0.2.0/24", "2001:db8::1/128")
        for bad in (["here"], ["1.2.3.4/33"], [""], ["10.0.0.0/8"] * 101):
            with pytest.raises(InvalidInput):
                await ground.robots.set_networks(ground.admin, robot_id, bad)

    on_ground(tmp_path, work)


def test_a_deleted_robot_is_gone_with_its_secrets(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        view, _ = await ground.robots.create(ground.admin, system_robot("ci", entry("/", MAKE)))
        await ground.robots.delete(ground.admin, view.robot.id)
        for deed in (ground.robots.get, ground.robots.delete, ground.secrets.refresh):
            with pytest.raises(NotFound):
                await deed(ground.admin, view.robot.id)
        assert await store.list_secrets(ground.database, view.robot.id) == []
        assert (await ground.last_event())["operation"] == "delete"

    on_ground(tmp_path, work)
