"""How an account could be taken over, kept after its end, or guessed at, and why it cannot."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from entrepot.auth.model import ScopeEntry
from entrepot.auth.oidc_claims import ClaimReader
from entrepot.auth.options import OidcOptions, Options
from entrepot.auth.provider import Provider, ProviderGroup, ProviderUnreachable, ProviderUser
from entrepot.errors import EntrepotError, NotAuthenticated, TooManyRequests
from entrepot.kit.listing import Listing
from tests.integration.auth.desk import API, PASSWORD, Desk, Office, origin
from tests.integration.auth.moving_clock import MovingClock
from tests.integration.auth.people import People, PeopleProvider

TTL = 300


def hire(office: Office, *sources: People, more: dict[str, dict[str, Any]] | None = None) -> Office:
    """The office, with these sources of people; ``more`` are options by their names."""
    by_name = {source.name: source for source in sources}

    def build(options: Options) -> Provider:
        return PeopleProvider(options, by_name[options.name])

    office.providers = [source.options(**(more or {}).get(source.name, {})) for source in sources]
    office.build = build
    return office


async def enter(desk: Desk, name: str, password: str, address: str = "192.0.2.1") -> str:
    return (await desk.identifier.log_in(name, password, origin(address, ""))).principal.name


async def in_groups(desk: Desk, user_id: int) -> set[str]:
    found = set()
    for group in (await desk.groups.list(Listing(page_size=100)))[0]:
        users, _ = await desk.groups.list_users(group.id, Listing())
        found |= {group.name for member, _ in users if member == user_id}
    return found


# an address


def test_an_address_that_an_untrusted_source_has_verified_links_nobody(office: Office) -> None:
    """Else whoever runs a small source waits under the address of somebody who has not come yet."""
    small, corp = People("small"), People("corp")
    small.add("mallory", "mallory-at-small", email="ceo@corp.test", is_email_verified=True)
    corp.add("ceo", "ceo-at-corp", email="ceo@corp.test", is_email_verified=True)
    hire(office, small, corp, more={"corp": {"link_by_email": True}})

    async def work(desk: Desk) -> None:
        assert await enter(desk, "mallory", "mallory-at-small") == "mallory"
        assert await enter(desk, "ceo", "ceo-at-corp") == "ceo"

    office(work)


def test_an_address_counts_from_when_its_source_is_trusted_and_no_longer(office: Office) -> None:
    corp, lab = People("corp"), People("lab")
    corp.add("jane", "jane-at-corp", email="jane@corp.test", is_email_verified=True)
    for number in range(2):
        lab.add(f"jane{number}", "jane-at-lab", email="jane@corp.test", is_email_verified=True)

    async def first(desk: Desk) -> None:
        await enter(desk, "jane", "jane-at-corp")

    async def then(desk: Desk) -> str:
        await enter(desk, "jane", "jane-at-corp")
        return await enter(desk, "jane0", "jane-at-lab")

    hire(office, corp, lab, more={"lab": {"link_by_email": True}})(first)
    trusted = office.copy_to(office.folder.parent / "trusted")
    assert hire(office, corp, lab, more={"lab": {"link_by_email": True}})(then) == "jane0"
    both = {"lab": {"link_by_email": True}, "corp": {"link_by_email": True}}
    assert hire(trusted, corp, lab, more=both)(then) == "jane"


@pytest.mark.parametrize("address", ["boo\u212a@corp.test", "BOO\u212a@CORP.TEST"])
def test_an_address_that_only_looks_like_an_accounts_links_nobody(office: Office, address: str) -> None:
    """The Kelvin sign becomes a k in small letters."""
    corp = People("corp")
    corp.add("eve", "eve-at-corp", email=address, is_email_verified=True)
    hire(office, corp, more={"corp": {"link_by_email": True}})

    async def work(desk: Desk) -> None:
        await desk.users.create(origin(), "victim", "Some-Password-1", email="book@corp.test")
        assert await enter(desk, "eve", "eve-at-corp") == "eve"

    office(work)


def test_rights_that_came_to_a_local_account_by_its_address_end_at_the_source(
    office: Office, moving: MovingClock
) -> None:
    corp = People("corp")
    corp.add("jane", "jane-at-corp", "ops", email="jane@corp.test", is_email_verified=True, is_admin=True)
    hire(office, corp, more={"corp": {"link_by_email": True}})

    async def work(desk: Desk) -> None:
        await desk.users.create(origin(), "local-jane", "Some-Password-1", email="jane@corp.test")
        assert await enter(desk, "jane", "jane-at-corp") == "local-jane"
        user = await desk.user("local-jane")
        assert (user.administers, await in_groups(desk, user.id)) == (True, {"ops"})
        cookie = await desk.sessions.begin(user, origin())
        _, token = await desk.tokens.create(
            await desk.caller("local-jane", credential="basic"), user.id, "t", None, None
        )
        corp.change("jane", groups=(), is_admin=False)
        moving.advance(TTL + 1)
        for shown in ({"session": cookie}, {"authorization": f"Bearer {token}"}):
            caller = await desk.identifier.identify(
                shown.get("authorization", ""), origin(), session=shown.get("session", "")
            )
            assert not caller.principal.is_admin
        assert await in_groups(desk, user.id) == set()

    office(work)


# whoever manages users


def test_whoever_only_manages_users_does_not_take_over_an_administrator_of_a_provider(office: Office) -> None:
    corp = People("corp")
    corp.add("boss", "boss-at-corp", is_admin=True)
    hire(office, corp)

    async def work(desk: Desk) -> None:
        await enter(desk, "boss", "boss-at-corp")
        boss = await desk.user("boss")
        assert boss.administers
        assert not boss.is_admin
        permissions = [{"kind": "system", "access": [("user", "update"), ("user", "delete"), ("user", "read")]}]
        await desk.add_robot("keeper", "a-robots-Secret-1", scope=scope_of(permissions))
        async with desk.client() as http:
            http.auth = ("robot$keeper", "a-robots-Secret-1")
            path = f"{API}/users/{boss.id}"
            assert (await http.get(path)).status_code == 200
            answers = [
                await http.put(f"{path}/password", json={"new_password": "Taken-0ver-Now"}),
                await http.put(path, json={"email": "mallory@evil.test"}),
                await http.delete(path),
            ]
            assert [answer.status_code for answer in answers] == [403, 403, 403]

    office(work)


def scope_of(entries: list[dict[str, Any]]) -> Any:
    return tuple(ScopeEntry(entry["kind"], tuple(entry["access"])) for entry in entries)


# guessing


@pytest.mark.parametrize(
    "spellings",
    [
        [" " * n + "alice" for n in range(40)],
        [f"{'aA'[n & 1]}{'lL'[n >> 1 & 1]}{'iI'[n >> 2 & 1]}{'cC'[n >> 3 & 1]}e" for n in range(16)],
        ["a\u0301lice", "\u00e1lice", "\uff21LICE", "al\u00adice"] * 4,
    ],
)
def test_other_spellings_of_a_name_are_not_more_guesses(office: Office, spellings: list[str]) -> None:
    """A directory takes many for one: capitals, spaces, accents, what is not seen."""
    corp = People("corp")
    corp.add("alice", "alice-at-corp")
    hire(office, corp)

    async def work(desk: Desk) -> int:
        guessed = 0
        for number, spelling in enumerate(spellings):
            try:
                await enter(desk, spelling, f"guess-{number}")
            except TooManyRequests:
                break
            except NotAuthenticated:
                guessed += 1
        return guessed

    assert office(work) <= 7


# a source that hangs


def test_a_source_that_hangs_delays_each_of_its_people_briefly_and_only_once(
    office: Office, moving: MovingClock
) -> None:
    corp = People("corp")
    for number in range(10):
        corp.add(f"user{number}", "a-password")
    hire(office, corp)

    async def work(desk: Desk) -> None:
        cookies = []
        for number in range(10):
            await enter(desk, f"user{number}", "a-password", f"192.0.2.{number}")
            cookies.append(await desk.sessions.begin(await desk.user(f"user{number}"), origin()))
        corp.seconds, corp.is_silent = 6.0, True
        moving.advance(TTL + 1)
        began = time.monotonic()
        await asyncio.gather(*(desk.identifier.identify("", origin(), session=cookie) for cookie in cookies[:5]))
        assert time.monotonic() - began < 4
        began = time.monotonic()
        for cookie in cookies:
            assert not (await desk.identifier.identify("", origin(), session=cookie)).principal.is_anonymous
        assert time.monotonic() - began < 1
        await asyncio.sleep(4.5)  # what was begun ends

    office(work)


def test_a_slow_answer_counts_though_nobody_waited_for_it(office: Office, moving: MovingClock) -> None:
    corp = People("corp")
    corp.add("alice", "alice-at-corp", is_admin=True)
    hire(office, corp)

    async def work(desk: Desk) -> None:
        await enter(desk, "alice", "alice-at-corp")
        cookie = await desk.sessions.begin(await desk.user("alice"), origin())
        corp.change("alice", is_admin=False)
        corp.seconds = 3.0
        moving.advance(TTL + 1)
        await desk.identifier.identify("", origin(), session=cookie)
        await asyncio.sleep(2)
        assert not (await desk.identifier.identify("", origin(), session=cookie)).principal.is_admin

    office(work)


def test_many_who_ask_at_once_about_a_source_that_hangs_are_turned_away(office: Office) -> None:
    corp = People("corp")
    corp.seconds, corp.is_silent = 1.5, True
    hire(office, corp)

    async def work(desk: Desk) -> None:
        began = time.monotonic()
        answers = await asyncio.gather(
            *(desk.directory.log_in(f"user{number}", "guess") for number in range(400)), return_exceptions=True
        )
        assert all(isinstance(answer, EntrepotError) for answer in answers)
        assert corp.asked <= 100
        assert time.monotonic() - began < 3
        assert await enter(desk, "admin", PASSWORD) == "admin"

    office(work)


# a source that says nothing any more


def test_rights_end_where_groups_are_not_read_any_more() -> None:
    options = OidcOptions(name="sso", endpoint="https://sso.test", client_id="x", groups_claim="")
    person = ClaimReader(options).person({"sub": "1", "preferred_username": "alice", "groups": ["admins"]})
    assert person.groups == ()
    assert not person.is_admin


def test_groups_of_two_sources_with_one_name_stay_two(office: Office) -> None:
    corp, lab = People("corp"), People("lab")
    corp.add("alice", "alice-at-corp", "admins")
    lab.add("mallory", "mallory-at-lab", "admins")
    hire(office, corp, lab)

    async def work(desk: Desk) -> None:
        await enter(desk, "alice", "alice-at-corp")
        await enter(desk, "mallory", "mallory-at-lab")
        alice, mallory = await desk.user("alice"), await desk.user("mallory")
        assert await in_groups(desk, alice.id) == {"admins"}
        assert await in_groups(desk, mallory.id) == {"admins@lab"}

    office(work)


def test_a_group_entered_by_hand_of_another_kind_is_not_the_sources(office: Office) -> None:
    corp = People("corp")
    corp.add("mallory", "mallory-at-corp")
    corp.change("mallory", groups=(ProviderGroup("devs", "devs"),))
    hire(office, corp)

    async def work(desk: Desk) -> None:
        made_here = await desk.groups.create(origin(), "devs")
        oidc = await desk.groups.create(origin(), "devs-of-sso", 3)
        await enter(desk, "mallory", "mallory-at-corp")
        for group_id in (made_here, oidc):
            assert (await desk.groups.list_users(group_id, Listing()))[1] == 0

    office(work)


# what strangers learn


class Vouching(PeopleProvider):
    """A provider that knows its tokens again, if it can be reached."""

    async def of_bearer(self, token: str) -> tuple[ProviderUser, float] | None:
        await self._wake()
        person = self._people.known.get(token)
        return (person, time.time() + 60) if person else None


def test_a_provider_that_is_away_keeps_no_other_from_its_tokens_and_strangers_do_not_learn_where_it_is(
    office: Office,
) -> None:
    away, corp = People("away"), People("corp")
    away.is_silent = True
    corp.add("alice")
    by_name = {source.name: source for source in (away, corp)}
    office.providers = [source.options() for source in by_name.values()]
    office.build = lambda options: Vouching(options, by_name[options.name])

    async def work(desk: Desk) -> None:
        caller = await desk.identifier.identify("Bearer alice", origin(), is_rest=True)
        assert caller.principal.name == "alice"
        with pytest.raises(ProviderUnreachable, match="away does not answer now") as refused:
            await desk.identifier.identify("Bearer somebody", origin(), is_rest=True)
        assert "The directory" not in refused.value.message

    office(work)
