"""kill -9, of everything or of a part: what was acknowledged is there, what was not is nowhere."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.faults.processes import workers_of
from tests.protocol.client import (
    EMPTY,
    OCI_INDEX,
    Registry,
    admin_of,
    answer_on,
    basic,
    child,
    client,
    connected,
    digest_of,
    encoded,
    eventually,
    head_of,
    image,
    in_pieces,
    index,
    metric,
    staged_files,
)
from tests.serving import Server, serving

REPOSITORY = "crash/app"
KILLS = 8


@dataclass
class Pusher:
    """Pushes until its server dies, and remembers what was acknowledged."""

    server: Server
    name: str
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    """By digest and by tag."""
    number: int = 0

    def run(self) -> None:
        try:
            with admin_of(self.server) as registry:
                while True:
                    self.push(registry)
        except httpx.HTTPError:
            return

    def blob(self, registry: Registry, content: bytes) -> bytes:
        """Push by the way whose turn it is."""
        digest = digest_of(content)
        way = self.number % 3
        if way == 0:
            answer = registry.finish(registry.begin(REPOSITORY), digest, content)
        elif way == 1:
            location = registry.patch(registry.begin(REPOSITORY), in_pieces(content, 100_000)).headers["Location"]
            answer = registry.finish(location, digest)
        else:
            answer = registry.http.post(f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest}", content=content)
        assert answer.status_code == 201, answer.text
        self.blobs[digest] = content
        return content

    def manifest(self, registry: Registry, payload: bytes, tag: str, kind: str) -> None:
        answer = registry.put_manifest(REPOSITORY, tag, payload, kind)
        assert answer.status_code == 201, answer.text
        self.manifests[tag] = self.manifests[digest_of(payload)] = payload

    def push(self, registry: Registry) -> None:
        """An image with an index around it."""
        self.number += 1
        mark = f"{self.name} {self.number} ".encode()
        size = random.choice([10, 4096, 70_000, 1_500_000])
        layers = [self.blob(registry, mark + b"%d " % n + os.urandom(32) * (size // 32)) for n in range(2)]
        config = self.blob(registry, mark)
        payload = encoded(image(config, *layers))
        kind = "application/vnd.oci.image.manifest.v1+json"
        self.manifest(registry, payload, f"{self.name}-{self.number}", kind)
        whole = encoded(index(child(payload)))
        self.manifest(registry, whole, f"{self.name}-index-{self.number}", OCI_INDEX)


def check_whole(registry: Registry, reference: str, seen: set[str]) -> None:
    """A manifest and all that it names are there."""
    if reference in seen:
        return
    seen.add(reference)
    answer = registry.get(f"/v2/{REPOSITORY}/manifests/{reference}")
    assert answer.status_code == 200, f"{reference}: {answer.text}"
    assert digest_of(answer.content) == answer.headers["Docker-Content-Digest"]
    document = answer.json()
    for entry in document.get("manifests", []):
        check_whole(registry, entry["digest"], seen)
    for entry in [document.get("config"), *document.get("layers", [])]:
        if entry and entry["digest"] not in seen:
            seen.add(entry["digest"])
            blob = registry.get(f"/v2/{REPOSITORY}/blobs/{entry['digest']}")
            assert blob.status_code == 200, f"{reference} names {entry['digest']}: {blob.text}"
            assert digest_of(blob.content) == entry["digest"]


def check_all(server: Server, pushers: list[Pusher], seen: set[str]) -> int:
    """All that was acknowledged before the crash is there, and nothing names what is not; how many things."""
    with admin_of(server) as registry:
        count = 0
        for pusher in pushers:
            for digest, content in pusher.blobs.items():
                assert registry.get(f"/v2/{REPOSITORY}/blobs/{digest}").content == content
            for reference, payload in pusher.manifests.items():
                assert registry.get(f"/v2/{REPOSITORY}/manifests/{reference}").content == payload
            count += len(pusher.blobs) + len(pusher.manifests)
            pusher.blobs.clear()
            pusher.manifests.clear()
        listing = registry.get(f"/v2/{REPOSITORY}/tags/list")
        for tag in listing.json()["tags"] if listing.status_code == 200 else []:
            check_whole(registry, tag, seen)
    return count


def test_nothing_acknowledged_is_lost_however_often_the_server_is_killed(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", workers=2)
    pushers = [Pusher(server, name) for name in ("one", "two", "three")]
    seen: set[str] = set()
    acknowledged = 0
    try:
        for _ in range(KILLS):
            server.start()  # no repair step: what the crash before left is there
            acknowledged += check_all(server, pushers, seen)
            threads = [threading.Thread(target=pusher.run) for pusher in pushers]
            for thread in threads:
                thread.start()
            time.sleep(random.uniform(0.05, 0.6))
            server.kill()
            for thread in threads:
                thread.join(30)
        server.start()
        acknowledged += check_all(server, pushers, seen)
        assert acknowledged > 50, "the pushers must have come to work"
        server.stop()
    finally:
        server.kill()


def test_an_upload_goes_on_after_a_crash(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    with serving(tmp_path / "data", workers=2) as server:
        with admin_of(server) as registry:
            location = registry.patch(registry.begin(REPOSITORY), content[:1_000_000]).headers["Location"]
        server.kill()
        server.start()
        with admin_of(server) as registry:
            status = registry.get(location)
            assert status.status_code == 204
            assert status.headers["Range"] == "0-999999"
            answer = registry.patch(location, content[1_000_000:2_000_000], Content_Range="1000000-1999999")
            assert answer.status_code == 202, answer.text
        server.restart()
        with admin_of(server) as registry:
            answer = registry.finish(location, digest_of(content), content[2_000_000:], Content_Range="2000000-2999999")
            assert answer.status_code == 201, answer.text
            assert registry.get(f"/v2/{REPOSITORY}/blobs/{digest_of(content)}").content == content
        assert staged_files(server.data) == []


def test_an_upload_that_was_cut_by_a_crash_tells_the_truth_about_its_offset(tmp_path: Path) -> None:
    content = os.urandom(6_000_000)
    with serving(tmp_path / "data") as server:
        with admin_of(server) as registry:
            location = registry.begin(REPOSITORY)
        with connected(server) as sock:
            sock.sendall(head_of("PATCH", location, basic(server), f"Content-Length: {len(content)}"))
            sock.sendall(content[:4_500_000])
            time.sleep(0.3)
            server.kill()
        server.start()
        with admin_of(server) as registry:
            offset = int(registry.get(location).headers["Range"].partition("-")[2]) + 1
            assert 1_000_000 < offset <= 4_500_000
            span = f"{offset}-{len(content) - 1}"
            assert registry.patch(location, content[offset:], Content_Range=span).status_code == 202
            assert registry.finish(location, digest_of(content)).status_code == 201
            assert registry.get(f"/v2/{REPOSITORY}/blobs/{digest_of(content)}").content == content


def test_tokens_and_passwords_outlive_a_crash(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        with admin_of(server) as registry:
            payload = registry.push_image(REPOSITORY, "1")
            token = registry.token(f"repository:{REPOSITORY}:pull")
        server.kill()
        server.start()
        with client(server, headers={"Authorization": f"Bearer {token}"}) as holder:
            assert holder.get(f"/v2/{REPOSITORY}/manifests/1").content == payload


# --- a part of it ---------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced_and_the_others_go_on(server: Server, admin: Registry) -> None:
    payload = admin.push_image(REPOSITORY, "1", b"layer")
    for _ in range(2):
        before = workers_of(server)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        assert eventually(lambda gone=before[0]: gone not in workers_of(server))  # type: ignore[misc]
        with connected(server) as sock:
            sock.sendall(head_of("GET", f"/v2/{REPOSITORY}/manifests/1", basic(server)))
            assert answer_on(sock).body == payload
        assert eventually(lambda: len(workers_of(server)) == 2, 15)
        assert before[1] in workers_of(server)
    assert "worker died" in server.log_text()


def test_metrics_do_not_forget_what_a_dead_worker_counted(server: Server) -> None:
    def counted() -> float:
        with admin_of(server) as registry:
            text = registry.get("/metrics").text
        return metric(text, "entrepot_http_requests_total", operation="livez", status="200")

    with client(server) as anybody:
        for _ in range(20):
            anybody.get("/livez")
    assert eventually(lambda: counted() >= 20)
    for pid in workers_of(server):
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda gone=pid: gone not in workers_of(server) and len(workers_of(server)) == 2, 15)  # type: ignore[misc]
    assert eventually(lambda: counted() >= 20)


def test_an_upload_goes_on_when_its_worker_was_killed(server: Server) -> None:
    content = os.urandom(2_000_000)
    with admin_of(server) as registry:
        location = registry.patch(registry.begin(REPOSITORY), content[:1_000_000]).headers["Location"]
    for pid in workers_of(server):
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: len(workers_of(server)) == 2, 15)

    def finished() -> bool:
        try:
            with admin_of(server) as registry:
                answer = registry.finish(location, digest_of(content), content[1_000_000:])
                return answer.status_code == 201
        except httpx.HTTPError:
            return False

    assert eventually(finished, 15)


@pytest.mark.parametrize("signals", [[signal.SIGKILL], [signal.SIGTERM, signal.SIGTERM]])
def test_workers_never_outlive_their_supervisor(tmp_path: Path, signals: list[int]) -> None:
    server = Server(tmp_path / "data", workers=2)
    server.start()
    try:
        with admin_of(server) as registry:
            payload = registry.push_image(REPOSITORY, "1", EMPTY)
        pids = workers_of(server)
        for number in signals:
            os.kill(server.process.pid, number)
        server.process.wait(30)
        assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10)
        server.start()
        with admin_of(server) as registry:
            assert registry.get(f"/v2/{REPOSITORY}/manifests/1").content == payload
        server.stop()
    finally:
        server.kill()
