"""Scopes as clients write them, and the one decision."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.access.model import (
    ACTIONS,
    DELETE,
    PULL,
    PUSH,
    Access,
    decide,
    may_list,
    parse_scopes,
    resource,
)
from entrepot.auth.model import ANONYMOUS, Principal, is_user_name
from entrepot.projects.model import Project

ADMIN = Principal(1, "admin", is_admin=True)
USER = Principal(2, "user")
PUBLIC = Project(1, "open", is_public=True)
PRIVATE = Project(2, "closed", is_public=False)


def test_a_scope_has_a_type_a_name_and_actions() -> None:
    assert parse_scopes(["repository:a/b:pull,push"]) == [Access("repository", "a/b", ("pull", "push"))]


def test_scopes_come_repeated_or_joined_by_spaces() -> None:
    expected = [Access("repository", "a", ("pull",)), Access("repository", "b", ("push",))]
    assert parse_scopes(["repository:a:pull", "repository:b:push"]) == expected
    assert parse_scopes(["repository:a:pull repository:b:push"]) == expected
    assert parse_scopes(["  repository:a:pull   repository:b:push "]) == expected


def test_a_name_may_hold_a_host_with_a_port() -> None:
    assert parse_scopes(["repository:localhost:5000/a:pull"]) == [Access("repository", "localhost:5000/a", ("pull",))]


def test_a_type_may_have_a_class() -> None:
    assert parse_scopes(["repository(plugin):a:pull"]) == [Access("repository", "a", ("pull",))]


def test_the_catalog_is_a_resource_too() -> None:
    assert parse_scopes(["registry:catalog:*"]) == [Access("registry", "catalog", ("*",))]


def test_a_scope_may_have_no_actions() -> None:
    assert parse_scopes(["repository:a:", "repository:b:,"]) == [
        Access("repository", "a", ()),
        Access("repository", "b", ()),
    ]


@pytest.mark.parametrize(
    "text", ["", " ", "x", ":", "::", "repository", "repository:a", "REPOSITORY:a:pull", "repository::pull"]
)
def test_what_cannot_be_read_is_left_out(text: str) -> None:
    assert parse_scopes([text, "repository:a:pull"]) == [Access("repository", "a", ("pull",))]


def test_no_scope_is_no_access() -> None:
    assert parse_scopes([]) == []


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_scopes_can_be_parsed(texts: list[str]) -> None:
    for access in parse_scopes(texts):
        assert access.type
        assert access.name
        assert all(access.actions)


def test_a_resource_is_named_as_the_catalog_shows_it() -> None:
    assert resource("app") == resource("library/app") == "repository:library/app"
    assert resource("Not A Name") is None


@pytest.mark.parametrize(
    ("principal", "project", "action", "may_create", "expected"),
    [
        *((ADMIN, PRIVATE, action, False, True) for action in ACTIONS),
        *((ADMIN, PUBLIC, action, False, True) for action in ACTIONS),
        *((someone, PUBLIC, PULL, True, True) for someone in (USER, ANONYMOUS)),
        *((someone, PUBLIC, action, True, False) for someone in (USER, ANONYMOUS) for action in (PUSH, DELETE)),
        *((someone, PRIVATE, action, True, False) for someone in (USER, ANONYMOUS) for action in ACTIONS),
        *((someone, None, action, True, False) for someone in (USER, ANONYMOUS) for action in ACTIONS),
        (ADMIN, None, PUSH, True, True),
        (ADMIN, None, PUSH, False, False),
    ],
)
def test_the_decision(
    principal: Principal, project: Project | None, action: str, may_create: bool, expected: bool
) -> None:
    assert decide(principal, project, action, may_create=may_create) is expected


def test_nobody_but_an_administrator_ever_writes() -> None:
    for principal, project, action, may_create in product(
        (USER, ANONYMOUS), (PUBLIC, PRIVATE, None), (PUSH, DELETE, "*", "admin", ""), (True, False)
    ):
        assert not decide(principal, project, action, may_create=may_create)


def test_everybody_with_an_account_may_ask_for_the_catalog() -> None:
    assert may_list(ADMIN)
    assert may_list(USER)
    assert not may_list(ANONYMOUS)


@pytest.mark.parametrize("name", ["admin", "a", "jane.doe@example.com", "A-b_c", "x" * 255])
def test_names_of_accounts(name: str) -> None:
    assert is_user_name(name)


@pytest.mark.parametrize("name", ["", ".a", "a b", "a:b", "a\n", "é", "x" * 256, "a/b", "-a"])
def test_what_names_no_account(name: str) -> None:
    assert not is_user_name(name)
