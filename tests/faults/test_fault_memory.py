"""Memory stays bounded, whatever passes through."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.processes import resident
from tests.protocol.client import Registry, admin_of, answer_on, basic, connected, digest_of, head_of
from tests.serving import Server, serving

MB = 1_000_000
BOUND = 300 * MB
SIZE = 300 * MB
REPOSITORY = "memory/app"
PIECE = bytes(range(250)) * 4000


@pytest.fixture(scope="module")
def roomy() -> Iterator[Server]:
    """A server whose data lie in shared memory, so that the disk is no brake."""
    folder = Path("/dev/shm") / f"entrepot-memory-{os.getpid()}"
    if not os.access("/dev/shm", os.W_OK) or shutil.disk_usage("/dev/shm").free < 6 * SIZE:
        pytest.skip("/dev/shm has no room for four uploads of 300 MB")
    try:
        with serving(folder / "data", workers=2) as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def large(roomy: Server) -> str:
    """The digest of a blob of 300 MB that is there."""
    state = hashlib.sha256()
    for _ in range(SIZE // len(PIECE)):
        state.update(PIECE)
    digest = f"sha256:{state.hexdigest()}"
    with admin_of(roomy) as registry:
        pieces = (PIECE for _ in range(SIZE // len(PIECE)))
        assert registry.finish(registry.begin(REPOSITORY), digest, pieces).status_code == 201
    return digest


def most_resident(server: Server, *works: Callable[[], None]) -> int:
    """The most memory of all processes while `works` run at once."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, resident(server))
        time.sleep(0.05)
    return max(most, resident(server))


def test_four_large_uploads_at_once(roomy: Server, large: str) -> None:
    statuses: list[int] = []

    def push() -> None:
        with admin_of(roomy) as registry:
            location = registry.begin(REPOSITORY)
        with connected(roomy, timeout=60) as sock:
            sock.sendall(head_of("PATCH", location, basic(roomy), "Transfer-Encoding: chunked"))
            chunk = b"%x\r\n" % len(PIECE) + PIECE + b"\r\n"
            for _ in range(SIZE // len(PIECE)):
                sock.sendall(chunk)
            sock.sendall(b"0\r\n\r\n")
            statuses.append(answer_on(sock, "PATCH").status)
        with admin_of(roomy) as registry:
            statuses.append(registry.finish(location, large).status_code)

    most = most_resident(roomy, *[push] * 4)
    assert sorted(statuses) == [201] * 4 + [202] * 4
    assert most < BOUND, f"{most / MB:.0f} MB"


def test_many_large_downloads_at_once(roomy: Server, large: str) -> None:
    lengths: list[int] = []

    def pull() -> None:
        with connected(roomy, timeout=60) as sock:
            sock.sendall(head_of("GET", f"/v2/{REPOSITORY}/blobs/{large}", basic(roomy), "Connection: close"))
            buffer = bytearray(1_000_000)
            total = 0
            while count := sock.recv_into(buffer):
                total += count
            lengths.append(total)

    most = most_resident(roomy, *[pull] * 8)
    assert all(SIZE < length < SIZE + 2000 for length in lengths), lengths
    assert len(lengths) == 8
    assert most < BOUND, f"{most / MB:.0f} MB"


def test_many_large_manifests_at_once(roomy: Server) -> None:
    payload = b" " * (4 * 1024 * 1024 - 2) + b"[]"

    def push() -> None:
        with admin_of(roomy) as registry:
            for _ in range(5):
                assert registry.put_manifest(REPOSITORY, "large", payload).status_code == 400

    most = most_resident(roomy, *[push] * 8)
    assert most < BOUND, f"{most / MB:.0f} MB"


def test_a_thousand_small_pushes_leave_nothing_behind(roomy: Server) -> None:
    def push_all(registry: Registry, round_: int) -> None:
        for number in range(500):
            content = b"%d %d" % (round_, number)
            path = f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest_of(content)}"
            assert registry.http.post(path, content=content).status_code == 201

    with admin_of(roomy) as registry:
        push_all(registry, 0)
        before = resident(roomy)
        push_all(registry, 1)
        assert resident(roomy) - before < 15 * MB


def test_many_clients_that_take_nothing(roomy: Server, large: str) -> None:
    before = resident(roomy)
    sockets = []
    try:
        for _ in range(100):
            sock = socket.create_connection(("127.0.0.1", roomy.port), timeout=10)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(head_of("GET", f"/v2/{REPOSITORY}/blobs/{large}", basic(roomy)))
            sockets.append(sock)
        most = most_resident(roomy, lambda: time.sleep(2))
    finally:
        for sock in sockets:
            sock.close()
    each = (most - before) / 100
    assert each < MB, f"each holds {each / MB:.1f} MB of the server's memory, {most / MB:.0f} MB in all"
