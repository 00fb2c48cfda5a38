"""Disks that are full, read-only, lose files or turn bits: a clear error, and nothing false."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.faults.processes import content_file, read_only, small_disk
from tests.protocol.client import (
    EMPTY,
    Registry,
    admin_of,
    answer_on,
    basic,
    client,
    connected,
    digest_of,
    encoded,
    errors,
    eventually,
    head_of,
    image,
    in_pieces,
    staged_files,
)
from tests.serving import Server, serving

MIB = 1024 * 1024


# --- full -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry whose disk has 32 MiB."""
    with (
        small_disk(tmp_path_factory.mktemp("disk") / "data", "32m") as disk,  # its log lies beside it
        serving(disk, workers=2) as started,
        admin_of(started) as registry,
    ):
        yield registry


def fill(registry: Registry, leave: int = 0) -> Path:
    """Take all room of the disk but `leave` bytes."""
    filler = registry.server.data / "filler"
    free = shutil.disk_usage(filler.parent).free - leave
    with filler.open("wb", buffering=0) as file:
        try:
            for _ in range(free // 4096):
                file.write(bytes(4096))
            while not leave:
                file.write(b"x")
        except OSError:
            pass
    return filler


def push(server: Server, way: str, content: bytes) -> httpx.Response:
    """Push on a connection of its own: a refusal in the middle of a body may end it."""
    with admin_of(server) as registry:
        return push_by(registry, way, content)


def push_by(registry: Registry, way: str, content: bytes) -> httpx.Response:
    repository = "cramped/app"
    digest = digest_of(content)
    if way == "POST":
        return registry.http.post(f"/v2/{repository}/blobs/uploads/?digest={digest}", content=content)
    location = registry.begin(repository)
    if way == "PUT":
        return registry.finish(location, digest, content)
    if way == "streamed PATCH":
        return registry.patch(location, in_pieces(content, 65_536))
    return registry.patch(location, content)


@pytest.mark.parametrize("way", ["POST", "PUT", "PATCH", "streamed PATCH"])
def test_a_full_disk_is_507_and_harms_nothing_else(cramped: Registry, way: str) -> None:
    payload = cramped.push_image("cramped/app", "kept", b"a layer that is kept" * 1000)
    before = staged_files(cramped.server.data)
    filler = fill(cramped, 6 * MIB)
    content = way.encode() + os.urandom(16 * MIB)
    try:
        answer = push(cramped.server, way, content)
        assert answer.status_code == 507, answer.text
        told = errors(answer)
        assert "full" in told[0]["message"]
        assert answer.headers["Retry-After"]
        # the rest of the registry does not notice
        with admin_of(cramped.server) as fresh:
            assert fresh.get("/v2/cramped/app/manifests/kept").content == payload
            layer = digest_of(b"a layer that is kept" * 1000)
            assert fresh.get(f"/v2/cramped/app/blobs/{layer}").status_code == 200
            assert fresh.head(f"/v2/cramped/app/blobs/{digest_of(content)}").status_code == 404
    finally:
        filler.unlink()
        with admin_of(cramped.server) as fresh:
            for name in set(staged_files(cramped.server.data)) - set(before):
                fresh.delete(f"/v2/cramped/app/blobs/uploads/{name}")
            eventually(lambda: set(staged_files(cramped.server.data)) <= set(before), 1)
            left = set(staged_files(cramped.server.data)) - set(before)
            for name in left:  # the next test begins with the room that this one had
                (cramped.server.data / "staging" / name).unlink()
    if way != "POST":  # which has a test of its own, below
        assert not left
    assert set(staged_files(cramped.server.data)) <= set(before)
    small = way.encode() + b" afterwards"
    assert cramped.get(f"/v2/cramped/app/blobs/{cramped.push_blob('cramped/app', small)}").content == small
    cramped.push_image("cramped/app", "afterwards", small)


def test_a_single_push_that_finds_the_disk_full_gives_its_room_back(cramped: Registry) -> None:
    before = staged_files(cramped.server.data)
    filler = fill(cramped, 6 * MIB)
    try:
        assert push(cramped.server, "POST", os.urandom(16 * MIB)).status_code == 507
        assert eventually(lambda: set(staged_files(cramped.server.data)) <= set(before))
    finally:
        filler.unlink()


def test_a_disk_without_any_room_still_serves_and_says_so(cramped: Registry) -> None:
    payload = cramped.push_image("cramped/app", "kept", b"another layer that is kept")
    token = cramped.token("repository:cramped/app:pull,push")
    filler = fill(cramped)
    try:
        for _ in range(3):
            answer = cramped.http.post(
                "/v2/cramped/app/blobs/uploads/?digest=" + digest_of(b"x" * 9000), content=b"x" * 9000
            )
            assert answer.status_code == 507, answer.text
            errors(answer)
        manifest = encoded(image(EMPTY, annotations={"big": "y" * 500_000}))
        answer = cramped.put_manifest("cramped/app", "big", manifest)
        assert answer.status_code == 507, answer.text
        errors(answer)
        with client(cramped.server, headers={"Authorization": f"Bearer {token}"}) as holder:
            assert holder.get("/v2/cramped/app/manifests/kept").content == payload
            assert holder.get("/v2/cramped/app/tags/list").status_code == 200
        # its probe is remembered for a second
        assert eventually(lambda: cramped.get("/readyz").status_code == 503)
        assert cramped.get("/livez").status_code == 200
    finally:
        filler.unlink()
    assert eventually(lambda: cramped.get("/readyz").status_code == 200)
    cramped.push_manifest("cramped/app", "big", manifest)


def test_a_log_that_cannot_be_written_changes_no_answer(tmp_path: Path) -> None:
    """Logs often lie on the disk that is full."""
    with serving(tmp_path / "data") as server, admin_of(server) as registry:
        registry.push_image("demo/app", "1", b"layer")
        server.stop()
        content_file(server, digest_of(b"layer")).write_bytes(b"LAYER")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ENTREPOT_")}
        with Path("/dev/full").open("wb") as full:
            process = subprocess.Popen(
                server.command,
                env=inherited | {"ENTREPOT_LIMITS_DRAIN_DELAY": "0"},
                stdin=subprocess.DEVNULL,
                stdout=full,
                stderr=full,
                start_new_session=True,
            )
        try:

            def answers() -> bool:
                with suppress(httpx.HTTPError):
                    return registry.get("/readyz").status_code == 200
                return False

            assert eventually(answers, 20)
            assert registry.get("/v2/demo/app/manifests/1").status_code == 200
            answer = registry.get(f"/v2/demo/app/blobs/{digest_of(b'layer')}")  # damaged: the log says so
            assert answer.status_code in {404, 500}
            errors(answer)
            registry.push_blob("demo/app", b"layer")
            assert registry.get(f"/v2/demo/app/blobs/{digest_of(b'layer')}").content == b"layer"
        finally:
            process.terminate()
            code = process.wait(20)
        assert code == 0


# --- read-only ------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["staging", "content"])
def test_a_read_only_folder_is_a_clear_error_and_pulls_go_on(
    server: Server, admin: Registry, repository: str, folder: str
) -> None:
    payload = admin.push_image(repository, "1", b"before")
    location = admin.begin(repository)
    assert admin.patch(location, b"12345").status_code == 202
    with read_only(server.data / folder):
        for size in (10, 200_000):
            content = folder.encode() * size
            answers = [
                admin.finish(admin.begin(repository), digest_of(content), content),
                admin.http.post(f"/v2/{repository}/blobs/uploads/?digest={digest_of(content)}", content=content),
            ]
            for answer in answers:
                assert answer.status_code in {503, 507}, answer.text
                assert errors(answer)[0]["code"] == "UNAVAILABLE"
                assert str(server.data) not in answer.text, "paths are not for clients"
            assert admin.head(f"/v2/{repository}/blobs/{digest_of(content)}").status_code == 404
        assert admin.get(f"/v2/{repository}/manifests/1").content == payload
        assert admin.get(f"/v2/{repository}/blobs/{digest_of(b'before')}").content == b"before"
        if folder == "staging":
            assert eventually(lambda: admin.get("/readyz").status_code == 503)
    assert eventually(lambda: admin.get("/readyz").status_code == 200)
    admin.push_image(repository, "2", b"after " + folder.encode())
    assert admin.patch(location, b"67890").status_code == 202
    assert admin.finish(location, digest_of(b"1234567890")).status_code == 201


# --- vanished and damaged -------------------------------------------------------------------------


def on_both_workers(server: Server, path: str) -> Iterator[Registry]:
    """Clients on connections of their own, enough to reach either worker."""
    for _ in range(8):
        with admin_of(server) as registry:
            assert path
            yield registry


@pytest.mark.parametrize("size", [100, 2_000_000])
@pytest.mark.parametrize("damage", ["vanished", "empty", "cut off", "grown"])
def test_a_blob_whose_file_is_not_whole_is_404_and_a_push_heals_it(
    server: Server, admin: Registry, repository: str, size: int, damage: str
) -> None:
    content = damage.encode() + os.urandom(size)
    payload = admin.push_image(repository, "1", content)
    digest = digest_of(content)
    file = content_file(server, digest)
    if damage == "vanished":
        file.unlink()
    elif damage == "grown":
        with file.open("ab") as grown:
            grown.write(b"more")
    else:
        os.truncate(file, 0 if damage == "empty" else len(content) - 1)
    path = f"/v2/{repository}/blobs/{digest}"
    for registry in on_both_workers(server, path):
        assert registry.head(path).status_code == 404, "a client that is told 200 would not push it again"
        answer = registry.get(path)
        assert answer.status_code == 404
        assert errors(answer)[0]["code"] == "BLOB_UNKNOWN"
        assert registry.get(path, {"Range": "bytes=0-1"}).status_code == 404
    mounted = admin.http.post(f"/v2/{repository}/other/blobs/uploads/?mount={digest}&from={repository}")
    assert mounted.status_code == 202
    assert admin.get(f"/v2/{repository}/manifests/1").content == payload
    admin.push_blob(repository, content)
    for registry in on_both_workers(server, path):
        assert registry.head(path).status_code == 200
        assert registry.get(path).content == content


def flip(file: Path, position: int) -> None:
    """Turn one bit, and leave all that `stat` shows as it was, as a failing disk does."""
    stat = file.stat()
    with file.open("r+b", buffering=0) as opened:
        opened.seek(position)
        byte = opened.read(1)[0]
        opened.seek(position)
        opened.write(bytes([byte ^ 4]))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def fetched(server: Server, path: str, *lines: str) -> bytes | None:
    """The body, if it came to its announced end with success."""
    with connected(server) as sock:
        sock.sendall(head_of("GET", path, basic(server), *lines))
        try:
            answer = answer_on(sock)
        except Exception:  # noqa: BLE001 - however the transfer breaks, it did not complete
            return None
    return answer.body if answer.status in {200, 206} else None


@pytest.mark.parametrize(
    ("size", "position"), [(100, "first"), (200_000, "last"), (700_000, "first"), (5_000_000, "last")]
)
def test_a_flipped_bit_is_never_delivered_and_a_push_heals_it(tmp_path: Path, size: int, position: str) -> None:
    content = os.urandom(size)
    digest = digest_of(content)
    path = f"/v2/demo/app/blobs/{digest}"
    with serving(tmp_path / "data", workers=2) as server:
        with admin_of(server) as registry:
            registry.push_blob("demo/app", content)
        server.stop()
        flip(content_file(server, digest), 0 if position == "first" else size - 1)
        server.start()
        for lines in ((), ("Range: bytes=0-",), (f"Range: bytes=-{size}",), (), ()):
            assert fetched(server, path, *lines) is None
        with admin_of(server) as registry:
            assert eventually(lambda: registry.head(path).status_code == 404)
            registry.push_blob("demo/app", content)
        for _ in range(8):
            assert fetched(server, path) == content


def test_a_bit_that_flips_while_the_server_runs_is_noticed_when_the_file_shows_it(
    server: Server, admin: Registry, repository: str
) -> None:
    content = os.urandom(1_000_000)
    path = f"/v2/{repository}/blobs/{admin.push_blob(repository, content)}"
    assert fetched(server, path) == content
    file = content_file(server, digest_of(content))
    with file.open("r+b") as opened:
        opened.seek(500_000)
        opened.write(bytes([content[500_000] ^ 1]))
    for _ in range(8):
        assert fetched(server, path) is None
    admin.push_blob(repository, content)
    for _ in range(8):
        assert fetched(server, path) == content


def test_a_damaged_blob_harms_no_other_request(server: Server, admin: Registry, repository: str) -> None:
    bad, good = os.urandom(3_000_000), os.urandom(3_000_000)
    for content in (bad, good):
        admin.push_blob(repository, content)
    with content_file(server, digest_of(bad)).open("r+b") as opened:
        opened.write(b"damaged!")
    for _ in range(5):
        assert fetched(server, f"/v2/{repository}/blobs/{digest_of(bad)}") is None
        assert fetched(server, f"/v2/{repository}/blobs/{digest_of(good)}") == good
