"""No secret ever stands in a log line, in the journal or in an answer of the audit API."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import PASSWORD, Server, serving

USER_PASSWORD = "Jane-Password-77"
NEW_PASSWORD = "Jane-Password-78"
WRONG = "this-is-Wrong-99"
ROBOT_SECRET = "Chosen-Secret-4242"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("secrets") / "data", workers=1) as started:
        yield started


def use_every_kind_of_secret(server: Server) -> dict[str, str]:
    """Log in in every way, rightly and wrongly, and change what can be changed; the secrets that were used."""
    secrets = {"admin": PASSWORD, "user": USER_PASSWORD, "new": NEW_PASSWORD, "wrong": WRONG, "robot": ROBOT_SECRET}
    with httpx.Client(base_url=server.url, auth=(server.user, PASSWORD)) as admin:

        def do(method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
            answer = admin.request(method, path, json=body, **more)
            assert answer.status_code < 300, (method, path, answer.status_code, answer.text)
            return answer

        do(
            "POST",
            "/api/v2.0/users",
            {"username": "jane", "email": "j@x.org", "realname": "J", "password": USER_PASSWORD},
        )
        do("POST", "/api/v2.0/projects", {"project_name": "secrets"})
        access = [{"resource": "repository", "action": "pull"}]
        robot = do(
            "POST",
            "/api/v2.0/robots",
            {
                "name": "ci",
                "level": "project",
                "duration": 30,
                "permissions": [{"kind": "project", "namespace": "secrets", "access": access}],
            },
        ).json()
        secrets["made up"] = robot["secret"]
        do("PATCH", f"/api/v2.0/robots/{robot['id']}", {"secret": ROBOT_SECRET})
        secrets["rotated"] = do("POST", f"/api/entrepot/v1/robots/{robot['id']}/secrets", {}).json()["secret"]
        token = do("POST", "/api/entrepot/v1/users/current/tokens", {"name": "laptop"}).json()
        secrets["personal token"] = token["token"] if "token" in token else token["secret"]
    with httpx.Client(base_url=server.url) as anybody:
        scope = {"scope": "repository:secrets/app:pull"}
        for name, secret in (
            ("jane", USER_PASSWORD),
            ("jane", WRONG),
            ("nobody", WRONG),
            (robot["name"], ROBOT_SECRET),
            (robot["name"], WRONG),
            ("admin", secrets["personal token"]),
            ("admin", secrets["personal token"] + "x"),
        ):
            answer = anybody.get("/service/token", params=scope, auth=(name, secret))
            anybody.get("/api/v2.0/users/current", auth=(name, secret))
            if answer.status_code == 200:
                bearer = answer.json()["token"]
                secrets[f"bearer of {name} {len(secrets)}"] = bearer
                anybody.get("/v2/secrets/app/manifests/x", headers={"Authorization": f"Bearer {bearer}"})
        form = {"grant_type": "password", "username": "jane", "password": USER_PASSWORD, "access_type": "offline"}
        secrets["refresh token"] = anybody.post("/service/token", data=form).json()["refresh_token"]
        anybody.post("/c/login", data={"principal": "jane", "password": WRONG})
        logged_in = anybody.post("/c/login", data={"principal": "jane", "password": USER_PASSWORD})
        secrets["session"] = logged_in.cookies["sid"]
        csrf = anybody.get("/api/v2.0/users/current").headers["x-harbor-csrf-token"]
        jane_id = anybody.get("/api/v2.0/users/current").json()["user_id"]
        changed = anybody.put(
            f"/api/v2.0/users/{jane_id}/password",
            json={"old_password": USER_PASSWORD, "new_password": NEW_PASSWORD},
            headers={"X-Harbor-CSRF-Token": csrf},
        )
        assert changed.status_code == 200, changed.text
    return secrets


def test_no_secret_is_written_down(server: Server) -> None:
    secrets = use_every_kind_of_secret(server)
    assert len(set(secrets.values())) == len(secrets) >= 12
    with httpx.Client(base_url=server.url, auth=(server.user, PASSWORD)) as admin:
        audit = admin.get("/api/entrepot/v1/audit", params={"page_size": 100})
        assert audit.status_code == 200
        assert len(audit.json()) > 10
    places = {"the log": server.log.read_bytes(), "the audit API": audit.content}
    database = sqlite3.connect(server.data / "entrepot.db")
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        rows = database.execute(f"SELECT * FROM {table}").fetchall()
        places[f"the table {table}"] = repr(rows).encode()
    database.close()
    for place, content in places.items():
        for kind, secret in secrets.items():
            assert secret.encode() not in content, f"{kind} stands in {place}"


def test_the_files_of_the_data_folder_hold_no_password(server: Server) -> None:
    for path in sorted(Path(server.data).rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            for secret in (PASSWORD, USER_PASSWORD, NEW_PASSWORD, ROBOT_SECRET):
                assert not re.search(re.escape(secret.encode()), content), path
