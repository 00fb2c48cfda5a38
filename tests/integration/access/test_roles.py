"""Roles that somebody makes beside the built-in ones, and what permissions there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrepot.access.permissions import BUILT_IN, PROJECT_PERMISSIONS, SYSTEM_PERMISSIONS
from entrepot.auth.model import ANONYMOUS, Caller
from entrepot.errors import Conflict, Denied, InUse, InvalidInput, NotFound
from tests.integration.access.ground import Ground, on_ground

PULL, PUSH = ("repository", "pull"), ("repository", "push")


def test_a_custom_role_is_worth_its_permissions_and_a_change_counts_at_once(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        role = await ground.roles.create(ground.admin, "puller", "Pulls.", [PULL])
        assert role.id == 100
        anna = await ground.member("anna", alpha, role.id)
        assert await ground.may(anna, *PULL, alpha)
        assert not await ground.may(anna, *PUSH, alpha)
        await ground.roles.update(ground.admin, role.id, "Pusher", "", [PUSH])
        assert not await ground.may(anna, *PULL, alpha)
        assert await ground.may(anna, *PUSH, alpha)
        (member,), _ = await ground.members.page(alpha, name="", limit=5, offset=0)
        assert member.role_name == "Pusher"
        event = await ground.last_event()
        assert (event["operation"], event["resource_type"], event["resource"]) == ("update", "role", "Pusher")
        assert event["body"]["added"] == ["repository:push"]
        assert event["body"]["removed"] == ["repository:pull"]

    on_ground(tmp_path, work)


def test_a_role_that_somebody_has_cannot_be_deleted(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha, anna = await ground.project("alpha"), await ground.user("anna")
        role = await ground.roles.create(ground.admin, "puller", "", [PULL])
        grant_id = await ground.grant(anna, alpha, role.id)
        with pytest.raises(InUse):
            await ground.roles.delete(ground.admin, role.id)
        await ground.members.remove(ground.admin, alpha, grant_id)
        await ground.roles.delete(ground.admin, role.id)
        with pytest.raises(NotFound):
            await ground.roles.get(role.id)
        assert [r.id for r in await ground.roles.list_all()] == list(BUILT_IN)

    on_ground(tmp_path, work)


def test_names_are_unique_whatever_their_case_also_against_the_built_in_ones(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        first = await ground.roles.create(ground.admin, "release lead", "", [PUSH])
        second = await ground.roles.create(ground.admin, "tester", "", [PULL])
        for name in ("Release Lead", "projectadmin", "DEVELOPER", "auditor"):
            with pytest.raises(Conflict):
                await ground.roles.create(ground.admin, name, "", [PULL])
        with pytest.raises(Conflict):
            await ground.roles.update(ground.admin, second.id, "RELEASE lead", "", [PULL])
        await ground.roles.update(ground.admin, first.id, "Release Lead", "", [PULL])
        for name in ("", "1st", "a\0b", "x" * 65, "naïve", " a", "a  b"):
            with pytest.raises(InvalidInput):
                await ground.roles.create(ground.admin, name, "", [PULL])

    on_ground(tmp_path, work)


def test_only_permissions_in_projects_can_be_put_into_a_role(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        for permissions in ([], [("user", "create")], [("repository", "fly")], [PULL, ("", "")]):
            with pytest.raises(InvalidInput):
                await ground.roles.create(ground.admin, "odd", "", permissions)
        await ground.roles.create(ground.admin, "all", "", PROJECT_PERMISSIONS)

    on_ground(tmp_path, work)


def test_built_in_roles_stay_as_they_are(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        with pytest.raises(Denied):
            await ground.roles.delete(ground.admin, 1)
        with pytest.raises(Denied):
            await ground.roles.update(ground.admin, 2, "mine", "", [PULL])
        with pytest.raises(NotFound):
            await ground.roles.delete(ground.admin, 999)

    on_ground(tmp_path, work)


def test_permissions_are_listed_for_those_who_can_give_them(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        assert await ground.permits.grantable(ground.admin) == (SYSTEM_PERMISSIONS, PROJECT_PERMISSIONS)
        boss, guest = await ground.member("boss", alpha, 1), await ground.member("guest", alpha, 3)
        assert await ground.permits.grantable(boss) == ((), PROJECT_PERMISSIONS)
        for who in (guest, Caller(principal=ANONYMOUS)):
            with pytest.raises(Denied):
                await ground.permits.grantable(who)

    on_ground(tmp_path, work)


def test_somebody_is_told_what_they_may_do_in_a_project(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        guest = await ground.member("guest", alpha, 3)
        held = await ground.permits.held(guest, f"/project/{alpha.id}", relative=True)
        assert {(".", "read"), ("repository", "pull"), ("member", "list")} <= set(held)
        assert ("repository", "push") not in held
        named = await ground.permits.held(guest, f"/project/{alpha.id}/repository", relative=False)
        assert (f"/project/{alpha.id}", "read") in named
        assert (f"/project/{alpha.id}/repository", "pull") in named
        for scope in ("", "/project/99", "/project/x", "/project/" + "9" * 30, "/system", "nonsense"):
            assert await ground.permits.held(guest, scope, relative=True) == []
        assert len(await ground.permits.held(ground.admin, "/system", relative=True)) == len(SYSTEM_PERMISSIONS)

    on_ground(tmp_path, work)
