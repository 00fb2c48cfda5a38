"""The permissions that exist, and which of them each built-in role has.

The names are Harbor's (harbor-api.md, 1.2 and 1.3). A cell of ``_MATRIX`` holds actions by letter: Create, Read,
Update, Delete, List.
"""

from __future__ import annotations

import msgspec

Permission = tuple[str, str]
"""Resource and action."""

PROJECT_SELF = "project"
"""The project itself; Harbor's roles write it as the empty resource."""

_WORDS = {"C": "create", "R": "read", "U": "update", "D": "delete", "L": "list"}
_ROLES = ("projectAdmin", "maintainer", "developer", "guest", "limitedGuest", "public")
_MATRIX = """
project             RUD         R           R           R       R       R
member              CRUDL       RL          RL          RL      -       -
metadata            CRUD        R           -           -       -       -
log                 L           -           -           -       -       -
label               CRUDL       CRUDL       RL          RL      -       RL
quota               R           R           R           R       R       -
repository          CRUDL+pull+push CRUDL+pull+push CRUL+pull+push RL+pull RL+pull L+pull
artifact            CRDL        CRDL        CRL         RL      RL      RL
tag                 CDL         CDL         CL          L       L       L
accessory           L           L           L           L       L       L
artifact-addition   R           R           R           R       R       R
artifact-label      CD          CD          CD          -       -       -
scan                CR+stop     CR+stop     R           R       R       R
sbom                CR+stop     CR+stop     R           R       R       -
scanner             CR          R           R           R       R       R
tag-retention       CRUDL+operate CRUDL+operate CRUDL+operate - - -
immutable-tag       CUDL        CUDL        -           -       -       -
robot               CRUDL       RL          RL          RL      -       -
notification-policy CRUDL       RL          -           -       -       -
preheat-policy      CRUDL       -           -           -       -       -
configuration       RU          R           R           R       R       -
export-cve          CRL         CRL         CRL         -       -       -
"""

_SYSTEM = """
audit-log           L
preheat-instance    CRUDL
project             CL
replication-policy  CRUDL
replication         CRL
replication-adapter L
registry            CRUDL
scan-all            CRU+stop
system-volumes      R
garbage-collection  CRUL+stop
purge-audit         CRUL+stop
jobservice-monitor  L+stop
scanner             CRUDL
label               CRUD
security-hub        RL
catalog             R
quota               RUL
robot               CRDL
user                CRUDL
ldap-user           CL
user-group          CRUDL
"""

_PROJECT = """
log                 L
project             RUD
metadata            CRUDL
repository          RUDL+pull+push
artifact            CRDL
scan                CR+stop
sbom                CR+stop
tag                 CDL
accessory           L
artifact-addition   R
artifact-label      CD
scanner             CR
preheat-policy      CRUDL
immutable-tag       CUDL
notification-policy CRUDL
tag-retention       CRUDL
label               CRUDL
quota               R
robot               CRDL
export-cve          CR
member              CRUDL
"""


def _actions(cell: str) -> tuple[str, ...]:
    letters, *words = cell.split("+")
    return (*(_WORDS[letter] for letter in letters if letter != "-"), *words)


def _listed(table: str) -> tuple[Permission, ...]:
    lines = (line.split() for line in table.strip().splitlines())
    return tuple((resource, action) for resource, cell in lines for action in _actions(cell))


def _columns() -> dict[str, frozenset[Permission]]:
    rows = [line.split() for line in _MATRIX.strip().splitlines()]
    return {
        role: frozenset((row[0], action) for row in rows for action in _actions(row[index + 1]))
        for index, role in enumerate(_ROLES)
    }


SYSTEM_PERMISSIONS: tuple[Permission, ...] = _listed(_SYSTEM)
"""What a system robot account can be given over the whole registry."""

PROJECT_PERMISSIONS: tuple[Permission, ...] = _listed(_PROJECT)
"""What a robot account or a custom role can be given in a project."""

_BY_ROLE = _columns()

PUBLIC = _BY_ROLE["public"]
"""What anybody may do in a public project."""


class Role(msgspec.Struct, frozen=True):
    """A named set of permissions in a project."""

    id: int
    name: str
    permissions: frozenset[Permission]
    description: str = ""
    is_built_in: bool = True


PROJECT_ADMIN = Role(1, "projectAdmin", _BY_ROLE["projectAdmin"], "Everything in the project.")
DEVELOPER = Role(2, "developer", _BY_ROLE["developer"], "Push and pull.")
GUEST = Role(3, "guest", _BY_ROLE["guest"], "Pull, and see what is there.")
MAINTAINER = Role(4, "maintainer", _BY_ROLE["maintainer"], "Push, pull, delete; labels and rules.")
LIMITED_GUEST = Role(5, "limitedGuest", _BY_ROLE["limitedGuest"], "Pull, without seeing members or logs.")

BUILT_IN = {role.id: role for role in (PROJECT_ADMIN, DEVELOPER, GUEST, MAINTAINER, LIMITED_GUEST)}
FIRST_CUSTOM = 100
"""Ids below are kept for built-in roles."""

READING = frozenset({"read", "list"})
"""What the auditor of the system may do to everything; pulling content is not among it."""
