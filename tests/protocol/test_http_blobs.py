"""Blobs, the way out (end-2): whole, in ranges, and only where they belong."""

from __future__ import annotations

import email.parser
import email.policy
import re

import httpx
import pytest

from tests.protocol.client import (
    EMPTY,
    OCTETS,
    Registry,
    answer_on,
    basic,
    connected,
    digest_of,
    errors,
    head_of,
    refused,
)
from tests.serving import Server

CONTENT = bytes(range(256)) * 20
SIZE = len(CONTENT)


@pytest.fixture(scope="module")
def path(admin: Registry) -> str:
    """Where `CONTENT` is."""
    return f"/v2/ranges/app/blobs/{admin.push_blob('ranges/app', CONTENT)}"


# --- whole ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [0, 1, 2, 5120, 300_000, 3_000_000])
def test_a_blob_comes_with_all_that_clients_need(
    admin: Registry, repository: str, method: str, algorithm: str, size: int
) -> None:
    content = b"\x00\xff" * (size // 2) + b"x" * (size % 2)
    digest = admin.push_blob(repository, content, algorithm)
    answer = admin.http.request(method, f"/v2/{repository}/blobs/{digest}")
    assert answer.status_code == 200
    assert answer.content == (content if method == "GET" else b"")
    assert answer.headers["Content-Length"] == str(size)
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["Content-Type"] == OCTETS
    assert answer.headers["ETag"] == f'"{digest}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert "max-age=31536000" in answer.headers["Cache-Control"]
    assert "public" not in answer.headers["Cache-Control"], "not everybody may read it"
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("content", [b"", EMPTY])
def test_the_two_blobs_that_everybody_pushes(admin: Registry, repository: str, content: bytes) -> None:
    digest = admin.push_blob(repository, content)
    answer = admin.get(f"/v2/{repository}/blobs/{digest}")
    assert (answer.status_code, answer.content) == (200, content)
    again = admin.push_blob(repository, content)
    assert again == digest


def test_a_blob_that_the_client_has_is_304(admin: Registry, path: str) -> None:
    answer = admin.get(path, {"If-None-Match": f'"{digest_of(CONTENT)}"'})
    assert (answer.status_code, answer.content) == (304, b"")


def test_a_blob_is_not_visible_in_another_repository(admin: Registry, repository: str, other_repository: str) -> None:
    digest = admin.push_blob(repository, b"only here")
    admin.push_blob(other_repository, b"something else")
    refused(admin.get(f"/v2/{other_repository}/blobs/{digest}"), 404, "BLOB_UNKNOWN")
    assert admin.head(f"/v2/{other_repository}/blobs/{digest}").status_code == 404
    assert admin.get(f"/v2/{other_repository}/blobs/{digest}", {"Range": "bytes=0-1"}).status_code == 404


def test_a_blob_is_for_those_who_may_pull(admin: Registry, anybody: Registry, repository: str) -> None:
    digest = admin.push_blob(repository, b"private")
    refused(anybody.get(f"/v2/{repository}/blobs/{digest}"), 401, "UNAUTHORIZED")
    assert anybody.head(f"/v2/{repository}/blobs/{digest}").status_code == 401


# --- one range ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("0-0", 0, 1),
        ("0-1", 0, 2),
        ("500-1499", 500, 1500),
        ("500-", 500, SIZE),
        ("0-", 0, SIZE),
        ("-500", SIZE - 500, SIZE),
        ("-1", SIZE - 1, SIZE),
        (f"-{SIZE}", 0, SIZE),
        (f"-{SIZE + 7}", 0, SIZE),
        ("-99999999999999999999", 0, SIZE),
        (f"{SIZE - 1}-", SIZE - 1, SIZE),
        (f"{SIZE - 1}-{SIZE - 1}", SIZE - 1, SIZE),
        ("2000-100000", 2000, SIZE),
        ("2000-99999999999999999999999", 2000, SIZE),
        (f"0-{SIZE - 1}", 0, SIZE),
        (f"0-{SIZE}", 0, SIZE),
        ("5-6 ,", 5, 7),
    ],
)
def test_a_range_is_served(admin: Registry, path: str, asked: str, start: int, end: int) -> None:
    answer = admin.get(path, {"Range": f"bytes={asked}"})
    assert answer.status_code == 206
    assert answer.content == CONTENT[start:end]
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["Content-Length"] == str(end - start)
    assert answer.headers["Docker-Content-Digest"] == digest_of(CONTENT)
    assert answer.headers["Content-Type"] == OCTETS


@pytest.mark.parametrize(
    "asked",
    [f"{SIZE}-", f"{SIZE}-{SIZE + 5}", "5000000-6000000", "500-0", "-0", "99999999999999999999-", "9-8,5000000-"],
)
def test_a_range_that_is_not_there_is_416_and_tells_the_size(admin: Registry, path: str, asked: str) -> None:
    answer = admin.get(path, {"Range": f"bytes={asked}"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"
    errors(answer)


@pytest.mark.parametrize(
    "asked", ["bytes=a-b", "bytes=", "bytes=-", "bytes=--5", "bytes=1", "bytes=\u00b2-", "bytes 0-1"]
)
def test_a_range_of_garbage_is_refused_or_ignored(admin: Registry, path: str, asked: str) -> None:
    answer = admin.http.get(path, headers={b"Range": asked.encode("latin-1")})
    assert answer.status_code in {200, 400, 416}
    if answer.status_code == 200:
        assert answer.content == CONTENT
    else:
        errors(answer)


@pytest.mark.parametrize("asked", ["lines=0-1", "items=0-5"])
def test_another_unit_is_ignored(admin: Registry, path: str, asked: str) -> None:
    answer = admin.get(path, {"Range": asked})
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("asked", ["bytes=0-0", "bytes=0-", "bytes=-1"])
def test_every_range_of_nothing_is_416(admin: Registry, repository: str, asked: str) -> None:
    digest = admin.push_blob(repository, b"")
    answer = admin.get(f"/v2/{repository}/blobs/{digest}", {"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */0"


def test_head_ignores_ranges(admin: Registry, path: str) -> None:
    answer = admin.head(path, {"Range": "bytes=0-1"})
    assert answer.status_code in {200, 206}
    assert answer.headers["Content-Length"] == (str(SIZE) if answer.status_code == 200 else "2")


def test_a_range_of_a_missing_blob_is_404(admin: Registry) -> None:
    answer = admin.get("/v2/ranges/app/blobs/sha256:" + "0" * 64, {"Range": "bytes=0-1"})
    refused(answer, 404, "BLOB_UNKNOWN")


def test_ranges_put_a_large_blob_together(admin: Registry, repository: str) -> None:
    content = b"".join(b"%08d" % number for number in range(300_000))
    where = f"/v2/{repository}/blobs/{admin.push_blob(repository, content)}"
    step = 700_001
    pieces = [
        admin.get(where, {"Range": f"bytes={start}-{start + step - 1}"}).content
        for start in range(0, len(content), step)
    ]
    assert b"".join(pieces) == content


def test_a_client_that_leaves_after_its_part_is_no_error(server: Server, admin: Registry, repository: str) -> None:
    # containerd 2 asks for bytes=N- several times and drops each connection after its share.
    content = b"0123456789abcdef" * 500_000
    where = f"/v2/{repository}/blobs/{admin.push_blob(repository, content)}"
    for start in range(0, 4_000_000, 1_000_000):
        with connected(server) as sock:
            sock.sendall(head_of("GET", where, basic(server), f"Range: bytes={start}-"))
            got = b""
            while len(got) < 200_000:
                got += sock.recv(65536)
        head, _, body = got.partition(b"\r\n\r\n")
        assert b" 206 " in head
        assert content[start:].startswith(body)
    assert admin.get(where).content == content


# --- conditions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (f'"{digest_of(CONTENT)}"', 206),
        (f'"{digest_of(b"old")}"', 200),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 200),
        (f'W/"{digest_of(CONTENT)}"', 200),  # RFC 9110, 13.1.5: a weak tag never matches
    ],
)
def test_if_range_decides_between_part_and_whole(admin: Registry, path: str, condition: str, status: int) -> None:
    answer = admin.get(path, {"Range": "bytes=10-19", "If-Range": condition})
    assert answer.status_code == status
    assert answer.content == (CONTENT[10:20] if status == 206 else CONTENT)


# --- several ranges -------------------------------------------------------------------------------


def parts_of(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """Content-Range and bytes of each part of a multipart/byteranges answer, read as mail is."""
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + answer.content)
    assert message.is_multipart()
    parts = []
    for part in message.walk():
        if not part.is_multipart():
            assert part.get_content_type() == OCTETS
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            parts.append((str(part["Content-Range"]), content))
    return parts


@pytest.mark.parametrize(
    ("asked", "spans"),
    [
        ("0-1,4-5", [(0, 2), (4, 6)]),
        ("0-0, 10-19 ,-3", [(0, 1), (10, 20), (SIZE - 3, SIZE)]),
        ("100-199,50-60", [(100, 200), (50, 61)]),
        (f"0-1,{SIZE - 2}-{SIZE + 100}", [(0, 2), (SIZE - 2, SIZE)]),
        ("0-9,0-9", [(0, 10), (0, 10)]),
    ],
)
def test_several_ranges_come_as_multipart(
    admin: Registry, repository: str, asked: str, spans: list[tuple[int, int]]
) -> None:
    # stargz-snapshotter reads its chunks so. Plain letters: the mail parser rewrites line ends.
    content = b"".join(b"%04d," % number for number in range(SIZE // 5))
    assert len(content) == SIZE
    where = f"/v2/{repository}/blobs/{admin.push_blob(repository, content)}"
    answer = admin.get(where, {"Range": f"bytes={asked}", "Accept-Encoding": "identity"})
    assert answer.status_code == 206
    assert re.fullmatch(r"multipart/byteranges; boundary=\S+", answer.headers["Content-Type"])
    assert answer.headers["Content-Length"] == str(len(answer.content))
    expected = [(f"bytes {start}-{end - 1}/{SIZE}", content[start:end]) for start, end in spans]
    assert parts_of(answer) == expected


def test_of_several_ranges_those_that_are_there_are_served(admin: Registry, path: str) -> None:
    answer = admin.get(path, {"Range": f"bytes=0-4,{SIZE + 10}-{SIZE + 20}"})
    assert answer.status_code == 206
    assert answer.content == CONTENT[:5] or CONTENT[:5] in answer.content


def test_ranges_that_cost_more_than_the_whole_get_the_whole(admin: Registry, path: str) -> None:
    answer = admin.get(path, {"Range": "bytes=" + ",".join(["0-"] * 1000)})
    assert answer.status_code in {200, 206, 416}
    assert len(answer.content) < 3 * SIZE


def test_many_small_ranges_of_a_large_blob(admin: Registry, repository: str) -> None:
    content = b"".join(b"%07d," % number for number in range(200_000))
    where = f"/v2/{repository}/blobs/{admin.push_blob(repository, content)}"
    spans = [(start, start + 64) for start in range(0, 1_000_000, 10_000)]
    asked = ",".join(f"{start}-{end - 1}" for start, end in spans)
    answer = admin.get(where, {"Range": f"bytes={asked}"})
    assert [part for _, part in parts_of(answer)] == [content[start:end] for start, end in spans]


def test_a_connection_serves_many_blobs(server: Server, admin: Registry, path: str) -> None:
    with connected(server) as sock:
        for _ in range(50):
            sock.sendall(head_of("GET", path, basic(server)))
            assert answer_on(sock).body == CONTENT
