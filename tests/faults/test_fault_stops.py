"""Stopping, starting, and what stands in the way of a start: words that tell an operator what to do."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.processes import read_only
from tests.protocol.client import (
    Registry,
    admin_of,
    answer_on,
    basic,
    client,
    connected,
    digest_of,
    entrepot,
    eventually,
    head_of,
    in_pieces,
    metric,
    refused,
    staged_files,
)
from tests.serving import PASSWORD, Server, free_port, serving

REPOSITORY = "stops/app"


# --- SIGTERM --------------------------------------------------------------------------------------


def terminate(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)


def exit_code(server: Server, seconds: float = 20.0) -> int:
    """The exit code; all its processes must have gone with it."""
    code = server.process.wait(seconds)
    assert eventually(lambda: not group_lives(server), 10), "it left processes behind"
    return code


def group_lives(server: Server) -> bool:
    try:
        os.killpg(server.process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def readiness(server: Server) -> int:
    with connected(server) as sock:
        sock.sendall(head_of("GET", "/readyz", "Connection: close"))
        return answer_on(sock).status


def test_readiness_goes_before_the_listener(tmp_path: Path) -> None:
    environment = {"ENTREPOT_LIMITS_DRAIN_DELAY": "1.5"}
    server = Server(tmp_path / "data", workers=2, environment=environment)
    server.start()
    try:
        with admin_of(server) as registry:
            payload = registry.push_image(REPOSITORY, "1")
            began = time.monotonic()
            terminate(server)
            assert eventually(lambda: readiness(server) == 503, 1.0)
            assert {readiness(server) for _ in range(8)} == {503}, "both workers say so"
            # all else goes on meanwhile, on old connections and on new ones
            assert registry.get(f"/v2/{REPOSITORY}/manifests/1").content == payload
            with admin_of(server) as fresh:
                assert fresh.get(f"/v2/{REPOSITORY}/manifests/1").content == payload
                assert fresh.get("/livez").status_code == 200
            assert time.monotonic() - began < 1.5
        assert exit_code(server) == 0
        assert time.monotonic() - began >= 1.4
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)
    finally:
        server.kill()


def test_running_transfers_finish(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", workers=2)
    server.start()
    try:
        content = os.urandom(40_000_000)
        with admin_of(server) as registry:
            path = f"/v2/{REPOSITORY}/blobs/{registry.push_blob(REPOSITORY, content)}"
            location = registry.begin(REPOSITORY)
        upload = os.urandom(1_000_000)
        outcome: list[int] = []

        def push() -> None:
            def slowly() -> Iterator[bytes]:
                for piece in in_pieces(upload, 100_000):
                    yield piece
                    time.sleep(0.2)

            with admin_of(server) as own:
                outcome.append(own.finish(location, digest_of(upload), slowly()).status_code)

        pushing = threading.Thread(target=push)
        pushing.start()
        with connected(server) as sock:
            sock.sendall(head_of("GET", path, basic(server)))
            got = sock.recv(65_536)
            terminate(server)
            time.sleep(0.7)  # the listener is closed by now
            while piece := sock.recv(1_000_000):
                got += piece
                time.sleep(0.02)
                if len(got) > len(content) and got.endswith(content[-1000:]):
                    break
        pushing.join(30)
        assert got.partition(b"\r\n\r\n")[2] == content
        assert outcome == [201]
        assert exit_code(server) == 0
        server.start()
        with admin_of(server) as registry:
            assert registry.get(f"/v2/{REPOSITORY}/blobs/{digest_of(upload)}").content == upload
        server.stop()
    finally:
        server.kill()


def test_idle_connections_do_not_hold_up_the_end(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    server.start()
    sockets = []
    try:
        for number in range(20):
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            if number % 2:
                sock.sendall(head_of("GET", "/livez"))
                assert answer_on(sock).status == 200
            sockets.append(sock)
        began = time.monotonic()
        terminate(server)
        assert exit_code(server) == 0
        assert time.monotonic() - began < 5
    finally:
        for sock in sockets:
            sock.close()
        server.kill()


def test_a_transfer_without_end_is_cut_at_the_limit(tmp_path: Path) -> None:
    environment = {"ENTREPOT_LIMITS_DRAIN_TIMEOUT": "1"}
    server = Server(tmp_path / "data", environment=environment)
    server.start()
    try:
        with admin_of(server) as registry:
            location = registry.begin(REPOSITORY)
        with connected(server) as sock:
            sock.sendall(head_of("PATCH", location, basic(server), "Content-Length: 1000000") + b"x" * 1000)
            time.sleep(0.2)
            began = time.monotonic()
            terminate(server)
            assert exit_code(server) == 0
            assert time.monotonic() - began < 8
        server.start()
        with admin_of(server) as registry:
            assert registry.get(location).headers["Range"] == "0-999", "what came before the end is kept"
        server.stop()
    finally:
        server.kill()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_hurries(tmp_path: Path, second: int) -> None:
    server = Server(tmp_path / "data", workers=2, environment={"ENTREPOT_LIMITS_DRAIN_DELAY": "30"})
    server.start()
    try:
        began = time.monotonic()
        terminate(server)
        time.sleep(0.3)
        server.process.send_signal(second)
        assert exit_code(server) == 0
        assert time.monotonic() - began < 8
    finally:
        server.kill()


def test_the_last_records_are_written(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server, client(server) as anybody:
        anybody.get("/livez", {"X-Request-ID": "the-last"})
    assert "the-last" in server.log_text()


# --- expiry ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A server that drops uploads after an idle second."""
    environment = {"ENTREPOT_REGISTRY_UPLOAD_EXPIRY": "1"}
    folder = tmp_path_factory.mktemp("forgetful")
    with serving(folder / "data", workers=2, environment=environment) as server, admin_of(server) as registry:
        yield registry


def test_idle_uploads_are_dropped_with_their_bytes(forgetful: Registry) -> None:
    empty, begun = forgetful.begin(REPOSITORY), forgetful.begin(REPOSITORY)
    assert forgetful.patch(begun, b"x" * 1000).status_code == 202
    stray = forgetful.server.data / "staging" / "put-left-by-a-crash"
    stray.write_bytes(b"x")
    assert eventually(lambda: forgetful.get(begun).status_code == 404, 8)
    assert eventually(lambda: forgetful.get(empty).status_code == 404, 8)
    refused(forgetful.get(begun), 404, "BLOB_UPLOAD_UNKNOWN")
    refused(forgetful.patch(begun, b"y"), 404, "BLOB_UPLOAD_UNKNOWN")
    assert eventually(lambda: staged_files(forgetful.server.data) == [], 8)
    assert metric(forgetful.get("/metrics").text, "entrepot_upload_sessions") == 0


@pytest.mark.parametrize("piece", [400_000, 40_000], ids=["fast", "slow"])
def test_an_upload_that_is_running_is_not_dropped(forgetful: Registry, piece: int) -> None:
    content = os.urandom(piece * 25)

    def slowly() -> Iterator[bytes]:
        for part in in_pieces(content, piece):
            yield part
            time.sleep(0.2)

    answer = forgetful.finish(forgetful.begin(REPOSITORY), digest_of(content), slowly())
    assert answer.status_code == 201, answer.text
    assert forgetful.get(f"/v2/{REPOSITORY}/blobs/{digest_of(content)}").content == content


def test_an_upload_that_goes_on_now_and_then_is_not_dropped(forgetful: Registry) -> None:
    location = forgetful.begin(REPOSITORY)
    for _ in range(8):
        assert forgetful.patch(location, b"x" * 1000).status_code == 202
        time.sleep(0.5)
    assert forgetful.finish(location, digest_of(b"x" * 8000)).status_code == 201


# --- what stands in the way of a start ------------------------------------------------------------


def refusal(data: Path, *arguments: str, port: int = 0, **environment: str) -> str:
    """Start it; it must end by itself with exit code 1. What it says."""
    done = entrepot(
        "serve",
        "--listen",
        f"127.0.0.1:{port or free_port()}",
        "--data",
        str(data),
        *arguments,
        **({"ENTREPOT_ADMIN_PASSWORD": PASSWORD} | environment),
    )
    told = done.stdout + done.stderr
    assert done.returncode == 1, told
    assert "Traceback" not in told, told
    assert told.strip()
    return told


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        told = refusal(tmp_path / "data", port=port)
    assert str(port) in told
    assert "in use" in told
    assert not (tmp_path / "data").exists()


def test_a_second_server_on_the_same_port_is_refused_and_the_first_lives(server: Server, tmp_path: Path) -> None:
    told = refusal(tmp_path / "data", port=server.port)
    assert str(server.port) in told
    with client(server) as anybody:
        assert anybody.get("/readyz").status_code == 200


def test_a_metrics_port_that_is_taken_is_named(server: Server, tmp_path: Path) -> None:
    told = refusal(tmp_path / "data", ENTREPOT_METRICS_LISTEN=server.address)
    assert str(server.port) in told


def test_an_address_that_is_not_ours_is_named(tmp_path: Path) -> None:
    done = entrepot("serve", "--listen", "203.0.113.7:5000", "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "203.0.113.7:5000" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for data in (tmp_path / "file", tmp_path / "file" / "data", Path("/proc/entrepot/data")):
        assert str(data) in refusal(data)


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with read_only(data):
        assert str(data) in refusal(data)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a server that was used and stopped."""
    with serving(tmp_path_factory.mktemp("used") / "data") as started, admin_of(started) as registry:
        registry.push_image(REPOSITORY, "1")
    return started.data


@pytest.fixture
def stopped(used: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return shutil.copytree(used, tmp_path / "data")


@pytest.mark.parametrize("damage", ["garbage", "empty page", "cut off"])
def test_a_database_that_is_none_is_named(stopped: Path, damage: str) -> None:
    path = stopped / "entrepot.db"
    for more in ("-wal", "-shm"):
        path.with_name(path.name + more).unlink(missing_ok=True)
    if damage == "garbage":
        path.write_bytes(b"this is not a database" * 1000)
    elif damage == "empty page":
        content = bytearray(path.read_bytes())
        content[100:4096] = bytes(3996)
        path.write_bytes(bytes(content))
    else:
        os.truncate(path, 5000)
    told = refusal(stopped)
    assert str(path) in told


def test_a_database_of_a_newer_version_is_named(stopped: Path) -> None:
    path = stopped / "entrepot.db"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    told = refusal(stopped)
    assert str(path) in told
    assert re.search("newer|another version", told)


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_signing_key_that_is_none_is_named(stopped: Path, content: bytes) -> None:
    path = stopped / "keys" / "token.pem"
    path.write_bytes(content)
    assert str(path) in refusal(stopped)


def test_commands_on_a_folder_without_a_registry_say_so(tmp_path: Path) -> None:
    for arguments in (("project", "list"), ("user", "password", "admin", "--stdin"), ("project", "create", "x")):
        done = entrepot(*arguments, "--data", str(tmp_path / "nothing"), text="a-password-of-length\n")
        assert done.returncode == 1
        assert str(tmp_path / "nothing") in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "nothing").exists()
