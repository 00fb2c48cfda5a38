"""Projects as their owners make, change, rename and delete them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from entrepot.access.sight import Sight
from entrepot.auth.model import Caller, Principal, ScopeEntry
from entrepot.database import Transaction, query
from entrepot.errors import Conflict, InvalidInput, NotFound, Precondition
from entrepot.journal.model import SYSTEM
from entrepot.kit import clock
from entrepot.oci.name import parse_name
from entrepot.projects import ledger, service, store
from entrepot.projects.model import ProjectDetails
from entrepot.projects.service import MOST_FORMER_NAMES, Projects
from entrepot.projects.tables import project_aliases, project_usage
from entrepot.registry.listing.contents import ProjectContents
from tests.integration.rig import Bench, Rig, caller

DAY = 86_400_000_000
_ALIASES = query(select(project_aliases.c.name))
_ACCOUNTS = query(select(project_usage.c.project_id))


def verbs(rig: Rig) -> Projects:
    database = rig.database
    return Projects(database, rig.app.settings, ProjectContents(database), Sight(database, rig.guardian))


async def jane(rig: Rig) -> Caller:
    return caller((await rig.add_user("jane")).principal)


async def details(rig: Rig, name: str) -> ProjectDetails:
    project = await store.find(rig.database, name)
    assert project is not None
    found = await store.find_details(rig.database, project.id)
    assert found is not None
    return found


async def setting(rig: Rig, **values: Any) -> None:
    await rig.app.settings.update(SYSTEM, values)


# create


def test_who_creates_a_project_owns_and_administers_it(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        who = await jane(rig)
        id_ = await verbs(rig).create(who, "team", {"public": "true", "auto_scan": "TRUE", "color": "red"}, None)
        made = await details(rig, "team")
        assert (made.id, made.is_public, made.owner_id, made.owner_name) == (id_, True, who.principal.id, "jane")
        assert (made.metadata, made.quota) == ({"auto_scan": "true"}, -1)
        assert made.created_at == made.updated_at
        rights = await rig.guardian.rights(who.principal, made.project)
        assert rights.allows(("project", "delete"))
        assert (id_,) in await rig.database.all(_ACCOUNTS)
        assert await rig.events() == [
            {"kind": "ProjectCreated", "principal": "jane", "project_id": id_, "project": "team", "is_public": True}
        ]

    run(work)


def test_a_robot_that_creates_a_project_gets_no_rights_on_it(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        scope = (ScopeEntry("system", (("project", "create"),)),)
        robot = Principal(1, "robot$ci", kind="robot", scope=scope)  # the id of a user too
        await verbs(rig).create(caller(robot), "team", {}, None)
        made = await details(rig, "team")
        assert (made.owner_id, made.owner_name) == (None, "robot$ci")
        assert not (await rig.guardian.rights(robot, made.project)).allows(("project", "read"))
        assert await Sight(rig.database, rig.guardian).member_counts(made.id) == {}

    run(work)


def test_the_settings_say_what_a_new_project_may_hold(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await setting(rig, storage_per_project=1000)
        await verbs(rig).create(rig.admin, "usual", {}, None)
        await verbs(rig).create(rig.admin, "larger", {}, 5000)
        await setting(rig, quota_per_project_enable=False)
        await verbs(rig).create(rig.admin, "endless", {}, None)
        assert [(await details(rig, name)).quota for name in ("usual", "larger", "endless")] == [1000, 5000, -1]
        assert await service.default_quota(rig.app.settings) == -1

    run(work)


@pytest.mark.parametrize(
    ("name", "values", "quota"),
    [
        ("Team", {}, None),
        ("a/b", {}, None),
        ("team", {"public": "maybe"}, None),
        ("team", {}, 0),
        ("team", {}, -2),
        ("team", {}, 1024**5 + 1),
    ],
)
def test_what_is_not_valid_makes_no_project(run: Bench, name: str, values: dict[str, str], quota: int | None) -> None:
    async def work(rig: Rig) -> None:
        with pytest.raises(InvalidInput):
            await verbs(rig).create(rig.admin, name, values, quota)
        assert await rig.events() == []

    run(work)


def test_a_project_is_created_by_one_of_many_at_once(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        results = await asyncio.gather(
            *(verbs((one, two)[n % 2]).create(one.admin, "team", {}, None) for n in range(10)), return_exceptions=True
        )
        assert sum(isinstance(result, int) for result in results) == 1
        assert sum(isinstance(result, Conflict) for result in results) == 9
        assert await one.kinds() == ["ProjectCreated"]

    run.both(work)


def test_a_project_that_a_push_makes_takes_the_quota_that_it_is_given(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        async def body(tx: Transaction) -> int:
            await service.ensure(tx, SYSTEM, "team", quota=77)
            return (await service.ensure(tx, SYSTEM, "team", quota=99)).id

        id_ = await rig.database.write(body)
        assert (await ledger.usage(rig.database, id_)).limit == 77

    run(work)


# change


def test_metadata_is_merged_and_the_journal_tells_what_changed(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        projects = verbs(rig)
        id_ = await projects.create(rig.admin, "team", {"severity": "low", "auto_scan": "true"}, None)
        await projects.update(rig.admin, id_, {"public": "true", "severity": "high", "auto_scan": "true"})
        made = await details(rig, "team")
        assert (made.is_public, made.metadata) == (True, {"severity": "high", "auto_scan": "true"})
        assert made.updated_at > made.created_at
        assert (await rig.events(1)) == [
            {
                "kind": "ProjectUpdated",
                "principal": "admin",
                "project_id": id_,
                "project": "team",
                "changes": {"severity": "high", "public": "true"},
            }
        ]
        await projects.update(rig.admin, id_, {"public": "true", "severity": "HIGH"})
        await projects.update(rig.admin, id_, {})
        assert len(await rig.events()) == 2
        with pytest.raises(NotFound):
            await projects.update(rig.admin, 404, {"public": "true"})

    run(work)


def test_changes_by_two_processes_at_once_are_all_kept(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        id_ = await verbs(one).create(one.admin, "team", {}, None)
        keys = ("auto_scan", "prevent_vul", "enable_content_trust", "auto_sbom_generation")
        await asyncio.gather(
            *(verbs((one, two)[n % 2]).update(one.admin, id_, {key: "true"}) for n, key in enumerate(keys))
        )
        assert (await details(two, "team")).metadata == dict.fromkeys(keys, "true")

    run.both(work)


def test_a_project_without_the_key_public_is_private(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        projects = verbs(rig)
        id_ = await projects.create(rig.admin, "team", {"public": "true", "severity": "low"}, None)
        await projects.drop_metadata(rig.admin, id_, "public")
        await projects.drop_metadata(rig.admin, id_, "severity")
        made = await details(rig, "team")
        assert (made.is_public, made.metadata) == (False, {})
        with pytest.raises(NotFound):
            await projects.drop_metadata(rig.admin, id_, "severity")
        assert [event["changes"] for event in await rig.events(1)] == [{"public": "false"}, {"severity": ""}]

    run(work)


# names


def test_a_renamed_project_is_found_by_both_names_and_keeps_what_it_holds(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        _, payload = await rig.push_image("team/app", "1")
        before = await details(rig, "team")
        await verbs(rig).rename(rig.admin, before.id, "crew")
        for name in ("team", "crew"):
            found = await store.find(rig.database, name)
            assert found is not None
            assert (found.id, found.name) == (before.id, "crew")
            pulled = await rig.manifests.get(rig.admin, parse_name(f"{name}/app"), "1")
            assert pulled.payload == payload
        [(former, expires_at)] = await verbs(rig).former_names(before.id)
        assert former == "team"
        assert abs(expires_at - clock.now_us() - 30 * DAY) < DAY
        assert (await rig.events())[-1] == {
            "kind": "ProjectRenamed",
            "principal": "admin",
            "project_id": before.id,
            "project": "crew",
            "previous": "team",
        }

    run(work)


def test_a_push_to_a_former_name_goes_into_the_project_and_makes_none(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await rig.push_image("team/app", "1")
        id_ = (await details(rig, "team")).id
        await verbs(rig).rename(rig.admin, id_, "crew")
        await rig.push_image("team/app", "2", "more")
        assert [project.name for project in await store.list_all(rig.database)] == ["crew", "library"]
        assert (await details(rig, "team")).id == id_

    run(work)


def test_a_name_that_leads_to_another_project_is_taken_until_that_ends(
    run: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(rig: Rig) -> None:
        projects = verbs(rig)
        team = await projects.create(rig.admin, "team", {}, None)
        other = await projects.create(rig.admin, "other", {}, None)
        await projects.rename(rig.admin, team, "crew")
        for attempt in (projects.create(rig.admin, "team", {}, None), projects.rename(rig.admin, other, "team")):
            with pytest.raises(Conflict, match="former name of the project crew"):
                await attempt
        with pytest.raises(Conflict, match="There is a project crew already"):
            await projects.rename(rig.admin, other, "crew")
        with pytest.raises(Conflict):
            await service.create(rig.database, SYSTEM, "team", is_public=False)

        later = clock.now_us() + 31 * DAY
        monkeypatch.setattr(clock, "now_us", lambda: later)
        assert await store.find(rig.database, "team") is None
        assert await projects.former_names(team) == []
        new = await projects.create(rig.admin, "team", {}, None)
        assert (await details(rig, "team")).id == new
        assert await rig.database.all(_ALIASES) == []

    run(work)


def test_renaming_back_works_and_leaves_the_other_name_behind(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        projects = verbs(rig)
        team = await projects.create(rig.admin, "team", {}, None)
        await projects.rename(rig.admin, team, "crew")
        await projects.rename(rig.admin, team, "team")
        await projects.rename(rig.admin, team, "team")
        assert (await details(rig, "crew")).name == "team"
        assert [name for name, _ in await projects.former_names(team)] == ["crew"]
        assert await rig.kinds() == ["ProjectCreated", "ProjectRenamed", "ProjectRenamed"]

    run(work)


def test_a_former_name_can_be_dropped_and_is_free_then(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        projects = verbs(rig)
        team = await projects.create(rig.admin, "team", {}, None)
        other = await projects.create(rig.admin, "other", {}, None)
        await projects.rename(rig.admin, team, "crew")
        for project_id, name in ((other, "team"), (team, "nosuch"), (team, "crew")):
            with pytest.raises(NotFound):
                await projects.drop_former_name(rig.admin, project_id, name)
        await projects.drop_former_name(rig.admin, team, "team")
        assert await store.find(rig.database, "team") is None
        await projects.rename(rig.admin, other, "team")

    run(work)


def test_without_days_for_it_the_old_name_leads_nowhere(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await setting(rig, entrepot_rename_alias_days=0)
        team = await verbs(rig).create(rig.admin, "team", {}, None)
        await verbs(rig).rename(rig.admin, team, "crew")
        assert await store.find(rig.database, "team") is None
        assert await verbs(rig).former_names(team) == []

    run(work)


def test_who_renames_again_and_again_cannot_keep_every_name(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        projects = verbs(rig)
        team = await projects.create(rig.admin, "name-0", {}, None)
        for n in range(1, MOST_FORMER_NAMES + 1):
            await projects.rename(rig.admin, team, f"name-{n}")
        with pytest.raises(Conflict, match="drop some"):
            await projects.rename(rig.admin, team, "one-more")
        await projects.rename(rig.admin, team, "name-0")  # gives one back and takes one
        await projects.drop_former_name(rig.admin, team, "name-1")
        await projects.rename(rig.admin, team, "one-more")

    run(work)


def test_of_two_processes_that_want_one_name_one_gets_it(run: Bench) -> None:
    async def work(one: Rig, two: Rig) -> None:
        ids = [await verbs(one).create(one.admin, f"team-{n}", {}, None) for n in range(6)]
        results = await asyncio.gather(
            *(verbs((one, two)[n % 2]).rename(one.admin, id_, "crew") for n, id_ in enumerate(ids)),
            return_exceptions=True,
        )
        assert sum(result is None for result in results) == 1
        assert sum(isinstance(result, Conflict) for result in results) == 5
        winner = ids[results.index(None)]
        for rig in (one, two):
            assert (await details(rig, "crew")).id == winner
            assert [(await details(rig, f"team-{n}")).id for n in range(6)] == ids

    run.both(work)


def test_library_keeps_its_name(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        with pytest.raises(Precondition):
            await verbs(rig).rename(rig.admin, (await details(rig, "library")).id, "books")

    run(work)


# delete


def test_a_project_that_holds_something_is_not_deletable(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        projects = verbs(rig)
        await rig.push_image("team/app", "1")
        team = (await details(rig, "team")).id
        assert await projects.why_not_deletable(team)
        with pytest.raises(Precondition):
            await projects.delete(rig.admin, team)
        await rig.repositories.delete(rig.admin, parse_name("team/app"))
        assert not await projects.why_not_deletable(team)
        await projects.delete(rig.admin, team)
        with pytest.raises(NotFound):
            await projects.delete(rig.admin, team)
        assert (await rig.events())[-1] == {
            "kind": "ProjectDeleted",
            "principal": "admin",
            "project_id": team,
            "project": "team",
        }

    run(work)


def test_what_was_only_begun_goes_with_a_project_and_its_names_are_free(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        projects = verbs(rig)
        await rig.push_blob("team/app", b"no manifest names this")
        team = (await details(rig, "team")).id
        await projects.rename(rig.admin, team, "crew")
        await projects.delete(rig.admin, team)
        for name in ("team", "crew"):
            assert await store.find(rig.database, name) is None
            assert await projects.create(rig.admin, name, {}, None) > team
        assert (await ledger.usage(rig.database, team)).total == 0

    run(work)


def test_an_owner_who_is_deleted_is_still_named(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        who = await jane(rig)
        await verbs(rig).create(who, "team", {}, None)
        assert who.principal.id is not None
        await rig.users.delete(rig.admin.origin, who.principal.id)
        made = await details(rig, "team")
        assert (made.owner_id, made.owner_name) == (None, "jane")

    run(work)


# finding


def test_digits_are_an_id_unless_it_is_said_that_they_are_a_name(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        projects = verbs(rig)
        one = await projects.create(rig.admin, "team", {}, None)
        digits = await projects.create(rig.admin, "7001", {}, None)

        async def find(reference: str, *, by_name: bool = False) -> int | None:
            found = await store.find_by_reference(rig.database, reference, by_name=by_name)
            return found.id if found else None

        assert await find("team") == await find(str(one)) == one
        assert await find("7001") is None
        assert await find("7001", by_name=True) == digits
        assert await find(str(one), by_name=True) is None
        for odd in ("9" * 400, "0" * 400, "-1", "1.0", "\u0661", "", "\0", str(2**53 + 1)):
            assert await find(odd) is None

    run(work)
