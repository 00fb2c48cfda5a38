"""Both REST APIs answer as their OpenAPI documents say, whatever is sent (schemathesis): no 500, nothing undeclared."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving import PASSWORD, Server, serving

HARBOR, OWN = "/api/v2.0", "/api/entrepot/v1"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = int(os.environ.get("REST_SCHEMA_EXAMPLES", "6"))
"""Requests to each operation; by hand, some hundreds."""

BREAKING_SETTINGS = frozenset({"read_only", "token_expiration", "session_timeout"})
"""Not sent to PUT /configurations: they would refuse all further changes, or end what the run logs in with."""

OWN_ACCOUNT = frozenset({"/users/{user_id}/password", "/users/{user_id}/sysadmin", "/users/{user_id}"})
"""Not sent for the account that asks: it would lose its password, its rights or itself."""


class Seed(msgspec.Struct, frozen=True):
    """What there is, by the names that path parameters have."""

    path: dict[str, list[str]]


class Seeding:
    """Fills a registry over its own API."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def done(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self._client.request(method, path, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def made(self, path: str, body: Any) -> str:
        return self.done("POST", path, json=body).headers["location"].rpartition("/")[2]

    def seed(self) -> Seed:
        project = self.made(f"{HARBOR}/projects", {"project_name": "before", "metadata": {"auto_scan": "true"}})
        self.done("PUT", f"{OWN}/projects/{project}/name", json={"name": "project"})
        digest = self._push("project/app")
        self._push("project/team/api")
        user = self.made(f"{HARBOR}/users", {"username": "member", "password": PASSWORD})
        other = self.made(f"{HARBOR}/users", {"username": "other", "password": PASSWORD})
        member = {"role_id": 1, "member_user": {"user_id": int(user)}}
        grant = self.made(f"{OWN}/projects/project/grants", member)
        group = self.made(f"{HARBOR}/usergroups", {"group_name": "team"})
        self.done("POST", f"{OWN}/usergroups/{group}/users", json={"user_id": int(other)})
        pull = [{"resource": "repository", "action": "pull"}]
        role = self.made(f"{OWN}/roles", {"name": "custom", "permissions": pull})
        scope = [{"kind": "project", "namespace": "project", "access": pull}]
        robot = self.made(f"{HARBOR}/robots", {"name": "ci", "level": "project", "permissions": scope})
        system = {"name": "system", "level": "system", "duration": 30, "permissions": scope}
        system_robot = self.made(f"{HARBOR}/robots", system)
        label = self.made(f"{HARBOR}/labels", {"name": "own", "scope": "p", "project_id": int(project)})
        everywhere = self.made(f"{HARBOR}/labels", {"name": "global", "scope": "g", "color": "#00ff00"})
        one = f"{HARBOR}/projects/project/repositories/app/artifacts/{digest}"
        self.done("POST", f"{one}/labels", json={"id": int(label)})
        token = self.made(f"{OWN}/users/current/tokens", {"name": "laptop", "scope": scope})
        return Seed(
            {
                "project_name_or_id": ["project", project],
                "project_name": ["project"],
                "id": [project],
                "repository_name": ["app", "team%252Fapi"],
                "reference": [digest, "v1"],
                "tag_name": ["v1"],
                "addition": ["build_history"],
                "label_id": [label, everywhere],
                "user_id": [user, other],
                "mid": [grant],
                "grant_id": [grant],
                "group_id": [group],
                "role_id": ["1", role],
                "robot_id": [robot, system_robot],
                "secret_id": ["1", "2"],
                "token_id": [token],
                "meta_name": ["public", "auto_scan"],
                "name": ["before"],
                "digest": [digest],
            }
        )

    def _push(self, name: str) -> str:
        from tests.integration.rig import image  # noqa: PLC0415

        config = b'{"architecture":"amd64","os":"linux","config":{"Env":["A=b"]},"history":[{"created_by":"x"}]}'
        digest = self._blob(name, config)
        assert digest
        answer = self.done(
            "PUT",
            f"/v2/{name}/manifests/v1",
            content=image(config, []),
            headers={"content-type": "application/vnd.oci.image.manifest.v1+json"},
        )
        return answer.headers["docker-content-digest"]

    def _blob(self, name: str, content: bytes) -> str:
        from entrepot.oci import digest as digests  # noqa: PLC0415

        digest = digests.of(content)
        self.done("POST", f"/v2/{name}/blobs/uploads/", params={"digest": digest}, content=content)
        return digest


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("schema") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def seed(server: Server) -> Seed:
    with httpx.Client(base_url=server.url, auth=(server.user, server.password), timeout=30) as client:
        return Seeding(client).seed()


def _order(operation: Any) -> tuple[int, int]:
    """Look first; delete last, and what lies deepest before what holds it."""
    return {"get": 0, "head": 0, "delete": 2}.get(operation.method, 1), -operation.path.count("/")


def _cases(operation: Any, seed: Seed) -> st.SearchStrategy[Case]:
    """What fits the document, mostly about things that there are; and what does not fit it."""
    fitting = operation.as_strategy(GenerationMode.POSITIVE)
    ways = [fitting]
    names = [name for name in seed.path if f"{{{name}}}" in operation.path]
    if names:
        real = st.fixed_dictionaries({name: st.sampled_from(seed.path[name]) for name in names})
        ways += [st.builds(_about, fitting, real)] * 2
    try:
        ways.append(operation.as_strategy(GenerationMode.NEGATIVE))
    except Exception:  # noqa: BLE001
        pass
    return st.one_of(ways)


def _about(case: Case, real: Mapping[str, str]) -> Case:
    case.path_parameters = {**(case.path_parameters or {}), **real}
    return case


def _is_harmless(case: Case) -> bool:
    path = case.operation.path
    if case.method == "PUT" and path.endswith("/configurations") and isinstance(case.body, dict):
        return not BREAKING_SETTINGS & case.body.keys()
    if case.method in {"PUT", "DELETE"} and any(path.endswith(own) for own in OWN_ACCOUNT):
        return str((case.path_parameters or {}).get("user_id")) != "1"
    return True


def _failures(server: Server, document: str, seed: Seed, credentials: tuple[str, str] | None) -> list[str]:
    schema = schemathesis.openapi.from_dict(httpx.get(f"{server.url}{document}/openapi.json").json())
    operations = sorted((found.ok() for found in schema.get_all_operations()), key=_order)
    assert len(operations) > 20
    with requests.Session() as session:
        session.auth = credentials
        return [text for operation in operations for text in _failures_of(operation, server, session, seed)]


def _failures_of(operation: Any, server: Server, session: requests.Session, seed: Seed) -> list[str]:
    found: dict[str, str] = {}

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=_cases(operation, seed))
    def ask(case: Case) -> None:
        if not _is_harmless(case):
            return
        response = case.call(base_url=server.url, session=session)
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                told = f"{failure.title}: {failure.message}"
                found.setdefault(
                    failure.title,
                    f"{operation.label}: {told[:600]}\n{case.as_curl_command()[:600]}\n{response.text[:300]}",
                )

    ask()
    return list(found.values())


@pytest.mark.parametrize("document", [HARBOR, OWN])
@pytest.mark.parametrize("who", ["nobody", "admin"])
def test_answers_are_as_the_document_says(server: Server, seed: Seed, document: str, who: str) -> None:
    credentials = None if who == "nobody" else (server.user, server.password)
    failures = _failures(server, document, seed, credentials)
    assert not failures, "\n\n".join(failures)
