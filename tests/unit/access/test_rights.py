"""Scopes as clients write them, and the one decision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.access.model import (
    ACTIONS,
    DELETE_ARTIFACT,
    DELETE_TAG,
    PULL,
    PUSH,
    Access,
    check_pattern,
    decide_system,
    is_within,
    may_list,
    parse_scopes,
    resource,
    rights_in,
)
from entrepot.access.permissions import (
    DEVELOPER,
    GUEST,
    LIMITED_GUEST,
    MAINTAINER,
    PROJECT_ADMIN,
    PROJECT_PERMISSIONS,
    SYSTEM_PERMISSIONS,
    Permission,
    Role,
)
from entrepot.auth.model import ANONYMOUS, Principal, ScopeEntry, is_user_name
from entrepot.errors import InvalidInput
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
    ("principal", "project", "permission", "expected"),
    [
        *((ADMIN, project, permission, True) for project in (PRIVATE, PUBLIC) for permission in ACTIONS.values()),
        *((someone, PUBLIC, PULL, True) for someone in (USER, ANONYMOUS)),
        *((someone, PUBLIC, action, False) for someone in (USER, ANONYMOUS) for action in (PUSH, DELETE_ARTIFACT)),
        *((someone, PRIVATE, action, False) for someone in (USER, ANONYMOUS) for action in ACTIONS.values()),
    ],
)
def test_without_a_role_one_pulls_what_is_public(
    principal: Principal, project: Project, permission: Permission, expected: bool
) -> None:
    assert rights_in(principal, project, ()).allows(permission, "app") is expected


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (PROJECT_ADMIN, {PULL, PUSH, DELETE_ARTIFACT, DELETE_TAG, ("member", "create")}),
        (MAINTAINER, {PULL, PUSH, DELETE_ARTIFACT, DELETE_TAG}),
        (DEVELOPER, {PULL, PUSH}),
        (GUEST, {PULL}),
        (LIMITED_GUEST, {PULL}),
    ],
)
def test_a_role_gives_what_its_column_says(role: Role, may: set[Permission]) -> None:
    rights = rights_in(USER, PRIVATE, [(role.permissions, (), ())])
    for permission in (PULL, PUSH, DELETE_ARTIFACT, DELETE_TAG, ("member", "create")):
        assert rights.allows(permission, "app", ("v1",)) is (permission in may)


def test_the_matrix_has_as_many_permissions_as_harbor_s_roles() -> None:
    counts = [len(role.permissions) for role in (PROJECT_ADMIN, MAINTAINER, DEVELOPER, GUEST, LIMITED_GUEST)]
    assert counts == [75, 53, 36, 20, 14]
    assert (len(SYSTEM_PERMISSIONS), len(PROJECT_PERMISSIONS)) == (70, 70)


def test_a_grant_by_pattern_reaches_no_other_repository() -> None:
    rights = rights_in(USER, PRIVATE, [(DEVELOPER.permissions, ("backend/*", "shared/**", "app"), ())])
    for path in ("backend/api", "shared/a/b/c", "app"):
        assert rights.allows(PUSH, path)
    for path in ("backend/api/v2", "backend", "backendx", "frontend/web", "application", "app/x", "shared"):
        assert not rights.allows(PUSH, path)
    assert rights.patterns(PULL) == (("backend/*", "shared/**", "app"), None)


def test_a_grant_by_tag_limits_what_is_done_to_tags_and_no_pull() -> None:
    rights = rights_in(USER, PRIVATE, [(MAINTAINER.permissions, (), ("dev-*",))])
    assert rights.allows(PULL, "app")
    assert rights.allows(PUSH, "app", ("dev-1", "dev-2"))
    assert not rights.allows(PUSH, "app", ("dev-1", "v1"))
    assert not rights.allows(DELETE_TAG, "app", ("v1",))
    assert not rights.allows(DELETE_ARTIFACT, "app", ("",))


def test_several_grants_add_up() -> None:
    granted = [(GUEST.permissions, (), ()), (MAINTAINER.permissions, ("own/**",), ())]
    rights = rights_in(USER, PRIVATE, granted)
    assert rights.allows(PULL, "other")
    assert not rights.allows(PUSH, "other")
    assert rights.allows(DELETE_ARTIFACT, "own/x")


def test_a_token_s_scope_takes_away_and_never_adds() -> None:
    scope = (ScopeEntry("project", (PULL, PUSH), PRIVATE.id, ("a/**",)),)
    admin = Principal(1, "admin", is_admin=True, scope=scope)
    assert rights_in(admin, PRIVATE, ()).allows(PUSH, "a/x")
    assert not rights_in(admin, PRIVATE, ()).allows(PUSH, "b/x")
    assert not rights_in(admin, PRIVATE, ()).allows(DELETE_ARTIFACT, "a/x")
    assert not rights_in(admin, Project(9, "other", is_public=False), ()).allows(PULL, "a/x")
    guest = Principal(2, "user", scope=scope)
    assert not rights_in(guest, PRIVATE, [(GUEST.permissions, (), ())]).allows(PUSH, "a/x")
    assert not decide_system(admin, ("user", "list"))


def test_a_robot_has_its_own_rights_and_what_is_public() -> None:
    robot = Principal(7, "robot$ci", kind="robot", scope=(ScopeEntry("project", (PULL, PUSH), PRIVATE.id),))
    assert rights_in(robot, PRIVATE, ()).allows(PUSH, "x")
    assert not rights_in(robot, PRIVATE, ()).allows(DELETE_ARTIFACT, "x")
    assert rights_in(robot, PUBLIC, ()).allows(PULL, "x")
    assert not rights_in(robot, Project(9, "other", is_public=False), ()).allows(PULL, "x")
    assert not decide_system(robot, ("project", "create"))


def test_the_auditor_reads_everything_and_changes_nothing() -> None:
    auditor = Principal(3, "audrey", is_auditor=True)
    rights = rights_in(auditor, PRIVATE, ())
    for resource_, action in PROJECT_ADMIN.permissions:
        assert rights.allows((resource_, action), "x") is (action in {"read", "list"})
    assert decide_system(auditor, ("audit-log", "list"))
    assert not decide_system(auditor, ("user", "create"))


def test_one_scope_is_within_another() -> None:
    wide = (ScopeEntry("project", (PULL, PUSH), None, ("a/**",)),)
    assert is_within((ScopeEntry("project", (PULL,), 5, ("a/x",)),), wide)
    assert is_within((ScopeEntry("project", (PULL,), 5, ("a/b/*",)),), wide)
    for wider in (
        ScopeEntry("project", (PULL,), 5),
        ScopeEntry("project", (DELETE_ARTIFACT,), 5, ("a/x",)),
        ScopeEntry("project", (PULL,), None, ("b/**",)),
        ScopeEntry("system", (("user", "list"),)),
    ):
        assert not is_within((wider,), wide)
    assert not is_within((ScopeEntry("project", (PULL,), None),), (ScopeEntry("project", (PULL,), 5),))


@pytest.mark.parametrize("text", ["app", "a/b", "a/*", "a/**", "release-*", "*", "**", "V1.0_x-*"])
def test_what_is_a_pattern(text: str) -> None:
    assert check_pattern(text) == text


@pytest.mark.parametrize("text", ["", "a*b", "*a", "a/***", "a/*/b", "a b", "é", "a\n", "[a]", "x" * 256])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(InvalidInput):
        check_pattern(text)


def test_a_pattern_loses_the_project_that_it_begins_with() -> None:
    assert check_pattern("team-a/backend/*", "team-a") == "backend/*"


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
