"""What a password must be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.auth.strength import Strength, classes_of
from entrepot.errors import InvalidInput

USUAL = Strength(8, 3)


@pytest.mark.parametrize(
    "password", ["Password1", "correct horse 9", "UPPER-CASE-9", "語-Pässwörd", "aB3" + "x" * 1021]
)
def test_passwords_of_three_kinds_of_characters_pass(password: str) -> None:
    USUAL.check("jane", password)


@pytest.mark.parametrize(
    ("name", "password", "told"),
    [
        ("jane", "", "8 to 1024"),
        ("jane", "Short-1", "8 to 1024"),
        ("jane", "aB3" + "x" * 1022, "8 to 1024"),
        ("jane", "onlylowercase", "at least 3 of"),
        ("jane", "lower-and-more", "at least 3 of"),
        ("Jane-Doe-9", "jane-doe-9", "user's name"),
        ("jane", "Pass\ud800word9", "whole characters"),
    ],
)
def test_others_are_refused_with_what_they_need(name: str, password: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as refused:
        USUAL.check(name, password)
    assert not password or password not in refused.value.message


def test_kinds_of_characters_are_counted_once() -> None:
    assert [classes_of(text) for text in ("", "aa", "aA", "aA1", "aA1-", "ß", "語")] == [0, 1, 2, 3, 4, 1, 1]


@given(st.integers(8, 128), st.integers(0, 4))
def test_a_password_that_is_made_up_obeys_the_rules(shortest: int, classes: int) -> None:
    strength = Strength(shortest, classes)
    strength.check("admin", strength.make())
