"""Deletion (end-9, end-10): what is still needed stays, what is gone is gone at once."""

from __future__ import annotations

import pytest

from tests.protocol.client import (
    EMPTY,
    OCI_INDEX,
    Registry,
    child,
    client,
    digest_of,
    encoded,
    image,
    index,
    refused,
    subject_of,
)
from tests.serving import Server


def manifests(repository: str, reference: str) -> str:
    return f"/v2/{repository}/manifests/{reference}"


def test_a_tag_goes_and_its_manifest_stays(admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "1")
    admin.push_manifest(repository, "2", payload)
    assert admin.delete(manifests(repository, "1")).status_code == 202
    refused(admin.get(manifests(repository, "1")), 404, "MANIFEST_UNKNOWN")
    assert admin.get(f"/v2/{repository}/tags/list").json()["tags"] == ["2"]
    for reference in ("2", digest_of(payload)):
        assert admin.get(manifests(repository, reference)).content == payload


def test_a_tag_of_an_indexs_child_may_go(admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "amd64")
    admin.push_manifest(repository, "1", encoded(index(child(payload))), OCI_INDEX)
    assert admin.delete(manifests(repository, "amd64")).status_code == 202
    assert admin.get(manifests(repository, digest_of(payload))).status_code == 200


def test_a_manifest_goes_with_all_its_tags_at_once(server: Server, admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "1")
    for tag in ("2", "3"):
        admin.push_manifest(repository, tag, payload)
    admin.push_image(repository, "other", b"x")
    digest = digest_of(payload)
    answer = admin.delete(manifests(repository, digest))
    assert answer.status_code == 202
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    for _ in range(6):  # on either worker
        with client(server, (server.user, server.password)) as fresh:
            for reference in (digest, "1", "2", "3"):
                assert fresh.get(manifests(repository, reference)).status_code == 404
            assert fresh.get(f"/v2/{repository}/tags/list").json()["tags"] == ["other"]
    refused(admin.delete(manifests(repository, digest)), 404, "MANIFEST_UNKNOWN")
    refused(admin.delete(manifests(repository, "1")), 404, "MANIFEST_UNKNOWN")


def test_a_deleted_manifest_can_be_pushed_again(admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "1", b"layer")
    admin.delete(manifests(repository, digest_of(payload)))
    admin.push_manifest(repository, "1", payload)
    assert admin.get(manifests(repository, "1")).content == payload


def test_a_child_of_an_index_stays_and_the_refusal_names_the_index(admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "amd64")
    parent = encoded(index(child(payload)))
    admin.push_manifest(repository, "1", parent, OCI_INDEX)
    told = refused(admin.delete(manifests(repository, digest_of(payload))), 409, "DENIED")
    assert digest_of(parent) in told[0]["message"]
    assert admin.get(manifests(repository, digest_of(payload))).status_code == 200
    assert admin.get(manifests(repository, "amd64")).status_code == 200
    assert admin.delete(manifests(repository, digest_of(parent))).status_code == 202
    assert admin.delete(manifests(repository, digest_of(payload))).status_code == 202


def test_an_index_in_another_repository_does_not_hold_a_manifest(
    admin: Registry, repository: str, other_repository: str
) -> None:
    for name in (repository, other_repository):
        payload = admin.push_image(name, "amd64")
    admin.push_manifest(other_repository, "1", encoded(index(child(payload))), OCI_INDEX)
    assert admin.delete(manifests(repository, digest_of(payload))).status_code == 202


def test_a_subject_goes_and_its_referrers_stay(admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "1")
    signature = encoded(image(subject=subject_of(payload), artifactType="application/vnd.example.signature"))
    digest = admin.push_manifest(repository, digest_of(signature), signature)
    assert admin.delete(manifests(repository, digest_of(payload))).status_code == 202
    assert admin.get(manifests(repository, digest)).status_code == 200
    listed = admin.get(f"/v2/{repository}/referrers/{digest_of(payload)}").json()["manifests"]
    assert [entry["digest"] for entry in listed] == [digest]


def test_a_referrer_that_went_is_no_longer_listed(admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "1")
    signature = encoded(image(subject=subject_of(payload)))
    admin.push_manifest(repository, digest_of(signature), signature)
    assert admin.delete(manifests(repository, digest_of(signature))).status_code == 202
    assert admin.get(f"/v2/{repository}/referrers/{digest_of(payload)}").json()["manifests"] == []


# --- blobs ----------------------------------------------------------------------------------------


def test_a_blob_goes_at_once(server: Server, admin: Registry, repository: str) -> None:
    digest = admin.push_blob(repository, b"short-lived")
    path = f"/v2/{repository}/blobs/{digest}"
    assert admin.get(path).status_code == 200
    assert admin.delete(path).status_code == 202
    for _ in range(6):
        with client(server, (server.user, server.password)) as fresh:
            assert fresh.head(path).status_code == 404
    refused(admin.get(path), 404, "BLOB_UNKNOWN")
    refused(admin.delete(path), 404, "BLOB_UNKNOWN")
    assert admin.push_blob(repository, b"short-lived") == digest
    assert admin.get(path).content == b"short-lived"


@pytest.mark.parametrize("part", [EMPTY, b"a layer"], ids=["config", "layer"])
def test_a_blob_that_a_manifest_names_stays_and_the_refusal_names_the_manifest(
    admin: Registry, repository: str, part: bytes
) -> None:
    payload = admin.push_image(repository, "1", b"a layer")
    path = f"/v2/{repository}/blobs/{digest_of(part)}"
    told = refused(admin.delete(path), 405, "UNSUPPORTED")
    assert digest_of(payload) in told[0]["message"]
    assert admin.get(path).content == part
    admin.delete(manifests(repository, digest_of(payload)))
    assert admin.delete(path).status_code == 202


def test_a_blob_goes_from_one_repository_only(admin: Registry, repository: str, other_repository: str) -> None:
    for name in (repository, other_repository):
        digest = admin.push_blob(name, b"shared")
    assert admin.delete(f"/v2/{repository}/blobs/{digest}").status_code == 202
    assert admin.get(f"/v2/{other_repository}/blobs/{digest}").content == b"shared"


@pytest.mark.parametrize("path", ["manifests/1", "blobs/sha256:" + "0" * 64])
def test_nobody_deletes_anything(admin: Registry, anybody: Registry, repository: str, path: str) -> None:
    admin.push_image(repository, "1")
    refused(anybody.delete(f"/v2/{repository}/{path}"), 401, "UNAUTHORIZED")
    assert admin.get(manifests(repository, "1")).status_code == 200


def test_the_manifest_of_a_repository_that_never_was_is_unknown(admin: Registry) -> None:
    refused(admin.delete(manifests("never/was", "1")), 404, "NAME_UNKNOWN")
