"""Plain HTTP, as a script would: the token dance, an upload that goes on after a cut, referrers."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.images import (
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    Layout,
    descriptor,
    digest_of,
    encoded,
)
from tests.e2e.registry import Registry, looking_at
from tests.serving import Server, serving

OCTETS = {"Content-Type": "application/octet-stream"}
SIGNATURE = "application/vnd.example.signature"


@pytest.fixture
def anybody(server: Server) -> Iterator[httpx.Client]:
    """A client without credentials."""
    with httpx.Client(base_url=server.url, timeout=30) as http:
        yield http


def challenge(answer: httpx.Response) -> dict[str, str]:
    header = answer.headers["WWW-Authenticate"]
    scheme, _, rest = header.partition(" ")
    assert scheme == "Bearer", header
    return dict(re.findall(r'(\w+)="([^"]*)"', rest))


def push_layout(registry: Registry, repository: str, layout: Layout, reference: str) -> None:
    """Push an image laid out on disk, blobs first."""
    for part in [layout.document["config"], *layout.document["layers"]]:
        registry.push_blob(repository, layout.blob(part["digest"]))
    registry.push_manifest(repository, reference, layout.manifest)


# --- who asks -------------------------------------------------------------------------------------


def test_a_challenge_leads_to_a_token_and_the_token_to_the_manifest(
    anybody: httpx.Client, registry: Registry, project: str, tiny: Layout
) -> None:
    push_layout(registry, f"{project}/a", tiny, "1")
    path = f"/v2/{project}/a/manifests/1"
    refused = anybody.get(path)
    assert refused.status_code == 401
    asked = challenge(refused)
    assert asked["realm"] == f"{registry.server.url}/service/token"
    assert asked["scope"] == f"repository:{project}/a:pull"

    given = anybody.get(
        asked["realm"],
        params={"service": asked["service"], "scope": asked["scope"]},
        auth=(registry.server.user, registry.server.password),
    )
    assert given.status_code == 200
    assert given.json()["token"] == given.json()["access_token"]
    answer = anybody.get(path, headers={"Authorization": f"Bearer {given.json()['token']}"})
    assert (answer.status_code, answer.content) == (200, tiny.manifest)


def test_the_wrong_password_gets_no_token_and_nobody_gets_a_token_without_rights(
    anybody: httpx.Client, registry: Registry, project: str, tiny: Layout
) -> None:
    push_layout(registry, f"{project}/a", tiny, "1")
    asked = challenge(anybody.get("/v2/"))
    scope = {"service": asked["service"], "scope": f"repository:{project}/a:pull"}
    wrong = anybody.get(asked["realm"], params=scope, auth=("admin", "wrong"))
    assert wrong.status_code == 401
    anonymous = anybody.get(asked["realm"], params=scope)
    assert anonymous.status_code == 200
    bearer = {"Authorization": f"Bearer {anonymous.json()['token']}"}
    assert anybody.get("/v2/", headers=bearer).status_code == 200
    assert anybody.get(f"/v2/{project}/a/manifests/1", headers=bearer).status_code == 401


def test_the_realm_follows_the_host_that_was_asked(anybody: httpx.Client, registry: Registry) -> None:
    port = registry.server.port
    answer = anybody.get("/v2/", headers={"Host": f"localhost:{port}"})
    assert challenge(answer)["realm"] == f"http://localhost:{port}/service/token"


# --- bytes ----------------------------------------------------------------------------------------


def cut_patch(server: Server, location: str, announced: int, sent: bytes, *, reset: bool) -> None:
    """Begin a PATCH of `announced` bytes, send only `sent`, and hang up."""
    credentials = b64encode(f"{server.user}:{server.password}".encode()).decode()
    path = urlsplit(location)
    target = path.path + (f"?{path.query}" if path.query else "")
    head = (
        f"PATCH {target} HTTP/1.1\r\nHost: {server.address}\r\n"
        f"Authorization: Basic {credentials}\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Length: {announced}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode() + sent)
        time.sleep(0.3)  # a reset throws away what the other side has not read yet
        if reset:
            at_once = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)


def status_of(registry: Registry, location: str) -> tuple[int, str]:
    """Where an upload stands: the number of bytes kept, and the location to go on at."""
    answer = registry.http.get(location)
    assert answer.status_code == 204, answer.text
    last = int(answer.headers["Range"].removeprefix("0-"))
    return (last + 1 if last else 0), answer.headers["Location"]


def settled(registry: Registry, location: str) -> tuple[int, str]:
    """The status once the server has noticed the cut: the same twice, half a second apart."""
    deadline = time.monotonic() + 15
    before = -1
    while time.monotonic() < deadline:
        kept, location = status_of(registry, location)
        if kept and kept == before:
            return kept, location
        before = kept
        time.sleep(0.5)
    raise AssertionError(f"15 s after the cut the upload keeps {before} bytes")


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_an_upload_goes_on_where_a_cut_connection_left_it(registry: Registry, project: str, *, reset: bool) -> None:
    content = os.urandom(3_000_000)
    digest = digest_of(content)
    location = registry.http.post(f"/v2/{project}/a/blobs/uploads/").headers["Location"]
    cut_patch(registry.server, location, len(content), content[:1_500_000], reset=reset)

    kept, location = settled(registry, location)
    assert 0 < kept <= 1_500_000
    rest = registry.http.patch(
        location,
        content=content[kept:],
        headers={**OCTETS, "Content-Range": f"{kept}-{len(content) - 1}"},
    )
    assert rest.status_code == 202, rest.text
    assert rest.headers["Range"] == f"0-{len(content) - 1}"
    registry.finish_upload(rest.headers["Location"], digest)
    assert registry.blob(f"{project}/a", digest) == content


def test_a_chunk_out_of_order_is_refused_and_changes_nothing(registry: Registry, project: str) -> None:
    content = os.urandom(100_000)
    location = registry.http.post(f"/v2/{project}/a/blobs/uploads/").headers["Location"]
    first = registry.http.patch(location, content=content[:60_000], headers={**OCTETS, "Content-Range": "0-59999"})
    assert first.status_code == 202
    late = registry.http.patch(
        first.headers["Location"],
        content=content[70_000:],
        headers={**OCTETS, "Content-Range": "70000-99999"},
    )
    assert late.status_code == 416
    kept, location = status_of(registry, first.headers["Location"])
    assert kept == 60_000
    last = {"Content-Range": "60000-99999"}
    registry.finish_upload(location, digest_of(content), content[60_000:], **last)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_an_upload_goes_on_after_the_server_started_again(tmp_path: Path, how: str) -> None:
    content = os.urandom(1_000_000)
    with serving(tmp_path / "data", workers=2) as server, looking_at(server) as registry:
        push = registry.http.post("/v2/team/a/blobs/uploads/")
        part = registry.http.patch(push.headers["Location"], content=content[:400_000], headers=OCTETS)
        assert part.status_code == 202, part.text
        early = registry.push_blob("team/a", b"pushed before")
        if how == "killed":
            server.kill()
        server.restart()
        assert registry.blob("team/a", early) == b"pushed before"
        kept, location = status_of(registry, part.headers["Location"])
        assert kept == 400_000
        last = {"Content-Range": f"{kept}-{len(content) - 1}"}
        registry.finish_upload(location, digest_of(content), content[kept:], **last)
        assert registry.blob("team/a", digest_of(content)) == content


def test_a_blob_is_mounted_into_another_repository_and_seen_there_only_then(registry: Registry, project: str) -> None:
    digest = registry.push_blob(f"{project}/from", b"to be mounted")
    path = f"/v2/{project}/to/blobs/{digest}"
    assert registry.http.head(path).status_code == 404
    mounted = registry.http.post(
        f"/v2/{project}/to/blobs/uploads/", params={"mount": digest, "from": f"{project}/from"}
    )
    assert mounted.status_code == 201, mounted.text
    assert mounted.headers["Docker-Content-Digest"] == digest
    assert registry.http.get(mounted.headers["Location"]).content == b"to be mounted"
    assert registry.http.head(path).status_code == 200


def test_a_part_of_a_blob_is_read(registry: Registry, project: str) -> None:
    content = bytes(range(256)) * 100
    path = f"/v2/{project}/a/blobs/{registry.push_blob(f'{project}/a', content)}"
    for asked, expected in (
        ("bytes=0-1", content[:2]),
        ("bytes=500-1499", content[500:1500]),
        ("bytes=25000-", content[25_000:]),
        ("bytes=-10", content[-10:]),
        ("bytes=25000-99999", content[25_000:]),
    ):
        answer = registry.http.get(path, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, expected), asked
    beyond = registry.http.get(path, headers={"Range": "bytes=99999-"})
    assert beyond.status_code == 416


# --- manifests ------------------------------------------------------------------------------------


def test_an_index_goes_and_comes_byte_for_byte_with_all_its_platforms(
    registry: Registry, project: str, multi: Layout
) -> None:
    for child in multi.children:
        manifest = multi.blob(child)
        document = json.loads(manifest)
        for part in [document["config"], *document["layers"]]:
            registry.push_blob(f"{project}/a", multi.blob(part["digest"]))
        registry.push_manifest(f"{project}/a", child, manifest)
    registry.push_manifest(f"{project}/a", "1", multi.manifest, OCI_INDEX)
    assert registry.check_whole(f"{project}/a", "1").raw == multi.manifest


def test_an_unchanged_manifest_is_not_sent_again(registry: Registry, project: str, tiny: Layout) -> None:
    push_layout(registry, f"{project}/a", tiny, "1")
    path = f"/v2/{project}/a/manifests/1"
    tag = registry.http.get(path).headers["ETag"]
    again = registry.http.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_artifacts_are_listed_under_their_subject_and_vanish_with_their_deletion(
    registry: Registry, project: str, tiny: Layout
) -> None:
    repository = f"{project}/a"
    push_layout(registry, repository, tiny, "1")
    registry.push_blob(repository, b"{}")
    pushed = []
    for number, kind in enumerate([SIGNATURE, "application/vnd.example.bom", SIGNATURE]):
        artifact = encoded(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "artifactType": kind,
                "config": descriptor(OCI_EMPTY, b"{}"),
                "layers": [descriptor(OCI_EMPTY, b"{}")],
                "subject": descriptor(OCI_MANIFEST, tiny.manifest),
                "annotations": {"number": str(number)},
            }
        )
        answer = registry.push_manifest(repository, digest_of(artifact), artifact)
        assert answer.headers["OCI-Subject"] == tiny.root
        pushed.append(digest_of(artifact))

    path = f"/v2/{repository}/referrers/{tiny.root}"
    listed = registry.http.get(path)
    assert listed.headers["Content-Type"] == OCI_INDEX
    found = {entry["digest"]: entry for entry in listed.json()["manifests"]}
    assert set(found) == set(pushed)
    assert found[pushed[1]]["artifactType"] == "application/vnd.example.bom"
    assert found[pushed[2]]["annotations"] == {"number": "2"}

    filtered = registry.http.get(path, params={"artifactType": SIGNATURE})
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    digests = {entry["digest"] for entry in filtered.json()["manifests"]}
    assert digests == {pushed[0], pushed[2]}

    for digest in pushed:
        assert registry.http.delete(f"/v2/{repository}/manifests/{digest}").status_code == 202
    assert registry.http.get(path).json()["manifests"] == []
    nobody = registry.http.get(f"/v2/{repository}/referrers/sha256:{'0' * 64}")
    assert (nobody.status_code, nobody.json()["manifests"]) == (200, [])


def test_what_is_in_use_cannot_be_deleted_and_the_answer_names_the_user(
    registry: Registry, project: str, multi: Layout
) -> None:
    repository = f"{project}/a"
    test_an_index_goes_and_comes_byte_for_byte_with_all_its_platforms(registry, project, multi)
    child = multi.children[0]
    refused = registry.http.delete(f"/v2/{repository}/manifests/{child}")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "DENIED")
    assert multi.root in refused.text
    layer = json.loads(multi.blob(child))["layers"][0]["digest"]
    refused = registry.http.delete(f"/v2/{repository}/blobs/{layer}")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")
    assert child in refused.text
    assert registry.check_whole(repository, "1").raw == multi.manifest


def test_tags_are_listed_in_pages_that_link_to_the_next(registry: Registry, project: str, tiny: Layout) -> None:
    tags = sorted(f"v{number}" for number in range(7))
    push_layout(registry, f"{project}/a", tiny, tags[0])
    for tag in tags[1:]:
        registry.push_manifest(f"{project}/a", tag, tiny.manifest)
    seen: list[list[str]] = []
    following: str | None = f"/v2/{project}/a/tags/list?n=3"
    while following:
        answer = registry.http.get(following)
        seen.append(answer.json()["tags"])
        link = answer.headers.get("Link")
        match = re.fullmatch(r'<([^>]+)>; rel="next"', link) if link else None
        following = match[1] if match else None
    assert seen == [tags[:3], tags[3:6], tags[6:]]
