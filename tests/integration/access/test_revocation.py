"""Revocation is immediate: what one process takes away, the next request to another process misses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from tests.integration.access.served import HARBOR, NOBODY, OWN, REFUSED, Credential, Served, basic, opened
from tests.integration.rig import PASSWORD, Bench

DEVELOPER, LIMITED_GUEST = 2, 5
MANIFEST = "/v2/private/app/manifests/v1"
ARTIFACT = f"{HARBOR}/projects/private/repositories/app/artifacts/v1"
PUSH = "/v2/private/app/blobs/uploads/"
BEARER = "repository:private/app:pull,push"


class Scene(msgspec.Struct, frozen=True):
    """Somebody with rights, and the ids of what gives them."""

    user: int
    grant: int
    group: int
    role: int
    robot: int
    token: int
    credentials: dict[str, Credential]
    """By how the somebody is shown."""


Ask = tuple[str, str]
PULLS: tuple[Ask, ...] = (("GET", MANIFEST), ("GET", ARTIFACT))
PUSHES: tuple[Ask, ...] = (("POST", PUSH),)


async def _user(served: Served, **grant: Any) -> Scene:
    """A developer by a grant, by a custom role or by a group."""
    user = await served.user("alice")
    group = await served.made(f"{HARBOR}/usergroups", {"group_name": "team"})
    await served.done("POST", f"{OWN}/usergroups/{group}/users", json={"user_id": user})
    access = [{"resource": "repository", "action": action} for action in ("pull", "push")]
    access.append({"resource": "artifact", "action": "read"})
    role = await served.made(f"{OWN}/roles", {"name": "custom", "permissions": access})
    by_group = grant.pop("by_group", False)
    member = {"member_group": {"id": group}} if by_group else {"member_user": {"user_id": user}}
    role_id = role if grant.pop("by_role", False) else DEVELOPER
    grant_id = await served.made(f"{OWN}/projects/private/grants", {"role_id": role_id, **member})
    who = basic("alice")
    token, secret = await served.token(who, "laptop")
    as_token = basic("alice", secret)
    return Scene(
        user,
        grant_id,
        group,
        role,
        0,
        token,
        {
            "basic": who,
            "session": await served.session("alice"),
            "token": as_token,
            "token as bearer": {"authorization": f"Bearer {secret}"},
            "bearer": await served.bearer(who, BEARER),
            "bearer of a token": await served.bearer(as_token, BEARER),
            "bearer without a scope": await served.bearer(who),
        },
    )


async def _robot(served: Served) -> Scene:
    access = [{"resource": "repository", "action": action} for action in ("pull", "push")]
    access.append({"resource": "artifact", "action": "read"})
    robot, who = await served.robot("ci", {"kind": "project", "namespace": "private", "access": access})
    credentials = {"basic": who, "bearer": await served.bearer(who, BEARER)}
    return Scene(0, 0, 0, 0, robot, 0, credentials)


async def _public(served: Served) -> Scene:
    await served.done("PUT", f"{HARBOR}/projects/private", json={"metadata": {"public": "true"}})
    await served.user("alice")
    bearer = await served.bearer(basic("alice"), "repository:private/app:pull")
    anybody = await served.bearer(NOBODY, "repository:private/app:pull")
    return Scene(0, 0, 0, 0, 0, 0, {"basic": basic("alice"), "bearer": bearer, "anybody": anybody, "nobody": NOBODY})


def _pulls(shown: str, path: str) -> bool:
    """Whether this way to show who asks opens this path at all."""
    if path.startswith("/v2/"):
        return shown not in {"session", "bearer without a scope"}
    return shown != "anybody"


async def _let_in(served: Served, scene: Scene, asks: tuple[Ask, ...]) -> dict[str, bool]:
    found = {}
    for shown, credential in scene.credentials.items():
        for method, path in asks:
            if _pulls(shown, path):
                answer = await served.ask(method, path, credential)
                assert answer.status_code < 500
                found[f"{shown}: {method} {path}"] = answer.status_code not in REFUSED
    return found


Revoke = Callable[[Served, Scene], Awaitable[Any]]


class Story(msgspec.Struct, frozen=True):
    """Who had rights, how they end, and for which ways to show who asks."""

    name: str
    begin: Callable[[Served], Awaitable[Scene]]
    revoke: Revoke
    asks: tuple[Ask, ...] = (*PULLS, *PUSHES)
    only: tuple[str, ...] = ()
    """The ways that end; none: all of them."""


def _change_robot(**changes: Any) -> Revoke:
    async def revoke(served: Served, scene: Scene) -> None:
        path = f"{HARBOR}/robots/{scene.robot}"
        body = (await served.done("GET", path)).json()
        await served.done("PUT", path, json={**body, **changes})

    return revoke


STORIES = [
    Story("robot disabled", _robot, _change_robot(disable=True)),
    Story(
        "robot loses a permission",
        _robot,
        _change_robot(
            permissions=[
                {
                    "kind": "project",
                    "namespace": "private",
                    "access": [{"resource": "repository", "action": "pull"}],
                }
            ]
        ),
        asks=PUSHES,
    ),
    Story("robot deleted", _robot, lambda s, made: s.done("DELETE", f"{HARBOR}/robots/{made.robot}")),
    Story("robot refreshed", _robot, lambda s, made: s.done("PATCH", f"{HARBOR}/robots/{made.robot}", json={})),
    Story(
        "robot from elsewhere",
        _robot,
        lambda s, made: s.done("PUT", f"{OWN}/robots/{made.robot}/networks", json={"networks": ["192.0.2.0/24"]}),
    ),
    Story("member removed", _user, lambda s, made: s.done("DELETE", f"{HARBOR}/projects/private/members/{made.grant}")),
    Story(
        "role changed",
        _user,
        lambda s, made: s.done(
            "PUT", f"{HARBOR}/projects/private/members/{made.grant}", json={"role_id": LIMITED_GUEST}
        ),
        asks=PUSHES,
    ),
    Story(
        "grant limited to other repositories",
        _user,
        lambda s, made: s.done(
            "PUT",
            f"{OWN}/projects/private/grants/{made.grant}",
            json={"role_id": DEVELOPER, "repositories": ["other/*"]},
        ),
    ),
    Story(
        "custom role changed",
        lambda s: _user(s, by_role=True),
        lambda s, made: s.done(
            "PUT",
            f"{OWN}/roles/{made.role}",
            json={"name": "custom", "permissions": [{"resource": "log", "action": "list"}]},
        ),
    ),
    Story(
        "group left",
        lambda s: _user(s, by_group=True),
        lambda s, made: s.done("DELETE", f"{OWN}/usergroups/{made.group}/users/{made.user}"),
    ),
    Story(
        "group deleted",
        lambda s: _user(s, by_group=True),
        lambda s, made: s.done("DELETE", f"{HARBOR}/usergroups/{made.group}"),
    ),
    Story(
        "project made private",
        _public,
        lambda s, _made: s.done("PUT", f"{HARBOR}/projects/private", json={"metadata": {"public": "false"}}),
        asks=PULLS,
    ),
    Story(
        "token revoked",
        _user,
        lambda s, made: s.done("DELETE", f"{OWN}/users/current/tokens/{made.token}", basic("alice")),
        only=("token", "token as bearer", "bearer of a token"),
    ),
    Story(
        "password changed",
        _user,
        lambda s, made: s.done(
            "PUT",
            f"{HARBOR}/users/{made.user}/password",
            basic("alice"),
            json={"old_password": PASSWORD, "new_password": f"{PASSWORD}-2"},
        ),
        only=("basic", "session", "bearer", "bearer without a scope"),
    ),
    Story("user deleted", _user, lambda s, made: s.done("DELETE", f"{HARBOR}/users/{made.user}")),
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_what_is_taken_away_is_missing_at_once_everywhere(run: Bench, story: Story) -> None:
    async def work() -> None:
        async with opened(run.config()) as one, opened(run.config()) as other:
            await one.project("private", is_public=False)
            await one.push("private/app", "v1", "app")
            scene = await story.begin(one)
            for served in (one, other):
                before = await _let_in(served, scene, story.asks)
                assert all(before.values()), {ask for ask, allowed in before.items() if not allowed}
            await story.revoke(one, scene)
            for served in (other, one):
                after = await _let_in(served, scene, story.asks)
                ended = {
                    ask: allowed
                    for ask, allowed in after.items()
                    if not story.only or ask.partition(":")[0] in story.only
                }
                assert ended
                assert not any(ended.values()), {ask for ask, allowed in ended.items() if allowed}

    asyncio.run(work())
