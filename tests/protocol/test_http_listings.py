"""Lists of tags (end-8) and the catalog: in byte order, page by page; and what the public may see."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.protocol.client import (
    EMPTY,
    Registry,
    admin_of,
    all_of,
    bearer,
    challenge_of,
    client,
    digest_of,
    encoded,
    entrepot,
    follow,
    image,
    make_public,
    next_link,
    refused,
)
from tests.serving import Server, serving

TAGS = ["0", "10", "9", "A", "Z", "_x", "a", "a-b", "a.b", "a_b", "ab", "b", "latest", "v1.10", "v1.9", "z" * 128]
TAGGED = "listed/app"
LIST = f"/v2/{TAGGED}/tags/list"


@pytest.fixture(scope="module", autouse=True)
def tagged(admin: Registry) -> None:
    """A repository with all of `TAGS`, pushed in another order."""
    payload = admin.push_image(TAGGED, TAGS[-1])
    for tag in reversed(TAGS[:-1]):
        admin.push_manifest(TAGGED, tag, payload)


# --- tags -----------------------------------------------------------------------------------------


def test_tags_are_listed_in_byte_order(admin: Registry) -> None:
    answer = admin.get(LIST)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert answer.json() == {"name": TAGGED, "tags": all_of(TAGS)}
    assert all_of(TAGS) == sorted(TAGS)
    assert "Link" not in answer.headers


@pytest.mark.parametrize("size", [1, 2, 3, 5, len(TAGS) - 1, len(TAGS), len(TAGS) + 1, 10_000])
def test_pages_followed_to_the_end_hold_every_tag_once(admin: Registry, size: int) -> None:
    found, pages = follow(admin, f"{LIST}?n={size}", "tags")
    assert found == all_of(TAGS)
    assert pages == -(-len(TAGS) // size)


def test_a_link_leads_to_the_same_registry(admin: Registry) -> None:
    answer = admin.get(f"{LIST}?n=2")
    link = next_link(answer)
    assert link is not None
    target = httpx.URL(admin.server.url).join(link)
    assert (target.host, target.port, target.path) == ("127.0.0.1", admin.server.port, LIST)
    assert target.params["n"] == "2"
    assert target.params["last"] == answer.json()["tags"][-1]


@pytest.mark.parametrize(
    ("last", "first"), [("a", "a-b"), ("a-", "a-b"), ("nothing", "v1.10"), ("", "0"), ("9", "A"), ("zz", "z" * 128)]
)
def test_last_need_not_exist(admin: Registry, last: str, first: str) -> None:
    found = admin.http.get(LIST, params={"last": last, "n": "1"}).json()["tags"]
    assert found == [first]


def test_after_the_last_there_is_nothing(admin: Registry) -> None:
    answer = admin.http.get(LIST, params={"last": "z" * 128})
    assert answer.json()["tags"] == []
    assert "Link" not in answer.headers


def test_none_are_listed_when_none_are_asked_for(admin: Registry) -> None:
    answer = admin.get(f"{LIST}?n=0")
    assert answer.status_code == 200
    assert answer.json() == {"name": TAGGED, "tags": []}
    assert "Link" not in answer.headers


@pytest.mark.parametrize("path", [LIST, "/v2/_catalog"])
@pytest.mark.parametrize("number", ["x", "-1", "1.5", "1e3", "0x10", " 1", "\u0663", "9" * 30])
def test_a_number_that_is_none_is_refused(admin: Registry, path: str, number: str) -> None:
    answer = admin.http.get(path, params={"n": number})
    refused(answer, 400, "PAGINATION_NUMBER_INVALID")


def test_a_number_larger_than_any_page_is_no_error(admin: Registry) -> None:
    answer = admin.get(f"{LIST}?n=1000000000")
    assert (answer.status_code, answer.json()["tags"]) == (200, all_of(TAGS))


def test_a_repository_without_tags_has_an_empty_list(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = encoded(image())
    admin.push_manifest(repository, digest_of(payload), payload)
    assert admin.get(f"/v2/{repository}/tags/list").json() == {"name": repository, "tags": []}


def test_a_repository_that_never_was_is_unknown(admin: Registry) -> None:
    refused(admin.get("/v2/never/was/tags/list"), 404, "NAME_UNKNOWN")


def test_a_list_by_head_has_the_headers_of_get(admin: Registry) -> None:
    got, told = admin.get(f"{LIST}?n=2"), admin.head(f"{LIST}?n=2")
    assert (told.status_code, told.content) == (200, b"")
    assert told.headers["Content-Length"] == got.headers["Content-Length"]
    assert told.headers["Link"] == got.headers["Link"]


# --- the catalog, on a server of its own ----------------------------------------------------------

NAMES = [
    "a-b/x",
    "a.b/x",
    "a/x",
    "a/x-y",
    "a/x.y",
    "a/x/y",
    "a/x0",
    "a0/x",
    "a_b/x",
    "b/c/d/e",
    "library/app",
    "z9/last",
]


@pytest.fixture(scope="module")
def cataloged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with serving(tmp_path_factory.mktemp("catalog") / "data", workers=2) as started, admin_of(started) as registry:
        for name in reversed(NAMES):
            registry.push_image("app" if name == "library/app" else name, "1")
        registry.push_blob("only/blobs", b"no manifest here")
        yield registry


def test_the_catalog_is_in_byte_order(cataloged: Registry) -> None:
    answer = cataloged.get("/v2/_catalog")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    found = [name for name in answer.json()["repositories"] if name != "only/blobs"]
    assert found == all_of(NAMES)
    assert found.index("a-b/x") < found.index("a/x")
    assert "Link" not in answer.headers


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
def test_catalog_pages_followed_to_the_end_hold_every_name_once(cataloged: Registry, size: int) -> None:
    found, _ = follow(cataloged, f"/v2/_catalog?n={size}", "repositories")
    assert [name for name in found if name != "only/blobs"] == all_of(NAMES)


@pytest.mark.parametrize(
    "last", ["a", "a/", "a/x", "a/x/", "a-b", "a-b/x", "a/xx", "c", "library", "library/app", "zz"]
)
def test_the_catalog_goes_on_after_any_name(cataloged: Registry, last: str) -> None:
    found = cataloged.http.get("/v2/_catalog", params={"last": last}).json()["repositories"]
    assert [name for name in found if name != "only/blobs"] == [name for name in all_of(NAMES) if name > last]


def test_the_catalog_of_none(cataloged: Registry) -> None:
    answer = cataloged.get("/v2/_catalog?n=0")
    assert (answer.status_code, answer.json()) == (200, {"repositories": []})
    assert "Link" not in answer.headers


def test_an_empty_registry_has_an_empty_catalog(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("empty") / "data") as started, admin_of(started) as registry:
        assert registry.get("/v2/_catalog").json() == {"repositories": []}
        assert registry.get("/v2/_catalog?n=5").json() == {"repositories": []}


def test_the_catalog_is_not_for_anybody(cataloged: Registry) -> None:
    with client(cataloged.server) as anybody:
        for headers in ({}, bearer(anybody.token("registry:catalog:*"))):
            asked = challenge_of(anybody.get("/v2/_catalog", headers))
            assert asked["scope"] == "registry:catalog:*"


def test_a_token_for_the_catalog_lists_it(cataloged: Registry) -> None:
    with client(cataloged.server, headers=bearer(cataloged.token("registry:catalog:*"))) as holder:
        assert "a/x" in holder.get("/v2/_catalog").json()["repositories"]
        assert holder.get("/v2/a/x/tags/list").status_code == 401


# --- public projects ------------------------------------------------------------------------------


def test_everybody_pulls_from_a_public_project(server: Server, admin: Registry, anybody: Registry) -> None:
    make_public(server, "demo-public")
    payload = admin.push_image("demo-public/app", "1", b"a public layer")
    asked = challenge_of(anybody.get("/v2/"))
    answer = anybody.http.get(
        asked["realm"], params={"service": asked["service"], "scope": "repository:demo-public/app:pull"}
    )
    for headers in (bearer(answer.json()["token"]), {}):
        assert anybody.get("/v2/demo-public/app/manifests/1", headers).content == payload
        assert anybody.head("/v2/demo-public/app/manifests/1", headers).status_code == 200
        where = f"/v2/demo-public/app/blobs/{digest_of(b'a public layer')}"
        assert anybody.get(where, headers).content == b"a public layer"
        assert anybody.get("/v2/demo-public/app/tags/list", headers).json()["tags"] == ["1"]
        assert anybody.get(f"/v2/demo-public/app/referrers/{digest_of(payload)}", headers).status_code == 200
    refused(anybody.put_manifest("demo-public/app", "2", payload), 401, "UNAUTHORIZED")
    refused(anybody.delete("/v2/demo-public/app/manifests/1"), 401, "UNAUTHORIZED")
    assert anybody.http.post("/v2/demo-public/app/blobs/uploads/").status_code == 401


def test_visibility_changes_at_once(server: Server, admin: Registry, anybody: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "1")
    project = repository.partition("/")[0]
    for visibility, status in (("public", 200), ("private", 401), ("public", 200)):
        done = entrepot("project", "visibility", project, visibility, "--data", str(server.data))
        assert done.returncode == 0, done.stderr
        for _ in range(6):
            with client(server) as fresh:
                assert fresh.get(f"/v2/{repository}/manifests/1").status_code == status
    assert anybody.get(f"/v2/{repository}/manifests/{digest_of(payload)}").status_code == 200


@pytest.mark.parametrize("name", ["Upper", "with/slash", "", "-x", "a" * 300])
def test_a_project_of_a_malformed_name_is_refused(server: Server, name: str) -> None:
    done = entrepot("project", "create", "--data", str(server.data), "--", name)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_project_is_created_once(server: Server) -> None:
    make_public(server, "only-once")
    done = entrepot("project", "create", "only-once", "--data", str(server.data))
    assert done.returncode == 1
    assert "only-once" in done.stderr
    listed = entrepot("project", "list", "--data", str(server.data))
    assert "only-once" in listed.stdout
    assert "public" in listed.stdout


def test_the_visibility_of_no_project_is_refused(server: Server) -> None:
    for arguments in (("never-was", "public"), ("demo", "secret")):
        done = entrepot("project", "visibility", *arguments, "--data", str(server.data))
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
