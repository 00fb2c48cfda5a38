"""Addresses, networks and the rules made of them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.kit.networks import (
    EVERYWHERE,
    AddressRules,
    contains,
    parse_address,
    parse_network,
    parse_networks,
    parse_rules,
    split_networks,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1%2", "192.0.2.1"),
    ],
)
def test_a_machine_is_the_same_however_its_address_is_written(text: str, address: str) -> None:
    assert parse_address(text) == ip_address(address)


@pytest.mark.parametrize(
    "text", ["", "unknown", "_hidden", "192.0.2", "192.0.2.1:80", "[::1]", "010.0.0.1", "1" * 5000]
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        (" 10.1.2.3/8 ", "10.0.0.0/8"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("::/90", "::/90"),
    ],
)
def test_networks_are_read_as_addresses_are_compared(text: str, network: str) -> None:
    assert parse_network(text) == ip_network(network)


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "fe80::%eth0/64", "example.com", "10.0.0.0/8,", "1" * 5000])
def test_what_is_no_network_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"write networks such as 10\.0\.0\.0/8"):
        parse_network(text)


def test_lists_lose_repetitions_and_blanks() -> None:
    assert split_networks(" 10.0.0.0/8, ,192.0.2.1,") == ["10.0.0.0/8", "192.0.2.1"]
    assert parse_networks(["10.0.0.0/8", "10.9.9.9/8"]) == (ip_network("10.0.0.0/8"),)


def test_without_rules_everybody_is_let_in() -> None:
    assert not EVERYWHERE
    assert EVERYWHERE.lets("192.0.2.1")
    assert EVERYWHERE.lets("garbage")


def test_an_allowed_network_shuts_out_all_others() -> None:
    rules = parse_rules(["10.0.0.0/8", "2001:db8::/32"], [])
    assert rules
    assert rules.lets("10.1.2.3")
    assert rules.lets("::ffff:10.1.2.3")
    assert rules.lets("2001:db8:1::1")
    assert not rules.lets("11.0.0.1")
    assert not rules.lets("2001:db9::1")


def test_what_is_denied_is_not_let_in_by_what_is_allowed() -> None:
    rules = parse_rules(["10.0.0.0/8"], ["10.6.0.0/16", "10.1.2.3"])
    assert rules.lets("10.1.2.4")
    assert not rules.lets("10.1.2.3")
    assert not rules.lets("10.6.6.6")
    assert parse_rules([], ["10.6.0.0/16"]).lets("192.0.2.1")


@pytest.mark.parametrize("address", ["", "unknown", "_secret", "localhost", "1.2.3.4:80"])
@pytest.mark.parametrize("rules", [parse_rules(["0.0.0.0/0", "::/0"], []), parse_rules([], ["192.0.2.1"])])
def test_what_is_no_address_is_refused_by_any_rule(rules: AddressRules, address: str) -> None:
    assert not rules.lets(address)


@given(st.text())
def test_no_text_whatever_makes_it_fail(text: str) -> None:
    parse_address(text)
    contains((ip_network("10.0.0.0/8"),), text)
    parse_rules(["10.0.0.0/8"], ["::/0"]).lets(text)


@given(st.ip_addresses(), st.lists(st.ip_addresses(), max_size=4), st.lists(st.ip_addresses(), max_size=4))
def test_rules_are_what_their_words_say(address: object, allow: list[object], deny: list[object]) -> None:
    rules = parse_rules(map(str, allow), map(str, deny))
    known, allowed, denied = ({parse_address(str(item)) for item in items} for items in ([address], allow, deny))
    assert rules.lets(str(address)) == (not known & denied and (not allowed or bool(known & allowed)))
