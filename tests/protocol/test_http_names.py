"""`my-ubuntu` and `library/my-ubuntu` are one repository; answers say the name that was asked for."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.protocol.client import (
    OCI_MANIFEST,
    Registry,
    bearer,
    challenge_of,
    client,
    digest_of,
    encoded,
    image,
    index,
    next_link,
    subject_of,
)
from tests.serving import Server


def test_both_names_lead_to_the_same_content(admin: Registry) -> None:
    first = admin.push_image("my-ubuntu", "short", b"layer one")
    second = admin.push_image("library/my-ubuntu", "long", b"layer two")
    for name in ("my-ubuntu", "library/my-ubuntu"):
        assert admin.get(f"/v2/{name}/manifests/short").content == first
        assert admin.get(f"/v2/{name}/manifests/long").content == second
        assert admin.get(f"/v2/{name}/blobs/{digest_of(b'layer one')}").status_code == 200
        assert admin.get(f"/v2/{name}/blobs/{digest_of(b'layer two')}").status_code == 200
        assert admin.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["long", "short"]}
    listing = admin.http.get("/v2/_catalog", params={"last": "library/my-ubunt", "n": "1"})
    assert listing.json()["repositories"] == ["library/my-ubuntu"]
    assert "my-ubuntu" not in admin.get("/v2/_catalog?n=10000").json()["repositories"]


def test_answers_say_the_name_that_was_asked_for(admin: Registry) -> None:
    for name in ("echo", "library/echo"):
        location = admin.begin(name)
        assert location.startswith(f"/v2/{name}/blobs/uploads/")
        answer = admin.patch(location, b"{}")
        assert answer.headers["Location"].startswith(f"/v2/{name}/blobs/uploads/")
        answer = admin.finish(answer.headers["Location"], digest_of(b"{}"))
        assert answer.headers["Location"] == f"/v2/{name}/blobs/{digest_of(b'{}')}"
        payload = encoded(image())
        for tag in ("1", "2"):
            answer = admin.put_manifest(name, tag, payload, OCI_MANIFEST)
            assert answer.headers["Location"] == f"/v2/{name}/manifests/{digest_of(payload)}"
        link = next_link(admin.get(f"/v2/{name}/tags/list?n=1"))
        assert link is not None
        assert urlsplit(link).path == f"/v2/{name}/tags/list"


def test_an_upload_may_change_between_the_names(admin: Registry) -> None:
    location = admin.begin("either").replace("/v2/either/", "/v2/library/either/")
    assert admin.finish(location, digest_of(b"x"), b"x").status_code == 201


def test_a_challenge_for_a_short_name_leads_to_a_token_that_opens_it(server: Server, admin: Registry) -> None:
    payload = admin.push_image("challenged", "1")
    with client(server) as anybody:
        asked = challenge_of(anybody.get("/v2/challenged/manifests/1"))
        assert asked["scope"] in {"repository:challenged:pull", "repository:library/challenged:pull"}
        for scope in (asked["scope"], "repository:challenged:pull", "repository:library/challenged:pull"):
            token = admin.token(scope)
            assert anybody.get("/v2/challenged/manifests/1", bearer(token)).content == payload


def test_a_challenge_names_the_repository_as_it_was_asked_for(server: Server) -> None:
    with client(server) as anybody:
        for name in ("asked-so", "library/asked-so"):
            asked = challenge_of(anybody.get(f"/v2/{name}/manifests/1"))
            assert asked["scope"] == f"repository:{name}:pull"


def test_referrers_know_both_names(admin: Registry) -> None:
    subject = admin.push_image("referred", "1")
    payload = encoded(index(subject=subject_of(subject)))
    admin.push_manifest("library/referred", digest_of(payload), payload, None)
    for name in ("referred", "library/referred"):
        found = admin.get(f"/v2/{name}/referrers/{digest_of(subject)}").json()["manifests"]
        assert [entry["digest"] for entry in found] == [digest_of(payload)]


def test_the_library_as_a_name_of_its_own(admin: Registry) -> None:
    payload = admin.push_image("library", "1")
    assert admin.get("/v2/library/library/manifests/1").content == payload
