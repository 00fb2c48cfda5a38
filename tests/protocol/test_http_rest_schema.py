"""Both REST APIs answer as their OpenAPI documents say, whatever is sent (schemathesis): no 500, nothing undeclared."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case as AnyCase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.protocol.client import OCI_MANIFEST, digest_of, encoded, image
from tests.serving import PASSWORD, Server, serving

Case = AnyCase[Any]
HARBOR, OWN = "/api/v2.0", "/api/entrepot/v1"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = int(os.environ.get("REST_SCHEMA_EXAMPLES", "8"))
"""Requests to each operation; by hand, some hundreds."""

BREAKING_SETTING = "read_only"
"""Not sent to PUT /configurations: it would refuse all further changes."""

OWN_ACCOUNT = ("/users/{user_id}/password", "/users/{user_id}/sysadmin", "/users/{user_id}")
"""Not changed for the account that asks, which is the first: it would lose its password, its rights or itself."""

QUERIES = [
    "name=~a",
    "name={app team}",
    "username=member",
    "creation_time=[2020-01-01T00:00:00~2100-01-01T00:00:00]",
    "op_time=[~2100-01-01T00:00:00],operation=create",
    "tags=*",
    "tags=nil",
    "tags=~v",
    "labels=(1 2)",
    "media_type=application/vnd.oci.image.config.v1+json",
    "digest=sha256:0",
    "push_time=[1~5]",
    "Level=project,ProjectID=2",
    "public=true",
    "id=99999999999999999999",
    "project_id=2",
]
SORTS = ["name", "-creation_time", "-push_time,id", "op_time", "username", "used.storage", "-id"]
SETTINGS = [
    "robot_token_duration",
    "robot_name_prefix",
    "project_creation_restriction",
    "self_registration",
    "storage_per_project",
    "quota_per_project_enable",
    "token_expiration",
    "session_timeout",
    "banner_message",
    "disabled_audit_log_event_types",
    "pull_count_update_disable",
    "auth_mode",
    "oidc_client_secret",
    "ldap_timeout",
]
PULLS = [{"resource": "repository", "action": "pull"}]


class Seed(msgspec.Struct, frozen=True):
    """What there is, by the names that path parameters have."""

    path: dict[str, list[str]]

    @property
    def body(self) -> dict[str, list[Any]]:
        """What fields of bodies are given now and then, so that the verbs behind them are reached."""
        number = {name: [int(text) for text in self.path[name]] for name in ("id", "user_id", "label_id", "group_id")}
        return {
            "project_name": ["new", "new-2", "project", "No"],
            "username": ["new", "member", "no one"],
            "password": [PASSWORD, "weak"],
            "new_password": [f"{PASSWORD}x", "weak"],
            "role_id": [1, 5, 77],
            "user_id": number["user_id"],
            "member_user": [{"user_id": number["user_id"][-1]}, {"username": "other"}],
            "member_group": [{"id": number["group_id"][0]}, {"group_name": "team-2"}],
            "group_name": ["team", "team-2", "team-3"],
            "name": ["project", "before", "thing", "thing-2", "v1", "v2"],
            "scope": ["g", "p", [{"kind": "project", "namespace": "project", "access": PULLS}]],
            "project_id": number["id"],
            "id": number["label_id"],
            "color": ["#123456", "red"],
            "level": ["project", "system"],
            "permissions": [PULLS, [{"kind": "project", "namespace": "project", "access": PULLS}]],
            "metadata": [{"public": "true"}, {"severity": "low"}],
            "public": ["false", True],
            "auto_scan": ["true"],
            "hard": [{"storage": 10}, {"storage": -1}, {"storage": 0}],
            "networks": [["192.0.2.0/24"], ["everywhere"]],
            "secret": ["", "Secret-of-a-robot-1"],
            "expires_at": ["2100-01-01T00:00:00Z"],
            "repositories": [["team/**"], ["**/x"]],
        }


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
        config = encoded({"architecture": "amd64", "os": "linux", "history": [{"created_by": "test"}]})
        self.done("POST", f"/v2/{name}/blobs/uploads/", params={"digest": digest_of(config)}, content=config)
        headers = {"content-type": OCI_MANIFEST}
        answer = self.done("PUT", f"/v2/{name}/manifests/v1", content=encoded(image(config)), headers=headers)
        return answer.headers["docker-content-digest"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "data") as started:
        yield started


@pytest.fixture
def seed(server: Server) -> Seed:
    with httpx.Client(base_url=server.url, auth=(server.user, server.password), timeout=30) as client:
        return Seeding(client).seed()


def _order(operation: Any) -> tuple[int, int]:
    """Look first; delete last, and what lies deepest before what holds it."""
    return {"get": 0, "head": 0, "delete": 2}.get(operation.method, 1), -operation.path.count("/")


def _cases(operation: Any, seed: Seed) -> st.SearchStrategy[Case]:
    """What fits the document, mostly about things that there are; and what does not fit it."""
    fitting = operation.as_strategy(GenerationMode.POSITIVE)
    ways = [fitting, _realistic(fitting, seed), _realistic(fitting, seed)]
    with suppress(Unsatisfiable):  # an operation that takes nothing
        ways.append(operation.as_strategy(GenerationMode.NEGATIVE))
    return st.one_of(ways).filter(_is_harmless)


@st.composite
def _realistic(draw: st.DrawFn, fitting: st.SearchStrategy[Case], seed: Seed) -> Case:
    """A case about things that there are, in words that mean something."""
    case = draw(fitting)
    if case.path_parameters:
        known = {name: draw(st.sampled_from(seed.path[name])) for name in case.path_parameters if name in seed.path}
        case.path_parameters = {**case.path_parameters, **known}
    if case.query:
        case.query = _replaced(draw, case.query, {"q": ["", *QUERIES], "sort": ["", *SORTS], "page": [1, 2], **SHOWN})
    if isinstance(case.body, dict):
        if case.path.endswith("/configurations"):
            changes: Any = draw(st.dictionaries(st.sampled_from(SETTINGS), _SCALARS, min_size=1, max_size=2))
            case.body = changes
        else:
            case.body = {**case.body, **_replaced(draw, case.body, seed.body)}
    return case


_SCALARS = st.one_of(st.booleans(), st.integers(), st.text(max_size=20), st.none(), st.sampled_from(["true", "30"]))
SHOWN: dict[str, list[Any]] = {
    "page_size": [10, 100],
    "scope": ["g", "p", "/system", "/project/2"],
    "project_id": ["2"],
}


def _replaced(draw: st.DrawFn, values: Mapping[str, Any], real: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    return {
        name: draw(st.sampled_from(real[name])) if name in real and draw(st.integers(0, 4)) else value
        for name, value in values.items()
    }


def _is_harmless(case: Case) -> bool:
    if case.method == "PUT" and case.path.endswith("/configurations") and isinstance(case.body, dict):
        return BREAKING_SETTING not in case.body
    if case.method in {"PUT", "DELETE"} and case.path.endswith(OWN_ACCOUNT):
        return str((case.path_parameters or {}).get("user_id")) != "1"
    return True


def _failures(server: Server, document: str, seed: Seed, credentials: tuple[str, str] | None) -> list[str]:
    schema = schemathesis.openapi.from_dict(httpx.get(f"{server.url}{document}/openapi.json").json())
    found = list(schema.get_all_operations())
    operations = sorted((result.ok() for result in found if isinstance(result, Ok)), key=_order)
    assert len(operations) == len(found) > 20
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
