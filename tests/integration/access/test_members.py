"""Who is a member of a project, with which limits, and what that is worth."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrepot.access.members import Entity
from entrepot.access.store import granted, granted_everywhere, reachable
from entrepot.auth.model import ANONYMOUS, Caller, Principal, ScopeEntry
from entrepot.errors import Conflict, Denied, InvalidInput, NotFound
from tests.integration.access.ground import Ground, on_ground

ADMIN, DEVELOPER, GUEST, MAINTAINER = 1, 2, 3, 4


def test_a_member_is_added_by_name_or_id_found_changed_and_removed(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha, anna = await ground.project("alpha"), await ground.user("anna")
        grant_id = await ground.members.add(ground.admin, alpha, Entity(user_name="anna"), DEVELOPER)
        assert await ground.may(anna, "repository", "push", alpha)
        created = await ground.last_event()
        assert (created["operation"], created["resource_type"], created["resource"]) == ("create", "member", "anna")
        assert created["project_id"] == alpha.id
        member = await ground.members.get(alpha, grant_id)
        assert (member.entity_type, member.entity_id, member.role_name) == ("u", anna.principal.id, "developer")
        await ground.members.change(ground.admin, alpha, grant_id, GUEST)
        assert not await ground.may(anna, "repository", "push", alpha)
        assert await ground.may(anna, "repository", "pull", alpha)
        await ground.members.remove(ground.admin, alpha, grant_id)
        assert not await ground.may(anna, "repository", "pull", alpha)
        with pytest.raises(NotFound):
            await ground.members.get(alpha, grant_id)
        assert [e["operation"] for e in await ground.events()] == ["create", "update", "delete"]

    on_ground(tmp_path, work)


def test_nobody_becomes_a_member_twice_and_unknown_users_groups_and_roles_are_refused(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha, anna = await ground.project("alpha"), await ground.user("anna")
        await ground.grant(anna, alpha, DEVELOPER)
        with pytest.raises(Conflict):
            await ground.members.add(ground.admin, alpha, Entity(user_name="anna"), GUEST)
        for nobody in (Entity(user_name="who"), Entity(user_id=99), Entity(group_id=99)):
            with pytest.raises(NotFound):
                await ground.members.add(ground.admin, alpha, nobody, GUEST)
        with pytest.raises(InvalidInput):
            await ground.members.add(ground.admin, alpha, Entity(), GUEST)
        for role_id in (0, 6, 100, -1, 2**53):
            with pytest.raises(InvalidInput):
                await ground.members.add(ground.admin, alpha, Entity(user_name="anna"), role_id)
        assert len(await ground.events()) == 1

    on_ground(tmp_path, work)


def test_a_group_that_is_named_becomes_known_and_its_users_have_its_role(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha, beta, anna = await ground.project("alpha"), await ground.project("beta"), await ground.user("anna")
        dn = "cn=builders,ou=groups,dc=example,dc=org"
        grant_id = await ground.members.add(ground.admin, alpha, Entity(ldap_dn=dn), DEVELOPER)
        member = await ground.members.get(alpha, grant_id)
        assert (member.entity_type, member.entity_name) == ("g", "builders")
        again = await ground.members.add(ground.admin, beta, Entity(ldap_dn=dn, group_name="ignored"), GUEST)
        assert (await ground.members.get(beta, again)).entity_id == member.entity_id
        with pytest.raises(Conflict):
            await ground.members.add(ground.admin, alpha, Entity(ldap_dn=dn), DEVELOPER)
        with pytest.raises(Conflict):  # another directory's group of the same name
            await ground.members.add(ground.admin, alpha, Entity(ldap_dn="cn=builders,dc=other"), DEVELOPER)
        assert not await ground.may(anna, "repository", "push", alpha)
        await ground.join(member.entity_id, anna)
        assert await ground.may(anna, "repository", "push", alpha)
        assert not await ground.may(anna, "repository", "push", beta)
        made = await ground.members.add(ground.admin, alpha, Entity(group_name="testers"), GUEST)
        assert (await ground.members.get(alpha, made)).entity_name == "testers"

    on_ground(tmp_path, work)


def test_a_grant_can_be_limited_to_repositories_and_tags(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        anna = await ground.member("anna", alpha, GUEST, repositories=["alpha/backend/*"])
        await ground.grant(anna, alpha, DEVELOPER, repositories=["backend/**"], tags=["dev-*"])
        rights = await ground.guardian.rights(anna.principal, alpha)
        assert rights.allows(("repository", "pull"), "backend/api")
        assert not rights.allows(("repository", "pull"), "frontend")
        assert rights.allows(("repository", "push"), "backend/api", ["dev-1"])
        assert not rights.allows(("repository", "push"), "backend/api", ["v1"])
        with pytest.raises(Conflict):
            await ground.grant(anna, alpha, GUEST, repositories=["backend/*"])
        with pytest.raises(InvalidInput):
            await ground.grant(anna, alpha, GUEST, repositories=["*/api"])
        found, total = await ground.members.page(alpha, name="", limit=10, offset=0)
        assert total == 2
        assert {member.repositories for member in found} == {("backend/*",), ("backend/**",)}
        limited = next(m for m in found if m.role_id == DEVELOPER)
        await ground.members.change(ground.admin, alpha, limited.id, MAINTAINER)
        assert (await ground.members.get(alpha, limited.id)).tags == ("dev-*",)
        await ground.members.change(ground.admin, alpha, limited.id, MAINTAINER, repositories=[], tags=[])
        assert await ground.may(anna, "repository", "push", alpha, "frontend", ["v1"])

    on_ground(tmp_path, work)


def test_the_list_is_filtered_by_a_part_of_the_name_and_comes_in_pages(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha, beta = await ground.project("alpha"), await ground.project("beta")
        for name in ("carl", "anna", "bert", "Anton", "a_b"):
            await ground.member(name, alpha, GUEST)
        await ground.member("anders", beta, GUEST)
        await ground.members.add(ground.admin, alpha, Entity(group_name="annex"), GUEST)
        found, total = await ground.members.page(alpha, name="an", limit=2, offset=0)
        assert total == 3
        assert len(found) == 2
        rest, _ = await ground.members.page(alpha, name="an", limit=2, offset=2)
        assert {m.entity_name for m in (*found, *rest)} == {"anna", "Anton", "annex"}
        found, total = await ground.members.page(alpha, name="_", limit=10, offset=0)
        assert [m.entity_name for m in found] == ["a_b"]
        assert await ground.members.page(alpha, name="%", limit=10, offset=0) == ([], 0)

    on_ground(tmp_path, work)


def test_a_grant_is_of_its_project_only(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha, beta, anna = await ground.project("alpha"), await ground.project("beta"), await ground.user("anna")
        grant_id = await ground.grant(anna, alpha, DEVELOPER)
        with pytest.raises(NotFound):
            await ground.members.remove(ground.admin, beta, grant_id)
        with pytest.raises(NotFound):
            await ground.members.change(ground.admin, beta, grant_id, ADMIN)
        assert await ground.may(anna, "repository", "push", alpha)

    on_ground(tmp_path, work)


def test_nobody_can_hand_out_or_take_away_more_than_they_hold(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        boss = await ground.member("boss", alpha, ADMIN)
        lead = await ground.member("lead", alpha, ADMIN, repositories=["backend/**"])
        role = await ground.roles.create(ground.admin, "clerk", "", [("member", "create"), ("repository", "pull")])
        clerk = await ground.member("clerk", alpha, role.id)
        await ground.user("anna")
        anna = Entity(user_name="anna")
        for who, role_id, paths in ((lead, GUEST, []), (lead, GUEST, ["frontend"]), (clerk, GUEST, []), (clerk, 1, [])):
            with pytest.raises(Denied):
                await ground.members.add(who, alpha, anna, role_id, repositories=paths)
        inside = await ground.members.add(lead, alpha, anna, MAINTAINER, repositories=["backend/api"])
        with pytest.raises(Denied):
            await ground.members.change(lead, alpha, inside, MAINTAINER, repositories=["**"])
        everywhere = await ground.grant(boss, alpha, GUEST)
        with pytest.raises(Denied):
            await ground.members.remove(lead, alpha, everywhere)
        await ground.members.remove(lead, alpha, inside)
        await ground.members.add(boss, alpha, anna, role.id)
        await ground.members.add(clerk, alpha, Entity(user_name="lead"), role.id, is_first=False)

    on_ground(tmp_path, work)


def test_a_limited_token_hands_out_no_more_than_the_token_holds(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        await ground.user("anna")
        scope = (ScopeEntry("project", (("member", "create"), ("repository", "pull")), alpha.id),)
        token = Caller(principal=Principal(1_000_000, "admin", is_admin=True, scope=scope, token_id=1))
        with pytest.raises(Denied):
            await ground.members.add(token, alpha, Entity(user_name="anna"), ADMIN)
        robot = Caller(principal=Principal(5, "robot$x", kind="robot", scope=scope))
        await ground.members.add(robot, alpha, Entity(user_name="anna"), DEVELOPER)  # as in Harbor

    on_ground(tmp_path, work)


def test_the_last_administrator_of_a_project_may_go(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        boss = await ground.member("boss", alpha, ADMIN)
        (only,), _ = await ground.members.page(alpha, name="", limit=10, offset=0)
        await ground.members.remove(boss, alpha, only.id)
        assert not await ground.may(boss, "project", "read", alpha)

    on_ground(tmp_path, work)


def test_what_somebody_can_reach_is_public_granted_or_in_the_scope(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        alpha = await ground.project("alpha")
        await ground.project("beta", is_public=True)
        gamma, delta = await ground.project("gamma"), await ground.project("delta")
        anna = await ground.member("anna", alpha, GUEST)
        grant_id = await ground.members.add(ground.admin, gamma, Entity(group_name="team"), GUEST)
        await ground.join((await ground.members.get(gamma, grant_id)).entity_id, anna)

        async def names(principal: Principal) -> list[str]:
            return [project.name for project in await reachable(ground.database, principal)]

        pull = (("repository", "pull"),)
        assert await names(anna.principal) == ["alpha", "beta", "gamma"]
        assert await names(ANONYMOUS) == ["beta"]
        assert await names(ground.admin.principal) == ["alpha", "beta", "delta", "gamma"]
        robot = Principal(1, "r", kind="robot", scope=(ScopeEntry("project", pull, delta.id),))
        assert await names(robot) == ["beta", "delta"]
        everywhere = Principal(1, "r", kind="robot", scope=(ScopeEntry("project", pull),))
        assert await names(everywhere) == ["alpha", "beta", "delta", "gamma"]
        assert await names(Principal(1, "r", kind="robot", scope=(ScopeEntry("system", pull),))) == ["beta"]
        assert await names(Principal(1, "admin", is_admin=True, scope=robot.scope)) == ["beta", "delta"]

    on_ground(tmp_path, work)


def test_rights_are_found_by_index_seeks(tmp_path: Path) -> None:
    async def work(ground: Ground) -> None:
        from sqlalchemy import text  # noqa: PLC0415

        from entrepot.access.store.reach import _GRANTED  # noqa: PLC0415
        from entrepot.database import query  # noqa: PLC0415

        statement, _ = _GRANTED.bind("sqlite", {})
        plan = query(text("EXPLAIN QUERY PLAN " + statement))
        steps = [row[3] for row in await ground.database.all(plan, user_id=1, project_id=1)]
        assert not [step for step in steps if step.startswith("SCAN")], steps
        alpha, anna = await ground.project("alpha"), await ground.user("anna")
        await ground.grant(anna, alpha, GUEST, repositories=["a"])
        await ground.grant(anna, alpha, DEVELOPER)
        assert anna.principal.id
        found = await granted(ground.database, alpha.id, anna.principal.id)
        assert sorted(paths for _, paths, _ in found) == [(), ("a",)]
        assert await granted_everywhere(ground.database, anna.principal.id) == {alpha.id: found}

    on_ground(tmp_path, work)
