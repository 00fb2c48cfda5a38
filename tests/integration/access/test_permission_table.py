"""Role and operation: every route of both REST APIs and of ``/v2/``, asked by every kind of caller.

A route whose rule names no place (``anyone``, ``login``, ``verb``) needs its expectation in ``ELSEWHERE``: a new one
without fails.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from entrepot.app import App
from entrepot.web.rest import Route, get
from entrepot.web.rule import LOGIN
from tests.integration.access.country import Country, populate
from tests.integration.access.expectations import (
    BODIES,
    ELSEWHERE,
    OF_V2,
    PULL,
    PUSH,
    REPOSITORIES,
    WHO,
    Case,
    Target,
    Who,
    everybody,
)
from tests.integration.access.served import HARBOR, OWN, REFUSED, Credential, Served, opened
from tests.integration.rig import Bench


@pytest.fixture(scope="module")
def country(prepared: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Country]:
    bench = prepared.copy_to(tmp_path_factory.mktemp("country") / "data")

    async def fill() -> Country:
        async with opened(bench.config()) as served:
            return await populate(served)

    return bench, asyncio.run(fill())


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


_PLAIN = Case(expected=everybody)


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


def test_a_route_that_names_no_place_needs_an_expectation() -> None:
    async def endpoint() -> None:
        """Nothing."""

    target = Target("private", False, {}, "", {})
    with pytest.raises(AssertionError, match="has no expectation"):
        _calls(HARBOR, get("/new", endpoint, LOGIN), WHO[0], target)
