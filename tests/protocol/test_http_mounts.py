"""Mounting blobs from one repository into another (end-11)."""

from __future__ import annotations

import pytest

from tests.protocol.client import Registry, bearer, client, digest_of, encoded, image, make_public, refused
from tests.serving import Server


def mount(registry: Registry, repository: str, digest: str, source: str | None) -> tuple[int, dict[str, str]]:
    parameters = {"mount": digest} if source is None else {"mount": digest, "from": source}
    answer = registry.http.post(f"/v2/{repository}/blobs/uploads/", params=parameters)
    return answer.status_code, dict(answer.headers)


def check_upload(registry: Registry, status: int, headers: dict[str, str]) -> None:
    """Not mounted: a session was begun, which the client may use or drop."""
    assert status == 202
    assert headers["docker-upload-uuid"]
    assert headers["range"] == "0-0"
    assert registry.get(headers["location"]).status_code == 204
    assert registry.delete(headers["location"]).status_code == 204


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_mounted_blob_is_there_at_once(
    admin: Registry, repository: str, other_repository: str, algorithm: str
) -> None:
    content = b"mounted " + algorithm.encode()
    digest = admin.push_blob(repository, content, algorithm)
    status, headers = mount(admin, other_repository, digest, repository)
    assert status == 201
    assert headers["location"] == f"/v2/{other_repository}/blobs/{digest}"
    assert headers["docker-content-digest"] == digest
    assert admin.head(f"/v2/{other_repository}/blobs/{digest}").status_code == 200
    assert admin.get(headers["location"]).content == content


def test_a_mounted_blob_may_be_named_by_a_manifest(admin: Registry, repository: str, other_repository: str) -> None:
    admin.push_blob(repository, b"{}")
    assert mount(admin, other_repository, digest_of(b"{}"), repository)[0] == 201
    admin.push_manifest(other_repository, "1", encoded(image(b"{}")))


def test_mounting_twice_is_no_error(admin: Registry, repository: str, other_repository: str) -> None:
    digest = admin.push_blob(repository, b"twice")
    for _ in range(2):
        assert mount(admin, other_repository, digest, repository)[0] == 201
    assert mount(admin, repository, digest, repository)[0] == 201


def test_a_mount_without_a_source_finds_one_that_the_caller_may_read(
    admin: Registry, repository: str, other_repository: str
) -> None:
    digest = admin.push_blob(repository, b"found by itself")
    status, headers = mount(admin, other_repository, digest, None)
    assert status in {201, 202}
    if status == 202:
        check_upload(admin, status, headers)
    else:
        assert admin.get(f"/v2/{other_repository}/blobs/{digest}").content == b"found by itself"


@pytest.mark.parametrize("source", ["exists", "nowhere/at-all", "Not/Valid", "", None])
def test_mounting_what_is_missing_begins_an_upload(
    admin: Registry, repository: str, other_repository: str, source: str | None
) -> None:
    admin.push_blob(repository, b"something else")
    source = repository if source == "exists" else source
    check_upload(admin, *mount(admin, other_repository, digest_of(b"never pushed"), source))
    refused(admin.get(f"/v2/{other_repository}/blobs/{digest_of(b'never pushed')}"), 404, "BLOB_UNKNOWN")


def test_mounting_what_lies_in_yet_another_repository_begins_an_upload(
    admin: Registry, repository: str, other_repository: str
) -> None:
    admin.push_blob(repository, b"something else")
    digest = admin.push_blob("third/app", b"lies elsewhere")
    check_upload(admin, *mount(admin, other_repository, digest, repository))


@pytest.mark.parametrize("digest", ["nonsense", "sha256:short", "md5:" + "0" * 32])
def test_mounting_a_malformed_digest_is_never_201(admin: Registry, repository: str, digest: str) -> None:
    assert mount(admin, repository, digest, "demo/app")[0] in {202, 400}


def test_a_token_without_the_source_mounts_nothing(
    server: Server, admin: Registry, repository: str, other_repository: str
) -> None:
    # protocol.md 2.2.9: no failure, the client pushes instead.
    digest = admin.push_blob(repository, b"not for this token")
    token = admin.token(f"repository:{other_repository}:pull,push")
    with client(server, headers=bearer(token)) as holder:
        check_upload(holder, *mount(holder, other_repository, digest, repository))
        check_upload(holder, *mount(holder, other_repository, digest, None))
    assert admin.head(f"/v2/{other_repository}/blobs/{digest}").status_code == 404


def test_a_token_with_the_source_mounts(
    server: Server, admin: Registry, repository: str, other_repository: str
) -> None:
    digest = admin.push_blob(repository, b"for this token")
    scopes = (f"repository:{other_repository}:pull,push", f"repository:{repository}:pull")
    with client(server, headers=bearer(admin.token(*scopes))) as holder:
        assert mount(holder, other_repository, digest, repository)[0] == 201


def test_nobody_mounts_anything(server: Server, admin: Registry, anybody: Registry) -> None:
    make_public(server, "public-mounts")
    digest = admin.push_blob("public-mounts/app", b"public")
    answer = anybody.http.post(f"/v2/public-mounts/other/blobs/uploads/?mount={digest}&from=public-mounts/app")
    refused(answer, 401, "UNAUTHORIZED")


def test_a_short_source_name_is_in_the_library(admin: Registry, repository: str) -> None:
    digest = admin.push_blob("short-source", b"in the library")
    assert mount(admin, repository, digest, "short-source")[0] == 201
    other = f"{repository}/two"
    assert mount(admin, other, digest, "library/short-source")[0] == 201
