"""`/v2/` and the challenge (end-1): where every client begins."""

from __future__ import annotations

import pytest

from tests.protocol.client import Registry, bearer, challenge_of, client, entrepot, errors
from tests.serving import Server


def test_the_base_answers_200_to_a_login(admin: Registry) -> None:
    answer = admin.get("/v2/")
    assert answer.status_code == 200
    assert answer.json() == {}
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/v2/", "/v2"])
def test_the_base_challenges_whoever_has_no_credentials(anybody: Registry, method: str, path: str) -> None:
    answer = anybody.http.request(method, path)
    asked = challenge_of(answer)
    assert asked["realm"] == f"{anybody.server.url}/service/token"
    assert asked["service"]
    assert "error" not in asked
    assert "scope" not in asked
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


def test_the_base_accepts_an_anonymous_token(anybody: Registry) -> None:
    assert anybody.get("/v2/", bearer(anybody.token())).status_code == 200


def test_the_base_accepts_a_token_without_scopes(admin: Registry, anybody: Registry) -> None:
    assert anybody.get("/v2/", bearer(admin.token())).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer nonsense",
        "Bearer a.b.c",
        "Basic YWRtaW46d3Jvbmctb25l",
        "Basic !!!",
        "Basic",
        "Digest x=1",
        "x",
    ],
)
def test_a_credential_that_does_not_hold_is_challenged(anybody: Registry, authorization: str) -> None:
    answer = anybody.get("/v2/", {"Authorization": authorization})
    assert challenge_of(answer)["error"] == "invalid_token"
    assert errors(answer)[0]["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "manifests/latest", "repository:demo/app:pull"),
        ("HEAD", "manifests/latest", "repository:demo/app:pull"),
        ("PUT", "manifests/latest", "repository:demo/app:pull,push"),
        ("DELETE", "manifests/latest", "repository:demo/app:delete"),
        ("GET", "blobs/sha256:" + "0" * 64, "repository:demo/app:pull"),
        ("DELETE", "blobs/sha256:" + "0" * 64, "repository:demo/app:delete"),
        ("POST", "blobs/uploads/", "repository:demo/app:pull,push"),
        ("PATCH", "blobs/uploads/123", "repository:demo/app:pull,push"),
        ("DELETE", "blobs/uploads/123", "repository:demo/app:pull,push"),
        ("GET", "tags/list", "repository:demo/app:pull"),
        ("GET", "referrers/sha256:" + "0" * 64, "repository:demo/app:pull"),
    ],
)
def test_a_challenge_names_the_scope_that_helps(anybody: Registry, method: str, path: str, scope: str) -> None:
    answer = anybody.http.request(method, f"/v2/demo/app/{path}")
    asked = challenge_of(answer)
    assert asked["scope"] == scope
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


def test_a_token_for_another_repository_is_told_what_is_missing(
    admin: Registry, anybody: Registry, repository: str
) -> None:
    admin.push_image(repository, "1")
    token = admin.token("repository:demo/other:pull")
    asked = challenge_of(anybody.get(f"/v2/{repository}/manifests/1", bearer(token)))
    assert asked["error"] == "insufficient_scope"
    assert asked["scope"] == f"repository:{repository}:pull"


def test_a_401_reveals_nothing_about_what_exists(admin: Registry, anybody: Registry, repository: str) -> None:
    admin.push_image(repository, "1")
    there = anybody.get(f"/v2/{repository}/manifests/1")
    absent = anybody.get("/v2/nowhere/app/manifests/1")
    assert there.status_code == absent.status_code == 401
    assert errors(there)[0]["code"] == errors(absent)[0]["code"] == "UNAUTHORIZED"


def test_unknown_query_parameters_are_no_error(admin: Registry, repository: str) -> None:
    admin.push_image(repository, "1")
    assert admin.get(f"/v2/{repository}/manifests/1?ns=docker.io&foo=bar&empty=").status_code == 200
    assert admin.get("/v2/?ns=docker.io").status_code == 200


def test_a_request_id_that_was_sent_comes_back(anybody: Registry) -> None:
    assert anybody.get("/livez", {"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
    made = anybody.get("/livez", {"X-Request-ID": "no good; {}"}).headers["X-Request-ID"]
    assert made
    assert "no good" not in made


def test_basic_on_every_request_needs_no_token(server: Server, admin: Registry, repository: str) -> None:
    admin.push_image(repository, "1")
    with client(server, (server.user, server.password)) as fresh:
        assert fresh.get(f"/v2/{repository}/manifests/1").status_code == 200


def test_the_program_tells_its_version() -> None:
    done = entrepot("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("entrepot ")


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_answer_without_a_login(anybody: Registry, path: str) -> None:
    answer = anybody.get(path)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert anybody.head(path).status_code == 200
