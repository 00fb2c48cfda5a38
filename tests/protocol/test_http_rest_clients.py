"""What Harbor's tools send and expect, as they were heard: harbor-cli, go-client, terraform's provider, harborapi."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.protocol.client import Registry, errors
from tests.serving import Server

API = "/api/v2.0"


@pytest.fixture
def browser(server: Server) -> Iterator[httpx.Client]:
    """A client with a session, and nothing else."""
    with httpx.Client(base_url=server.url, timeout=20) as http:
        begun = http.post("/c/login", data={"principal": server.user, "password": server.password})
        assert begun.status_code == 200
        yield http


@pytest.fixture
def user_id(admin: Registry) -> Iterator[str]:
    """Somebody who was just made."""
    account = {"username": "made-by-terraform", "email": "t@example.com", "password": "Passw0rd1", "realname": "T"}
    made = admin.http.post(f"{API}/users", json=account)
    assert made.status_code == 201, made.text
    yield made.headers["Location"].rpartition("/")[2]
    admin.http.delete(made.headers["Location"])


@pytest.mark.parametrize(
    "path",
    [
        "/projects",
        "/projects/library",
        "/projects/library/members",
        "/projects/library/metadatas",
        "/projects/library/repositories",
        "/quotas",
        "/users",
        "/systeminfo",
    ],
)
def test_a_path_means_the_same_with_a_slash_at_its_end(admin: Registry, path: str) -> None:
    bare, slashed = admin.get(API + path), admin.get(f"{API}{path}/")
    assert (bare.status_code, slashed.status_code) == (200, 200)
    assert bare.headers["Content-Type"] == slashed.headers["Content-Type"] == "application/json"
    assert bare.headers.get("X-Total-Count") == slashed.headers.get("X-Total-Count")


def test_a_slash_opens_nothing(anybody: Registry) -> None:
    for path in ("/users", "/quotas", "/projects/library/members", "/projects/library/metadatas"):
        assert anybody.get(f"{API}{path}/").status_code == 401


def test_the_document_shows_a_path_as_harbor_writes_it(admin: Registry) -> None:
    paths = admin.get(f"{API}/openapi.json").json()["paths"]
    metadata = [path for path in paths if "metadatas" in path]
    assert metadata == [
        f"{API}/projects/{{project_name_or_id}}/metadatas/",
        f"{API}/projects/{{project_name_or_id}}/metadatas/{{meta_name}}",
    ]


@pytest.mark.parametrize("path", ["/projects", "/users", "/quotas", "/labels?scope=g", "/auditlog-exts", "/robots"])
def test_page_zero_of_size_zero_is_the_whole_list(admin: Registry, path: str) -> None:
    mark = "&" if "?" in path else "?"
    listed = admin.get(f"{API}{path}{mark}page=0&page_size=0&q=&sort=")
    assert listed.status_code == 200, listed.text
    total = int(listed.headers["X-Total-Count"])
    assert len(listed.json()) == min(total, 1000)
    assert "next" not in listed.headers.get("Link", "") or total > 1000


def test_a_page_of_more_than_a_hundred_is_still_refused(admin: Registry) -> None:
    assert errors(admin.get(f"{API}/projects?page_size=101"))[0]["code"] == "BAD_REQUEST"


def test_a_flag_that_is_left_out_is_off(admin: Registry, user_id: str) -> None:
    assert admin.http.put(f"{API}/users/{user_id}/sysadmin", json={"sysadmin_flag": True}).status_code == 200
    assert admin.get(f"{API}/users/{user_id}").json()["sysadmin_flag"] is True
    # what Go makes of {SysadminFlag: false} with omitempty
    assert admin.http.put(f"{API}/users/{user_id}/sysadmin", json={}).status_code == 200
    assert admin.get(f"{API}/users/{user_id}").json()["sysadmin_flag"] is False


def test_a_session_without_its_token_is_told_token_and_cookie_and_tries_again(browser: httpx.Client) -> None:
    refusal = browser.post(f"{API}/projects", json={"project_name": "made-in-a-session"})
    assert errors(refusal)[0]["code"] == "FORBIDDEN"
    assert refusal.status_code == 403
    cookies = refusal.headers.get_list("Set-Cookie")
    [companion] = [cookie.partition(";")[0] for cookie in cookies if cookie.startswith("_gorilla_csrf=")]
    # terraform's provider sends a second Cookie line, not one with both
    again = [
        ("Cookie", f"sid={browser.cookies['sid']}"),
        ("Cookie", companion),
        ("X-Harbor-Csrf-Token", refusal.headers["X-Harbor-Csrf-Token"]),
    ]
    with httpx.Client(base_url=browser.base_url, timeout=20) as terraform:
        made = terraform.post(f"{API}/projects", json={"project_name": "made-in-a-session"}, headers=again)
        assert made.status_code == 201, made.text
        assert terraform.delete(f"{API}/projects/made-in-a-session", headers=again).status_code == 200


def test_the_cookie_of_a_refusal_is_no_token(browser: httpx.Client) -> None:
    refusal = browser.post(f"{API}/projects", json={"project_name": "never"})
    companion = refusal.cookies["_gorilla_csrf"]
    guessed = browser.post(
        f"{API}/projects", json={"project_name": "never"}, headers={"X-Harbor-CSRF-Token": companion}
    )
    assert guessed.status_code == 403


@pytest.mark.parametrize("by_name", [False, True])
def test_a_location_holds_an_id_unless_a_name_is_asked_for(admin: Registry, by_name: bool) -> None:
    asked = {"X-Resource-Name-In-Location": "true"} if by_name else {}
    made = admin.http.post(f"{API}/projects", json={"project_name": "located"}, headers=asked)
    assert made.status_code == 201, made.text
    prefix, _, last = made.headers["Location"].rpartition("/")
    assert prefix == f"{API}/projects"
    assert last == "located" if by_name else last.isdigit()
    assert admin.delete(made.headers["Location"]).status_code == 200
