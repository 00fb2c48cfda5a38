"""Refusals: the envelope of the spec and nothing of any framework, whatever is asked."""

from __future__ import annotations

import pytest

from tests.protocol.client import Registry, answer_on, basic, connected, digest_of, errors, head_of, refused
from tests.serving import Server

SOME_DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/",
        "/v1/_ping",
        "/v2/demo",
        "/v2/demo/app",
        "/v2/demo/app/",
        "/v2/demo/app/tags",
        "/v2/demo/app/tags/",
        "/v2/demo/app/tags/other",
        "/v2/demo/app/manifests",
        "/v2/demo/app/manifests/",
        "/v2/demo/app/blobs/",
        "/v2/demo/app/referrers/",
        "/v2/_catalog/",
        "/v2/_other",
        "/v2//",
        "/index.html",
        "/favicon.ico",
        "/service",
        "/service/token/",
        "/service/other",
        "/api/",
        "/docs",
        "/openapi.json",
        "/metrics/",
        "/livez/x",
        "/%00",
        "/v2/%ff/tags/list",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_a_404_with_the_envelope(admin: Registry, method: str, path: str) -> None:
    answer = admin.http.request(method, path)
    assert answer.status_code in {404, 405} or (answer.status_code == 400 and "%" in path)
    errors(answer)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/"),
        ("DELETE", "/v2/"),
        ("POST", "/v2/_catalog"),
        ("DELETE", "/v2/_catalog"),
        ("POST", "/v2/demo/app/tags/list"),
        ("PUT", "/v2/demo/app/tags/list"),
        ("POST", "/v2/demo/app/manifests/1"),
        ("PATCH", "/v2/demo/app/manifests/1"),
        ("PUT", f"/v2/demo/app/blobs/{SOME_DIGEST}"),
        ("POST", f"/v2/demo/app/blobs/{SOME_DIGEST}"),
        ("GET", "/v2/demo/app/blobs/uploads/"),
        ("PUT", "/v2/demo/app/blobs/uploads/"),
        ("POST", "/v2/demo/app/blobs/uploads/123"),
        ("DELETE", f"/v2/demo/app/referrers/{SOME_DIGEST}"),
        ("OPTIONS", "/v2/demo/app/manifests/1"),
        ("BREW", "/v2/demo/app/manifests/1"),
        ("TRACE", "/v2/"),
        ("POST", "/livez"),
        ("DELETE", "/metrics"),
    ],
)
def test_a_method_that_is_not_done_is_a_405_that_names_those_that_are(admin: Registry, method: str, path: str) -> None:
    answer = admin.http.request(method, path)
    refused(answer, 405, "UNSUPPORTED")
    assert answer.headers["Allow"]
    assert method not in answer.headers["Allow"].split(", ")


BAD_NAMES = [
    "Demo/app",
    "demo/App",
    "demo/-app",
    "demo/app-",
    "demo/a..b",
    "demo/a___b",
    "demo/_app",
    ".demo/app",
    "demo//app",
]


@pytest.mark.parametrize(
    "name", [*BAD_NAMES, "demo/" + "a" * 256, "demo/%C3%A4pp", "demo/a%20b", "demo/a%2Fb%00", "demo/a:b"]
)
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", "tags/list"),
        ("GET", "manifests/1"),
        ("HEAD", "manifests/1"),
        ("PUT", "manifests/1"),
        ("DELETE", "manifests/1"),
        ("GET", f"blobs/{SOME_DIGEST}"),
        ("POST", "blobs/uploads/"),
        ("GET", "blobs/uploads/123"),
        ("GET", f"referrers/{SOME_DIGEST}"),
    ],
)
def test_a_malformed_name_is_name_invalid(admin: Registry, name: str, method: str, rest: str) -> None:
    answer = admin.http.request(method, f"/v2/{name}/{rest}")
    assert answer.status_code in {400, 404}
    if method == "HEAD":
        assert answer.content == b""
    else:
        assert errors(answer)[0]["code"] == "NAME_INVALID"


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "a1/b.c",
        "a/b_c",
        "a/b__c",
        "a/b---c",
        "a/b/c/d/e/f",
        "blobs/manifests/tags",
        "tags/list/x",
        "a/blobs/uploads",
    ],
)
def test_every_name_of_the_grammar_is_taken(admin: Registry, name: str) -> None:
    payload = admin.push_image(name, "manifests", b"content of " + name.encode())
    assert admin.get(f"/v2/{name}/manifests/manifests").content == payload
    assert admin.get(f"/v2/{name}/blobs/{digest_of(b'content of ' + name.encode())}").status_code == 200
    assert admin.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["manifests"]}


def test_the_longest_name_is_taken(admin: Registry) -> None:
    name = "long/" + "a" * 250
    assert len(name) == 255
    admin.push_image(name, "1")
    assert admin.get(f"/v2/{name}/tags/list").status_code == 200


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:short",
        "sha256:" + "0" * 63,
        "sha256:" + "0" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "sha512:" + "0" * 64,
        "md5:" + "0" * 32,
        "sha256:",
        ":abc",
        "sha256:baddigeststring",
        "sha256-" + "0" * 64,
        "nodigest",
    ],
)
def test_a_malformed_digest_of_a_blob_is_digest_invalid(admin: Registry, repository: str, digest: str) -> None:
    admin.push_blob(repository, b"x")
    for method in ("GET", "HEAD", "DELETE"):
        answer = admin.http.request(method, f"/v2/{repository}/blobs/{digest}")
        assert answer.status_code in {400, 404}
        if method != "HEAD":
            assert errors(answer)[0]["code"] == "DIGEST_INVALID"


@pytest.mark.parametrize("digest", ["sha256:short", "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha256:baddigeststring"])
def test_a_malformed_digest_of_a_manifest_is_digest_invalid(admin: Registry, repository: str, digest: str) -> None:
    payload = admin.push_image(repository, "1")
    for method in ("GET", "DELETE"):
        refused(admin.http.request(method, f"/v2/{repository}/manifests/{digest}"), 400, "DIGEST_INVALID")
    refused(admin.put_manifest(repository, digest, payload), 400, "DIGEST_INVALID")
    refused(admin.get(f"/v2/{repository}/referrers/{digest}"), 400, "DIGEST_INVALID")


@pytest.mark.parametrize("tag", [".dot", "-dash", "a" * 129, "a%20b", "a+b", "a%2Fb", "%C3%A4", "a@b", "a%00", "*"])
def test_a_malformed_tag_is_refused(admin: Registry, repository: str, tag: str) -> None:
    payload = admin.push_image(repository, "1")
    answer = admin.put_manifest(repository, tag, payload)
    assert answer.status_code in {400, 404}
    assert errors(answer)[0]["code"] in {"TAG_INVALID", "MANIFEST_INVALID", "NAME_INVALID", "NAME_UNKNOWN"}
    for method in ("GET", "DELETE"):
        answer = admin.http.request(method, f"/v2/{repository}/manifests/{tag}")
        assert answer.status_code in {400, 404}
        errors(answer)
    assert admin.get(f"/v2/{repository}/tags/list").json()["tags"] == ["1"]


@pytest.mark.parametrize("tag", ["a", "_x", "A.b-c_d", "0", "a" * 128, "sha256-" + "0" * 64 + ".sig", "latest"])
def test_every_tag_of_the_grammar_is_taken(admin: Registry, repository: str, tag: str) -> None:
    payload = admin.push_image(repository, tag)
    assert admin.get(f"/v2/{repository}/manifests/{tag}").content == payload


def test_what_is_not_there_is_named_as_what_it_is(admin: Registry, repository: str) -> None:
    for path in ("tags/list", "manifests/1", f"manifests/{SOME_DIGEST}"):
        refused(admin.get(f"/v2/nowhere/at-all/{path}"), 404, "NAME_UNKNOWN")
    admin.push_image(repository, "1")
    refused(admin.get(f"/v2/{repository}/manifests/absent"), 404, "MANIFEST_UNKNOWN")
    refused(admin.get(f"/v2/{repository}/manifests/{SOME_DIGEST}"), 404, "MANIFEST_UNKNOWN")
    refused(admin.get(f"/v2/{repository}/blobs/{SOME_DIGEST}"), 404, "BLOB_UNKNOWN")
    refused(admin.delete(f"/v2/{repository}/blobs/{SOME_DIGEST}"), 404, "BLOB_UNKNOWN")
    refused(admin.delete(f"/v2/{repository}/manifests/absent"), 404, "MANIFEST_UNKNOWN")
    refused(admin.delete(f"/v2/{repository}/manifests/{SOME_DIGEST}"), 404, "MANIFEST_UNKNOWN")
    refused(admin.get(f"/v2/{repository}/blobs/uploads/absent"), 404, "BLOB_UPLOAD_UNKNOWN")


def test_a_head_that_fails_has_no_body_and_a_status(admin: Registry, repository: str) -> None:
    admin.push_image(repository, "1")
    for path in (f"manifests/{SOME_DIGEST}", "manifests/absent", f"blobs/{SOME_DIGEST}"):
        answer = admin.head(f"/v2/{repository}/{path}")
        assert (answer.status_code, answer.content) == (404, b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/demo/app/manifests/absent"),
        ("GET", f"/v2/demo/app/blobs/{SOME_DIGEST}"),
        ("GET", "/v2/nowhere/app/tags/list"),
        ("GET", "/v2/Demo/app/tags/list"),
        ("PATCH", "/v2/demo/app/manifests/1"),
        ("GET", "/v2/demo/app/blobs/uploads/absent"),
        ("PUT", "/v2/demo/app/manifests/1"),
        ("GET", "/v2/unknown-endpoint"),
    ],
)
def test_a_refusal_names_the_api_version_too(admin: Registry, method: str, path: str) -> None:
    # protocol.md 2.1.1: on every answer.
    admin.push_image("demo/app", "1")
    answer = admin.http.request(method, path)
    assert answer.status_code >= 400
    assert answer.headers.get("Docker-Distribution-API-Version") == "registry/2.0"


def test_a_query_that_cannot_be_read_is_refused_with_the_envelope(server: Server) -> None:
    for query in ("?" + "&".join(f"a{n}=1" for n in range(2000)), "?n=%zz", "?n=1&n=2&last=%ff%fe"):
        with connected(server) as sock:
            sock.sendall(head_of("GET", f"/v2/_catalog{query}", basic(server)))
            answer = answer_on(sock)
        assert answer.status in {200, 400, 414}
        if answer.status != 200:
            assert answer.codes


def test_a_refusal_before_the_body_leaves_the_connection_usable_or_closed(server: Server) -> None:
    # The next request must be read as one, never out of the body of the refused one.
    inner = b"GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(server) as sock:
        sock.sendall(head_of("PUT", "/v2/demo/app/manifests/1", f"Content-Length: {len(inner)}") + inner)
        assert answer_on(sock, "PUT").status == 401
        try:
            sock.sendall(head_of("GET", "/livez"))
            data = sock.recv(65536)
        except OSError:
            return
    assert data == b"" or b'"alive"' in data, data
