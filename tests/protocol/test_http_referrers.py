"""Referrers (end-12): what hangs on a manifest, never a 404, merged with what older clients tagged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.protocol.client import (
    EMPTY,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Json,
    Registry,
    admin_of,
    challenge_of,
    child,
    digest_of,
    encoded,
    image,
    index,
    next_link,
    refused,
    subject_of,
)
from tests.serving import Server

SIGNATURE = "application/vnd.example.signature"
SBOM = "application/vnd.example.sbom"
ZERO = "sha256:" + "0" * 64


def listed(registry: Registry, repository: str, subject: str, query: str = "") -> list[Json]:
    """The descriptors, after checks that every answer must pass."""
    answer = registry.get(f"/v2/{repository}/referrers/{subject}{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == OCI_INDEX, "exactly: oras compares it as text"
    document = answer.json()
    assert document["schemaVersion"] == 2
    assert document["mediaType"] == OCI_INDEX
    found: list[Json] = document["manifests"]
    return found


def attach(registry: Registry, repository: str, to: bytes, kind: str | None = SIGNATURE, **more: Any) -> Json:
    """Push an artifact about `to`; the descriptor that the list should show."""
    document = image(subject=subject_of(to), **more)
    if kind:
        document["artifactType"] = kind
    payload = encoded(document)
    answer = registry.put_manifest(repository, digest_of(payload), payload)
    assert answer.status_code == 201, answer.text
    assert answer.headers["OCI-Subject"] == digest_of(to)
    shown = child(payload) | {"artifactType": kind or OCI_CONFIG}
    return shown | ({"annotations": more["annotations"]} if "annotations" in more else {})


@pytest.mark.parametrize("subject", [ZERO, digest_of(b"unknown"), "sha512:" + "0" * 128])
def test_what_nobody_refers_to_has_an_empty_list(admin: Registry, repository: str, subject: str) -> None:
    admin.push_image(repository, "1")
    assert listed(admin, repository, subject) == []


def test_a_repository_that_never_was_has_an_empty_list_too(admin: Registry) -> None:
    assert listed(admin, "never/was", ZERO) == []


def test_a_malformed_digest_is_refused(admin: Registry, repository: str) -> None:
    admin.push_image(repository, "1")
    for digest in ("latest", "sha256:short", "md5:" + "0" * 32):
        refused(admin.get(f"/v2/{repository}/referrers/{digest}"), 400, "DIGEST_INVALID")


def test_the_list_is_for_those_who_may_pull(anybody: Registry, repository: str) -> None:
    asked = challenge_of(anybody.get(f"/v2/{repository}/referrers/{ZERO}"))
    assert asked["scope"] == f"repository:{repository}:pull"


def test_descriptors_say_all_that_clients_read(admin: Registry, repository: str) -> None:
    subject = admin.push_image(repository, "1")
    expected = [
        attach(admin, repository, subject, SIGNATURE, annotations={"org.example.key": "\u00e4\u2713"}),
        attach(admin, repository, subject, SBOM),
        attach(admin, repository, subject, None),  # the config's type stands in
    ]
    bare = encoded(index(subject=subject_of(subject)))
    admin.push_manifest(repository, digest_of(bare), bare, OCI_INDEX)
    typed = encoded(index(subject=subject_of(subject), artifactType=SBOM))
    admin.push_manifest(repository, digest_of(typed), typed, OCI_INDEX)
    expected += [child(bare, OCI_INDEX), child(typed, OCI_INDEX) | {"artifactType": SBOM}]
    found = listed(admin, repository, digest_of(subject))
    by_digest = {entry["digest"]: entry for entry in found}
    assert len(by_digest) == len(found)
    assert by_digest == {entry["digest"]: entry for entry in expected}
    assert listed(admin, repository, digest_of(subject)) == found, "the order is the same every time"


def test_an_indexs_type_is_not_taken_from_anywhere_else(admin: Registry, repository: str) -> None:
    subject = admin.push_image(repository, "1")
    bare = encoded(index(subject=subject_of(subject)))
    admin.push_manifest(repository, digest_of(bare), bare, OCI_INDEX)
    assert "artifactType" not in listed(admin, repository, digest_of(subject))[0]


def test_the_subject_may_come_later(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    subject = encoded(image(annotations={"pushed": "later"}))
    shown = attach(admin, repository, subject)
    assert listed(admin, repository, digest_of(subject)) == [shown]
    admin.push_manifest(repository, "1", subject)
    assert listed(admin, repository, digest_of(subject)) == [shown]


def test_pushing_again_lists_once(admin: Registry, repository: str) -> None:
    subject = admin.push_image(repository, "1")
    assert attach(admin, repository, subject) == attach(admin, repository, subject)
    assert len(listed(admin, repository, digest_of(subject))) == 1


def test_referrers_of_another_repository_are_not_listed(
    admin: Registry, repository: str, other_repository: str
) -> None:
    subject = admin.push_image(repository, "1")
    admin.push_image(other_repository, "1")
    attach(admin, other_repository, subject)
    assert listed(admin, repository, digest_of(subject)) == []


def test_referrers_of_referrers(admin: Registry, repository: str) -> None:
    subject = admin.push_image(repository, "1")
    first = encoded(image(subject=subject_of(subject), artifactType=SBOM))
    admin.push_manifest(repository, digest_of(first), first)
    second = attach(admin, repository, first)
    assert listed(admin, repository, digest_of(first)) == [second]
    assert [entry["digest"] for entry in listed(admin, repository, digest_of(subject))] == [digest_of(first)]


def test_a_sha512_subject(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    subject = {"mediaType": OCI_MANIFEST, "digest": digest_of(b"a", "sha512"), "size": 1}
    payload = encoded(image(subject=subject, artifactType=SIGNATURE))
    admin.push_manifest(repository, digest_of(payload), payload)
    found = listed(admin, repository, digest_of(b"a", "sha512"))
    assert [entry["digest"] for entry in found] == [digest_of(payload)]


# --- filter ---------------------------------------------------------------------------------------


def test_the_filter_keeps_one_type_and_says_so(admin: Registry, repository: str) -> None:
    subject = admin.push_image(repository, "1")
    signatures = [attach(admin, repository, subject, SIGNATURE, annotations={"n": str(n)}) for n in range(3)]
    attach(admin, repository, subject, SBOM)
    path = f"/v2/{repository}/referrers/{digest_of(subject)}"
    answer = admin.http.get(path, params={"artifactType": SIGNATURE})
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert answer.headers["Content-Type"] == OCI_INDEX
    assert sorted(entry["digest"] for entry in answer.json()["manifests"]) == sorted(
        entry["digest"] for entry in signatures
    )
    assert "OCI-Filters-Applied" not in admin.get(path).headers
    assert admin.http.get(path, params={"artifactType": "application/vnd.nobody"}).json()["manifests"] == []


def test_a_type_with_a_plus_is_found_however_it_is_escaped(admin: Registry, repository: str) -> None:
    subject = admin.push_image(repository, "1")
    shown = attach(admin, repository, subject, "application/vnd.example+json")
    assert listed(admin, repository, digest_of(subject), "?artifactType=application/vnd.example%2Bjson") == [shown]


def test_the_empty_filter_keeps_those_without_a_type(admin: Registry, repository: str) -> None:
    subject = admin.push_image(repository, "1")
    attach(admin, repository, subject, SIGNATURE)
    bare = encoded(index(subject=subject_of(subject)))
    admin.push_manifest(repository, digest_of(bare), bare, OCI_INDEX)
    found = listed(admin, repository, digest_of(subject), "?artifactType=")
    assert [entry["digest"] for entry in found] == [digest_of(bare)]


# --- the fallback tag -----------------------------------------------------------------------------


def fallback(subject: bytes) -> str:
    return digest_of(subject).replace(":", "-")


def test_what_older_clients_listed_under_a_tag_is_merged(admin: Registry, repository: str) -> None:
    subject = admin.push_image(repository, "1")
    # pushed by a client that knew no subject field
    old = admin.push_image(repository, "old", annotations={"old": "signature"})
    shown_old = child(old) | {"artifactType": SIGNATURE, "annotations": {"from": "the tag"}}
    shown_new = attach(admin, repository, subject, SBOM)
    both = encoded(index(shown_old, shown_new))
    admin.push_manifest(repository, fallback(subject), both, OCI_INDEX)
    found = listed(admin, repository, digest_of(subject))
    assert {entry["digest"]: entry for entry in found} == {
        shown_old["digest"]: shown_old,
        shown_new["digest"]: shown_new,
    }
    assert len(found) == 2, "what both know is listed once"
    only = listed(admin, repository, digest_of(subject), f"?artifactType={SIGNATURE}")
    assert [entry["digest"] for entry in only] == [shown_old["digest"]]


def test_a_fallback_tag_that_is_no_index_is_no_error(admin: Registry, repository: str) -> None:
    subject = admin.push_image(repository, "1")
    admin.push_image(repository, fallback(subject), b"an image, not an index")
    assert listed(admin, repository, digest_of(subject)) == []


def test_the_fallback_tag_itself_stays_a_tag(admin: Registry, repository: str) -> None:
    subject = admin.push_image(repository, "1")
    payload = encoded(index())
    admin.push_manifest(repository, fallback(subject), payload, OCI_INDEX)
    assert admin.get(f"/v2/{repository}/manifests/{fallback(subject)}").content == payload
    assert fallback(subject) in admin.get(f"/v2/{repository}/tags/list").json()["tags"]


# --- pages ----------------------------------------------------------------------------------------


def test_more_than_a_thousand_referrers_come_in_pages(server: Server, admin: Registry, repository: str) -> None:
    subject = admin.push_image(repository, "1")
    digests = set()

    def push(numbers: range) -> set[str]:
        with admin_of(server) as pusher:
            return {
                attach(pusher, repository, subject, (SIGNATURE, SBOM)[n % 2], annotations={"n": str(n)})["digest"]
                for n in numbers
            }

    with ThreadPoolExecutor(8) as pool:
        for pushed in pool.map(push, [range(start, 1210, 8) for start in range(8)]):
            digests |= pushed
    assert len(digests) == 1210

    def pages(query: str) -> list[httpx.Response]:
        following: str | None = f"/v2/{repository}/referrers/{digest_of(subject)}{query}"
        answers = []
        while following:
            answers.append(admin.get(following))
            following = next_link(answers[-1])
            assert len(answers) < 10
        return answers

    answers = pages("")
    found = [entry["digest"] for answer in answers for entry in answer.json()["manifests"]]
    assert len(answers) > 1
    assert len(found) == len(digests)
    assert set(found) == digests
    filtered = pages(f"?artifactType={SIGNATURE}")
    entries = [entry for answer in filtered for entry in answer.json()["manifests"]]
    assert len(entries) == 605
    assert {entry["artifactType"] for entry in entries} == {SIGNATURE}
    assert all(answer.headers["OCI-Filters-Applied"] == "artifactType" for answer in filtered)
    assert all(answer.headers["Content-Type"] == OCI_INDEX for answer in (*answers, *filtered))
    refused(admin.get(f"/v2/{repository}/referrers/{ZERO}?last=x"), 400, "PAGINATION_NUMBER_INVALID")
