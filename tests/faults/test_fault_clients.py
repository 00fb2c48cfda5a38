"""Clients that hang up, trickle, or write to one upload at once: nothing leaks, nobody else waits."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.processes import open_files, workers_of
from tests.protocol.client import (
    Registry,
    access_records,
    admin_of,
    answer_on,
    basic,
    client,
    connected,
    digest_of,
    encoded,
    eventually,
    head_of,
    image,
    in_pieces,
)
from tests.serving import Server, serving

REPOSITORY = "clients/app"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker that gives up a transfer after a second without progress."""
    environment = {"ENTREPOT_LIMITS_IDLE_TIMEOUT": "1"}
    with serving(tmp_path_factory.mktemp("impatient") / "data", environment=environment) as started:
        yield started


@pytest.fixture(scope="module")
def loris(impatient: Server) -> Iterator[tuple[float, list[socket.socket]]]:
    """Connections whose heads never end, open while the other tests of this file run."""
    opened = []
    for number in range(300):
        sock = socket.create_connection(("127.0.0.1", impatient.port), timeout=10)
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" if number % 2 else b"GET /v2/ HT")
        opened.append(sock)
    yield time.monotonic(), opened
    for sock in opened:
        sock.close()


def hang_up(sock: socket.socket) -> None:
    """Close at once, with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def files_of(server: Server) -> int:
    return sum(open_files(pid) for pid in workers_of(server))


def test_open_heads_keep_nobody_out(impatient: Server, loris: tuple[float, list[socket.socket]]) -> None:
    assert loris
    with admin_of(impatient) as registry:
        began = time.monotonic()
        registry.push_image(REPOSITORY, "1", b"layer")
        assert registry.get(f"/v2/{REPOSITORY}/manifests/1").status_code == 200
        assert time.monotonic() - began < 5


# --- hanging up -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["PATCH", "PUT", "POST", "manifest", "GET", "cold GET"])
def test_two_hundred_hang_ups_leak_nothing(tmp_path: Path, way: str) -> None:
    content = os.urandom(2_000_000)
    digest = digest_of(content)
    with serving(tmp_path / "data") as server, admin_of(server) as registry:
        registry.push_blob(REPOSITORY, content)
        location = registry.begin(REPOSITORY)
        if way == "cold GET":
            server.restart()
        lines = {
            "PATCH": ("PATCH", location, 1_000_000),
            "PUT": ("PUT", f"{location}?digest={digest}", 1_000_000),
            "POST": ("POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest}", 1_000_000),
            "manifest": ("PUT", f"/v2/{REPOSITORY}/manifests/1", 1_000_000),
        }
        method, path, length = lines.get(way, ("GET", f"/v2/{REPOSITORY}/blobs/{digest}", 0))

        def once(*, reset: bool = False) -> None:
            with connected(server) as sock:
                more = (f"Content-Length: {length}",) if length else ()
                sock.sendall(head_of(method, path, basic(server), *more) + b"x" * min(length, 70_000))
                if not length:
                    sock.recv(1000)
                if reset:
                    hang_up(sock)

        for _ in range(10):
            once()
        registry.get("/livez")
        time.sleep(0.5)
        before = files_of(server)
        for number in range(200):
            once(reset=number % 2 == 1)
        assert eventually(lambda: files_of(server) <= before + 3, 10), f"{before} files, then {files_of(server)}"
        assert registry.get(f"/v2/{REPOSITORY}/blobs/{digest}").content == content
        if way == "POST":
            staging = server.data / "staging"
            assert eventually(lambda: not [n for n in os.listdir(staging) if n not in location])
        assert "Traceback" not in server.log_text()


def test_a_hang_up_in_the_middle_of_a_large_blob_ends_the_reading(tmp_path: Path) -> None:
    # Sent into a closed connection, a blob must not be read to its end: that held up every other request.
    size = 1_000_000_000
    piece = bytes(1_000_000)
    state = hashlib.sha256()
    for _ in range(size // len(piece)):
        state.update(piece)
    digest = f"sha256:{state.hexdigest()}"
    folder = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path
    data = folder / f"entrepot-hang-up-{os.getpid()}"
    try:
        with serving(data) as server, admin_of(server) as registry:
            answer = registry.finish(registry.begin(REPOSITORY), digest, (piece for _ in range(size // len(piece))))
            assert answer.status_code == 201
            path = f"/v2/{REPOSITORY}/blobs/{digest}"
            slowest = 0.0
            for number in range(10):
                with connected(server) as sock:
                    sock.sendall(head_of("GET", path, basic(server), f"X-Request-ID: left-{number}"))
                    sock.recv(65_536)
                began = time.monotonic()
                assert registry.get("/livez").status_code == 200
                slowest = max(slowest, time.monotonic() - began)

            def left() -> list[tuple[bool, bool]]:
                records = [r for r in access_records(server) if r["request_id"].startswith("left-")]
                return [(r["aborted"], r["bytes_out"] < size) for r in records]

            eventually(lambda: len(left()) == 10)
            assert left() == [(True, True)] * 10, f"(aborted, not all sent); the slowest /livez took {slowest:.3f} s"
            assert slowest < 0.1
    finally:
        shutil.rmtree(data, ignore_errors=True)
        data.with_name(f"{data.name}.log").unlink(missing_ok=True)


# --- slow -----------------------------------------------------------------------------------------


def trickle(sock: socket.socket, piece: bytes, pause: float, seconds: float) -> bool:
    """Send `piece` again and again; whether the connection held."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            sock.sendall(piece)
            time.sleep(pause)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("way", ["PATCH", "PUT", "manifest", "token"])
def test_a_body_that_trickles_is_given_up(impatient: Server, way: str) -> None:
    with admin_of(impatient) as registry:
        location = registry.begin(REPOSITORY)
        method, path = {
            "PATCH": ("PATCH", location),
            "PUT": ("PUT", f"{location}?digest={digest_of(b'x' * 100_000)}"),
            "manifest": ("PUT", f"/v2/{REPOSITORY}/manifests/1"),
            "token": ("POST", "/service/token"),
        }[way]
        began = time.monotonic()
        with connected(impatient) as sock:
            sock.sendall(head_of(method, path, basic(impatient), "Content-Length: 60000"))
            trickle(sock, b"x", 0.2, 2.6)
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            answer = answer_on(sock, method)
        assert answer.status == 408
        assert answer.codes
        assert time.monotonic() - began < 6
        if way == "PATCH":  # what came is kept
            assert registry.get(location).headers["Range"] != "0-0"


def test_a_body_that_is_slow_but_steady_is_taken(impatient: Server) -> None:
    content = b"0123456789abcdef" * 128 * 12
    with admin_of(impatient) as registry:
        location = registry.begin(REPOSITORY)

        def slowly() -> Iterator[bytes]:
            for piece in in_pieces(content, 2048):
                time.sleep(0.3)
                yield piece

        assert registry.finish(location, digest_of(content), slowly()).status_code == 201


def blob_files_of(server: Server) -> int:
    """How many stored blobs the workers have open."""
    count = 0
    for pid in workers_of(server):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                count += "/content/" in os.readlink(f"/proc/{pid}/fd/{name}")
    return count


@pytest.fixture(scope="module")
def stalled(impatient: Server) -> Iterator[list[socket.socket]]:
    """Clients that ask for a large blob and take nothing of it."""
    with admin_of(impatient) as registry:
        path = f"/v2/{REPOSITORY}/blobs/{registry.push_blob(REPOSITORY, os.urandom(40_000_000))}"
    sockets = []
    for number in range(10):
        sock = socket.create_connection(("127.0.0.1", impatient.port), timeout=10)
        sock.sendall(head_of("GET", path, basic(impatient), f"X-Request-ID: stalled-{number}"))
        sockets.append(sock)
    yield sockets
    for sock in sockets:
        sock.close()


def test_a_client_that_takes_nothing_is_given_up(impatient: Server, stalled: list[socket.socket]) -> None:
    def records() -> list[bool]:
        return [r["aborted"] for r in access_records(impatient) if r["request_id"].startswith("stalled-")]

    assert eventually(lambda: records() == [True] * len(stalled), 8), records()
    assert blob_files_of(impatient) == 0


def test_the_connection_of_a_client_that_takes_nothing_is_closed(
    impatient: Server, stalled: list[socket.socket]
) -> None:
    # Else each such client holds a connection and its buffers for as long as it likes.
    def established() -> int:
        """Connections that the kernel still keeps between them and the server."""
        ports = {f"{sock.getsockname()[1]:04X}" for sock in stalled}
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[3] == "01" and row[2].rpartition(":")[2] in ports for row in rows)

    assert eventually(lambda: established() == 0, 6), f"{established()} of {len(stalled)} are still open"


# --- at once --------------------------------------------------------------------------------------


def at_once(*works: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


@pytest.mark.parametrize("attempt", range(4))
def test_two_patches_at_once_never_mix(server: Server, repository: str, attempt: int) -> None:
    bodies = [bytes([65 + n]) * 1_500_000 for n in range(2)]
    statuses = [0, 0]
    with admin_of(server) as registry:
        location = registry.begin(repository)

        def patch(number: int) -> None:
            def slowly() -> Iterator[bytes]:
                for piece in in_pieces(bodies[number], 150_000):
                    yield piece
                    time.sleep(0.02 * attempt)

            with admin_of(server) as own:
                span = f"0-{len(bodies[number]) - 1}"
                statuses[number] = own.patch(location, slowly(), Content_Range=span).status_code

        at_once(lambda: patch(0), lambda: patch(1))
        first, second = sorted(statuses)
        assert first == 202, statuses
        assert second in {409, 416}, statuses
        content = bodies[statuses.index(202)]
        assert registry.get(location).headers["Range"] == f"0-{len(content) - 1}"
        assert registry.finish(location, digest_of(content)).status_code == 201
        assert registry.get(f"/v2/{repository}/blobs/{digest_of(content)}").content == content


def test_two_finishes_at_once_make_one_blob(server: Server, repository: str) -> None:
    """As a proxy does that sends a request again: whatever the loser is told, the blob is there."""
    outcomes = set()
    with admin_of(server) as one, admin_of(server) as two:
        for number in range(100):
            content = os.urandom(300_000 if number % 2 else 10)
            location = one.patch(one.begin(repository), content).headers["Location"]
            statuses: list[int] = []

            def finish(by: Registry, where: str = location, what: bytes = content, into: list[int] = statuses) -> None:
                into.append(by.finish(where, digest_of(what)).status_code)

            at_once(lambda run=finish: run(one), lambda run=finish: run(two))  # type: ignore[misc]
            present = one.head(f"/v2/{repository}/blobs/{digest_of(content)}").status_code == 200
            outcomes.add((*sorted(statuses), present))
    assert all(outcome[0] == 201 and outcome[2] for outcome in outcomes), outcomes
    assert {outcome[1] for outcome in outcomes} <= {201, 404, 409, 416}, f"a right digest is not wrong: {outcomes}"


def test_a_cancel_during_a_patch_leaves_no_file(server: Server, repository: str) -> None:
    with admin_of(server) as registry:
        location = registry.begin(repository)
        with connected(server) as sock:
            sock.sendall(head_of("PATCH", location, basic(server), "Content-Length: 3000000"))
            sock.sendall(b"x" * 2_000_000)
            time.sleep(0.2)
            assert registry.delete(location).status_code == 204
            with suppress(OSError):
                sock.sendall(b"x" * 1_000_000)
                answer_on(sock, "PATCH")
        assert registry.get(location).status_code == 404
        key = location.rpartition("/")[2]
        assert eventually(lambda: not (server.data / "staging" / key).exists())


def test_many_pushes_of_one_blob_at_once(server: Server, repository: str) -> None:
    content = os.urandom(200_000)
    statuses: list[int] = []

    def push() -> None:
        with admin_of(server) as own:
            answer = own.http.post(f"/v2/{repository}/blobs/uploads/?digest={digest_of(content)}", content=content)
            statuses.append(answer.status_code)

    at_once(*[push] * 12)
    assert statuses == [201] * 12
    with admin_of(server) as registry:
        assert registry.get(f"/v2/{repository}/blobs/{digest_of(content)}").content == content


def test_a_tag_that_many_move_at_once_names_one_of_theirs(server: Server, repository: str) -> None:
    with admin_of(server) as registry:
        payloads = [registry.push_image(repository, f"own-{n}", b"%d" % n) for n in range(8)]
        statuses: list[int] = []

        def move(payload: bytes) -> None:
            with admin_of(server) as own:
                statuses.extend(own.put_manifest(repository, "shared", payload).status_code for _ in range(5))

        at_once(*[lambda payload=payload: move(payload) for payload in payloads])
        assert statuses == [201] * 40
        assert registry.get(f"/v2/{repository}/manifests/shared").content in payloads


def test_a_delete_and_a_push_that_names_it_never_both_win(server: Server, repository: str) -> None:
    """Either the blob is gone and the manifest was refused, or the manifest is there with all it names."""
    for number in range(10):
        content = b"contested %d" % number
        outcome: dict[str, int] = {}
        with admin_of(server) as registry:
            registry.push_blob(repository, content)
            registry.push_blob(repository, b"{}")
            payload = encoded(image(b"{}", content))
            path = f"/v2/{repository}/blobs/{digest_of(content)}"

            def delete(where: str = path, into: dict[str, int] = outcome) -> None:
                with admin_of(server) as own:
                    into["delete"] = own.delete(where).status_code

            def push(what: bytes = payload, into: dict[str, int] = outcome) -> None:
                with admin_of(server) as own:
                    into["push"] = own.put_manifest(repository, "contested", what).status_code

            at_once(delete, push)
            assert (outcome["delete"], outcome["push"]) in {(202, 400), (405, 201)}, outcome
            assert registry.head(path).status_code == (404 if outcome["delete"] == 202 else 200)


# --- the heads, last ------------------------------------------------------------------------------


def test_heads_that_never_end_are_given_up(impatient: Server, loris: tuple[float, list[socket.socket]]) -> None:
    began, opened = loris
    open_ = 0
    for sock in opened:
        sock.settimeout(max(0.05, began + 40 - time.monotonic()))
        try:
            while sock.recv(4096):
                pass
        except TimeoutError:
            open_ += 1
        except OSError:
            pass
    assert open_ == 0, f"{open_} of {len(opened)} still open after {time.monotonic() - began:.0f} s"
    with client(impatient) as anybody:
        assert anybody.get("/livez").status_code == 200


def test_nothing_above_raised_an_error(impatient: Server, admin: Registry) -> None:
    assert "Traceback" not in impatient.log_text()
    assert '"status":500' not in impatient.log_text()
    assert "Traceback" not in admin.server.log_text()
