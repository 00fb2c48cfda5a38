"""Distinguished names: RFC 4514 as text, and when two are one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.auth.dn import dn_key, first_value, is_within, normalise_dn, parse_dn


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("CN=Devs,DC=Example,DC=Com", "cn=devs,dc=example,dc=com"),
        ("cn = devs , dc=example,  dc = com", "cn=devs,dc=example,dc=com"),
        ("cn=a  b,dc=x", "cn=a b,dc=x"),
        (r"cn=a\2c b,dc=x", r"cn=a\, b,dc=x"),
        (r"cn=J\c3\bcrgen,dc=x", "cn=jürgen,dc=x"),
        ("cn=ju\u0308rgen,dc=x", "cn=jürgen,dc=x"),
        ("ou=a+cn=b,dc=x", "CN=B + OU=A,dc=x"),
        (r"cn=\41lice", "cn=alice"),
        ("2.5.4.3=x", "2.5.4.3=X"),
        (r"cn=a\=b", "cn=a=b"),
        (r"cn=trailing\ ", "cn=trailing"),
        ("", "  "),
    ],
)
def test_two_spellings_of_one_name_are_equal(one: str, another: str) -> None:
    assert normalise_dn(one) == normalise_dn(another)


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("cn=a,dc=x", "cn=a\\,dc\\=x"),
        ("cn=a,dc=x", "cn=a+dc=x"),
        ("cn=straße,dc=x", "cn=strasse,dc=x"),
        (r"cn=a\+b", "cn=a+b=c"),
        ("cn=a,dc=x", "dc=x,cn=a"),
        ("cn=\uff41", "cn=a"),
        (r"cn=\#a", "cn=a"),
    ],
)
def test_names_that_differ_stay_apart(one: str, another: str) -> None:
    assert normalise_dn(one) != normalise_dn(another)


@pytest.mark.parametrize(
    "text", ["cn", "cn=a,", "=a", "cn=a,,dc=x", "cn=a\\", "cn=a\\4", ",", "a b=c", "x" * 5000, "1.=a"]
)
def test_what_is_no_name_is_refused_and_has_a_key_all_the_same(text: str) -> None:
    with pytest.raises(ValueError, match="DN"):
        parse_dn(text)
    assert dn_key(text) == dn_key(text.upper())


def test_the_first_value_is_what_people_read() -> None:
    assert first_value("CN=Team \\2c One,dc=x") == ("cn", "Team , One")
    assert first_value("nonsense") == ("", "nonsense")
    assert first_value("") == ("", "")


@pytest.mark.parametrize(
    ("dn", "scope", "expected"),
    [
        ("OU=People, dc=x", "base", True),
        ("uid=a,ou=people,dc=x", "base", False),
        ("uid=a,ou=people,dc=x", "one", True),
        ("uid=a,ou=deep,ou=people,dc=x", "one", False),
        ("uid=a,ou=deep,ou=people,dc=x", "subtree", True),
        ("ou=people,dc=x", "subtree", True),
        ("uid=a,ou=otherpeople,dc=x", "subtree", False),
        (r"uid=a\,ou=people,dc=x", "subtree", False),
        ("dc=x", "subtree", False),
        ("nonsense", "subtree", False),
    ],
)
def test_a_scope_holds_what_it_says(dn: str, scope: str, expected: bool) -> None:
    assert is_within(dn, "ou=people,dc=x", scope) is expected


values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(st.lists(values, min_size=1, max_size=4))
def test_any_value_is_read_back_from_its_escaped_form(parts: list[str]) -> None:
    text = ",".join("cn=" + "".join(f"\\{byte:02x}" for byte in part.encode()) for part in parts)
    assert [rdn[0][1] for rdn in parse_dn(text)] == parts
    once = normalise_dn(text)
    assert normalise_dn(once) == once
