"""Groups and who is in them."""

from __future__ import annotations

import pytest

from entrepot.auth.groups import LDAP, OIDC
from entrepot.errors import Conflict, InvalidInput, NotFound, Precondition
from entrepot.kit.listing import Condition, Listing
from tests.integration.auth.desk import Desk, Office, origin


def test_a_group_is_made_renamed_and_deleted(office: Office) -> None:
    async def work(desk: Desk) -> None:
        group_id = await desk.groups.create(origin(), "developers")
        other = await desk.groups.create(origin(), "ldap", LDAP, "cn=ldap,dc=example,dc=org")
        assert [(g.name, g.kind, g.ldap_dn) for g in (await desk.groups.list(Listing()))[0]] == [
            ("developers", 2, ""),
            ("ldap", 1, "cn=ldap,dc=example,dc=org"),
        ]
        with pytest.raises(Conflict):
            await desk.groups.create(origin(), "developers", OIDC)
        with pytest.raises(Conflict):
            await desk.groups.rename(origin(), other, "developers")
        await desk.groups.rename(origin(), group_id, "builders")
        await desk.groups.rename(origin(), group_id, "builders")
        assert (await desk.groups.get(group_id)).name == "builders"
        await desk.groups.delete(origin(), group_id)
        for verb in (desk.groups.delete(origin(), group_id), desk.groups.rename(origin(), group_id, "x")):
            with pytest.raises(NotFound):
                await verb
        kinds = [e["kind"] for e in await desk.events() if e["resource_type"] == "user-group"]
        assert kinds == ["GroupCreated", "GroupCreated", "GroupRenamed", "GroupDeleted"]

    office(work)


@pytest.mark.parametrize(
    ("name", "kind", "dn"),
    [("", 2, ""), (" ", 2, ""), ("x" * 256, 2, ""), ("g", 4, ""), ("g", 1, ""), ("g", 2, "cn=x")],
)
def test_what_is_no_group_is_refused(office: Office, name: str, kind: int, dn: str) -> None:
    async def work(desk: Desk) -> None:
        with pytest.raises(InvalidInput):
            await desk.groups.create(origin(), name, kind, dn)

    office(work)


def test_users_are_put_in_and_taken_out(office: Office) -> None:
    async def work(desk: Desk) -> None:
        jane, joe = await desk.add("jane"), await desk.add("joe")
        group_id = await desk.groups.create(origin(), "developers")
        elsewhere = await desk.groups.create(origin(), "staff", OIDC)
        for user in (joe, jane):
            await desk.groups.add_user(origin(), group_id, user.id)
        with pytest.raises(Conflict):
            await desk.groups.add_user(origin(), group_id, jane.id)
        with pytest.raises(Precondition):
            await desk.groups.add_user(origin(), elsewhere, jane.id)
        for group, user_id in ((group_id, 999), (999, jane.id)):
            with pytest.raises(NotFound):
                await desk.groups.add_user(origin(), group, user_id)
        assert await desk.groups.list_users(group_id, Listing()) == ([(jane.id, "jane"), (joe.id, "joe")], 2)
        await desk.groups.remove_user(origin(), group_id, jane.id)
        with pytest.raises(NotFound):
            await desk.groups.remove_user(origin(), group_id, jane.id)
        await desk.users.delete(origin(), joe.id)
        assert await desk.groups.list_users(group_id, Listing()) == ([], 0)
        events = await desk.events("GroupUserAdded", "GroupUserRemoved")
        assert [(e["kind"], e["user"], e["resource"]) for e in events] == [
            ("GroupUserAdded", "joe", "developers"),
            ("GroupUserAdded", "jane", "developers"),
            ("GroupUserRemoved", "jane", "developers"),
        ]

    office(work)


def test_a_search_finds_parts_of_names_the_closest_first(office: Office) -> None:
    async def work(desk: Desk) -> None:
        for name in ("all developers", "developers", "Developers-2", "staff"):
            await desk.groups.create(origin(), name)
        listing = Listing(conditions=(Condition("group_name", "fuzzy", ("develop",)),))
        groups, total = await desk.groups.search(listing)
        assert ([g.name for g in groups], total) == (["developers", "Developers-2", "all developers"], 3)

    office(work)
