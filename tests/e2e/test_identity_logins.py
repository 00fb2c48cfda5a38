"""docker and podman log in with what the company has: a directory, an OpenID provider, tokens, robots, CI jobs."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.clients import Tool
from tests.identity_servers import CLIENT, SECRET, OidcServer
from tests.issuer import Issuer
from tests.ldap_server import Slapd, password_of, require_slapd
from tests.serving import Server, serving

AUDIENCE = "https://registry.test"
RULE = 'repository == "acme/app" and ref == "refs/heads/main"'
PROJECT = "team"


class Company:
    """A registry, and all that vouches for people and programs in it."""

    def __init__(self, server: Server, slapd: Slapd, oidc: OidcServer, issuer: Issuer) -> None:
        self.server = server
        self.slapd = slapd
        self.oidc = oidc
        self.issuer = issuer
        self.robot_secret = ""

    def admin(self) -> httpx.Client:
        """Somebody who may everything."""
        return httpx.Client(base_url=self.server.url, auth=(self.server.user, self.server.password), timeout=30)

    def job(self, **claims: Any) -> str:
        """The token of a CI job."""
        said = {"sub": "repo:acme/app", "repository": "acme/app", "ref": "refs/heads/main", "aud": AUDIENCE}
        return self.issuer.token(**said | claims)

    def cli_secret(self, user: str) -> str:
        """What somebody who logs in at the OpenID provider makes for docker."""
        with httpx.Client(base_url=self.server.url, follow_redirects=False, timeout=30) as browser:
            going = browser.get("/c/oidc/login", params={"redirect_url": "/account"})
            back = self.oidc.log_in(browser, going.headers["location"], user)
            arrived = browser.get(back)
            assert arrived.status_code == 302, arrived.text
            token = browser.get("/api/v2.0/users/current").headers["x-harbor-csrf-token"]
            made = browser.post("/api/entrepot/v1/users/current/cli-secret", headers={"x-harbor-csrf-token": token})
            assert made.status_code == 201, made.text
            return str(made.json()["secret"])


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    require_slapd()
    folder = tmp_path_factory.mktemp("company")
    slapd = Slapd(folder / "slapd")
    try:
        with Issuer() as issuer:
            oidc = OidcServer("http://127.0.0.1")
            config = folder / "entrepot.toml"
            config.write_text(_described(slapd, oidc, issuer))
            with serving(folder / "data", config=config, workers=2) as server:
                oidc.sites = (server.url,)
                with oidc:
                    company = Company(server, slapd, oidc, issuer)
                    _furnish(company)
                    yield company
    finally:
        slapd.stop()


def _described(slapd: Slapd, oidc: OidcServer, issuer: Issuer) -> str:
    client = {"client_id": CLIENT, "client_secret": SECRET, "auto_onboard": True}
    sources: dict[str, dict[str, Any]] = {
        "ldap": slapd.options(),
        "oidc": {"name": "sso", "endpoint": oidc.url, **client},
        "workload": {"name": "ci", "issuer": issuer.url, "audiences": [AUDIENCE]},
    }
    return "".join(f"[[identity.{kind}]]\n{_toml(values)}" for kind, values in sources.items())


def _toml(values: dict[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())


def _furnish(company: Company) -> None:
    """A project in which everybody may push, and the robot account of the CI job."""
    with company.admin() as admin:
        admin.post("/api/v2.0/projects", json={"project_name": PROJECT}).raise_for_status()
        permissions = [{"resource": "repository", "action": action} for action in ("pull", "push")]
        robot = admin.post(
            "/api/v2.0/robots",
            json={
                "name": "ci",
                "level": "project",
                "duration": -1,
                "permissions": [{"kind": "project", "namespace": PROJECT, "access": permissions}],
            },
        ).raise_for_status()
        company.robot_secret = robot.json()["secret"]
        admin.post(
            f"/api/entrepot/v1/robots/{robot.json()['id']}/trusts", json={"name": "main", "issuer": "ci", "rule": RULE}
        ).raise_for_status()


def _join(company: Company, name: str) -> None:
    with company.admin() as admin:
        body = {"role_id": 2, "member_user": {"username": name}}
        answer = admin.post(f"/api/v2.0/projects/{PROJECT}/members", json=body)
        assert answer.status_code in {201, 409}, answer.text


CREDENTIALS = ("ldap", "cli-secret", "personal-token", "robot", "workload")


def _credential(company: Company, kind: str) -> tuple[str, str]:
    """A name and what is typed as the password, by somebody who may push."""
    if kind in {"ldap", "personal-token"}:
        with httpx.Client(base_url=company.server.url, auth=("alice", password_of("alice")), timeout=30) as alice:
            alice.get("/api/v2.0/users/current").raise_for_status()
            _join(company, "alice")
            if kind == "ldap":
                return "alice", password_of("alice")
            made = alice.post("/api/entrepot/v1/users/current/tokens", json={"name": secrets.token_hex(4)})
            return "alice", str(made.raise_for_status().json()["secret"])
    if kind == "cli-secret":
        secret = company.cli_secret("bob")
        _join(company, "bob")
        return "bob", secret
    name = f"robot${PROJECT}+ci"
    return name, company.job() if kind == "workload" else company.robot_secret


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_podman_logs_in_pushes_and_pulls(
    company: Company, podman: Tool, hello: Path, tmp_path: Path, kind: str
) -> None:
    name, password = _credential(company, kind)
    (tmp_path / "auth.json").write_text("{}")
    mine = podman.having(REGISTRY_AUTH_FILE=str(tmp_path / "auth.json"))
    login = ["login", "--tls-verify=false", "-u", name, "--password-stdin", company.server.address]
    assert "invalid username/password" in mine.refused(*login, stdin=f"{password}x")
    assert "Login Succeeded" in mine(*login, stdin=password)
    image = f"{company.server.address}/{PROJECT}/podman:{kind}"
    mine("build", "-q", "-t", image, hello)
    mine("push", "-q", "--tls-verify=false", image)
    mine("rmi", image)
    mine("pull", "-q", "--tls-verify=false", image)
    mine("rmi", image)  # others build the same one


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_docker_logs_in_pushes_and_pulls(
    company: Company, docker: Tool, hello: Path, tmp_path: Path, kind: str
) -> None:
    name, password = _credential(company, kind)
    mine = docker.having(DOCKER_CONFIG=str(tmp_path))
    login = ["login", "-u", name, "--password-stdin", company.server.address]
    assert "unauthorized" in mine.refused(*login, stdin=f"{password}x").lower()
    assert "Login Succeeded" in mine(*login, stdin=password)
    image = f"{company.server.address}/{PROJECT}/docker:{kind}"
    mine("build", "-q", "-t", image, hello)
    mine("push", "-q", image)
    mine("rmi", image)
    mine("pull", "-q", image)
    mine("rmi", image)


def test_the_issuers_keys_change_in_the_middle(company: Company, podman: Tool, hello: Path, tmp_path: Path) -> None:
    name, password = _credential(company, "workload")
    (tmp_path / "auth.json").write_text("{}")
    mine = podman.having(REGISTRY_AUTH_FILE=str(tmp_path / "auth.json"))
    login = ["login", "--tls-verify=false", "-u", name, "--password-stdin", company.server.address]
    mine(*login, stdin=password)
    company.issuer.rotate()
    _, newer = _credential(company, "workload")
    mine(*login, stdin=newer)
    image = f"{company.server.address}/{PROJECT}/rotated:1"
    mine("build", "-q", "-t", image, hello)
    mine("push", "-q", "--tls-verify=false", image)
    mine("rmi", image)


def test_a_job_of_another_branch_stays_out(company: Company, podman: Tool, tmp_path: Path) -> None:
    (tmp_path / "auth.json").write_text("{}")
    mine = podman.having(REGISTRY_AUTH_FILE=str(tmp_path / "auth.json"))
    login = ["login", "--tls-verify=false", "-u", f"robot${PROJECT}+ci", "--password-stdin", company.server.address]
    assert "invalid username/password" in mine.refused(*login, stdin=company.job(ref="refs/heads/other"))
    assert "invalid username/password" in mine.refused(*login, stdin=company.job(aud="https://elsewhere.test"))


def test_with_the_directory_gone_everybody_else_goes_on(company: Company) -> None:
    kept = {kind: _credential(company, kind) for kind in ("personal-token", "cli-secret", "robot")}
    company.slapd.stop()
    try:
        for name, password in [*kept.values(), (company.server.user, company.server.password)]:
            answer = httpx.get(f"{company.server.url}/v2/", auth=(name, password))
            assert answer.status_code == 200, (name, answer.text)
        refused = httpx.get(f"{company.server.url}/v2/", auth=("carol", password_of("carol")), timeout=10)
        assert refused.status_code == 503
        assert "corp" in refused.json()["errors"][0]["message"]
    finally:
        company.slapd.start()
