"""A CI job logs in with the token that its issuer gave it: docker, podman, and a script with curl."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.clients import Tool, client
from tests.e2e.images import OCI_MANIFEST, digest_of
from tests.issuer import Issuer
from tests.serving import Server, serving

ROBOT = "robot$acme+ci"
AUDIENCE = "registry.example.com"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
PLAIN = "--tls-verify=false"
RULE = 'repository == "acme/app" and ref == "refs/heads/main"'


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as started:
        yield started


@pytest.fixture(scope="module")
def trusting(issuer: Issuer, scratch: Path) -> Iterator[Server]:
    """Another registry, with two workers: it trusts the issuer."""
    described = [{"name": "ci", "issuer": issuer.url, "audiences": [AUDIENCE]}]
    environment = {"ENTREPOT_IDENTITY_WORKLOAD": json.dumps(described)}
    with serving(scratch / "trusting" / "data", workers=2, environment=environment) as started:
        yield started


@pytest.fixture(scope="module")
def admin(trusting: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=trusting.url, auth=(trusting.user, trusting.password), timeout=30) as http:
        made = http.post("/api/v2.0/projects", json={"project_name": "acme", "metadata": {"public": "false"}})
        assert made.status_code == 201, made.text
        yield http


@pytest.fixture
def trust(admin: httpx.Client) -> Iterator[str]:
    """The path of a trust of a robot account made for the test."""
    access = [{"resource": "repository", "action": action} for action in ("pull", "push")]
    permissions = [{"kind": "project", "namespace": "acme", "access": access}]
    robot = {"name": "ci", "level": "project", "duration": 1, "permissions": permissions}
    made = admin.post("/api/v2.0/robots", json=robot)
    assert made.status_code == 201, made.text
    assert made.json()["name"] == ROBOT
    added = admin.post(
        f"/api/entrepot/v1/robots/{made.json()['id']}/trusts", json={"name": "main", "issuer": "ci", "rule": RULE}
    )
    assert added.status_code == 201, added.text
    yield added.headers["Location"]
    admin.delete(f"/api/v2.0/robots/{made.json()['id']}").raise_for_status()


def job_token(issuer: Issuer, **claims: Any) -> str:
    job = {"sub": "repo:acme/app", "repository": "acme/app", "ref": "refs/heads/main", "aud": AUDIENCE}
    return issuer.token(**{**job, **claims})


def test_podman_logs_in_with_a_job_s_token_pushes_and_pulls(
    podman: Tool, trusting: Server, issuer: Issuer, trust: str, hello: Path, stranger: dict[str, str]
) -> None:
    # podman's storage stays the one of all tests
    job = podman.having(REGISTRY_AUTH_FILE=stranger["REGISTRY_AUTH_FILE"])
    login = ["login", PLAIN, "-u", ROBOT, "--password-stdin", trusting.address]
    assert "invalid username/password" in job.refused(*login, stdin=job_token(issuer, exp=int(time.time()) - 120))
    assert "invalid username/password" in job.refused(*login, stdin=issuer.unsigned(repository="acme/app"))
    assert "Login Succeeded" in job(*login, stdin=job_token(issuer))
    name = f"{trusting.address}/acme/app:podman"
    job("build", "-q", "-t", name, hello)
    job("push", "-q", PLAIN, name)
    job("rmi", name)
    job("pull", "-q", PLAIN, name)
    job("rmi", name)


def test_docker_logs_in_with_a_job_s_token_pushes_and_pulls_until_the_trust_is_removed(
    docker: Tool,
    trusting: Server,
    admin: httpx.Client,
    issuer: Issuer,
    trust: str,
    hello: Path,
    stranger: dict[str, str],
) -> None:
    job = docker.having(**stranger)
    login = ["login", "-u", ROBOT, "--password-stdin", trusting.address]
    assert "unauthorized" in job.refused(*login, stdin=job_token(issuer, ref="refs/heads/other")).lower()
    assert "unauthorized" in job.refused(*login, stdin=job_token(issuer, aud="elsewhere")).lower()
    token = job_token(issuer)
    assert "Login Succeeded" in job(*login, stdin=token)
    kept = json.loads(Path(stranger["DOCKER_CONFIG"], "config.json").read_text())["auths"][trusting.address]
    assert token not in json.dumps(kept)
    claims = json.loads(base64.urlsafe_b64decode(kept["identitytoken"].split(".")[1] + "=="))
    assert 3600 < claims["exp"] - time.time() <= 4200
    issuer.rotate()  # what docker keeps does not hang on the issuer's keys

    name = f"{trusting.address}/acme/app:docker"
    job("build", "-q", "-t", name, hello)
    job("push", name)
    job("rmi", name)
    job("pull", name)

    admin.delete(trust).raise_for_status()
    job("rmi", name)
    assert job.refused("pull", name)
    assert job.refused(*login, stdin=job_token(issuer))


def test_a_script_exchanges_a_job_s_token_with_curl_and_pushes(
    environment: dict[str, str], trusting: Server, issuer: Issuer, trust: str, admin: httpx.Client
) -> None:
    curl = Tool(client("curl"), environment)
    exchange = ["-sS", "--fail-with-body", f"{trusting.url}/service/token", "-d", f"grant_type={GRANT}"]
    exchange += ["-d", f"subject_token_type={JWT}", "-d", "scope=repository:acme/script:pull,push"]
    answer = json.loads(curl(*exchange, "--data-urlencode", f"subject_token={job_token(issuer)}"))
    assert answer["token_type"] == "Bearer"
    assert answer["scope"] == "repository:acme/script:pull,push"
    assert 0 < answer["expires_in"] <= 900

    config = b"{}"
    payload = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.empty.v1+json",
                "digest": digest_of(config),
                "size": len(config),
            },
            "layers": [],
        }
    ).encode()
    with httpx.Client(base_url=trusting.url, headers={"Authorization": f"Bearer {answer['access_token']}"}) as http:
        uploads = "/v2/acme/script/blobs/uploads/"
        pushed = http.post(uploads, params={"digest": digest_of(config)}, content=config)
        assert pushed.status_code == 201, pushed.text
        put = http.put("/v2/acme/script/manifests/1", content=payload, headers={"Content-Type": OCI_MANIFEST})
        assert put.status_code == 201, put.text
        assert http.get("/v2/acme/script/manifests/1").content == payload
        assert http.get("/v2/acme/app/tags/list").status_code in {401, 403}
    admin.delete(trust).raise_for_status()
    refused = curl.refused(*exchange, "--data-urlencode", f"subject_token={job_token(issuer)}")
    assert '"error":"invalid_request"' in refused
