"""Role × operation: every route of both REST APIs and of ``/v2/``, asked by every kind of caller.

What must come out is written down here once more, from harbor-api.md, 1.2, and not taken from the code. A route whose
rule names no place (``anyone``, ``login``, ``verb``) has its expectation in ``ELSEWHERE``: a new one without fails.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from entrepot.app import App
from entrepot.oci import digest as digests
from entrepot.web.rest import Route
from tests.integration.access.served import ADMIN, HARBOR, NOBODY, OWN, REFUSED, Credential, Served, basic, opened
from tests.integration.rig import PASSWORD, Bench, image

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


class Country(msgspec.Struct, frozen=True):
    """What was prepared: the two projects, and how everybody logs in to either."""

    targets: dict[str, Target]
    credentials: dict[tuple[str, str], Credential]


# what it takes to call what has no rule with a place


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One way to call a route, and whom it is for."""

    expected: Callable[[Who, Target], bool]
    query: Callable[[Target], dict[str, Any]] = lambda _target: {}
    body: Callable[[Target], Any] = lambda _target: None
    path: Callable[[Target], dict[str, str]] = lambda _target: {}


def _everybody(_who: Who, _target: Target) -> bool:
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
    f"PUT {OWN}/robots/{{robot_id}}/networks": [
        msgspec.structs.replace(case, body=lambda _target: {"networks": []}) for case in _robot("update")
    ],
    f"GET {HARBOR}/projects": [Case(expected=_everybody)],
    f"HEAD {HARBOR}/projects": [Case(expected=_known, query=lambda target: {"project_name": target.name})],
    f"POST {HARBOR}/projects": [
        Case(expected=_creates_projects, body=lambda target: {"project_name": f"{target.name}-new"})
    ],
    f"GET {HARBOR}/labels": _label("list"),
    f"POST {HARBOR}/labels": _label("create"),
    f"GET {HARBOR}/labels/{{label_id}}": _label("read"),
    f"PUT {HARBOR}/labels/{{label_id}}": _label("update"),
    f"DELETE {HARBOR}/labels/{{label_id}}": _label("delete"),
    f"GET {HARBOR}/repositories": [Case(expected=_everybody)],
    f"GET {HARBOR}/search": [Case(expected=_everybody, query=lambda target: {"q": target.name})],
    f"GET {HARBOR}/statistics": [Case(expected=_known)],
    f"GET {HARBOR}/icons/{{digest}}": [Case(expected=_everybody)],
    f"GET {HARBOR}/audit-logs": [Case(expected=_known)],
    f"GET {HARBOR}/auditlog-exts": [Case(expected=_known)],
    f"GET {HARBOR}/ping": [Case(expected=_everybody)],
    f"GET {HARBOR}/health": [Case(expected=_everybody)],
    f"GET {HARBOR}/systeminfo": [Case(expected=_everybody)],
    f"GET {HARBOR}/systeminfo/getcert": [Case(expected=_everybody)],
    f"GET {OWN}/users/current/tokens": [Case(expected=_people)],
    f"POST {OWN}/users/current/tokens": [Case(expected=_people_without_token, body=lambda _target: {"name": "new"})],
    f"DELETE {ONE_TOKEN}": [Case(expected=_people_without_token)],
    f"GET {OWN}/roles": [Case(expected=_known)],
    f"GET {OWN}/roles/{{role_id}}": [Case(expected=_known)],
}

BODIES: dict[str, Callable[[Target], Any]] = {
    f"PUT {HARBOR}/users/{{user_id}}": lambda _target: {"email": "", "realname": "", "comment": ""},
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
    f"POST {OWN}/roles": lambda _target: _role_body("another"),
    f"PUT {OWN}/roles/{{role_id}}": lambda _target: _role_body("target"),
    f"PATCH {HARBOR}/robots/{{robot_id}}": lambda _target: {"secret": ""},
}
"""What a route needs besides an empty object, so that the verb itself is reached."""


def _role_body(name: str) -> dict[str, Any]:
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


# the country


async def _populate(served: Served) -> Country:
    people = {name: await served.user(name) for name in [*ROLES, "auditor", "custom", "limited", "outsider", "groupie"]}
    owner = await served.user("owner")
    await served.done("PUT", f"{OWN}/users/{people['auditor']}/auditor", json={"auditor_flag": True})
    group = await served.made(f"{HARBOR}/usergroups", {"group_name": "developers"})
    await served.done("POST", f"{OWN}/usergroups/{group}/users", json={"user_id": people["groupie"]})
    custom = await served.made(f"{OWN}/roles", {"name": "custom", "permissions": _access(CUSTOM)})
    system = {"kind": "system", "namespace": "/", "access": _access(SYSTEM_ROBOT)}
    _, system_robot = await served.robot("system", system, level="system")
    targets, credentials = {}, {}
    for name in ("private", "public"):
        project_id = await served.project(f"{name}-before", is_public=name == "public")
        await served.done("PUT", f"{OWN}/projects/{project_id}/name", json={"name": name})
        for role, role_id in ROLES.items():
            await served.grant(name, people[role], role_id)
        await served.grant(name, people["custom"], custom)
        await served.grant(name, people["limited"], ROLES["developer"], repositories=["team/**"])
        await served.made(
            f"{OWN}/projects/{name}/grants", {"role_id": ROLES["developer"], "member_group": {"id": group}}
        )
        await served.grant(name, owner, ROLES["projectAdmin"])
        targets[name] = await _target(served, name, project_id)
        here = {"kind": "project", "namespace": name}
        _, robot = await served.robot("ci", {**here, "access": _access(PROJECT_ROBOT)})
        _, token = await served.token(basic("owner"), name, [{**here, "access": _access(TOKEN)}])
        own: dict[str, Credential] = {
            "project-robot": robot,
            "system-robot": system_robot,
            "token": basic("owner", token),
            "anonymous": NOBODY,
        }
        for who in WHO:
            credentials[who.name, name] = own.get(who.name) or (basic(who.name) if who.kind == "user" else NOBODY)
    return Country(targets, credentials)


def _access(permissions: Sequence[Permission] | frozenset[Permission]) -> list[dict[str, str]]:
    return [{"resource": resource, "action": action} for resource, action in sorted(permissions)]


async def _target(served: Served, name: str, project_id: int) -> Target:
    """What may be changed and deleted in a project, and beside it."""
    for repository in REPOSITORIES:
        digest, blob = await served.push(f"{name}/{repository}", "v1", "the same")
    user = await served.user(f"{name}-target")
    grant = await served.grant(name, user, ROLES["guest"])
    group = await served.made(f"{HARBOR}/usergroups", {"group_name": f"{name}-target"})
    label = await served.made(
        f"{HARBOR}/labels", {"name": "target", "scope": "p", "project_id": project_id, "color": "#ffffff"}
    )
    global_label = await served.made(f"{HARBOR}/labels", {"name": f"{name}-target", "scope": "g"})
    pull = {"kind": "project", "namespace": name, "access": _access(TOKEN)}
    robot, _ = await served.robot("project-target", pull)
    system_robot, _ = await served.robot(f"{name}-target", pull, level="system")
    role = await served.made(f"{OWN}/roles", _role_body(f"{name}-target"))
    path = {
        "project_name_or_id": name,
        "project_name": name,
        "project_id": str(project_id),
        "id": str(project_id),
        "user_id": str(user),
        "mid": str(grant),
        "grant_id": str(grant),
        "group_id": str(group),
        "label_id": str(label),
        "robot_id": str(robot),
        "secret_id": "1",
        "role_id": str(role),
        "token_id": "999999",
        "meta_name": "auto_scan",
        "name": f"{name}-before",
        "reference": digest,
        "tag_name": "v1",
        "addition": "build_history",
        "digest": digest,
    }
    spare = {"global_label": global_label, "system_robot": system_robot, "unknown_user": 999_999}
    return Target(name, name == "public", path, blob, spare)


@pytest.fixture(scope="module")
def country(prepared: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Country]:
    bench = prepared.copy_to(tmp_path_factory.mktemp("country") / "data")

    async def populate() -> Country:
        async with opened(bench.config()) as served:
            return await _populate(served)

    return bench, asyncio.run(populate())


# asking


class Call(msgspec.Struct, frozen=True):
    """One request, and whether it must be let in."""

    method: str
    path: str
    is_allowed: bool
    query: dict[str, Any] = {}
    body: Any = None


async def _routes(app: App) -> list[tuple[str, Route]]:
    apis = await app.load_rest()
    return [*((HARBOR, route) for route in apis.harbor_routes()), *((OWN, route) for route in apis.own_routes())]


def _order(item: tuple[str, Route]) -> tuple[int, int]:
    """Look first; delete last, and what lies deepest before what holds it."""
    route = item[1]
    last = {"GET": 0, "HEAD": 0, "DELETE": 2}.get(route.method, 1)
    return last, -len(route.path.split("/"))


def _calls(prefix: str, route: Route, who: Who, target: Target) -> list[Call]:
    named = f"{route.method} {prefix}{route.path}"
    if named in ELSEWHERE:
        return [_call(prefix, route, target, case, case.expected(who, target)) for case in ELSEWHERE[named]]
    scope, permission = route.rule.scope, route.rule.permission
    assert scope in {"system", "project", "repository"}, f"{named} has no expectation: write one into ELSEWHERE"
    assert permission is not None
    if scope == "system":
        return [_call(prefix, route, target, _PLAIN, who.holds_system(permission))]
    if scope == "project":
        return [_call(prefix, route, target, _PLAIN, who.holds(permission, target, None))]
    return [
        _call(prefix, route, target, _PLAIN, _may_in(who, target, route, repository), repository)
        for repository in REPOSITORIES
    ]


def _may_in(who: Who, target: Target, route: Route, repository: str) -> bool:
    permission = route.rule.permission
    assert permission is not None
    needed = [permission]
    if route.method == "POST" and route.path.endswith("/artifacts"):  # a copy is a pull and a push besides
        needed += [PULL, PUSH]
    return all(who.holds(one, target, repository) for one in needed)


_PLAIN = Case(expected=_everybody)


def _call(
    prefix: str, route: Route, target: Target, case: Case, is_allowed: bool, repository: str = "app"
) -> Call:  # fmt: skip
    named = f"{route.method} {prefix}{route.path}"
    values = {**target.path, **case.path(target), "repository_name": repository.replace("/", "%252F")}
    path = re.sub(r"\{(\w+)(?::path)?\}", lambda found: values[found[1]], prefix + route.path)
    query = case.query(target)
    if route.method == "POST" and route.path.endswith("/artifacts"):
        query = {"from": f"{target.name}/{repository}:v1"}
    body = None
    if route.method in {"POST", "PUT", "PATCH"}:
        body = BODIES.get(named, case.body)(target)
        body = _DEFAULT_BODIES.get(named.rpartition("/")[2], {}) if body is None else body
    return Call(route.method, path, is_allowed, query, body)


_DEFAULT_BODIES: dict[str, Any] = {
    "tags": {"name": "v9"},
    "labels": {"id": 1},
    "metadatas": {"auto_scan": "true"},
    "{meta_name}": {"auto_scan": "true"},
    "": {"prevent_vul": "true"},
}


def _v2_calls(who: Who, target: Target) -> list[Call]:
    calls = []
    for operation in OF_V2:
        for repository in REPOSITORIES:
            needs = operation.needs
            allowed = who.kind != "nobody" if needs is None else who.holds(needs, target, repository)
            path = operation.path.format(name=f"{target.name}/{repository}", blob=target.blob)
            calls.append(Call(operation.method, path, allowed, body=operation.body or None))
    return calls


async def _wrong(served: Served, calls: Sequence[Call], who: Who, credential: Credential) -> list[str]:
    """The calls whose answer is not the expected one."""
    found = []
    refusal = {401} if who.kind == "nobody" else {403}
    for call in calls:
        more = {"content": call.body} if isinstance(call.body, bytes) else {"json": call.body}
        query = {"params": call.query} if call.query else {}
        answer = await served.ask(
            call.method, call.path, credential, **(more if call.body is not None else {}), **query
        )
        if call.is_allowed != (answer.status_code not in REFUSED) or answer.status_code >= 500:
            right = "be let in" if call.is_allowed else "be refused"
        elif not call.is_allowed and answer.status_code not in refusal:
            right = f"be refused with {refusal}"
        else:
            continue
        found.append(f"{call.method} {call.path} {call.query} must {right}: {answer.status_code} {answer.text[:150]}")
    return found


@pytest.mark.parametrize("who", WHO, ids=lambda who: who.name)
def test_everybody_may_do_just_what_the_table_says(country: tuple[Bench, Country], tmp_path: Path, who: Who) -> None:
    origin, made = country

    async def ask_all(bench: Bench) -> list[str]:
        async with opened(bench.config()) as served:
            wrong = []
            for name, target in made.targets.items():
                wrong += await _wrong(served, _v2_calls(who, target), who, made.credentials[who.name, name])
            for prefix, route in sorted(await _routes(served.app), key=_order):
                for name, target in made.targets.items():
                    calls = _calls(prefix, route, who, target)
                    wrong += await _wrong(served, calls, who, made.credentials[who.name, name])
            return wrong

    # What one caller deletes must be there for the next.
    wrong = asyncio.run(ask_all(origin.copy_to(tmp_path / "data")))
    assert not wrong, "\n".join(wrong)


def test_every_expectation_is_for_a_route_that_there_is(country: tuple[Bench, Country]) -> None:
    async def names() -> set[str]:
        async with opened(country[0].config()) as served:
            return {f"{route.method} {prefix}{route.path}" for prefix, route in await _routes(served.app)}

    there = asyncio.run(names())
    assert not (ELSEWHERE.keys() | BODIES.keys()) - there


def test_a_route_cannot_be_made_without_a_rule() -> None:
    async def endpoint() -> None:
        """Nothing."""

    with pytest.raises(TypeError, match="rule"):
        Route(method="GET", path="/x", endpoint=endpoint)  # type: ignore[call-arg]
