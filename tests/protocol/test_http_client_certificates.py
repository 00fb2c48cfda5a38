"""Client certificates that the listener asks for."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from entrepot.cli.authority import Authority
from tests.protocol.client import eventually
from tests.serving import PASSWORD, Server, free_port

METRICS = free_port()


class Picky(Server):
    """A server that shows itself to nobody without a certificate."""

    folder: Path

    def _ready(self) -> bool:
        try:
            with client_of(self, "tester") as http:
                return http.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False


def context_for(folder: Path, name: str | None, certificates: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if name:
        shown = certificates or folder
        context.load_cert_chain(shown / f"client-{name}.crt", shown / f"client-{name}.key")
    return context


def client_of(server: Picky, name: str | None, certificates: Path | None = None) -> httpx.Client:
    return httpx.Client(
        base_url=server.url, verify=context_for(server.folder, name, certificates), timeout=10, trust_env=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("clients")
    authority = Authority.open(made)
    authority.issue_server(["127.0.0.1"], timedelta(days=1))
    authority.issue_client("tester", timedelta(days=1))
    authority.issue_client("expired", timedelta(seconds=-1))
    (made / "client-server.crt").write_bytes((made / "server.crt").read_bytes())
    (made / "client-server.key").write_bytes((made / "server.key").read_bytes())
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Picky]:
    environment = {
        "ENTREPOT_TLS_CERT_FILE": str(folder / "server.crt"),
        "ENTREPOT_TLS_KEY_FILE": str(folder / "server.key"),
        "ENTREPOT_TLS_CLIENT_CA_FILE": str(folder / "ca.crt"),
        "ENTREPOT_METRICS_LISTEN": f"127.0.0.1:{METRICS}",
    }
    started = Picky(folder / "data", workers=2, scheme="https", environment=environment)
    started.folder = folder
    started.start()
    try:
        yield started
        started.stop()
    finally:
        started.kill()


def test_a_client_with_a_certificate_works_as_ever(server: Picky) -> None:
    with client_of(server, "tester") as http:
        http.auth = ("admin", PASSWORD)
        assert http.get("/v2/_catalog").status_code == 200


def test_the_certificate_alone_is_no_login(server: Picky) -> None:
    with client_of(server, "tester") as http:
        assert http.get("/v2/_catalog").status_code == 401


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_without_one_cannot_connect(server: Picky, version: ssl.TLSVersion) -> None:
    context = context_for(server.folder, None)
    context.minimum_version = context.maximum_version = version
    with httpx.Client(verify=context, timeout=10, trust_env=False) as http, pytest.raises(httpx.HTTPError):
        http.get(f"{server.url}/livez")


def test_a_certificate_of_another_authority_is_refused(server: Picky, tmp_path: Path) -> None:
    Authority.open(tmp_path).issue_client("tester", timedelta(days=1))
    with client_of(server, "tester", tmp_path) as http, pytest.raises(httpx.HTTPError):
        http.get("/livez")


@pytest.mark.parametrize("name", ["expired", "server"])
def test_a_certificate_out_of_its_time_or_for_another_use_is_refused(server: Picky, name: str) -> None:
    with client_of(server, name) as http, pytest.raises(httpx.HTTPError):
        http.get("/livez")


def test_curl_shows_its_certificate(server: Picky) -> None:
    folder = server.folder
    command = ["curl", "--silent", "--show-error", "--cacert", str(folder / "ca.crt"), f"{server.url}/livez"]
    shown = ["--cert", str(folder / "client-tester.crt"), "--key", str(folder / "client-tester.key")]
    done = subprocess.run([*command, *shown], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 56


def test_the_listener_for_metrics_asks_for_none(server: Picky) -> None:
    with httpx.Client(verify=context_for(server.folder, None), timeout=10, trust_env=False) as http:
        assert http.get(f"https://127.0.0.1:{METRICS}/metrics").status_code == 200


def test_another_authority_is_asked_for_once_its_file_has_changed(server: Picky, tmp_path: Path) -> None:
    own = (server.folder / "ca.crt").read_bytes()
    Authority.open(tmp_path).issue_client("stranger", timedelta(days=1))
    both = server.folder / "both.crt"

    def is_let_in(name: str, certificates: Path) -> bool:
        context = ssl.create_default_context(cadata=own.decode())
        context.load_cert_chain(certificates / f"client-{name}.crt", certificates / f"client-{name}.key")
        try:
            with httpx.Client(verify=context, timeout=10, trust_env=False) as http:
                return http.get(f"{server.url}/livez").status_code == 200
        except httpx.HTTPError:
            return False

    assert not is_let_in("stranger", tmp_path)
    both.write_bytes(own + (tmp_path / "ca.crt").read_bytes())
    both.rename(server.folder / "ca.crt")
    server.process.send_signal(1)
    assert eventually(lambda: is_let_in("stranger", tmp_path), 20)
    assert is_let_in("tester", server.folder)
