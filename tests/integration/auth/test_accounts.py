"""Accounts: made, changed, deleted; who always stays."""

from __future__ import annotations

import pytest

from entrepot.auth.store import users as store
from entrepot.database import Transaction
from entrepot.errors import Conflict, Denied, InvalidInput, NotAuthenticated, NotFound
from entrepot.journal.model import SYSTEM
from entrepot.kit.listing import Condition, Listing, SortKey
from tests.integration.auth.accounts import disable
from tests.integration.auth.desk import PASSWORD, Desk, Office, origin

NEW = "Another-Password-2"


async def drop_admin(tx: Transaction) -> None:
    """As no verb does."""
    await store.delete_user(tx, 1)


async def cannot_log_in(desk: Desk, name: str, password: str) -> None:
    with pytest.raises(NotAuthenticated):
        await desk.users.log_in(name, password, origin())


def test_an_account_is_made_once_and_the_journal_knows_by_whom(office: Office) -> None:
    async def work(desk: Desk) -> None:
        user_id = await desk.users.create(origin(), "jane", NEW, email="jane@example.org", real_name="Jane Doe")
        user = await desk.users.log_in("jane", NEW, origin())
        assert (user.id, user.email, user.real_name, user.is_admin, user.is_auditor) == (
            user_id,
            "jane@example.org",
            "Jane Doe",
            False,
            False,
        )
        with pytest.raises(Conflict):
            await desk.users.create(origin(), "jane", NEW)
        created = (await desk.events("UserCreated"))[-1]
        assert (created["principal"], created["operation"], created["resource"]) == ("admin", "create", "jane")
        assert len(await desk.events("UserCreated")) == 2  # the first start made admin

    office(work)


@pytest.mark.parametrize(
    "name", ["", "a b", "-a", "robot$x", "x" * 256, "a\0b", "anonymous", "System", "jane\ud800", "é"]
)
def test_what_cannot_name_an_account_is_refused(office: Office, name: str) -> None:
    async def work(desk: Desk) -> None:
        with pytest.raises(InvalidInput) as refused:
            await desk.users.create(origin(), name, NEW)
        assert refused.value.error_code == "BAD_REQUEST"

    office(work)


def test_no_account_can_take_a_name_that_would_be_a_robots(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await desk.settings.update(SYSTEM, {"robot_name_prefix": "bot-"})
        with pytest.raises(InvalidInput, match="bot-"):
            await desk.users.create(origin(), "bot-jane", NEW)

    office(work)


def test_the_rules_for_passwords_can_be_set(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await desk.settings.update(SYSTEM, {"entrepot_password_min_length": 12, "entrepot_password_classes": 4})
        for password in ("Short-1", "Eleven-char", "twelve-and-1-more"):
            with pytest.raises(InvalidInput):
                await desk.users.create(origin(), "jane", password)
            with pytest.raises(InvalidInput):
                await desk.users.set_password(origin(), "admin", password)
        await desk.settings.update(SYSTEM, {"entrepot_password_min_length": 8, "entrepot_password_classes": 0})
        await desk.users.set_password(origin(), "admin", "xxxxxxxx")
        with pytest.raises(InvalidInput, match="user's name"):
            await desk.users.create(origin(), "jane-doe", "Jane-Doe")

    office(work)


def test_a_new_password_ends_the_old_one_at_once_in_every_process(office: Office) -> None:
    async def work(one: Desk, two: Desk) -> None:
        for desk in (one, two):
            await desk.users.log_in("admin", PASSWORD, origin())
            await cannot_log_in(desk, "admin", NEW)
        before = await one.user()
        await two.users.set_password(origin(), "admin", NEW)
        for desk in (one, two):
            await cannot_log_in(desk, "admin", PASSWORD)
            await desk.users.log_in("admin", NEW, origin())
        assert (await one.user()).credential_version == before.credential_version + 1
        assert len(await one.events("PasswordChanged")) == 1

    office.both(work)


def test_the_present_password_must_be_right_where_it_is_asked_for(office: Office) -> None:
    async def work(desk: Desk) -> None:
        with pytest.raises(Denied):
            await desk.users.set_password(origin(), 1, NEW, old="wrong")
        with pytest.raises(Denied):
            await desk.users.set_password(origin(), 1, NEW, old="")
        with pytest.raises(InvalidInput, match="present one"):
            await desk.users.set_password(origin(), 1, PASSWORD, old=PASSWORD)
        await desk.users.set_password(origin(), 1, NEW, old=PASSWORD)
        await desk.users.log_in("admin", NEW, origin())
        with pytest.raises(NotFound):
            await desk.users.set_password(origin(), "nobody", NEW)
        assert len(await desk.events("LoginFailed")) == 2

    office(work)


def test_only_the_password_itself_is_right_however_long(office: Office) -> None:
    async def work(desk: Desk) -> None:
        longest = "aB3" + "x" * 1021
        await desk.users.set_password(origin(), "admin", longest)
        await cannot_log_in(desk, "admin", longest + "y")
        await desk.users.log_in("admin", longest, origin())

    office(work)


def test_admin_is_made_once_and_a_weak_password_is_refused_at_the_start(office: Office) -> None:
    async def work(desk: Desk) -> None:
        assert await desk.users.ensure_admin(NEW) is None
        assert await desk.users.ensure_admin(None) is None
        await desk.users.log_in("admin", PASSWORD, origin())
        await desk.add("root", is_admin=True)
        await desk.database.write(drop_admin)
        with pytest.raises(InvalidInput):
            await desk.users.ensure_admin("short")
        made = await desk.users.ensure_admin(None)
        assert made is not None
        await desk.users.log_in("admin", made, origin())

    office(work)


def test_a_profile_changes_only_where_something_is_said(office: Office) -> None:
    async def work(desk: Desk) -> None:
        user_id = await desk.users.create(origin(), "jane", NEW, email="jane@example.org", comment="new")
        await desk.users.update(origin(), user_id, real_name="Jane Doe", comment="")
        user = await desk.user("jane")
        assert (user.email, user.real_name, user.comment) == ("jane@example.org", "Jane Doe", "")
        await desk.users.update(origin(), user_id, real_name="Jane Doe")
        [event] = await desk.events("UserUpdated")
        assert event["changes"] == {"real_name": "Jane Doe", "comment": ""}
        for email in ("jane", "jane@", "@example.org", "a b@example.org", "a@b", "x@example.org\n"):
            with pytest.raises(InvalidInput):
                await desk.users.update(origin(), user_id, email=email)
        with pytest.raises(NotFound):
            await desk.users.update(origin(), 999, comment="x")

    office(work)


def test_the_first_account_can_neither_be_deleted_nor_demoted(office: Office) -> None:
    async def work(desk: Desk) -> None:
        await desk.add("root", is_admin=True)
        with pytest.raises(Denied):
            await desk.users.delete(origin(), 1)
        with pytest.raises(Denied):
            await desk.users.set_admin(origin(), 1, is_admin=False)

    office(work)


def test_the_last_enabled_administrator_stays(office: Office) -> None:
    async def work(desk: Desk) -> None:
        root = await desk.add("root", is_admin=True)
        await disable(desk, "admin")
        with pytest.raises(Denied, match="last administrator"):
            await desk.users.set_admin(origin(), root.id, is_admin=False)
        with pytest.raises(Denied, match="last administrator"):
            await desk.users.delete(origin(), root.id)
        jane = await desk.add("jane")
        await desk.users.set_admin(origin(), jane.id, is_admin=True)
        await desk.users.set_admin(origin(), root.id, is_admin=False)
        await desk.users.delete(origin(), root.id)
        kinds = [e["kind"] for e in await desk.events("AdminChanged", "UserDeleted")]
        assert kinds == ["AdminChanged", "AdminChanged", "UserDeleted"]

    office(work)


def test_who_is_deleted_cannot_log_in_and_stays_in_the_journal(office: Office) -> None:
    async def work(one: Desk, two: Desk) -> None:
        jane = await one.add("jane")
        await two.users.log_in("jane", PASSWORD, origin(principal="jane"))
        await one.users.delete(origin(), jane.id)
        await cannot_log_in(two, "jane", PASSWORD)
        assert await two.users.find_by_id(jane.id) is None
        assert [e["resource"] for e in await one.events("LoggedIn", "UserDeleted")] == ["jane", "jane"]
        again = await two.add("jane")
        assert again.id > jane.id
        with pytest.raises(NotFound):
            await one.users.delete(origin(), jane.id)

    office.both(work)


def test_a_flag_that_is_set_already_is_no_event(office: Office) -> None:
    async def work(desk: Desk) -> None:
        jane = await desk.add("jane")
        for _ in range(2):
            await desk.users.set_auditor(origin(), jane.id, is_auditor=True)
            await desk.users.set_admin(origin(), jane.id, is_admin=True)
        user = await desk.user("jane")
        assert (user.is_auditor, user.is_admin) == (True, True)
        assert [e["kind"] for e in await desk.events("AuditorChanged", "AdminChanged")] == [
            "AuditorChanged",
            "AdminChanged",
        ]

    office(work)


def test_lists_are_filtered_ordered_and_counted(office: Office) -> None:
    async def work(desk: Desk) -> None:
        for name in ("jane", "janet", "mary-jane", "joe"):
            await desk.users.create(origin(), name, NEW, email=f"{name}@example.org")
        users, total = await desk.users.list(Listing(page=2, page_size=2))
        assert ([u.name for u in users], total) == (["janet", "mary-jane"], 5)
        condition = (Condition("email", "fuzzy", ("jane",)),)
        users, total = await desk.users.list(
            Listing(page_size=2, conditions=condition, sort=(SortKey("username", descending=True),))
        )
        assert ([u.name for u in users], total) == (["mary-jane", "janet"], 3)
        found, total = await desk.users.search(Listing(conditions=(Condition("username", "fuzzy", ("JANE",)),)))
        assert ([name for _, name in found], total) == (["jane", "janet", "mary-jane"], 3)
        with pytest.raises(InvalidInput):
            await desk.users.list(Listing(conditions=(Condition("password_hash", "fuzzy", ("a",)),)))

    office(work)
