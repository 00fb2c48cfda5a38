"""The plain HTTP listener that only leads to HTTPS, beside a server that speaks nothing else."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from entrepot.cli.authority import Authority
from tests.protocol.client import answer_on, head_of
from tests.serving import PASSWORD, Server, free_port, serving


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("redirect")
    Authority.open(made).issue_server(["localhost", "127.0.0.1"], timedelta(days=1))
    return made


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    return {
        "ENTREPOT_TLS_CERT_FILE": str(folder / "server.crt"),
        "ENTREPOT_TLS_KEY_FILE": str(folder / "server.key"),
        "ENTREPOT_HTTPS_ONLY": "true",
    }


@pytest.fixture(scope="module")
def server(folder: Path, port: int, environment: dict[str, str]) -> Iterator[Server]:
    more = environment | {"ENTREPOT_HTTP_REDIRECT_LISTEN": f"127.0.0.1:{port}"}
    with serving(folder / "data", workers=2, scheme="https", environment=more) as started:
        yield started


def asked(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(request)
        got = b""
        while piece := sock.recv(65_536):
            got += piece
        return got


def test_a_client_is_led_to_the_same_path_over_https(server: Server, port: int, folder: Path) -> None:
    with httpx.Client(verify=ssl.create_default_context(cafile=folder / "ca.crt"), follow_redirects=True) as http:
        answer = http.get(f"http://127.0.0.1:{port}/livez?a=1")
        assert answer.status_code == 200
        assert str(answer.url) == f"{server.url}/livez?a=1"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_is_led_on(server: Server, port: int, method: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(head_of(method, "/v2/a/b/blobs/uploads/"))
        answer = answer_on(sock, method)
    assert answer.status == 308
    assert answer.headers["location"] == f"https://registry.test:{server.port}/v2/a/b/blobs/uploads/"


def test_nothing_else_is_answered(server: Server, port: int) -> None:
    for path in ("/livez", "/metrics", "/service/token", "/api/v2.0/health", "/nothing"):
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", auth=("admin", PASSWORD))
        assert answer.status_code == 308
        assert answer.content == b""
        assert "set-cookie" not in answer.headers


def test_a_body_is_not_waited_for(server: Server, port: int) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"PUT /v2/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000000000\r\n\r\nxxx")
        assert sock.recv(4000).startswith(b"HTTP/1.1 308")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "head",
    [
        b"Host: a.example@evil.example",
        b"Host: a.example/evil",
        b"Host: a.example\r\nHost: evil.example",
        b"Host: a\x00b",
        b"Host: a b",
        b"Host:",
        b"X: y",
        b"Host: " + b"a" * 5000,
    ],
)
def test_a_hostile_host_is_refused(server: Server, port: int, head: bytes) -> None:
    answer = asked(port, b"GET / HTTP/1.1\r\n" + head + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert b"location" not in answer.lower()


def test_a_target_with_a_host_of_its_own_does_not_lead_there(server: Server, port: int) -> None:
    answer = asked(port, b"GET http://evil.example/x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
    assert b"evil.example" not in answer


def test_what_is_no_http_is_not_answered(server: Server, port: int) -> None:
    assert not asked(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100).startswith(b"HTTP/1.1 308")


def test_without_it_nothing_listens_on_plain_http(
    environment: dict[str, str], tmp_path: Path, server: Server, port: int
) -> None:
    with serving(tmp_path / "data", scheme="https", environment=environment) as started:
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://{started.address}/livez", timeout=10)
        inodes = {
            line.split()[9]
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[1].endswith(f":{started.port:04X}")
        }
        assert len(inodes) == 1
