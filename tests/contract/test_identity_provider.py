"""What every identity provider does. A new one adds one line to ``PROVIDERS`` of providers.py."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import uvloop

from entrepot.auth.provider import MOST_GROUPS, Provider, ProviderUnreachable
from tests.contract.providers import PROVIDERS, Source, linked

T = TypeVar("T")

GRACE = 1.5
"""Seconds that a busy machine may add to a time-out."""


@pytest.fixture(params=PROVIDERS)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    with PROVIDERS[request.param](tmp_path / "source") as opened:
        yield opened


def using(source: Source, work: Callable[[Provider], Awaitable[T]]) -> T:
    """Run ``work`` with a provider, on the event loop that the server runs."""

    async def run() -> T:
        provider = source.open()
        try:
            return await work(provider)
        finally:
            await provider.close()

    return uvloop.run(run())


def test_it_says_what_it_is(source: Source) -> None:
    async def work(provider: Provider) -> None:
        assert provider.name
        assert provider.kind in {"local", "ldap", "oidc"}
        assert provider.policy.cache_seconds >= 1

    using(source, work)


def test_a_name_and_its_password_are_a_person_and_others_are_nobody(source: Source) -> None:
    async def work(provider: Provider) -> None:
        person = await provider.log_in("alice", source.password or "anything")
        if not source.password:
            assert person is None
            return
        assert person is not None
        assert (person.provider, person.name) == (provider.name, "alice")
        assert person.subject
        assert person == await provider.log_in("alice", source.password)
        for name, password in [
            ("alice", source.password + "x"),
            ("alice", source.password.lower()),
            ("alice", ""),
            ("alice", "\0"),
            ("alice", f"{source.password}\0x"),
            ("alice", "\ud800"),
            ("nobody", source.password),
            ("", source.password),
            ("", ""),
            ("*", source.password),
            ("al*", source.password),
            ("alice\0", source.password),
            ("alice)(uid=*", source.password),
            ("\udfff", source.password),
        ]:
            assert await provider.log_in(name, password) is None, (name, password)

    using(source, work)


def test_a_person_is_looked_up_by_what_never_changes(source: Source) -> None:
    async def work(provider: Provider) -> None:
        link, credential = await source.link(provider)
        person = await provider.look_up(link, credential)
        assert person is not None
        assert (person.provider, person.subject, person.name) == (provider.name, link.subject, "alice")
        if source.password:
            assert person == await provider.log_in("alice", source.password)

    using(source, work)


def test_groups_are_told_as_a_whole_or_not_at_all(source: Source) -> None:
    async def work(provider: Provider) -> None:
        link, credential = await source.link(provider)
        person = await provider.look_up(link, credential)
        assert person is not None
        if not source.group:
            assert person.groups is None
            return
        assert person.groups is not None
        assert source.group in [group.name for group in person.groups]
        assert len({group.key for group in person.groups}) == len(person.groups) <= MOST_GROUPS
        assert all(group.key and group.name for group in person.groups)

    using(source, work)


def test_who_is_gone_there_is_nobody(source: Source) -> None:
    async def work(provider: Provider) -> None:
        link, credential = await source.link(provider)
        assert await provider.look_up(link, credential) is not None
        source.forget()
        assert await provider.look_up(link, credential) is None
        if source.password:
            assert await provider.log_in("alice", source.password) is None

    using(source, work)


def test_a_subject_that_is_none_is_nobody(source: Source) -> None:
    async def work(provider: Provider) -> None:
        _, credential = await source.link(provider)
        for subject in ("no such subject", "uid=nobody,dc=elsewhere", "99999999"):
            assert await provider.look_up(linked("alice", provider.name, subject), credential) is None

    if not source.password:
        pytest.skip("it is asked with a credential, which decides who is meant")
    using(source, work)


def test_what_does_not_answer_is_unreachable_within_its_timeout(source: Source) -> None:
    async def work(provider: Provider) -> None:
        assert source.stop is not None
        link, credential = await source.link(provider)
        await provider.probe()
        source.stop()
        attempts: list[Callable[[], Awaitable[object]]] = [
            provider.probe,
            lambda: provider.look_up(link, credential),
        ]
        if source.password:
            attempts.append(lambda: provider.log_in("alice", source.password))
        for attempt in attempts:
            begun = time.monotonic()
            with pytest.raises(ProviderUnreachable) as told:
                await attempt()
            assert time.monotonic() - begun < source.timeout + GRACE
            assert provider.name in told.value.message
            assert not source.password or source.password not in told.value.message

    if source.stop is None:
        pytest.skip("it is always there")
    using(source, work)


def test_it_is_closed_twice_without_harm(source: Source) -> None:
    async def work(provider: Provider) -> None:
        await provider.probe()
        await provider.close()

    using(source, work)
