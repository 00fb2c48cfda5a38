"""The table of roles in docs/roles.md is the code's."""

from __future__ import annotations

from pathlib import Path

from entrepot.access.permissions import (
    DEVELOPER,
    GUEST,
    LIMITED_GUEST,
    MAINTAINER,
    PROJECT_ADMIN,
    PUBLIC,
    Permission,
)

PAGE = Path(__file__).parents[3] / "docs" / "roles.md"
_LETTERS = {"create": "C", "read": "R", "update": "U", "delete": "D", "list": "L"}
_COLUMNS: dict[str, frozenset[Permission]] = {
    "anybody, if public": PUBLIC,
    **{role.name: role.permissions for role in (LIMITED_GUEST, GUEST, DEVELOPER, MAINTAINER, PROJECT_ADMIN)},
}


def cell(permissions: frozenset[Permission], resource: str) -> str:
    actions = {action for held, action in permissions if held == resource}
    letters = "".join(letter for action, letter in _LETTERS.items() if action in actions)
    words = sorted(actions - _LETTERS.keys())
    return " ".join(part for part in (letters, *words) if part)


def matrix() -> str:
    """The table as the page has it; print it to renew the page."""
    resources = sorted({resource for permissions in _COLUMNS.values() for resource, _ in permissions})
    rows = [["resource", *_COLUMNS], ["---"] * (len(_COLUMNS) + 1)]
    rows += [
        [f"`{resource}`", *(cell(permissions, resource) for permissions in _COLUMNS.values())] for resource in resources
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def test_the_page_on_roles_has_the_matrix_that_the_code_judges_by() -> None:
    assert matrix() in PAGE.read_text("utf-8"), f"Put this table into {PAGE}:\n\n{matrix()}"


def test_a_right_that_only_one_role_has_would_be_seen() -> None:
    assert cell(frozenset({("tag", "list"), ("tag", "create"), ("tag", "retag")}), "tag") == "CL retag"
    assert cell(frozenset(), "tag") == ""


if __name__ == "__main__":
    print(matrix())  # noqa: T201 - it is a generator then
