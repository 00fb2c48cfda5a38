"""Who a person is, by their claims."""

from __future__ import annotations

from typing import Any

import pytest

from entrepot.auth.oidc_claims import ClaimReader, find_claim, with_userinfo
from entrepot.auth.options import OidcOptions
from entrepot.auth.provider import PersonRefused, ProviderUser


def person(claims: dict[str, Any], *, are_all: bool = True, **more: Any) -> ProviderUser:
    values: dict[str, Any] = {"name": "corp", "endpoint": "https://id.example", "client_id": "registry"}
    return ClaimReader(OidcOptions(**values | more)).person({"sub": "u-1"} | claims, are_all=are_all)


def names(found: ProviderUser) -> list[str] | None:
    return None if found.groups is None else [group.name for group in found.groups]


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "alice", "email": "a@example.com", "name": "Alice"}, "alice"),
        ({"email": "a@example.com", "name": "Alice"}, "a"),
        ({"name": "Alice"}, "Alice"),
        ({}, "u-1"),
        ({"preferred_username": 5, "email": ["x"], "name": "a\nb"}, "u-1"),
        ({"preferred_username": "x" * 300}, "u-1"),
    ],
)
def test_a_name_is_the_first_claim_that_is_there(claims: dict[str, Any], name: str) -> None:
    assert person(claims).name == name


def test_a_chosen_claim_is_the_name_or_nobody_gets_in() -> None:
    claims = {"preferred_username": "alice", "ext": {"login": "al"}}
    assert person(claims, user_claim="ext.login").name == "al"
    with pytest.raises(PersonRefused, match="has no claim uid"):
        person(claims, user_claim="uid")


@pytest.mark.parametrize(
    ("verified", "counts"), [(True, True), ("true", True), (False, False), ("yes", False), (1, False), (None, False)]
)
def test_an_address_is_verified_only_if_that_is_said(verified: Any, counts: bool) -> None:
    assert person({"email": "a@example.com", "email_verified": verified}).is_email_verified is counts
    assert not person({"email_verified": verified}).is_email_verified
    assert not person({"email": "a@example.com"}).is_email_verified


def test_the_verification_of_another_address_does_not_count() -> None:
    merged = with_userinfo(
        {"sub": "u", "email": "a@x"}, {"sub": "u", "email": "b@x", "email_verified": True, "name": "N"}
    )
    assert merged == {"sub": "u", "email": "a@x", "name": "N"}
    same = with_userinfo({"sub": "u", "email": "a@x"}, {"sub": "u", "email": "a@x", "email_verified": True})
    assert same["email_verified"] is True


@pytest.mark.parametrize(
    ("claim", "value", "listed"),
    [
        ("groups", ["a", "b", "a"], ["a", "b"]),
        ("groups", "one", ["one"]),
        ("groups", [], []),
        ("groups", ["", 5, None, ["x"], "a\0b", "ok"], ["ok"]),
        ("groups", {"a": 1}, []),
        ("groups", True, []),
    ],
)
def test_groups_are_a_list_of_texts_or_one(claim: str, value: Any, listed: list[str]) -> None:
    assert names(person({claim: value}, groups_claim=claim)) == listed


def test_groups_may_lie_inside_other_claims() -> None:
    claims = {
        "realm_access": {"roles": ["r"]},
        "resource_access": {"my.client": {"roles": ["c"]}},
        "https://example.com/groups": ["u"],
    }
    assert names(person(claims, groups_claim="realm_access.roles")) == ["r"]
    assert names(person(claims, groups_claim="resource_access.my.client.roles")) == ["c"]
    assert names(person(claims, groups_claim="https://example.com/groups")) == ["u"]
    assert find_claim({"a": {"b": 5}}, "a.b.c") is None
    assert find_claim({"a": 1}, "." * 200) is None


def test_no_groups_are_none_where_everything_was_said_and_unknown_elsewhere() -> None:
    assert names(person({}, groups_claim="groups")) == []
    assert names(person({}, groups_claim="groups", are_all=False)) is None
    assert names(person({"groups": ["a"]})) == []
    assert names(person({"groups": ["a"]}, are_all=False)) is None


def test_the_filter_fits_whole_names_and_the_administrators_need_not_pass_it() -> None:
    claims = {"groups": ["team-a", "team-b", "my-team-a", "root"]}
    found = person(claims, groups_claim="groups", group_filter="team-.", admin_group="root")
    assert (names(found), found.is_admin) == (["team-a", "team-b"], True)
    assert not person(claims, groups_claim="groups").is_admin
    assert not person({"groups": "admins"}, groups_claim="groups", admin_group="admin").is_admin


def test_groups_out_of_all_measure_are_refused() -> None:
    with pytest.raises(PersonRefused, match="1001"):
        person({"groups": [str(number) for number in range(1001)]}, groups_claim="groups")
    with pytest.raises(PersonRefused, match="255"):
        person({"groups": ["x" * 256]}, groups_claim="groups")
    with pytest.raises(PersonRefused, match="too many"):
        person({"groups": ["x"] * 20_001}, groups_claim="groups")
    assert names(person({"groups": ["x" * 256, "y"]}, groups_claim="groups", group_filter="y")) == ["y"]


@pytest.mark.parametrize("claims", [{"_claim_names": {"groups": "src1"}}, {"hasgroups": True}])
def test_groups_that_entra_does_not_list_are_refused_with_a_sentence(claims: dict[str, Any]) -> None:
    with pytest.raises(PersonRefused, match="assigned to this application"):
        person(claims, groups_claim="groups")
    assert names(person(claims)) == []


@pytest.mark.parametrize("subject", [None, "", 5, "x" * 256, "a\nb"])
def test_nobody_is_refused(subject: Any) -> None:
    with pytest.raises(PersonRefused, match="no sub"):
        person({"sub": subject})
