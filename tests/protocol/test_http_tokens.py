"""`/service/token`: what every client asks before anything else (distribution's token specification)."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.protocol.client import (
    Json,
    Registry,
    admin_of,
    bearer,
    challenge_of,
    client,
    digest_of,
    encoded,
    entrepot,
    errors,
    image,
    make_public,
)
from tests.serving import PASSWORD, Server, serving


def claims_of(token: str) -> Json:
    middle = token.split(".")[1]
    claims: Json = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return claims


def granted(token: str) -> dict[str, set[str]]:
    """`type:name` → actions."""
    return {f"{entry['type']}:{entry['name']}": set(entry["actions"]) for entry in claims_of(token)["access"]}


def forged(server: Server, token: str, **changes: Any) -> str:
    """The token with other claims under the server's own signature: an expired one is had without waiting."""
    key = ECKey.import_key((server.data / "keys" / "token.pem").read_bytes())
    header = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    return jwt.encode(header, claims_of(token) | changes, key)


def expired(server: Server, token: str) -> str:
    now = int(time.time())
    return forged(server, token, iat=now - 400, nbf=now - 410, exp=now - 100)


def ask(registry: Registry, method: str, fields: dict[str, Any]) -> httpx.Response:
    if method == "GET":
        return registry.http.get("/service/token", params=fields)
    return registry.http.post("/service/token", data=fields)


# --- what an answer holds -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_has_everything_that_some_client_needs(admin: Registry, method: str) -> None:
    before = int(time.time())
    answer = ask(admin, method, {"service": "entrepot", "scope": "repository:demo/app:pull", "account": "admin"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    document = answer.json()
    assert document["token"] == document["access_token"]
    assert document["expires_in"] >= 60
    issued = datetime.fromisoformat(document["issued_at"])
    assert issued.utcoffset() is not None
    assert before - 1 <= issued.timestamp() <= time.time() + 1
    assert "refresh_token" not in document
    claims = claims_of(document["token"])
    assert claims["exp"] == claims["iat"] + document["expires_in"]
    assert claims["nbf"] < claims["iat"], "another machine's clock may be behind"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "scope",
    [
        ["repository:demo/a:pull,push", "repository:demo/b:pull"],
        "repository:demo/a:pull,push repository:demo/b:pull",
    ],
    ids=["repeated", "space-joined"],
)
def test_scopes_come_repeated_or_joined(admin: Registry, method: str, scope: Any) -> None:
    answer = ask(admin, method, {"service": "entrepot", "scope": scope})
    rights = granted(answer.json()["token"])
    assert {"pull", "push"} <= rights["repository:demo/a"]
    assert "pull" in rights["repository:demo/b"]


def test_a_scope_may_name_a_class(admin: Registry) -> None:
    assert "pull" in granted(admin.token("repository(plugin):demo/plugin:pull"))["repository:demo/plugin"]


@pytest.mark.parametrize(
    "scope",
    [
        "nonsense",
        "repository:demo/app",
        "repository::pull",
        "repository:DEMO/App:pull",
        "galaxy:demo/app:pull",
        "registry:other:*",
        ":::",
        "repository:../../etc:pull",
        "a:b:c:d:e",
        "\u00e4\u00f6:x:pull",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_scope_that_means_nothing_grants_nothing_and_is_no_error(admin: Registry, method: str, scope: str) -> None:
    answer = ask(admin, method, {"service": "entrepot", "scope": ["repository:demo/app:pull", scope]})
    assert answer.status_code == 200
    assert list(granted(answer.json()["token"])) == ["repository:demo/app"]


def test_an_unknown_action_grants_nothing_more(admin: Registry) -> None:
    rights = granted(admin.token("repository:demo/app:pull,fly"))["repository:demo/app"]
    assert "fly" not in rights
    assert "pull" in rights


@pytest.mark.parametrize("actions", ["*", "pull,push,*", "delete", "pull,push,delete"])
def test_a_star_is_every_action(admin: Registry, actions: str) -> None:
    assert {"pull", "push", "delete"} <= granted(admin.token(f"repository:demo/app:{actions}"))["repository:demo/app"]


def test_a_name_with_a_host_and_port_is_read_as_a_whole(admin: Registry) -> None:
    # Notary asks for host:5000/name; what is no repository of ours grants nothing, and must not be an error.
    assert granted(admin.token("repository:host.example:5000/demo/app:pull")) == {}


def test_the_catalog_is_a_scope(admin: Registry) -> None:
    token = admin.token("registry:catalog:*")
    assert granted(token)["registry:catalog"] == {"*"}


def test_ten_scopes_fit_one_token(admin: Registry) -> None:
    token = admin.token(*(f"repository:demo/app-{number}:pull,push" for number in range(10)))
    assert len(granted(token)) == 10


# --- who asks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_gets_a_token_without_rights(anybody: Registry, method: str) -> None:
    for fields in ({}, {"service": "entrepot"}, {"scope": "repository:private/app:pull,push"}):
        answer = ask(anybody, method, fields)
        assert answer.status_code == 200
        assert granted(answer.json()["token"]) == {}
        assert "refresh_token" not in answer.json()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_gets_no_refresh_token(anybody: Registry, method: str) -> None:
    answer = ask(anybody, method, {"offline_token": "true", "access_type": "offline"})
    assert answer.status_code == 200
    assert "refresh_token" not in answer.json()


def test_nobody_may_pull_from_a_public_project_and_only_pull(server: Server, anybody: Registry) -> None:
    make_public(server, "public-tokens")
    assert granted(anybody.token("repository:public-tokens/app:pull,push,delete")) == {
        "repository:public-tokens/app": {"pull"}
    }


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("admin", "wrong-password"),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("admin", ""),
        ("ad:min", "x"),
        ("\u00e4", "\u00f6"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_wrong_password_is_401(anybody: Registry, method: str, name: str, password: str) -> None:
    if method == "GET":
        answer = anybody.http.get("/service/token", auth=(name, password))
    else:
        fields = {"grant_type": "password", "username": name, "password": password}
        answer = anybody.http.post("/service/token", data=fields)
    assert answer.status_code == 401
    assert errors(answer)[0]["code"] == "UNAUTHORIZED"
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_bearer_is_no_credential_here(admin: Registry, anybody: Registry) -> None:
    assert anybody.get("/service/token", bearer(admin.token())).status_code == 401


def test_only_get_and_post_are_answered(anybody: Registry) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        answer = anybody.http.request(method, "/service/token")
        assert answer.status_code == 405
        assert errors(answer)[0]["code"] == "UNSUPPORTED"
        assert "GET" in answer.headers["Allow"]


def test_an_unknown_grant_is_a_clear_refusal(anybody: Registry) -> None:
    answer = anybody.http.post("/service/token", data={"grant_type": "implicit"})
    assert answer.status_code == 400
    assert "grant_type" in errors(answer)[0]["message"]


@pytest.mark.parametrize("body", [b"\xff\xfe=%%%", b"a" * 10, b"", b"[1]", b"&&&==="])
def test_a_form_of_garbage_never_gets_a_422(anybody: Registry, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = anybody.http.post("/service/token", content=body, headers=headers)
    assert answer.status_code in {200, 400, 401}


def test_a_form_without_end_is_413(anybody: Registry) -> None:
    answer = anybody.http.post("/service/token", data={"scope": "x" * 1_000_000})
    assert answer.status_code == 413
    errors(answer)


# --- password and refresh grants ------------------------------------------------------------------


def log_in_offline(registry: Registry, **more: str) -> Json:
    fields = {
        "grant_type": "password",
        "service": "entrepot",
        "client_id": "docker",
        "access_type": "offline",
        "username": registry.server.user,
        "password": registry.server.password,
        **more,
    }
    answer = registry.http.post("/service/token", data=fields)
    assert answer.status_code == 200, answer.text
    document: Json = answer.json()
    return document


def test_a_refresh_token_stands_for_the_password(anybody: Registry, repository: str) -> None:
    refresh = log_in_offline(anybody)["refresh_token"]
    fields = {
        "grant_type": "refresh_token",
        "service": "entrepot",
        "client_id": "docker",
        "refresh_token": refresh,
        "scope": f"repository:{repository}:pull,push",
    }
    answer = anybody.http.post("/service/token", data=fields)
    assert answer.status_code == 200
    assert {"pull", "push"} <= granted(answer.json()["access_token"])[f"repository:{repository}"]
    assert anybody.get("/v2/", bearer(answer.json()["access_token"])).status_code == 200


def test_offline_token_on_get_gives_a_refresh_token(admin: Registry) -> None:
    answer = admin.http.get("/service/token", params={"service": "entrepot", "offline_token": "true"})
    assert answer.json()["refresh_token"]


def test_an_online_login_gets_no_refresh_token(anybody: Registry) -> None:
    assert "refresh_token" not in log_in_offline(anybody, access_type="online")


def test_a_refresh_token_opens_nothing_itself(anybody: Registry) -> None:
    refresh = log_in_offline(anybody)["refresh_token"]
    assert challenge_of(anybody.get("/v2/", bearer(refresh)))["error"] == "invalid_token"


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
def test_a_refresh_token_of_nobody_is_401(anybody: Registry, token: str) -> None:
    answer = anybody.http.post("/service/token", data={"grant_type": "refresh_token", "refresh_token": token})
    assert answer.status_code == 401


def test_an_access_token_is_no_refresh_token(admin: Registry, anybody: Registry) -> None:
    fields = {"grant_type": "refresh_token", "refresh_token": admin.token()}
    assert anybody.http.post("/service/token", data=fields).status_code == 401


def test_an_expired_refresh_token_is_401(server: Server, anybody: Registry) -> None:
    refresh = expired(server, log_in_offline(anybody)["refresh_token"])
    fields = {"grant_type": "refresh_token", "refresh_token": refresh}
    assert anybody.http.post("/service/token", data=fields).status_code == 401


# --- what a token opens ---------------------------------------------------------------------------


def test_a_token_asked_for_a_pull_pushes_too(server: Server, admin: Registry, repository: str) -> None:
    # oras-py asks once, for a pull, and pushes with what it got.
    token = admin.token(f"repository:{repository}:pull")
    with client(server, headers=bearer(token)) as holder:
        holder.push_image(repository, "1", b"a layer")
        assert holder.get(f"/v2/{repository}/tags/list").json()["tags"] == ["1"]
        assert holder.delete(f"/v2/{repository}/manifests/1").status_code == 202


def test_a_token_opens_only_the_repositories_that_it_names(
    server: Server, admin: Registry, repository: str, other_repository: str
) -> None:
    admin.push_image(other_repository, "1")
    with client(server, headers=bearer(admin.token(f"repository:{repository}:pull,push"))) as holder:
        assert holder.get(f"/v2/{other_repository}/manifests/1").status_code == 401
        assert holder.http.post(f"/v2/{other_repository}/blobs/uploads/").status_code == 401
        assert holder.get("/v2/_catalog").status_code == 401


def test_a_token_for_the_short_name_opens_the_long_one(server: Server, admin: Registry) -> None:
    with client(server, headers=bearer(admin.token("repository:token-short:pull,push"))) as holder:
        holder.push_image("token-short", "1")
        assert holder.get("/v2/library/token-short/manifests/1").status_code == 200
    with client(server, headers=bearer(admin.token("repository:library/token-short:pull"))) as holder:
        assert holder.get("/v2/token-short/manifests/1").status_code == 200


def test_an_expired_token_is_told_so(server: Server, admin: Registry, anybody: Registry, repository: str) -> None:
    admin.push_image(repository, "1")
    token = expired(server, admin.token(f"repository:{repository}:pull,push"))
    asked = challenge_of(anybody.get(f"/v2/{repository}/manifests/1", bearer(token)))
    assert asked["error"] == "invalid_token"
    assert asked["scope"] == f"repository:{repository}:pull"
    assert challenge_of(anybody.get("/v2/", bearer(token)))["error"] == "invalid_token"
    assert anybody.http.post(f"/v2/{repository}/blobs/uploads/", headers=bearer(token)).status_code == 401
    assert anybody.get("/v2/_catalog", bearer(token)).status_code == 401


def test_an_upload_survives_the_expiry_of_its_token(
    server: Server, admin: Registry, anybody: Registry, repository: str
) -> None:
    token = admin.token(f"repository:{repository}:pull,push")
    location = anybody.begin(repository, headers=bearer(token))
    late = f"Bearer {expired(server, token)}"
    assert anybody.patch(location, b"content", Authorization=late).status_code == 202
    answer = anybody.finish(location, digest_of(b"content"), Authorization=late)
    assert answer.status_code == 201


def test_an_expired_token_does_not_continue_the_upload_of_another(
    server: Server, admin: Registry, anybody: Registry, repository: str
) -> None:
    make_public(server, repository.partition("/")[0])
    location = admin.begin(repository)
    late = f"Bearer {expired(server, anybody.token(f'repository:{repository}:pull'))}"
    assert anybody.patch(location, b"content", Authorization=late).status_code == 401


@pytest.mark.parametrize("change", ["signature", "claims", "none", "other key", "audience", "issuer"])
def test_a_token_that_was_tampered_with_is_refused(
    server: Server, admin: Registry, anybody: Registry, change: str
) -> None:
    token = anybody.token()
    head, claims, signature = token.split(".")
    if change == "signature":
        bad = f"{head}.{claims}.{signature[:-6]}AAAAAA"
    elif change == "claims":
        bad = f"{head}.{admin.token().split('.')[1]}.{signature}"
    elif change == "none":
        none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
        bad = f"{none}.{admin.token().split('.')[1]}."
    elif change == "other key":
        bad = jwt.encode({"alg": "ES256"}, claims_of(admin.token()), ECKey.generate_key("P-256"))
    else:
        bad = forged(server, token, **{"aud" if change == "audience" else "iss": "another"})
    assert challenge_of(anybody.get("/v2/", bearer(bad)))["error"] == "invalid_token"


def test_the_signing_key_is_its_owners_alone(server: Server) -> None:
    assert (server.data / "keys" / "token.pem").stat().st_mode & 0o777 == 0o600


# --- a new password -------------------------------------------------------------------------------

NEW_PASSWORD = "another-password-of-length"


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Its password changes."""
    with serving(tmp_path_factory.mktemp("password") / "data", workers=2) as started:
        yield started


def set_password(data: Path, password: str) -> None:
    done = entrepot("user", "password", "admin", "--stdin", "--data", str(data), text=f"{password}\n")
    assert done.returncode == 0, done.stderr
    assert password not in done.stdout + done.stderr


def test_a_new_password_ends_what_the_old_one_opened(own_server: Server) -> None:
    with admin_of(own_server) as admin, client(own_server) as anybody:
        admin.push_image("demo/app", "1")
        token = admin.token("repository:demo/app:pull,push")
        refresh = log_in_offline(anybody)["refresh_token"]
        assert anybody.get("/v2/demo/app/manifests/1", bearer(token)).status_code == 200
        set_password(own_server.data, NEW_PASSWORD)
        for _ in range(8):  # both workers
            with client(own_server) as fresh:
                refused = fresh.get("/v2/demo/app/manifests/1", bearer(token))
                assert challenge_of(refused)["error"] == "invalid_token"
                old = (own_server.user, own_server.password)
                assert fresh.http.get("/v2/", auth=old).status_code == 401
                fields = {"grant_type": "refresh_token", "refresh_token": refresh}
                assert fresh.http.post("/service/token", data=fields).status_code == 401
                assert fresh.http.get("/v2/", auth=(own_server.user, NEW_PASSWORD)).status_code == 200


@pytest.mark.parametrize("password", ["", "short", "x" * 2000])
def test_a_password_that_cannot_be_good_is_refused(own_server: Server, password: str) -> None:
    done = entrepot("user", "password", "admin", "--stdin", "--data", str(own_server.data), text=f"{password}\n")
    assert done.returncode == 1
    assert "characters" in done.stderr


def test_a_password_for_nobody_is_refused(own_server: Server) -> None:
    done = entrepot("user", "password", "nobody", "--stdin", "--data", str(own_server.data), text=f"{NEW_PASSWORD}\n")
    assert done.returncode == 1
    assert "nobody" in done.stderr


def test_the_token_for_a_push_carries_a_whole_image(server: Server, admin: Registry, repository: str) -> None:
    with client(server, headers=bearer(admin.token(f"repository:{repository}:pull,push"))) as holder:
        holder.push_blob(repository, b"{}")
        payload = encoded(image(b"{}"))
        holder.push_manifest(repository, "1", payload)
        assert holder.get(f"/v2/{repository}/manifests/1").content == payload
