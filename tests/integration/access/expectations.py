"""What the permission table expects: who asks, what each role may do, whom a route without a place is for.

Written down once more from harbor-api.md, 1.2, and not taken from the code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tests.integration.access.served import HARBOR, OWN
from tests.integration.rig import PASSWORD, image

# what every role may do

LETTERS = {"C": "create", "R": "read", "U": "update", "D": "delete", "L": "list", "<": "pull", ">": "push"}
ROLES = {"projectAdmin": 1, "maintainer": 4, "developer": 2, "guest": 3, "limitedGuest": 5}
PUBLIC = "public"
MATRIX = """
                    projectAdmin maintainer developer guest limitedGuest public
project             RUD          R          R         R     R            R
member              CRUDL        RL         RL        RL    -            -
metadata            CRUD         R          -         -     -            -
log                 L            -          -         -     -            -
label               CRUDL        CRUDL      RL        RL    -            RL
quota               R            R          R         R     R            -
repository          CRUDL<>      CRUDL<>    CRUL<>    RL<   RL<          L<
artifact            CRDL         CRDL       CRL       RL    RL           RL
tag                 CDL          CDL        CL        L     L            L
accessory           L            L          L         L     L            L
artifact-addition   R            R          R         R     R            R
artifact-label      CD           CD         CD        -     -            -
robot               CRUDL        RL         RL        RL    -            -
"""

Permission = tuple[str, str]


def _columns() -> dict[str, frozenset[Permission]]:
    heads, *lines = [line.split() for line in MATRIX.strip().splitlines()]
    return {
        head: frozenset((line[0], LETTERS[letter]) for line in lines for letter in line[index] if letter != "-")
        for index, head in enumerate(heads, start=1)
    }


BY_ROLE = _columns()
READING = {"read", "list"}
CUSTOM = frozenset({("project", "read"), ("repository", "read"), ("repository", "pull"), ("log", "list")})
PROJECT_ROBOT = frozenset({("repository", "pull"), ("repository", "push")})
TOKEN = frozenset({("repository", "pull")})
SYSTEM_ROBOT = frozenset(
    {("project", "create"), ("project", "list"), ("user", "list"), ("user", "update"), ("label", "create")}
)

# who asks


class Who(msgspec.Struct, frozen=True):
    """A kind of caller, and what is expected of it."""

    name: str
    inside: frozenset[Permission] = frozenset()
    """What it holds in the project, besides what everybody holds in a public one."""
    system: frozenset[Permission] = frozenset()
    only_in: str = ""
    """The beginning of the repositories that ``inside`` is limited to."""
    kind: str = "user"
    is_admin: bool = False
    is_auditor: bool = False
    has_token: bool = False

    def holds_system(self, permission: Permission) -> bool:
        return self.is_admin or permission in self.system or (self.is_auditor and permission[1] in READING)

    def holds(self, permission: Permission, target: Target, path: str | None) -> bool:
        if self.is_admin or (target.is_public and permission in BY_ROLE[PUBLIC]):
            return True
        if self.is_auditor and permission[1] in READING:
            return permission in BY_ROLE["projectAdmin"]
        return permission in self.inside and (path is None or path.startswith(self.only_in))


WHO = [
    Who("admin", is_admin=True),
    Who("auditor", is_auditor=True),
    *(Who(role, BY_ROLE[role]) for role in ROLES),
    Who("custom", CUSTOM),
    Who("limited", BY_ROLE["developer"], only_in="team/"),
    Who("outsider"),
    Who("groupie", BY_ROLE["developer"]),
    Who("project-robot", PROJECT_ROBOT, kind="robot"),
    Who("system-robot", system=SYSTEM_ROBOT, kind="robot"),
    Who("token", TOKEN, has_token=True),
    Who("anonymous", kind="nobody"),
]


class Target(msgspec.Struct, frozen=True):
    """A project, and what callers try to change: every path parameter by its name, what differs by route besides."""

    name: str
    is_public: bool
    path: dict[str, str]
    blob: str
    spare: dict[str, int]


# what it takes to call what has no rule with a place


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One way to call a route, and whom it is for."""

    expected: Callable[[Who, Target], bool]
    query: Callable[[Target], dict[str, Any]] = lambda _target: {}
    body: Callable[[Target], Any] = lambda _target: None
    path: Callable[[Target], dict[str, str]] = lambda _target: {}


def everybody(_who: Who, _target: Target) -> bool:
    return True


def _known(who: Who, _target: Target) -> bool:
    return who.kind != "nobody"


def _people(who: Who, _target: Target) -> bool:
    return who.kind == "user"


def _people_without_token(who: Who, _target: Target) -> bool:
    return who.kind == "user" and not who.has_token


def _admins(who: Who, _target: Target) -> bool:
    return who.is_admin


def _in_system(resource: str, action: str) -> Callable[[Who, Target], bool]:
    return lambda who, _target: who.holds_system((resource, action))


def _in_project(resource: str, action: str) -> Callable[[Who, Target], bool]:
    return lambda who, target: who.holds((resource, action), target, None)


def _creates_projects(who: Who, _target: Target) -> bool:
    return ("project", "create") in who.system or (who.kind == "user" and not who.has_token)


def _sees_permissions(who: Who, _target: Target) -> bool:
    return who.is_admin or who.name in {
        "projectAdmin",
        "token",
    }  # the list is the same for all who administer a project


def _robot(action: str) -> list[Case]:
    """A robot account of the system, and one of the project."""
    return [
        Case(
            expected=_in_system("robot", action),
            path=lambda target: {"robot_id": str(target.spare["system_robot"])},
            body=lambda target: _robot_body(target, "system"),
        ),
        Case(expected=_in_project("robot", action), body=lambda target: _robot_body(target, "project")),
    ]


def _robot_body(target: Target, level: str, name: str = "") -> dict[str, Any]:
    name = name or ("project-target" if level == "project" else f"{target.name}-target")
    pull = {"kind": "project", "namespace": target.name, "access": [{"resource": "repository", "action": "pull"}]}
    return {"name": name, "level": level, "duration": -1, "permissions": [pull]}


def _label(action: str) -> list[Case]:
    """A global label, and one of the project."""
    system = _known if action in READING else _in_system("label", action)
    return [
        Case(
            expected=system,
            path=lambda target: {"label_id": str(target.spare["global_label"])},
            query=lambda _target: {"scope": "g"},
            body=lambda _target: {"name": "another", "scope": "g"},
        ),
        Case(
            expected=_in_project("label", action),
            query=lambda target: {"scope": "p", "project_id": target.path["project_id"]},
            body=lambda target: {"name": "another", "scope": "p", "project_id": int(target.path["project_id"])},
        ),
    ]


ONE_TOKEN = f"{OWN}/users/current/tokens/{{token_id}}"
ELSEWHERE: dict[str, list[Case]] = {
    f"GET {HARBOR}/permissions": [Case(expected=_sees_permissions)],
    f"GET {HARBOR}/users/current/permissions": [Case(expected=_known)],
    # An account of this registry has no CLI secret; what is asked here is who gets as far as being told so.
    f"PUT {HARBOR}/users/{{user_id}}/cli_secret": [
        Case(expected=_admins, body=lambda _target: {"secret": "Correct-horse-9"})
    ],
    f"POST {OWN}/users/current/cli-secret": [Case(expected=_people_without_token)],
    f"DELETE {OWN}/users/current/cli-secret": [Case(expected=_people_without_token)],
    f"POST {HARBOR}/users": [
        Case(expected=_in_system("user", "create"), body=lambda _target: {"username": "new", "password": PASSWORD})
    ],
    f"GET {HARBOR}/users/current": [Case(expected=_known)],
    f"GET {HARBOR}/users/search": [Case(expected=_known, query=lambda _target: {"username": "a"})],
    f"GET {HARBOR}/users/{{user_id}}": [Case(expected=_in_system("user", "read"))],
    f"PUT {HARBOR}/users/{{user_id}}": [Case(expected=_in_system("user", "update"))],
    f"PUT {HARBOR}/users/{{user_id}}/password": [
        Case(
            expected=_in_system("user", "update"),
            body=lambda _target: {"new_password": f"{PASSWORD}x", "old_password": PASSWORD},
        )
    ],
    # The right to change users makes nobody an administrator.
    f"PUT {HARBOR}/users/{{user_id}}/sysadmin": [Case(expected=_admins, body=lambda _target: {"sysadmin_flag": False})],
    f"PUT {OWN}/users/{{user_id}}/auditor": [Case(expected=_admins, body=lambda _target: {"auditor_flag": False})],
    f"GET {HARBOR}/usergroups/search": [Case(expected=_known, query=lambda _target: {"groupname": "a"})],
    f"GET {HARBOR}/robots": [
        Case(expected=_in_system("robot", "list")),
        Case(
            expected=_in_project("robot", "list"),
            query=lambda target: {"q": f"Level=project,ProjectID={target.path['project_id']}"},
        ),
    ],
    f"POST {HARBOR}/robots": [
        Case(expected=_in_system("robot", "create"), body=lambda target: _robot_body(target, "system", "another")),
        Case(expected=_in_project("robot", "create"), body=lambda target: _robot_body(target, "project", "another")),
    ],
    f"GET {HARBOR}/robots/{{robot_id}}": _robot("read"),
    f"PUT {HARBOR}/robots/{{robot_id}}": _robot("update"),
    f"PATCH {HARBOR}/robots/{{robot_id}}": _robot("update"),
    f"DELETE {HARBOR}/robots/{{robot_id}}": _robot("delete"),
    f"GET {OWN}/robots/{{robot_id}}": _robot("read"),
    f"GET {OWN}/robots/{{robot_id}}/secrets": _robot("read"),
    f"POST {OWN}/robots/{{robot_id}}/secrets": _robot("update"),
    f"DELETE {OWN}/robots/{{robot_id}}/secrets/{{secret_id}}": _robot("update"),
    f"GET {OWN}/robots/{{robot_id}}/trusts": _robot("read"),
    f"POST {OWN}/robots/{{robot_id}}/trusts": [
        msgspec.structs.replace(case, body=lambda _target: {"name": "ci", "issuer": "ci", "rule": 'ref == "x"'})
        for case in _robot("update")
    ],
    f"DELETE {OWN}/robots/{{robot_id}}/trusts/{{trust_id}}": _robot("update"),
    f"PUT {OWN}/robots/{{robot_id}}/networks": [
        msgspec.structs.replace(case, body=lambda _target: {"networks": []}) for case in _robot("update")
    ],
    f"GET {HARBOR}/projects": [Case(expected=everybody)],
    f"HEAD {HARBOR}/projects": [Case(expected=_known, query=lambda target: {"project_name": target.name})],
    f"POST {HARBOR}/projects": [
        Case(expected=_creates_projects, body=lambda target: {"project_name": f"{target.name}-new"})
    ],
    f"GET {HARBOR}/labels": _label("list"),
    f"POST {HARBOR}/labels": _label("create"),
    f"GET {HARBOR}/labels/{{label_id}}": _label("read"),
    f"PUT {HARBOR}/labels/{{label_id}}": _label("update"),
    f"DELETE {HARBOR}/labels/{{label_id}}": _label("delete"),
    f"GET {HARBOR}/repositories": [Case(expected=everybody)],
    f"GET {HARBOR}/search": [Case(expected=everybody, query=lambda target: {"q": target.name})],
    f"GET {HARBOR}/statistics": [Case(expected=_known)],
    f"GET {HARBOR}/icons/{{digest}}": [Case(expected=everybody)],
    f"GET {HARBOR}/audit-logs": [Case(expected=_known)],
    f"GET {HARBOR}/auditlog-exts": [Case(expected=_known)],
    f"GET {HARBOR}/ping": [Case(expected=everybody)],
    f"GET {HARBOR}/health": [Case(expected=everybody)],
    f"GET {HARBOR}/systeminfo": [Case(expected=everybody)],
    f"GET {HARBOR}/systeminfo/getcert": [Case(expected=everybody)],
    f"GET {OWN}/users/current/tokens": [Case(expected=_people)],
    f"POST {OWN}/users/current/tokens": [Case(expected=_people_without_token, body=lambda _target: {"name": "new"})],
    f"DELETE {ONE_TOKEN}": [Case(expected=_people_without_token)],
    f"GET {OWN}/roles": [Case(expected=_known)],
    f"GET {OWN}/roles/{{role_id}}": [Case(expected=_known)],
}

PROVIDER = {"kind": "ldap", "options": {"url": "ldaps://ldap.example.com", "base_dn": "dc=example"}}
BODIES: dict[str, Callable[[Target], Any]] = {
    f"PUT {HARBOR}/users/{{user_id}}": lambda _target: {"email": "", "realname": "", "comment": ""},
    f"POST {OWN}/identity-providers": lambda _target: PROVIDER | {"name": "corp"},
    f"PUT {OWN}/identity-providers/{{name}}": lambda _target: PROVIDER,
    f"POST {HARBOR}/usergroups": lambda _target: {"group_name": "another"},
    f"PUT {HARBOR}/usergroups/{{group_id}}": lambda _target: {"group_name": "renamed"},
    f"POST {OWN}/usergroups/{{group_id}}/users": lambda target: {"user_id": int(target.path["user_id"])},
    f"POST {HARBOR}/projects/{{project_name_or_id}}/members": lambda target: {
        "role_id": 5,
        "member_user": {"user_id": target.spare["unknown_user"]},
    },
    f"PUT {HARBOR}/projects/{{project_name_or_id}}/members/{{mid}}": lambda _target: {"role_id": 5},
    f"POST {OWN}/projects/{{project_name_or_id}}/grants": lambda target: {
        "role_id": 5,
        "member_user": {"user_id": target.spare["unknown_user"]},
    },
    f"PUT {OWN}/projects/{{project_name_or_id}}/grants/{{grant_id}}": lambda _target: {"role_id": 5},
    f"PUT {OWN}/projects/{{project_name_or_id}}/name": lambda target: {"name": target.name},
    f"PUT {HARBOR}/quotas/{{id}}": lambda _target: {"hard": {"storage": -1}},
    f"POST {OWN}/roles": lambda _target: role_body("another"),
    f"PUT {OWN}/roles/{{role_id}}": lambda _target: role_body("target"),
    f"PATCH {HARBOR}/robots/{{robot_id}}": lambda _target: {"secret": ""},
}
"""What a route needs besides an empty object, so that the verb itself is reached."""


def role_body(name: str) -> dict[str, Any]:
    return {"name": name, "permissions": [{"resource": "repository", "action": "pull"}]}


# /v2/: method, path, what it takes


class Distribution(msgspec.Struct, frozen=True):
    """An operation of ``/v2/``."""

    method: str
    path: str
    needs: Permission | None
    """In the repository; none: a login will do."""
    body: bytes = b""


PULL, PUSH = ("repository", "pull"), ("repository", "push")
OF_V2 = [
    Distribution("GET", "/v2/", None),
    Distribution("GET", "/v2/_catalog", None),
    Distribution("GET", "/v2/{name}/manifests/v1", PULL),
    Distribution("HEAD", "/v2/{name}/manifests/v1", PULL),
    Distribution("GET", "/v2/{name}/tags/list", PULL),
    Distribution("GET", "/v2/{name}/referrers/{blob}", PULL),
    Distribution("GET", "/v2/{name}/blobs/{blob}", PULL),
    Distribution("HEAD", "/v2/{name}/blobs/{blob}", PULL),
    Distribution("POST", "/v2/{name}/blobs/uploads/", PUSH),
    Distribution("GET", "/v2/{name}/blobs/uploads/8f5a7c1e-0000-4000-8000-000000000000", PUSH),
    Distribution("PATCH", "/v2/{name}/blobs/uploads/8f5a7c1e-0000-4000-8000-000000000000", PUSH),
    Distribution("PUT", "/v2/{name}/blobs/uploads/8f5a7c1e-0000-4000-8000-000000000000?digest={blob}", PUSH),
    Distribution("DELETE", "/v2/{name}/blobs/uploads/8f5a7c1e-0000-4000-8000-000000000000", PUSH),
    Distribution("PUT", "/v2/{name}/manifests/v2", PUSH, image(b"not there", [])),
    Distribution("DELETE", "/v2/{name}/manifests/v3", ("tag", "delete")),
    Distribution("DELETE", "/v2/{name}/manifests/{blob}", ("artifact", "delete")),
    Distribution("DELETE", "/v2/{name}/blobs/{blob}", ("artifact", "delete")),
]
REPOSITORIES = ("app", "team/api")
