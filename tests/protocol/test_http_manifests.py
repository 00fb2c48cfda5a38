"""Manifests (end-3, end-7): stored byte for byte, served as they are, whoever asks for what."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import suppress

import pytest

from tests.protocol.client import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    Registry,
    admin_of,
    answer_on,
    basic,
    child,
    connected,
    descriptor,
    digest_of,
    encoded,
    head_of,
    image,
    in_pieces,
    index,
    refused,
)
from tests.serving import Server

LIMIT = 4 * 1024 * 1024


def padded(size: int) -> bytes:
    """An image manifest of exactly `size` bytes."""
    bare = encoded(image(EMPTY, annotations={"pad": ""}))
    payload = encoded(image(EMPTY, annotations={"pad": "x" * (size - len(bare))}))
    assert len(payload) == size
    return payload


# --- bytes ----------------------------------------------------------------------------------------


def test_the_bytes_come_back_as_they_were_pushed(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = b'\n {"layers":[ ],\t"schemaVersion":2 , "x":1e3,"e":"\\u00e4\xc3\xa4", "config":%s,"x":2}\r\n ' % (
        json.dumps(descriptor(EMPTY)).encode()
    )
    digest = admin.push_manifest(repository, "1", payload)
    assert digest == digest_of(payload)
    for reference in ("1", digest):
        answer = admin.get(f"/v2/{repository}/manifests/{reference}")
        assert answer.content == payload
        assert answer.headers["Content-Length"] == str(len(payload))
        assert answer.headers["Content-Type"] == OCI_MANIFEST
        assert answer.headers["Docker-Content-Digest"] == digest
        assert answer.headers["ETag"] == f'"{digest}"'
        assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"
        assert "Content-Encoding" not in answer.headers


def test_head_tells_what_get_tells(admin: Registry, repository: str) -> None:
    admin.push_image(repository, "1", b"layer")
    got, told = (admin.http.request(method, f"/v2/{repository}/manifests/1") for method in ("GET", "HEAD"))
    assert (told.status_code, told.content) == (200, b"")
    ignored = {"x-request-id", "date"}
    assert {k: v for k, v in told.headers.items() if k not in ignored} == {
        k: v for k, v in got.headers.items() if k not in ignored
    }


def test_a_push_is_answered_with_place_and_digest(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = encoded(image())
    answer = admin.put_manifest(repository, "1", payload)
    assert answer.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == digest_of(payload)
    assert answer.headers["Location"] == f"/v2/{repository}/manifests/{digest_of(payload)}"
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert "OCI-Subject" not in answer.headers
    assert admin.get(answer.headers["Location"]).content == payload


def test_pushing_again_is_no_error(admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "1")
    assert admin.put_manifest(repository, "1", payload).status_code == 201
    assert admin.put_manifest(repository, digest_of(payload), payload).status_code == 201


def test_a_tag_moves_to_what_was_pushed_last_and_the_old_manifest_stays(admin: Registry, repository: str) -> None:
    first = admin.push_image(repository, "1", b"one")
    second = admin.push_image(repository, "1", b"two")
    assert admin.get(f"/v2/{repository}/manifests/1").content == second
    assert admin.get(f"/v2/{repository}/manifests/{digest_of(first)}").content == first
    assert admin.get(f"/v2/{repository}/tags/list").json()["tags"] == ["1"]


def test_what_one_worker_took_all_workers_serve_at_once(server: Server, admin: Registry, repository: str) -> None:
    for number in range(20):
        payload = admin.push_image(repository, "moving", b"layer %d" % number)
        with connected(server) as sock:  # a new connection may reach the other worker
            sock.sendall(head_of("GET", f"/v2/{repository}/manifests/moving", basic(server)))
            assert answer_on(sock).body == payload


# --- Content-Type ---------------------------------------------------------------------------------


def test_parameters_of_the_content_type_are_dropped(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    admin.push_manifest(repository, "1", encoded(image()), f"{OCI_MANIFEST}; charset=utf-8")
    assert admin.head(f"/v2/{repository}/manifests/1").headers["Content-Type"] == OCI_MANIFEST


def test_the_media_type_of_the_document_stands_in_for_a_missing_content_type(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    admin.push_manifest(repository, "1", encoded(image(mediaType=DOCKER_MANIFEST)), None)
    assert admin.head(f"/v2/{repository}/manifests/1").headers["Content-Type"] == DOCKER_MANIFEST


def test_the_content_type_stands_in_for_a_missing_media_type(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    document = image()
    del document["mediaType"]
    admin.push_manifest(repository, "1", encoded(document), OCI_MANIFEST)
    assert admin.head(f"/v2/{repository}/manifests/1").headers["Content-Type"] == OCI_MANIFEST


@pytest.mark.parametrize(
    ("given", "document"),
    [
        (OCI_INDEX, image()),
        (DOCKER_MANIFEST, image()),
        (OCI_MANIFEST, index()),
        ("application/json", image()),
    ],
)
def test_two_types_that_differ_are_refused(
    admin: Registry, repository: str, given: str, document: dict[str, object]
) -> None:
    admin.push_blob(repository, EMPTY)
    refused(admin.put_manifest(repository, "1", encoded(document), given), 400, "MANIFEST_INVALID")


def test_a_document_that_is_image_and_index_at_once_is_refused(admin: Registry, repository: str) -> None:
    # CVE-2021-41190
    admin.push_blob(repository, EMPTY)
    for kind in (OCI_MANIFEST, OCI_INDEX):
        document = image(manifests=[]) | {"mediaType": kind}
        refused(admin.put_manifest(repository, "1", encoded(document), kind), 400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b"{",
        b"\xff\xfe{}",
        b'{"schemaVersion":2,"config":null}',
        b'{"schemaVersion":"2"}',
        b'{"schemaVersion":3,"config":{"mediaType":"a/b","digest":"sha256:%s","size":2},"layers":[]}' % (b"0" * 64),
        encoded(image(layers=[{"mediaType": "a/b", "digest": "sha256:short", "size": 1}])),
        encoded(image(layers=[{"mediaType": "a/b", "digest": "../../etc/passwd", "size": 1}])),
        encoded(image(layers=[{"mediaType": "a/b", "digest": digest_of(b"x"), "size": -1}])),
        encoded(image(layers=[{"mediaType": "a/b", "size": 1}])),
        encoded(image(layers={})),
        encoded(image(subject="sha256:" + "0" * 64)),
    ],
)
def test_a_document_that_is_no_manifest_is_manifest_invalid(admin: Registry, repository: str, payload: bytes) -> None:
    admin.push_blob(repository, EMPTY)
    refused(admin.put_manifest(repository, "1", payload), 400, "MANIFEST_INVALID")
    assert admin.get(f"/v2/{repository}/manifests/1").status_code == 404


@pytest.mark.parametrize("kind", ["x", "a/", "a/b c", "text", "a/b\tc", "\u00e4/b".encode().decode("latin-1")])
def test_a_malformed_content_type_is_refused_cleanly(
    server: Server, admin: Registry, repository: str, kind: str
) -> None:
    admin.push_blob(repository, EMPTY)
    document = image()
    del document["mediaType"]
    payload = encoded(document)
    with connected(server) as sock:
        head = head_of(
            "PUT",
            f"/v2/{repository}/manifests/1",
            basic(server),
            f"Content-Type: {kind}",
            f"Content-Length: {len(payload)}",
        )
        sock.sendall(head + payload)
        answer = answer_on(sock, "PUT")
    assert (answer.status, answer.codes) == (400, {"MANIFEST_INVALID"})


# --- conditions and Accept ------------------------------------------------------------------------


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"other", "{}"', "*", "{}"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_client_has_is_304(admin: Registry, repository: str, method: str, form: str) -> None:
    digest = digest_of(admin.push_image(repository, "1"))
    answer = admin.http.request(method, f"/v2/{repository}/manifests/1", headers={"If-None-Match": form.format(digest)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == f'"{digest}"'
    assert answer.headers["Docker-Content-Digest"] == digest


def test_what_the_client_has_of_old_is_200(admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "1")
    answer = admin.get(f"/v2/{repository}/manifests/1", {"If-None-Match": f'"{digest_of(b"old")}"'})
    assert (answer.status_code, answer.content) == (200, payload)


ACCEPTS = [
    [],
    ["*/*"],
    [OCI_MANIFEST],
    [OCI_INDEX],
    [DOCKER_LIST],
    [f"{DOCKER_MANIFEST}, {DOCKER_LIST};q=0.5, */*;q=0.1"],
    ["application/vnd.docker.distribution.manifest.v1+json"],
    ["application/vnd.docker.distribution.manifest.v1+prettyjws", "text/html"],
    ["text/html;q=0"],
    ["*/*;q=0"],
    ["application/*", "image/png"],
    ["garbage;;;=,,/"],
    ["a/b" * 1000],
]


@pytest.mark.parametrize("accepts", ACCEPTS, ids=lambda accepts: (accepts[0] if accepts else "none")[:60])
def test_no_accept_header_hides_or_changes_a_manifest(
    server: Server, admin: Registry, repository: str, accepts: list[str]
) -> None:
    payload = admin.push_image(repository, "1")
    lines = [f"Accept: {accept}" for accept in accepts]
    for reference in ("1", digest_of(payload)):
        with connected(server) as sock:
            sock.sendall(head_of("GET", f"/v2/{repository}/manifests/{reference}", basic(server), *lines))
            answer = answer_on(sock)
        assert (answer.status, answer.body) == (200, payload)
        assert answer.headers["content-type"] == OCI_MANIFEST


def test_a_manifest_list_is_never_answered_with_one_of_its_children(admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "amd64")
    listing = encoded({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [child(payload)]})
    admin.push_manifest(repository, "1", listing, DOCKER_LIST)
    answer = admin.get(f"/v2/{repository}/manifests/1", {"Accept": DOCKER_MANIFEST})
    assert (answer.status_code, answer.content) == (200, listing)


def test_nothing_is_ever_compressed(admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "1", b"a" * 100_000)
    for path in ("manifests/1", f"blobs/{digest_of(b'a' * 100_000)}"):
        answer = admin.get(f"/v2/{repository}/{path}", {"Accept-Encoding": "zstd,gzip,deflate"})
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["Content-Length"] in {str(len(payload)), "100000"}


# --- size -----------------------------------------------------------------------------------------


def test_four_mebibytes_are_accepted(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = padded(LIMIT)
    admin.push_manifest(repository, "large", payload)
    assert admin.get(f"/v2/{repository}/manifests/large").content == payload


@pytest.mark.parametrize("size", [LIMIT + 1, 8 * LIMIT])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_byte_more_is_413(server: Server, admin: Registry, repository: str, size: int, streamed: bool) -> None:
    admin.push_blob(repository, EMPTY)
    payload = padded(size)
    with admin_of(server) as pusher:
        answer = pusher.http.put(
            f"/v2/{repository}/manifests/large",
            content=in_pieces(payload, 65536) if streamed else payload,
            headers={"Content-Type": OCI_MANIFEST},
        )
    assert answer.status_code == 413
    assert admin.get(f"/v2/{repository}/tags/list").json()["tags"] == []


@pytest.mark.parametrize("size", [LIMIT + 1, 8 * LIMIT])
def test_a_refusal_reaches_a_client_that_sends_all_before_it_reads(
    server: Server, admin: Registry, repository: str, size: int
) -> None:
    # protocol.md 2.1.9. A connection closed upon unread bytes is reset,
    # and a reset takes the answer with it.
    admin.push_blob(repository, EMPTY)
    payload = padded(size)
    lines = (basic(server), f"Content-Type: {OCI_MANIFEST}", f"Content-Length: {size}")
    outcomes = []
    for _ in range(10):
        with connected(server) as sock:
            try:
                with suppress(BrokenPipeError):
                    sock.sendall(head_of("PUT", f"/v2/{repository}/manifests/large", *lines) + payload)
                time.sleep(0.02)
                outcomes.append(str(answer_on(sock, "PUT").status))
            except (OSError, http.client.HTTPException) as error:
                outcomes.append(type(error).__name__)
    assert outcomes == ["413"] * 10


def test_a_connection_that_ends_with_a_refusal_is_announced(server: Server, admin: Registry, repository: str) -> None:
    # A client that keeps connections would otherwise send its next request into a closed one (RFC 9112, 9.6).
    admin.push_blob(repository, EMPTY)
    lines = (basic(server), f"Content-Type: {OCI_MANIFEST}", f"Content-Length: {100 * LIMIT}")
    with connected(server) as sock:
        sock.sendall(head_of("PUT", f"/v2/{repository}/manifests/large", *lines))
        answer = answer_on(sock, "PUT")
    assert answer.status == 413
    assert answer.headers.get("connection", "").lower() == "close"


def test_a_body_too_large_is_refused_before_it_is_sent(server: Server, admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    with connected(server) as sock:
        began = time.monotonic()
        path = f"/v2/{repository}/manifests/large"
        sock.sendall(head_of("PUT", path, basic(server), f"Content-Length: {100 * LIMIT}"))
        answer = answer_on(sock, "PUT")
    assert answer.status == 413
    assert answer.codes
    assert time.monotonic() - began < 5


def test_a_stream_too_large_is_refused_before_its_end(server: Server, admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    chunk = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    with connected(server) as sock:
        path = f"/v2/{repository}/manifests/large"
        sock.sendall(head_of("PUT", path, basic(server), "Transfer-Encoding: chunked"))
        for _ in range(LIMIT // 65536 + 2):
            sock.sendall(chunk)
        answer = answer_on(sock, "PUT")
    assert answer.status == 413


def test_a_push_without_rights_is_refused_before_its_body(server: Server) -> None:
    with connected(server) as sock:
        sock.sendall(head_of("PUT", "/v2/demo/app/manifests/1", "Content-Length: 1000"))
        assert answer_on(sock, "PUT").status == 401


def test_a_client_that_expects_100_continue_is_served(server: Server, admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = encoded(image())
    with connected(server) as sock:
        head = head_of(
            "PUT",
            f"/v2/{repository}/manifests/1",
            basic(server),
            f"Content-Type: {OCI_MANIFEST}",
            f"Content-Length: {len(payload)}",
            "Expect: 100-continue",
        )
        sock.sendall(head)
        assert sock.recv(1024).startswith(b"HTTP/1.1 100 ")
        sock.sendall(payload)
        assert answer_on(sock, "PUT").status == 201


# --- by digest, with tags -------------------------------------------------------------------------


def test_a_push_by_digest_sets_no_tag(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = encoded(image())
    answer = admin.put_manifest(repository, digest_of(payload), payload)
    assert answer.status_code == 201
    assert "OCI-Tag" not in answer.headers
    assert admin.get(f"/v2/{repository}/tags/list").json()["tags"] == []
    assert admin.get(f"/v2/{repository}/manifests/{digest_of(payload)}").content == payload


def test_a_push_by_digest_sets_the_tags_of_its_query(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = encoded(image())
    tags = [f"v{number}" for number in range(10)]
    query = "&".join(f"tag={tag}" for tag in tags)
    answer = admin.http.put(
        f"/v2/{repository}/manifests/{digest_of(payload)}?{query}",
        content=payload,
        headers={"Content-Type": OCI_MANIFEST},
    )
    assert answer.status_code == 201
    told = [tag.strip() for value in answer.headers.get_list("OCI-Tag") for tag in value.split(",")]
    assert told == tags
    assert admin.get(f"/v2/{repository}/tags/list").json()["tags"] == tags
    assert all(admin.get(f"/v2/{repository}/manifests/{tag}").content == payload for tag in tags)


def test_one_bad_tag_of_many_stores_nothing(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = encoded(image())
    path = f"/v2/{repository}/manifests/{digest_of(payload)}"
    answer = admin.http.put(f"{path}?tag=good&tag=.bad", content=payload, headers={"Content-Type": OCI_MANIFEST})
    refused(answer, 400, "TAG_INVALID")
    assert admin.get(path).status_code == 404
    assert admin.get(f"/v2/{repository}/tags/list").json()["tags"] == []


def test_too_many_tags_are_414(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = encoded(image())
    query = "&".join(f"tag=v{number}" for number in range(900))
    answer = admin.http.put(
        f"/v2/{repository}/manifests/{digest_of(payload)}?{query}",
        content=payload,
        headers={"Content-Type": OCI_MANIFEST},
    )
    assert answer.status_code == 414


def test_another_digest_than_that_of_the_bytes_is_refused(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    wrong = digest_of(b"something else")
    refused(admin.put_manifest(repository, wrong, encoded(image())), 400, "DIGEST_INVALID")
    assert admin.get(f"/v2/{repository}/manifests/{wrong}").status_code == 404
    assert admin.get(f"/v2/{repository}/manifests/{digest_of(encoded(image()))}").status_code == 404


def test_a_sha512_manifest_is_kept_under_its_digest(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = encoded(image())
    digest = digest_of(payload, "sha512")
    answer = admin.http.put(
        f"/v2/{repository}/manifests/{digest}?tag=big",
        content=payload,
        headers={"Content-Type": OCI_MANIFEST},
    )
    assert answer.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == digest
    for reference in (digest, "big"):
        got = admin.get(f"/v2/{repository}/manifests/{reference}")
        assert (got.content, got.headers["Docker-Content-Digest"]) == (payload, digest)


def test_a_manifest_is_not_visible_in_another_repository(
    admin: Registry, repository: str, other_repository: str
) -> None:
    payload = admin.push_image(repository, "1")
    admin.push_blob(other_repository, EMPTY)
    refused(admin.get(f"/v2/{other_repository}/manifests/{digest_of(payload)}"), 404, "MANIFEST_UNKNOWN")


def test_a_manifest_is_no_blob(admin: Registry, repository: str) -> None:
    # containerd's FetchByDigest tries blobs first.
    payload = admin.push_image(repository, "1")
    assert admin.head(f"/v2/{repository}/blobs/{digest_of(payload)}").status_code == 404
