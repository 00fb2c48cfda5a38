"""A registry with everybody and everything that the permission table asks about."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tests.integration.access.expectations import (
    CUSTOM,
    PROJECT_ROBOT,
    REPOSITORIES,
    ROLES,
    SYSTEM_ROBOT,
    TOKEN,
    WHO,
    Permission,
    Target,
    role_body,
)
from tests.integration.access.served import HARBOR, NOBODY, OWN, Credential, Served, basic


class Country(msgspec.Struct, frozen=True):
    """What was prepared: the two projects, and how everybody logs in to either."""

    targets: dict[str, Target]
    credentials: dict[tuple[str, str], Credential]


async def populate(served: Served) -> Country:
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


def _access(permissions: Iterable[Permission]) -> list[dict[str, str]]:
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
    role = await served.made(f"{OWN}/roles", role_body(f"{name}-target"))
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
        "trust_id": "1",
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
