"""The LDAP provider against a real OpenLDAP: TLS, injection, groups, outages."""

from __future__ import annotations

import asyncio
import base64
import re
import time
import tomllib
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from entrepot.auth.options import LdapOptions
from entrepot.auth.provider import MOST_GROUPS, PersonRefused, ProviderUnreachable, ProviderUser
from entrepot.auth.providers.ldap import LdapProvider
from tests.certificates import Authority
from tests.contract.providers import linked
from tests.ldap_server import (
    BIND_DN,
    BIND_PASSWORD,
    GROUPS,
    PEOPLE,
    SUFFIX,
    Silent,
    Slapd,
    group,
    group_dn,
    password_of,
    person,
    require_slapd,
    user_dn,
)

T = TypeVar("T")

PAGE = Path(__file__).parents[2] / "docs" / "ldap.md"

BY_SEARCH: dict[str, Any] = {"membership_attribute": "", "group_base_dn": GROUPS}
BY_BOTH: dict[str, Any] = {"group_base_dn": GROUPS}
NESTED = ["admins", "developers", "platform", "ring-a", "ring-b"]
START_TLS_DONE = bytes.fromhex("300c02010178070a010004000400")
"""The answer to StartTLS: go ahead."""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    require_slapd()
    started = Slapd(tmp_path_factory.mktemp("slapd"))
    yield started
    started.stop()


@pytest.fixture
def own_slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """One that a test may stop."""
    require_slapd()
    started = Slapd(tmp_path_factory.mktemp("slapd"))
    yield started
    started.stop()


def run(slapd: Slapd, work: Callable[[LdapProvider], Awaitable[T]], **more: Any) -> T:
    async def outer() -> T:
        provider = LdapProvider(LdapOptions(**slapd.options(**more)))
        try:
            return await work(provider)
        finally:
            await provider.close()

    return uvloop.run(outer())


def log_in(slapd: Slapd, name: str = "alice", password: str = "", **more: Any) -> ProviderUser | None:
    return run(slapd, lambda provider: provider.log_in(name, password or password_of(name)), **more)


def names(person: ProviderUser | None) -> list[str]:
    assert person is not None
    return [group.name for group in person.groups or ()]


# TLS


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "vm"])
@pytest.mark.parametrize("is_ldaps", [True, False])
def test_both_ways_to_tls_check_certificate_and_host(slapd: Slapd, host: str, is_ldaps: bool) -> None:
    url = (slapd.ldaps_url if is_ldaps else slapd.url).replace("127.0.0.1", host)
    assert log_in(slapd, url=url, start_tls=not is_ldaps) is not None


@pytest.mark.parametrize("is_ldaps", [True, False])
def test_a_certificate_of_somebody_else_is_not_trusted_unless_the_operator_wants_so(
    slapd: Slapd, is_ldaps: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = str(Authority(tmp_path_factory.mktemp("other"), "Another authority").ca_file)
    more: dict[str, Any] = {"url": slapd.ldaps_url if is_ldaps else slapd.url, "start_tls": not is_ldaps}
    for ca_file in (other, ""):
        with pytest.raises(ProviderUnreachable, match="certificate is not trusted"):
            log_in(slapd, **more, ca_file=ca_file)
    assert log_in(slapd, **more, ca_file=other, verify_certificate=False) is not None


def test_a_certificate_for_another_host_is_not_trusted(own_slapd: Slapd) -> None:
    own_slapd.stop()
    own_slapd.authority.issue("vm", ["ldap.example.com"])
    own_slapd.start()
    with pytest.raises(ProviderUnreachable, match="certificate is not trusted"):
        log_in(own_slapd)


def test_a_replaced_authority_is_trusted_without_a_restart(own_slapd: Slapd) -> None:
    async def work(provider: LdapProvider) -> None:
        assert await provider.log_in("alice", password_of("alice")) is not None
        own_slapd.stop()
        own_slapd.authority = Authority(own_slapd.folder / "ca", "The next authority")
        own_slapd.authority.issue("vm", ["127.0.0.1"])
        own_slapd.start()
        assert await provider.log_in("alice", password_of("alice")) is not None

    run(own_slapd, work)


def test_a_ca_file_that_is_none_is_told(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty") / "ca.pem"
    for content in (None, b"no certificate"):
        if content:
            empty.write_bytes(content)
        with pytest.raises(ProviderUnreachable, match="cannot be read as a certificate"):
            log_in(slapd, ca_file=str(empty))


def test_what_is_put_in_behind_the_answer_to_start_tls_is_never_read() -> None:
    # The injected bytes are an answer to the bind that would follow inside TLS.
    bound = bytes.fromhex("300c02010261070a010004000400")
    silent = Silent(START_TLS_DONE + bound)
    options = LdapOptions(
        name="corp", url=f"ldap://127.0.0.1:{silent.port}", start_tls=True, base_dn=PEOPLE, timeout=0.5
    )
    try:
        with pytest.raises(ProviderUnreachable):
            uvloop.run(LdapProvider(options).probe())
    finally:
        silent.close()


# names and passwords


@pytest.mark.parametrize(
    "name",
    [
        "*",
        "a*",
        "*alice",
        "alice)(uid=*",
        "alice)(|(uid=*",
        "*)(objectClass=*",
        ")(uid=alice",
        "(uid=alice)",
        "\\61lice",
        "alice\\",
        "alice\\2a",
        "ali\0ce",
        "alice\0",
        "&",
        "",
        "alice,ou=people",
        "uid=alice",
        user_dn("alice"),
        "x" * 100_000,
        "\ud800",
    ],
)
def test_a_name_is_a_name_and_never_a_filter(slapd: Slapd, name: str) -> None:
    assert log_in(slapd, name, password_of("alice")) is None
    assert run(slapd, lambda provider: provider.find_person(name)) is None


def test_names_that_look_like_filters_are_found_as_what_they_are(slapd: Slapd) -> None:
    odd = "o*d(d)\\\\"
    plain = odd.replace("\\\\", "\\")
    slapd.add(
        f"dn: cn=odd,{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {plain}\ncn: odd\nsn: odd\nuserPassword: Odd-Secret-1\n"
    )
    found = log_in(slapd, plain, "Odd-Secret-1")
    assert found is not None
    assert found.name == plain
    assert [one.name for one in run(slapd, lambda provider: provider.search_people("*d("))] == [plain]
    slapd.delete(f"cn=odd,{PEOPLE}")


@pytest.mark.parametrize("password", ["", "\0", "x", "alice", "alice-secret-1", "*", "é" * 3000])
def test_a_wrong_password_is_wrong_and_an_empty_one_is_not_even_tried(slapd: Slapd, password: str) -> None:
    assert run(slapd, lambda provider: provider.log_in("alice", password)) is None


def test_passwords_may_hold_any_character(slapd: Slapd) -> None:
    password = "pä$$ \\*(wörd)\t😀"
    encoded = base64.b64encode(password.encode()).decode()
    slapd.add(person("odette").replace(f"userPassword: {password_of('odette')}", f"userPassword:: {encoded}"))
    assert log_in(slapd, "odette", password) is not None
    slapd.delete(user_dn("odette"))


def test_the_name_is_spelled_as_the_directory_does(slapd: Slapd) -> None:
    found = log_in(slapd, "ALICE", password_of("alice"))
    assert found is not None
    assert (found.name, found.email, found.real_name) == ("alice", "alice@example.com", "Alice Example")


def test_two_people_with_one_name_are_refused_and_a_filter_tells_them_apart(slapd: Slapd) -> None:
    slapd.add(
        f"dn: ou=guests,{PEOPLE}\nobjectClass: organizationalUnit\nou: guests\n\n"
        f"dn: cn=Other Bob,ou=guests,{PEOPLE}\nobjectClass: inetOrgPerson\nuid: bob\ncn: Other Bob\nsn: Bob\n"
        "userPassword: Other-Secret-1\n"
    )
    with pytest.raises(PersonRefused, match="several people"):
        log_in(slapd, "bob")
    assert log_in(slapd, "bob", filter="(mail=*@example.com)") is not None
    assert log_in(slapd, "bob", scope="one") is not None
    assert log_in(slapd, "bob", "Other-Secret-1", base_dn=f"ou=guests,{PEOPLE}") is not None
    slapd.delete(f"cn=Other Bob,ou=guests,{PEOPLE}")
    slapd.delete(f"ou=guests,{PEOPLE}")


# what never changes


def test_a_binary_subject_is_a_guid_and_survives_a_rename(slapd: Slapd) -> None:
    guid = uuid.UUID("12345678-9abc-def0-1122-334455667788")
    encoded = base64.b64encode(guid.bytes_le).decode()
    slapd.add(person("gina", f"objectGUID:: {encoded}", "sAMAccountName: GINA", "userAccountControl: 512"))
    more = {"subject_attribute": "objectGUID", "user_attribute": "sAMAccountName"}
    found = log_in(slapd, "gina", **more)
    assert found is not None
    assert (found.subject, found.name) == (str(guid), "GINA")
    slapd.modify(f"dn: {user_dn('gina')}\nchangetype: modrdn\nnewrdn: uid=regina\ndeleteoldrdn: 1\n")
    link = linked("GINA", "corp", found.subject)
    again = run(slapd, lambda provider: provider.look_up(link, ""), **more)
    assert again == found
    slapd.delete(user_dn("regina"))
    assert run(slapd, lambda provider: provider.look_up(link, ""), **more) is None


def test_bytes_that_are_no_text_are_a_subject_in_hexadecimal(slapd: Slapd) -> None:
    slapd.add(person("hex", "objectGUID:: AP/+"))
    more = {"subject_attribute": "objectGUID"}
    found = log_in(slapd, "hex", **more)
    assert found is not None
    assert found.subject == "hex:00fffe"
    link = linked("hex", "corp", found.subject)
    assert run(slapd, lambda provider: provider.look_up(link, ""), **more) == found
    slapd.delete(user_dn("hex"))


def test_entry_uuid_is_a_subject_and_who_has_none_is_refused(slapd: Slapd) -> None:
    found = log_in(slapd, subject_attribute="entryUUID")
    assert found is not None
    assert uuid.UUID(found.subject)
    with pytest.raises(PersonRefused, match="no usable objectGUID"):
        log_in(slapd, subject_attribute="objectGUID")


@pytest.mark.parametrize(
    "state",
    ["userAccountControl: 514", "accountExpires: 132223104000000000"],
    ids=["disabled", "expired"],
)
def test_an_account_that_active_directory_has_ended_is_nobody(slapd: Slapd, state: str) -> None:
    slapd.add(person("dora", state))
    link = linked("dora", "corp", user_dn("dora"))
    try:
        assert log_in(slapd, "dora") is None
        assert run(slapd, lambda provider: provider.look_up(link, "")) is None
        never = f"dn: {user_dn('dora')}\nchangetype: modify\nreplace: {state.split(':', maxsplit=1)[0]}\n"
        slapd.modify(never + (f"{state.split(':', maxsplit=1)[0]}: {'512' if '514' in state else 2**63 - 1}\n"))
        assert run(slapd, lambda provider: provider.look_up(link, "")) is not None
    finally:
        slapd.delete(user_dn("dora"))


def test_who_is_outside_of_base_or_filter_now_is_gone_and_a_base_that_is_gone_is_an_outage(slapd: Slapd) -> None:
    link = linked("alice", "corp", user_dn("alice"))
    look = lambda provider: provider.look_up(link, "")  # noqa: E731
    assert run(slapd, look, filter="(mail=*)") is not None
    assert run(slapd, look, filter="(mail=*@elsewhere.org)") is None
    assert run(slapd, look, base_dn=GROUPS) is None
    assert run(slapd, look, base_dn=SUFFIX, scope="one") is None
    for lost in (f"ou=lost,{SUFFIX}", "nonsense"):
        with pytest.raises(ProviderUnreachable, match=lost):
            run(slapd, look, base_dn=lost)
    lost_too = linked("x", "corp", f"uid=x,ou=lost,{SUFFIX}")
    for more in ({}, {"subject_attribute": "entryUUID"}):
        with pytest.raises(ProviderUnreachable, match="is not there"):
            run(slapd, lambda provider: provider.look_up(lost_too, ""), base_dn=f"ou=lost,{SUFFIX}", **more)


# groups


@pytest.mark.parametrize("more", [{}, BY_SEARCH, BY_BOTH], ids=["memberOf", "search", "both"])
def test_groups_of_groups_are_found_and_a_ring_of_groups_ends(slapd: Slapd, more: dict[str, Any]) -> None:
    found = log_in(slapd, **more)
    assert names(found) == NESTED
    assert found is not None
    assert found.groups is not None
    assert [g.key for g in found.groups] == [group_dn(name) for name in NESTED]
    assert names(log_in(slapd, **more, nested_groups=False)) == ["developers", "ring-a"]
    assert names(log_in(slapd, "bob", **more)) == []


@pytest.mark.parametrize("more", [{}, BY_SEARCH, BY_BOTH], ids=["memberOf", "search", "both"])
def test_who_is_in_the_admin_group_administers_by_way_of_other_groups_too(slapd: Slapd, more: dict[str, Any]) -> None:
    admins = f"CN=Admins , OU=groups,  {SUFFIX.upper()}"
    for name, is_admin in (("alice", True), ("carol", True), ("bob", False)):
        found = log_in(slapd, name, **more, admin_group=admins)
        assert found is not None
        assert found.is_admin is is_admin
    for more_ in ({"nested_groups": False}, {"admin_group": group_dn("developers,ou=x")}, {"admin_group": "nonsense"}):
        found = log_in(slapd, **{"admin_group": admins, **more, **more_})
        assert found is not None
        assert not found.is_admin


def test_without_groups_nobody_is_in_any_but_the_admin_group_is_asked_itself(slapd: Slapd) -> None:
    found = log_in(slapd, membership_attribute="", admin_group=group_dn("developers"))
    assert found is not None
    assert (found.groups, found.is_admin) == ((), True)


def test_groups_outside_of_where_groups_are_do_not_count(slapd: Slapd) -> None:
    slapd.add(
        f"dn: ou=other,{SUFFIX}\nobjectClass: organizationalUnit\nou: other\n\n"
        f"dn: cn=outside,ou=other,{SUFFIX}\nobjectClass: groupOfNames\ncn: outside\nmember: {user_dn('alice')}\n"
    )
    assert names(log_in(slapd)) == sorted([*NESTED, "outside"])
    assert names(log_in(slapd, **BY_BOTH)) == NESTED
    found = log_in(slapd, **BY_BOTH, admin_group=f"cn=outside,ou=other,{SUFFIX}")
    assert found is not None
    assert found.is_admin
    slapd.delete(f"cn=outside,ou=other,{SUFFIX}")
    slapd.delete(f"ou=other,{SUFFIX}")


@pytest.mark.parametrize("more", [{}, BY_SEARCH, BY_BOTH], ids=["memberOf", "search", "both"])
def test_only_groups_that_the_filter_wants_count(slapd: Slapd, more: dict[str, Any]) -> None:
    found = log_in(slapd, **more, group_filter="(|(cn=dev*)(cn=plat*))")
    assert names(found) == ["developers", "platform"]


def test_groups_that_hold_names_are_found(slapd: Slapd) -> None:
    slapd.add(
        f"dn: cn=posix,{GROUPS}\nobjectClass: posixGroup\ncn: posix\ngidNumber: 7\nmemberUid: alice\nmemberUid: x\n"
    )
    more = {**BY_SEARCH, "member_attribute": "memberUid"}
    assert names(log_in(slapd, **more)) == ["posix"]
    assert names(log_in(slapd, "ALICE", password_of("alice"), **more)) == ["posix"]
    found = log_in(slapd, **more, admin_group=f"cn=posix,{GROUPS}")
    assert found is not None
    assert found.is_admin
    slapd.delete(f"cn=posix,{GROUPS}")


def test_a_group_is_called_as_its_attribute_says(slapd: Slapd) -> None:
    slapd.add(group("odd\\2c name", [user_dn("bob")], "description: The Odd Ones").replace("cn: odd\\2c", "cn: odd,"))
    for more in ({}, BY_SEARCH):
        found = log_in(slapd, "bob", **more, group_attribute="description")
        assert names(found) == ["The Odd Ones"]
        assert names(log_in(slapd, "bob", **more, nested_groups=False)) == ["odd, name"]
        assert found is not None
        assert found.groups is not None
        assert found.groups[0].key == f"cn=odd\\, name,{GROUPS}"
    slapd.delete(f"cn=odd\\2c name,{GROUPS}")


def test_more_groups_than_are_taken_are_refused(own_slapd: Slapd) -> None:
    member = [user_dn("bob")]
    own_slapd.add("\n".join(group(f"team-{number:04}", member) for number in range(MOST_GROUPS)))
    for more in ({}, BY_SEARCH, BY_BOTH):
        assert len(names(log_in(own_slapd, "bob", **more, timeout=30))) == MOST_GROUPS
    own_slapd.add(group("one-more", member))
    for more in ({}, BY_SEARCH, BY_BOTH):
        with pytest.raises(PersonRefused, match="groups"):
            log_in(own_slapd, "bob", **more, timeout=30)


# outages


def test_a_directory_that_was_started_again_is_asked_again_at_once(own_slapd: Slapd) -> None:
    async def work(provider: LdapProvider) -> None:
        for _ in range(3):
            assert await provider.log_in("alice", password_of("alice")) is not None
            own_slapd.stop()
            own_slapd.start()
        own_slapd.stop()
        with pytest.raises(ProviderUnreachable, match="Connection refused"):
            await provider.log_in("alice", password_of("alice"))
        own_slapd.start()
        assert await provider.log_in("alice", password_of("alice")) is not None

    run(own_slapd, work)


def test_a_directory_that_falls_silent_in_the_middle_costs_its_timeout_and_nobody_else_anything(
    own_slapd: Slapd,
) -> None:
    async def work(provider: LdapProvider) -> None:
        assert await provider.log_in("alice", password_of("alice")) is not None
        own_slapd.pause()
        gaps: list[float] = []

        async def live_on() -> None:
            last = time.monotonic()
            while True:
                await asyncio.sleep(0.01)
                gaps.append(time.monotonic() - last)
                last = time.monotonic()

        ticking = asyncio.ensure_future(live_on())
        begun, worked = time.monotonic(), time.process_time()
        answers = await asyncio.gather(
            *(provider.log_in("alice", password_of("alice")) for _ in range(20)), return_exceptions=True
        )
        ticking.cancel()
        assert time.monotonic() - begun < 2.5
        assert time.process_time() - worked < 1
        assert max(gaps) < 0.5
        assert all(isinstance(answer, ProviderUnreachable) for answer in answers)
        assert {str(answer) for answer in answers} == {
            f"The directory corp at {own_slapd.url} does not answer: not within 1 seconds."
        }
        own_slapd.resume()
        assert await provider.log_in("alice", password_of("alice")) is not None

    run(own_slapd, work, timeout=1.0)


def test_a_directory_that_ends_during_logins_harms_only_those(own_slapd: Slapd) -> None:
    async def work(provider: LdapProvider) -> None:
        logins = [asyncio.ensure_future(provider.log_in("alice", password_of("alice"))) for _ in range(30)]
        await asyncio.sleep(0.03)
        own_slapd.stop()
        answers = await asyncio.gather(*logins, return_exceptions=True)
        assert all(isinstance(answer, ProviderUser | ProviderUnreachable) for answer in answers)
        assert any(isinstance(answer, ProviderUnreachable) for answer in answers)
        own_slapd.start()
        assert await provider.log_in("alice", password_of("alice")) is not None

    run(own_slapd, work)


@pytest.mark.parametrize("kind", ["plain", "ldaps", "start_tls", "after_start_tls"])
def test_a_server_that_takes_connections_and_says_nothing_is_unreachable(kind: str) -> None:
    silent = Silent(START_TLS_DONE if kind == "after_start_tls" else b"")
    scheme = "ldaps" if kind == "ldaps" else "ldap"
    options = LdapOptions(
        name="corp",
        url=f"{scheme}://127.0.0.1:{silent.port}",
        start_tls="start_tls" in kind,
        base_dn=PEOPLE,
        bind_dn=BIND_DN,
        bind_password=BIND_PASSWORD,
        timeout=0.4,
    )

    async def work() -> None:
        provider = LdapProvider(options)
        begun = time.monotonic()
        for attempt in (provider.probe(), provider.log_in("alice", "x"), provider.find_person("alice")):
            with pytest.raises(ProviderUnreachable, match=re.escape("does not answer: not within 0.4 seconds")) as told:
                await attempt
            assert BIND_PASSWORD not in told.value.message
        assert time.monotonic() - begun < 3
        await provider.close()

    try:
        uvloop.run(work())
        asyncio.run(work())
    finally:
        silent.close()


@pytest.mark.parametrize(
    "garbage",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 100, b"\x30\x84\xff\xff\xff\xff", b"0\x05\x02\x01\x07a\x00"],
    ids=["http", "zeros", "long", "other-number"],
)
def test_a_server_that_speaks_something_else_is_unreachable(garbage: bytes) -> None:
    silent = Silent(garbage)
    options = LdapOptions(name="corp", url=f"ldap://127.0.0.1:{silent.port}", base_dn=PEOPLE, timeout=0.5)
    try:
        with pytest.raises(ProviderUnreachable):
            uvloop.run(LdapProvider(options).probe())
    finally:
        silent.close()


def test_a_login_that_nobody_waits_for_any_more_leaves_nothing_behind(slapd: Slapd) -> None:
    async def work(provider: LdapProvider) -> None:
        for delay in (0, 0.001, 0.002, 0.004, 0.008):
            login = asyncio.ensure_future(provider.log_in("alice", password_of("alice")))
            await asyncio.sleep(delay)
            login.cancel()
            await asyncio.gather(login, return_exceptions=True)
            assert await provider.log_in("alice", password_of("alice")) is not None
        assert provider._directory._slots._value == provider.options.connections

    run(slapd, work)


def test_no_more_connections_than_wanted_are_kept(slapd: Slapd) -> None:
    async def work(provider: LdapProvider) -> None:
        await asyncio.gather(*(provider.find_person("alice") for _ in range(20)))
        assert 1 <= len(provider._directory._idle) <= 2
        await provider.close()
        assert not provider._directory._idle
        assert await provider.find_person("alice") is not None  # somebody still had it in hand
        assert not provider._directory._idle

    run(slapd, work, connections=2)


# probing


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"url": "ldap://127.0.0.1:1"}, "Connection refused"),
        ({"url": "ldap://no-such-host.invalid"}, "host name is not known"),
        ({"url": "ldap://127.0.0.1:99999"}, "no host or port that can be"),
        ({"url": "ldap://" + "a" * 300}, "host name cannot be one"),
        ({"bind_password": "wrong"}, "refuses bind_dn or bind_password"),
        ({"bind_password": ""}, "bind_password is empty"),
        ({"bind_dn": "nonsense"}, "refuses bind_dn or bind_password"),
        ({"base_dn": f"ou=nowhere,{SUFFIX}"}, "base_dn ou=nowhere"),
        ({"base_dn": "nonsense"}, "base_dn nonsense is not there"),
        ({"bind_dn": "", "bind_password": ""}, "anybody may not see it"),
    ],
)
def test_probing_says_what_is_wrong(slapd: Slapd, more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ProviderUnreachable) as told:
        run(slapd, lambda provider: provider.probe(), **more)
    assert reason in told.value.message
    assert BIND_PASSWORD not in told.value.message


def test_a_password_in_the_url_is_not_told(slapd: Slapd) -> None:
    with pytest.raises(ProviderUnreachable) as told:
        run(slapd, lambda provider: provider.probe(), url="ldap://somebody:Url-Secret-1@127.0.0.1:1")
    assert "ldap://127.0.0.1:1" in told.value.message
    assert "Url-Secret-1" not in told.value.message


@pytest.mark.parametrize("field", ["filter", "group_filter"])
def test_a_filter_that_is_none_is_told(slapd: Slapd, field: str) -> None:
    for text in ("(uid)", "((", "(&(a=b)", "(" * 5000):
        with pytest.raises(ProviderUnreachable, match="is no LDAP filter"):
            log_in(slapd, **BY_SEARCH, **{field: text})


# the page


def test_the_example_of_the_page_works(slapd: Slapd) -> None:
    block = re.search(r"^```toml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert block is not None
    [example] = tomllib.loads(block[1])["identity"]["ldap"]
    del example["bind_password_file"], example["name"]
    here = {"url": slapd.url, "ca_file": slapd.ca_file, "bind_password": BIND_PASSWORD}
    found = log_in(slapd, **example | here)
    assert names(found) == NESTED
    assert found is not None
    assert found.is_admin
    assert uuid.UUID(found.subject)


# for administrators


def test_people_and_groups_are_searched_by_a_part_of_their_names(slapd: Slapd) -> None:
    async def work(provider: LdapProvider) -> None:
        assert [(p.name, p.email) for p in await provider.search_people("")] == [
            (name, f"{name}@example.com") for name in ("alice", "bob", "carol")
        ]
        assert [p.name for p in await provider.search_people("LI")] == ["alice"]
        assert await provider.search_people("*") == []
        assert [g.name for g in await provider.search_groups()] == NESTED
        assert [g.name for g in await provider.search_groups("ring")] == ["ring-a", "ring-b"]
        found = await provider.search_groups(dn=f"CN=Platform, {GROUPS}")
        assert [(g.name, g.key) for g in found] == [("platform", group_dn("platform"))]
        for dn in (f"cn=nobody,{GROUPS}", user_dn("alice"), "nonsense"):
            assert await provider.search_groups(dn=dn) == []
        person = await provider.find_person("alice")
        assert person is not None
        assert names(person) == NESTED

    run(slapd, work, **BY_BOTH)
