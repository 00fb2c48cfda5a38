"""Blobs, the way in (end-4, end-5, end-6, end-13, end-14)."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.protocol.client import (
    OCTETS,
    Registry,
    answer_on,
    basic,
    connected,
    digest_of,
    errors,
    eventually,
    head_of,
    in_pieces,
    refused,
    staged_files,
)
from tests.serving import Server

CONTENT = b"".join(b"%06d\n" % number for number in range(30_000))


def sent_range(answer: httpx.Response) -> int:
    """The last byte that the server says it has; clients read two numbers whatever there is."""
    found = re.fullmatch(r"0-(\d+)", answer.headers["Range"])
    assert found, answer.headers["Range"]
    return int(found[1])


def check_session(answer: httpx.Response, repository: str, status: int) -> None:
    """What every answer about a session that goes on holds."""
    assert answer.status_code == status, answer.text
    location = answer.headers["Location"]
    assert location.startswith(f"/v2/{repository}/blobs/uploads/"), "a path: no proxy can spoil it"
    assert not urlsplit(location).query, "some clients drop the query"
    assert answer.headers["Docker-Upload-UUID"] == location.rpartition("/")[2]
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert answer.content == b""
    sent_range(answer)


def check_stored(registry: Registry, repository: str, answer: httpx.Response, content: bytes, digest: str = "") -> None:
    """The blob was taken and is there."""
    digest = digest or digest_of(content)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v2/{repository}/blobs/{digest}"
    assert answer.headers["Docker-Content-Digest"] == digest
    assert registry.get(answer.headers["Location"]).content == content


def check_absent(registry: Registry, repository: str, content: bytes) -> None:
    assert registry.head(f"/v2/{repository}/blobs/{digest_of(content)}").status_code == 404


# --- the ways of clients --------------------------------------------------------------------------


def test_an_upload_begins_with_a_session(admin: Registry, repository: str) -> None:
    answer = admin.http.post(f"/v2/{repository}/blobs/uploads/")
    check_session(answer, repository, 202)
    assert answer.headers["Content-Length"] == "0"
    assert answer.headers["Range"] == "0-0"


def test_the_final_slash_may_be_missing(admin: Registry, repository: str) -> None:
    assert admin.http.post(f"/v2/{repository}/blobs/uploads").status_code == 202


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 200_000, 1_048_576, 3_000_001])
@pytest.mark.parametrize("streamed", [False, True], ids=["with length", "chunked encoding"])
def test_monolithic_post_and_put(admin: Registry, repository: str, size: int, streamed: bool) -> None:
    content = (CONTENT * (size // len(CONTENT) + 1))[:size]
    body: bytes | Iterator[bytes] = in_pieces(content, 10_000) if streamed else content
    answer = admin.finish(admin.begin(repository), digest_of(content), body)
    check_stored(admin, repository, answer, content)


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3_000_001])
@pytest.mark.parametrize("streamed", [False, True], ids=["with length", "chunked encoding"])
def test_a_single_post(admin: Registry, repository: str, size: int, streamed: bool) -> None:
    content = (CONTENT * (size // len(CONTENT) + 1))[:size]
    body: bytes | Iterator[bytes] = in_pieces(content, 10_000) if streamed else content
    answer = admin.http.post(
        f"/v2/{repository}/blobs/uploads/",
        params={"digest": digest_of(content)},
        content=body,
        headers={"Content-Type": OCTETS},
    )
    check_stored(admin, repository, answer, content)


@pytest.mark.parametrize("size", [1, 30_000, 5_000_000])
def test_one_streamed_patch_and_an_empty_put(admin: Registry, repository: str, size: int) -> None:
    # docker, crane
    content = (CONTENT * (size // len(CONTENT) + 1))[:size]
    location = admin.begin(repository)
    answer = admin.patch(location, in_pieces(content, 32_768))
    check_session(answer, repository, 202)
    assert sent_range(answer) == size - 1
    check_stored(admin, repository, admin.finish(answer.headers["Location"], digest_of(content)), content)


def test_a_patch_of_known_length_without_a_range(admin: Registry, repository: str) -> None:
    # podman, skopeo, buildah
    location = admin.begin(repository)
    answer = admin.patch(location, CONTENT)
    check_session(answer, repository, 202)
    check_stored(admin, repository, admin.finish(answer.headers["Location"], digest_of(CONTENT)), CONTENT)


@pytest.mark.parametrize("form", ["{}-{}", "bytes {}-{}/*", "bytes {}-{}/1000000", "bytes={}-{}"])
@pytest.mark.parametrize("last_by_put", [False, True])
def test_chunks(admin: Registry, repository: str, form: str, last_by_put: bool) -> None:
    location = admin.begin(repository)
    chunks = [(0, CONTENT[:70_000]), (70_000, CONTENT[70_000:70_001]), (70_001, CONTENT[70_001:])]
    finishing = chunks.pop() if last_by_put else None
    for start, chunk in chunks:
        answer = admin.patch(location, chunk, Content_Range=form.format(start, start + len(chunk) - 1))
        check_session(answer, repository, 202)
        assert sent_range(answer) == start + len(chunk) - 1
        location = answer.headers["Location"]
    if finishing:
        start, chunk = finishing
        span = form.format(start, start + len(chunk) - 1)
        answer = admin.finish(location, digest_of(CONTENT), chunk, Content_Range=span)
    else:
        answer = admin.finish(location, digest_of(CONTENT))
    check_stored(admin, repository, answer, CONTENT)


def test_many_patches_without_ranges_append(admin: Registry, repository: str) -> None:
    location = admin.begin(repository)
    for piece in in_pieces(CONTENT, 50_000):
        location = admin.patch(location, piece).headers["Location"]
    check_stored(admin, repository, admin.finish(location, digest_of(CONTENT)), CONTENT)


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "application/json", "text/plain", "multipart/form-data"]
)
def test_the_content_type_of_a_body_does_not_matter(admin: Registry, repository: str, kind: str) -> None:
    # curl --data-binary calls everything a form
    content = b"a=b&c=%20d;" + kind.encode()
    location = admin.patch(admin.begin(repository), content, Content_Type=kind).headers["Location"]
    answer = admin.finish(location, digest_of(content), Content_Type=kind)
    check_stored(admin, repository, answer, content)


def test_every_worker_goes_on_with_every_upload(server: Server, admin: Registry, repository: str) -> None:
    location = admin.begin(repository)
    for piece in in_pieces(CONTENT, 20_000):
        with connected(server) as sock:  # a connection of its own: it may reach either worker
            sock.sendall(head_of("PATCH", location, basic(server), f"Content-Length: {len(piece)}") + piece)
            assert answer_on(sock, "PATCH").status == 202
    check_stored(admin, repository, admin.finish(location, digest_of(CONTENT)), CONTENT)


def test_the_same_blob_pushed_at_once_is_stored_once(admin: Registry, repository: str) -> None:
    first, second = admin.begin(repository), admin.begin(repository)
    for location in (first, second):
        admin.patch(location, CONTENT)
    for location in (first, second):
        check_stored(admin, repository, admin.finish(location, digest_of(CONTENT)), CONTENT)


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("span", ["10-19", "0-9", "200-209"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_chunk_out_of_order_is_416_and_changes_nothing(
    admin: Registry, repository: str, method: str, span: str
) -> None:
    content = b"0123456789" * 2 + b"abcde"
    location = admin.begin(repository)
    if span != "10-19":
        admin.patch(location, content[:20], Content_Range="0-19")
    before = admin.get(location).headers["Range"]
    if method == "PATCH":
        answer = admin.patch(location, b"x" * 10, Content_Range=span)
    else:
        answer = admin.finish(location, digest_of(content), b"x" * 10, Content_Range=span)
    assert answer.status_code == 416, answer.text
    errors(answer)
    status = admin.get(location)
    check_session(status, repository, 204)
    assert status.headers["Range"] == before
    # and it still goes on where it was
    offset = 0 if span == "10-19" else 20
    answer = admin.patch(location, content[offset:], Content_Range=f"{offset}-{len(content) - 1}")
    assert answer.status_code == 202
    check_stored(admin, repository, admin.finish(location, digest_of(content)), content)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_416_tells_where_to_go_on(admin: Registry, repository: str, method: str) -> None:
    # protocol.md 2.4.2
    location = admin.begin(repository)
    admin.patch(location, b"0123456789")
    if method == "PATCH":
        answer = admin.patch(location, b"x" * 10, Content_Range="50-59")
    else:
        answer = admin.finish(location, digest_of(b"x"), b"x" * 10, Content_Range="50-59")
    assert answer.status_code == 416
    assert answer.headers.get("Location") == location
    assert answer.headers.get("Range") == "0-9"


@pytest.mark.parametrize("span", ["0-8", "0-10", "0-0"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_chunk_of_another_length_than_its_range_is_refused(
    admin: Registry, repository: str, method: str, span: str
) -> None:
    location = admin.begin(repository)
    if method == "PATCH":
        answer = admin.patch(location, b"0123456789", Content_Range=span)
    else:
        answer = admin.finish(location, digest_of(b"0123456789"), b"0123456789", Content_Range=span)
    assert answer.status_code in {400, 416}
    assert errors(answer)[0]["code"] == "SIZE_INVALID"
    assert admin.get(location).headers["Range"] == "0-0"


@pytest.mark.parametrize("span", ["0-4", "0-19"])
def test_a_streamed_chunk_of_another_length_than_its_range_is_refused(
    admin: Registry, repository: str, span: str
) -> None:
    location = admin.begin(repository)
    answer = admin.patch(location, in_pieces(b"0123456789", 5), Content_Range=span)
    assert answer.status_code in {400, 416}, f"{answer.status_code} Range: {answer.headers.get('Range')}"
    errors(answer)


@pytest.mark.parametrize("span", ["x", "5", "-5", "5-", "9-0", "bytes", "0-9999999999999999999999", "1-2-3", "0 - 9"])
def test_a_content_range_of_garbage_is_refused(admin: Registry, repository: str, span: str) -> None:
    location = admin.begin(repository)
    answer = admin.patch(location, b"0123456789", Content_Range=span)
    assert answer.status_code in {400, 416}
    errors(answer)
    assert admin.get(location).status_code == 204


# --- status, cancel, resume -----------------------------------------------------------------------


def test_the_status_tells_how_far_an_upload_is(admin: Registry, repository: str) -> None:
    location = admin.begin(repository)
    status = admin.get(location)
    check_session(status, repository, 204)
    assert status.headers["Range"] == "0-0"
    admin.patch(location, b"12345")
    status = admin.get(location)
    check_session(status, repository, 204)
    assert status.headers["Range"] == "0-4"


def test_a_cancelled_upload_is_gone_with_its_bytes(server: Server, admin: Registry, repository: str) -> None:
    location = admin.begin(repository)
    admin.patch(location, CONTENT)
    answer = admin.delete(location)
    assert (answer.status_code, answer.content) == (204, b"")
    for again in (admin.get(location), admin.delete(location), admin.patch(location, b"x")):
        refused(again, 404, "BLOB_UPLOAD_UNKNOWN")
    refused(admin.finish(location, digest_of(CONTENT)), 404, "BLOB_UPLOAD_UNKNOWN")
    check_absent(admin, repository, CONTENT)
    assert location.rpartition("/")[2] not in staged_files(server.data)


def test_a_finished_upload_is_gone(admin: Registry, repository: str) -> None:
    location = admin.begin(repository)
    check_stored(admin, repository, admin.finish(location, digest_of(b"x"), b"x"), b"x")
    refused(admin.get(location), 404, "BLOB_UPLOAD_UNKNOWN")
    refused(admin.finish(location, digest_of(b"x"), b"x"), 404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("session", [str(uuid.uuid4()), "x", "0", "..", "%2e%2e", "a" * 300, "sha256:" + "0" * 64])
def test_an_upload_that_never_was_is_unknown(admin: Registry, repository: str, session: str) -> None:
    admin.push_blob(repository, b"x")
    location = f"/v2/{repository}/blobs/uploads/{session}"
    answers = [
        admin.get(location),
        admin.patch(location, b"x"),
        admin.finish(location, digest_of(b"x"), b"x"),
        admin.delete(location),
    ]
    for answer in answers:
        assert answer.status_code in {404, 405} if "." in session or "e" in session else answer.status_code == 404
        errors(answer)


def test_a_session_belongs_to_its_repository(admin: Registry, repository: str, other_repository: str) -> None:
    admin.push_blob(other_repository, b"x")
    location = admin.begin(repository)
    elsewhere = location.replace(repository, other_repository)
    refused(admin.get(elsewhere), 404, "BLOB_UPLOAD_UNKNOWN")
    refused(admin.patch(elsewhere, b"x"), 404, "BLOB_UPLOAD_UNKNOWN")
    refused(admin.finish(elsewhere, digest_of(b"x"), b"x"), 404, "BLOB_UPLOAD_UNKNOWN")
    refused(admin.delete(elsewhere), 404, "BLOB_UPLOAD_UNKNOWN")
    assert admin.get(location).headers["Range"] == "0-0"


def test_a_session_needs_the_right_to_push(admin: Registry, anybody: Registry, repository: str) -> None:
    location = admin.begin(repository)
    for answer in (anybody.get(location), anybody.patch(location, b"x"), anybody.delete(location)):
        refused(answer, 401, "UNAUTHORIZED")
    assert admin.get(location).status_code == 204


@pytest.mark.parametrize("ways", ["PATCH", "PUT"])
@pytest.mark.parametrize("streamed", [False, True])
def test_an_upload_resumes_after_a_cut_connection(
    server: Server, admin: Registry, repository: str, ways: str, streamed: bool
) -> None:
    content = CONTENT * 10
    half = len(content) // 2
    location = admin.begin(repository)
    path = location if ways == "PATCH" else f"{location}?digest={digest_of(content)}"
    with connected(server) as sock:
        if streamed:
            sock.sendall(head_of(ways, path, basic(server), "Transfer-Encoding: chunked"))
            sock.sendall(b"%x\r\n" % half + content[:half] + b"\r\n")
        else:
            sock.sendall(head_of(ways, path, basic(server), f"Content-Length: {len(content)}") + content[:half])
        time.sleep(0.2)
    assert eventually(lambda: sent_range(admin.get(location)) > 0)
    offset = sent_range(admin.get(location)) + 1
    assert offset <= half
    check_absent(admin, repository, content)
    rest = content[offset:]
    answer = admin.patch(location, rest, Content_Range=f"{offset}-{len(content) - 1}")
    check_session(answer, repository, 202)
    check_stored(admin, repository, admin.finish(location, digest_of(content)), content)


def test_all_that_arrived_before_a_cut_is_kept(server: Server, admin: Registry, repository: str) -> None:
    location = admin.begin(repository)
    with connected(server) as sock:
        sock.sendall(head_of("PATCH", location, basic(server), "Content-Length: 1000000") + CONTENT)
        time.sleep(0.3)
    assert eventually(lambda: sent_range(admin.get(location)) == len(CONTENT) - 1)


# --- digests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["POST", "PUT", "PATCH and PUT", "streamed PUT", "large PUT"])
def test_a_wrong_digest_leaves_nothing(server: Server, admin: Registry, repository: str, way: str) -> None:
    content = f"not what the digest says {way}".encode() * (40_000 if way == "large PUT" else 1)
    wrong = digest_of(b"what the digest says " + way.encode())
    before = staged_files(server.data)
    if way == "POST":
        answer = admin.http.post(f"/v2/{repository}/blobs/uploads/?digest={wrong}", content=content)
    elif way == "PATCH and PUT":
        location = admin.patch(admin.begin(repository), content).headers["Location"]
        answer = admin.finish(location, wrong)
    else:
        body = in_pieces(content, 7) if way == "streamed PUT" else content
        answer = admin.finish(admin.begin(repository), wrong, body)
    told = refused(answer, 400, "DIGEST_INVALID")
    assert digest_of(content) in told[0]["message"]
    assert admin.head(f"/v2/{repository}/blobs/{wrong}").status_code == 404
    check_absent(admin, repository, content)
    assert set(staged_files(server.data)) <= set(before)


@pytest.mark.parametrize("digest", ["", "sha256:short", "md5:" + "0" * 32, "sha256:" + "A" * 64, "nonsense", "../../x"])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_malformed_digest_is_refused_and_the_upload_goes_on(
    admin: Registry, repository: str, method: str, digest: str
) -> None:
    if method == "POST":
        answer = admin.http.post(f"/v2/{repository}/blobs/uploads/", params={"digest": digest}, content=b"x")
        assert answer.status_code == 400 or (digest == "" and answer.status_code == 202)
        if answer.status_code == 400:
            assert errors(answer)[0]["code"] == "DIGEST_INVALID"
        return
    location = admin.begin(repository)
    admin.patch(location, b"x")
    refused(admin.finish(location, digest), 400, "DIGEST_INVALID")
    check_stored(admin, repository, admin.finish(location, digest_of(b"x")), b"x")


def test_a_put_without_a_digest_is_refused(admin: Registry, repository: str) -> None:
    location = admin.begin(repository)
    refused(admin.http.put(location, content=b"x"), 400, "DIGEST_INVALID")


@pytest.mark.parametrize("begun_with", ["", "?digest-algorithm=sha512", "?digest-algorithm=sha256"])
@pytest.mark.parametrize("finished_with", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [10, 200_000])
@pytest.mark.parametrize("patched", [False, True])
def test_the_digest_of_the_put_decides_whatever_the_post_said(
    admin: Registry, repository: str, begun_with: str, finished_with: str, size: int, patched: bool
) -> None:
    content = (finished_with + begun_with).encode() + CONTENT[:size]
    digest = digest_of(content, finished_with)
    location = admin.begin(repository, begun_with)
    if patched:
        location = admin.patch(location, content).headers["Location"]
    answer = admin.finish(location, digest, b"" if patched else content)
    check_stored(admin, repository, answer, content, digest)


def test_an_unknown_algorithm_is_refused(admin: Registry, repository: str) -> None:
    answer = admin.http.post(f"/v2/{repository}/blobs/uploads/?digest-algorithm=md5")
    refused(answer, 400, "DIGEST_INVALID")


def test_sha512_in_a_single_post(admin: Registry, repository: str) -> None:
    digest = digest_of(CONTENT, "sha512")
    answer = admin.http.post(f"/v2/{repository}/blobs/uploads/?digest={digest}", content=CONTENT)
    check_stored(admin, repository, answer, CONTENT, digest)


def test_a_post_that_names_a_digest_and_sends_nothing_begins_a_session(admin: Registry, repository: str) -> None:
    answer = admin.http.post(f"/v2/{repository}/blobs/uploads/?digest={digest_of(CONTENT)}")
    check_session(answer, repository, 202)
    check_stored(admin, repository, admin.finish(answer.headers["Location"], digest_of(CONTENT), CONTENT), CONTENT)
