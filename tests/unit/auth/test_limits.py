"""How long who failed must wait, and who counts as one."""

from __future__ import annotations

import pytest

from entrepot.auth.logins import storable
from entrepot.auth.throttle import BY_ACCOUNT, BY_ACCOUNT_AND_ADDRESS, BY_ADDRESS, key_of, network_of


def test_five_failures_of_an_account_at_an_address_are_free_then_each_doubles_the_wait() -> None:
    waits = [BY_ACCOUNT_AND_ADDRESS.wait(failures) for failures in (0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 10**9)]
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_an_address_has_more_and_an_account_from_everywhere_most_and_waits_less() -> None:
    assert (BY_ADDRESS.wait(30), BY_ADDRESS.wait(31), BY_ADDRESS.wait(1000)) == (0, 1, 60)
    assert (BY_ACCOUNT.wait(100), BY_ACCOUNT.wait(101), BY_ACCOUNT.wait(1000)) == (0, 1, 10)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::2%eth1"),
    ],
)
def test_addresses_that_one_customer_has_anyhow_count_as_one(one: str, other: str) -> None:
    assert network_of(one) == network_of(other)


def test_others_count_apart_and_what_is_no_address_counts_as_it_is_written() -> None:
    assert (
        len({network_of(a) for a in ("192.0.2.1", "192.0.2.2", "2001:db8:1:2::1", "2001:db8:1:3::1", "", "unix")}) == 6
    )


def test_a_key_is_short_whatever_was_tried_and_its_parts_do_not_run_together() -> None:
    assert len(key_of("pair", "x" * 100_000, "\ud800\0")) < 50
    assert key_of("pair", "ab", "c") != key_of("pair", "a", "bc")


def test_a_name_that_was_tried_is_made_fit_for_the_journal() -> None:
    assert storable("x" * 1000) == "x" * 255
    assert storable("a\0b\ud800") == "a?b?"
