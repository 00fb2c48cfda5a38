"""Accounts of people whom a provider vouches for: who they are here, what they may, and when that ends."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from entrepot.access.identity import Identity
from entrepot.auth.options import Options
from entrepot.auth.provider import Provider, ProviderGroup, ProviderUnreachable
from entrepot.auth.store import links
from entrepot.errors import NotAuthenticated, TooManyRequests
from entrepot.kit.listing import Listing
from tests.integration.auth.desk import PASSWORD, Desk, Office, origin
from tests.integration.auth.moving_clock import MovingClock
from tests.integration.auth.people import People, PeopleProvider

TTL = 300


@pytest.fixture
def people() -> People:
    people = People()
    people.add("alice", "alice-at-corp", "dev", "ops", email="alice@corp.test", is_email_verified=True)
    people.add("bob", "bob-at-corp", "dev")
    return people


@pytest.fixture
def hired(office: Office, people: People) -> Office:
    return hire(office, people)


def hire(office: Office, *sources: People, **more: Any) -> Office:
    """The office, with these sources of people."""
    by_name = {source.name: source for source in sources}

    def build(options: Options) -> Provider:
        return PeopleProvider(options, by_name[options.name])

    office.providers = [source.options(**more) for source in sources]
    office.build = build
    return office


async def enter(desk: Desk, name: str, password: str) -> Identity:
    return await desk.identifier.log_in(name, password, origin(principal=""))


async def groups_of(desk: Desk, user_id: int) -> set[str]:
    names = set()
    for group in (await desk.groups.list(Listing(page_size=100)))[0]:
        users, _ = await desk.groups.list_users(group.id, Listing())
        if user_id in {found for found, _ in users}:
            names.add(group.name)
    return names


def test_the_first_login_makes_the_account_with_profile_and_groups(hired: Office) -> None:
    async def work(desk: Desk) -> None:
        identity = await enter(desk, "alice", "alice-at-corp")
        user = await desk.user("alice")
        assert identity.principal == user.principal
        assert (user.source, user.email, user.password_hash, user.administers) == ("corp", "alice@corp.test", "", False)
        assert await groups_of(desk, user.id) == {"dev", "ops"}
        kinds = [event["kind"] for event in await desk.events() if event["principal"] == "alice"]
        assert kinds == ["UserCreated", "IdentityLinked", "MembershipsChanged", "LoggedIn"]
        (login,) = await desk.events("LoggedIn")
        assert login["provider"] == "corp"

    hired(work)


def test_a_password_that_was_right_costs_no_round_trip_for_a_while(hired: Office, people: People) -> None:
    async def work(desk: Desk) -> None:
        for _ in range(50):
            await enter(desk, "alice", "alice-at-corp")
        assert people.asked == 1

    hired(work)


def test_a_wrong_password_is_a_failed_login_and_is_throttled(hired: Office, people: People) -> None:
    async def work(desk: Desk) -> None:
        for number in range(6):
            with pytest.raises(NotAuthenticated):
                await enter(desk, "alice", f"wrong-{number}")
        with pytest.raises(TooManyRequests):
            await enter(desk, "alice", "wrong-again")
        assert people.asked == 6
        assert len(await desk.events("LoginFailed")) == 6

    hired(work)


def test_the_same_name_at_two_sources_and_here_is_three_accounts(office: Office, people: People) -> None:
    other = People("lab")
    other.add("alice", "alice-at-lab")
    hire(office, people, other)

    async def work(desk: Desk) -> None:
        await desk.add("alice")
        here = await enter(desk, "alice", PASSWORD)
        corp = await enter(desk, "alice", "alice-at-corp")
        lab = await enter(desk, "alice", "alice-at-lab")
        names = [identity.principal.name for identity in (here, corp, lab)]
        assert names == ["alice", "alice@corp", "alice@lab"]
        assert (await enter(desk, "alice@lab", "alice-at-lab")).principal == lab.principal
        with pytest.raises(NotAuthenticated):
            await enter(desk, "alice@lab", "alice-at-corp")

    office(work)


def test_the_first_accounts_password_leaves_for_nobody(hired: Office, people: People) -> None:
    people.add("admin", "admin-at-corp")

    async def work(desk: Desk) -> None:
        assert (await enter(desk, "admin", PASSWORD)).principal.id == 1
        with pytest.raises(NotAuthenticated):
            await enter(desk, "admin", "admin-at-corp")
        assert people.asked == 0

    hired(work)


def test_an_address_links_only_where_the_operator_says_so(office: Office, people: People) -> None:
    async def with_address(desk: Desk) -> str:
        await desk.users.create(origin(), "jane", "Some-Password-1", email="Alice@corp.test")
        return (await enter(desk, "alice", "alice-at-corp")).principal.name

    trusted = office.copy_to(office.folder.parent / "trusted")
    assert hire(office, people)(with_address) == "alice"
    assert hire(trusted, people, link_by_email=True)(with_address) == "jane"


def test_an_unverified_address_or_the_first_accounts_links_nobody(office: Office, people: People) -> None:
    hire(office, people, link_by_email=True)
    people.change("alice", is_email_verified=False)
    people.change("bob", email="root@corp.test", is_email_verified=True)

    async def work(desk: Desk) -> None:
        await desk.users.create(origin(), "jane", "Some-Password-1", email="alice@corp.test")
        await desk.users.update(origin(), 1, email="root@corp.test")
        assert (await enter(desk, "alice", "alice-at-corp")).principal.name == "alice"
        assert (await enter(desk, "bob", "bob-at-corp")).principal.id != 1

    office(work)


def test_an_address_that_somebody_entered_for_themselves_links_nobody(office: Office, people: People) -> None:
    hire(office, people, link_by_email=True)

    async def work(desk: Desk) -> None:
        await desk.users.create(origin(), "mallory", "Some-Password-1", email="alice@corp.test", is_registration=True)
        assert (await enter(desk, "alice", "alice-at-corp")).principal.name == "alice"
        people.change("bob", email="bob@corp.test", is_email_verified=True)
        mallory = await desk.user("mallory")
        await desk.users.update(origin(principal="mallory"), mallory.id, email="bob@corp.test")
        assert (await enter(desk, "bob", "bob-at-corp")).principal.name == "bob"

    office(work)


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        ("robot$x", "robot-x"),
        ("CORP\\jane", "CORP-jane"),
        ("anonymous", "anonymous@corp"),
        ("Jürgen Ö", "J-rgen"),
        ("$$", "user"),
    ],
)
def test_what_cannot_be_a_name_becomes_one(hired: Office, people: People, called: str, expected: str) -> None:
    people.add("x", "a-password", name=called)

    async def work(desk: Desk) -> None:
        assert (await enter(desk, "x", "a-password")).principal.name == expected

    hired(work)


def test_groups_and_rights_follow_the_source_within_its_time(
    hired: Office, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovingClock(monkeypatch)

    async def work(desk: Desk) -> None:
        user_id = (await enter(desk, "alice", "alice-at-corp")).principal.id
        assert user_id is not None
        cookie = await desk.sessions.begin(await desk.user("alice"), origin())
        people.change(
            "alice",
            groups=(ProviderGroup("cn=dev,dc=corp", "dev"), ProviderGroup("cn=new,dc=corp", "new")),
            is_admin=True,
        )
        caller = await desk.identifier.identify("", origin(), session=cookie)
        assert not caller.principal.is_admin
        clock.advance(TTL + 1)
        caller = await desk.identifier.identify("", origin(), session=cookie)
        assert caller.principal.is_admin
        assert await groups_of(desk, user_id) == {"dev", "new"}
        _, second = await desk.events("MembershipsChanged")
        assert (second["added"], second["removed"]) == (["new"], ["ops"])
        assert [event["is_admin"] for event in await desk.events("AdminChanged")] == [True]

    hired(work)


def test_who_is_gone_there_is_gone_here_with_every_credential(
    hired: Office, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovingClock(monkeypatch)

    async def work(one: Desk, two: Desk) -> None:
        await enter(one, "alice", "alice-at-corp")
        caller = await one.caller("alice", credential="basic")
        _, token = await one.tokens.create(caller, caller.principal.id or 0, "ci", None, None)
        cookie = await one.sessions.begin(await one.user("alice"), origin())
        basic = "Basic " + base64.b64encode(b"alice:" + token.encode()).decode()
        del people.known["alice"]
        assert (await two.identifier.identify(f"Bearer {token}", origin())).principal.name == "alice"
        clock.advance(TTL + 1)
        for credential in (f"Bearer {token}", basic):
            with pytest.raises(NotAuthenticated):
                await two.identifier.identify(credential, origin())
        assert (await one.identifier.identify("", origin(), session=cookie)).principal.is_anonymous
        assert len(await one.events("IdentityGone")) == 1
        people.add("alice", "alice-is-back")
        assert (await enter(one, "alice", "alice-is-back")).principal.name == "alice"
        assert (await two.identifier.identify(f"Bearer {token}", origin())).principal.name == "alice"

    hired.both(work)


def test_without_the_switch_only_the_rights_from_there_end(
    office: Office, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    hire(office, people, disable_when_gone=False)
    clock = MovingClock(monkeypatch)

    async def work(desk: Desk) -> None:
        people.change("alice", is_admin=True)
        await enter(desk, "alice", "alice-at-corp")
        user = await desk.user("alice")
        cookie = await desk.sessions.begin(user, origin())
        del people.known["alice"]
        clock.advance(TTL + 1)
        caller = await desk.identifier.identify("", origin(), session=cookie)
        assert (caller.principal.name, caller.principal.is_admin) == ("alice", False)
        assert await groups_of(desk, user.id) == set()

    office(work)


def test_a_silent_source_fails_its_logins_and_nothing_else(
    hired: Office, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovingClock(monkeypatch)

    async def work(desk: Desk) -> None:
        await enter(desk, "alice", "alice-at-corp")
        cookie = await desk.sessions.begin(await desk.user("alice"), origin())
        people.is_silent = True
        with pytest.raises(ProviderUnreachable, match="corp does not answer now"):
            await enter(desk, "bob", "bob-at-corp")
        assert await desk.events("LoginFailed") == []
        assert (await enter(desk, "admin", PASSWORD)).principal.id == 1
        clock.advance(TTL + 1)
        asked = people.asked
        for _ in range(20):
            caller = await desk.identifier.identify("", origin(), session=cookie)
            assert caller.principal.name == "alice"
        assert people.asked == asked + 1
        people.is_silent = False
        desk.directory._down.clear()  # ten seconds later
        assert (await enter(desk, "bob", "bob-at-corp")).principal.name == "bob"

    hired(work)


def test_a_source_that_is_down_slows_nobody_for_long(office: Office, people: People) -> None:
    down = People("down")
    down.is_silent, down.seconds = True, 0.05
    hire(office, down, people)

    async def work(desk: Desk) -> None:
        for name in ("alice", "bob"):
            assert (await enter(desk, name, f"{name}-at-corp")).principal.name == name
        assert down.asked == 1
        with pytest.raises(ProviderUnreachable):
            await enter(desk, "nobody", "whatever")

    office(work)


def test_a_source_that_cannot_tell_changes_nothing(
    hired: Office, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovingClock(monkeypatch)

    async def work(desk: Desk) -> None:
        await enter(desk, "alice", "alice-at-corp")
        user = await desk.user("alice")
        cookie = await desk.sessions.begin(user, origin())
        people.cannot_tell = True
        clock.advance(TTL + 1)
        await desk.identifier.identify("", origin(), session=cookie)
        asked = people.asked
        await desk.identifier.identify("", origin(), session=cookie)
        assert people.asked == asked
        assert await groups_of(desk, user.id) == {"dev", "ops"}

    hired(work)


def test_more_groups_than_are_taken_refuse_the_login(hired: Office, people: People) -> None:
    people.change("alice", groups=tuple(ProviderGroup(f"cn=g{n},dc=corp", f"g{n}") for n in range(1001)))

    async def work(desk: Desk) -> None:
        with pytest.raises(Exception, match="1001 groups") as refused:
            await enter(desk, "alice", "alice-at-corp")
        assert getattr(refused.value, "status", 0) == 401
        assert len(await desk.events("LoginFailed")) == 1

    hired(work)


def test_a_group_that_was_entered_before_belongs_to_the_only_source(office: Office, people: People) -> None:
    both = office.copy_to(office.folder.parent / "both")

    async def entered(desk: Desk) -> int:
        group_id = await desk.groups.create(origin(), "developers", 1, "cn=dev,dc=corp")
        user_id = (await enter(desk, "bob", "bob-at-corp")).principal.id
        users, _ = await desk.groups.list_users(group_id, Listing())
        return sum(found == user_id for found, _ in users)

    assert hire(office, people)(entered) == 1
    # With two sources nobody can say whose it is: a name at one of them must not give rights meant for the other.
    assert hire(both, people, People("lab"))(entered) == 0


def test_an_old_word_of_the_source_does_not_undo_a_newer_one(hired: Office, people: People) -> None:
    async def work(desk: Desk) -> None:
        user_id = (await enter(desk, "alice", "alice-at-corp")).principal.id
        assert user_id is not None
        (link,) = await links.of_user(desk.database, user_id)
        provider = await desk.directory.find("corp")
        assert provider is not None
        people.change("alice", is_admin=True)
        old = await desk.accounts.admit(
            people.known["alice"], provider.policy, origin(), vouched_at=link.checked_at - 1
        )
        assert not old.administers
        new = await desk.accounts.admit(
            people.known["alice"], provider.policy, origin(), vouched_at=link.checked_at + 1
        )
        assert new.administers

    hired(work)


def test_a_changed_description_makes_the_provider_anew_and_forgets_what_it_said(
    office: Office, people: People, tmp_path: Path
) -> None:
    hire(office, people)

    async def work(desk: Desk) -> None:
        await enter(desk, "alice", "alice-at-corp")
        first = await desk.directory.find("corp")
        desk.directory._fixed = (people.options(timeout=1.0),)
        await desk.settings.update(origin(), {"banner_message": ""})
        await desk.users.create(origin(), "jane", "Some-Password-1")  # any commit
        await enter(desk, "alice", "alice-at-corp")
        assert people.asked == 2
        assert await desk.directory.find("corp") is not first
        await desk.directory.close()
        assert isinstance(first, PeopleProvider)
        assert first.is_closed

    office(work)


def test_two_processes_ask_a_provider_once(hired: Office, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = MovingClock(monkeypatch)
    people.seconds = 0.1

    async def work(one: Desk, two: Desk) -> None:
        await enter(one, "alice", "alice-at-corp")
        cookie = await one.sessions.begin(await one.user("alice"), origin())
        asked = people.asked
        clock.advance(TTL + 1)
        await asyncio.gather(*(desk.identifier.identify("", origin(), session=cookie) for desk in (one, two) * 5))
        assert people.asked == asked + 1

    hired.both(work)


def test_who_does_not_tell_groups_takes_no_rights_away(hired: Office, people: People) -> None:
    people.change("alice", is_admin=True)

    async def work(desk: Desk) -> None:
        await enter(desk, "alice", "alice-at-corp")
        provider = await desk.directory.find("corp")
        assert provider is not None
        people.change("alice", groups=None, is_admin=False)
        user = await desk.accounts.admit(people.known["alice"], provider.policy, origin())
        assert user.administers
        assert await groups_of(desk, user.id) == {"dev", "ops"}

    hired(work)


def test_too_many_groups_all_at_once_take_nothing_from_who_is_in(
    hired: Office, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovingClock(monkeypatch)

    async def work(desk: Desk) -> None:
        await enter(desk, "alice", "alice-at-corp")
        user = await desk.user("alice")
        cookie = await desk.sessions.begin(user, origin())
        people.refuses = True
        clock.advance(TTL + 1)
        assert (await desk.identifier.identify("", origin(), session=cookie)).principal.name == "alice"
        assert await groups_of(desk, user.id) == {"dev", "ops"}

    hired(work)
