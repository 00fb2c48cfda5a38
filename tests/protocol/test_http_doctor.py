"""`entrepot doctor`: its exit status, its three formats, and what it sees of a running server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from entrepot.system.assessment.observer import Target, look
from tests.protocol.client import entrepot
from tests.serving import PASSWORD, free_port, serving

if shutil.which("openssl") is None:
    pytest.skip("the openssl program is not installed", allow_module_level=True)


def make_certificate(folder: Path, *options: str) -> dict[str, str]:
    """Self-signed for 127.0.0.1, as the settings that name it."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", *(options or ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"))]
    command += ["-nodes", "-days", "90", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True, timeout=60)
    key.chmod(0o600)
    return {"ENTREPOT_TLS_CERT_FILE": str(cert), "ENTREPOT_TLS_KEY_FILE": str(key)}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a server that has run."""
    data = tmp_path_factory.mktemp("doctor") / "data"
    with serving(data):
        pass
    return data


def doctor(data: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = entrepot("doctor", "--data", str(data), *arguments, **environment)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def as_json(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def nobody(**environment: str) -> dict[str, str]:
    """An address that nothing answers at."""
    return {"ENTREPOT_LISTEN": f"127.0.0.1:{free_port()}", **environment}


def test_the_exit_status_is_for_ci(stopped: Path) -> None:
    assert doctor(stopped, "--fail-on", "critical", **nobody()).returncode == 0
    assert doctor(stopped, "--fail-on", "info", **nobody()).returncode == 1
    public = {"ENTREPOT_LISTEN": f"0.0.0.0:{free_port()}"}
    done = doctor(stopped, **public)
    assert done.returncode == 1
    assert "tls-missing" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        ((), {"ENTREPOT_LISTEN": "nonsense"}, "listen"),
        (("--config", "/nowhere.toml"), {}, "nowhere.toml"),
        (("--output", "/nowhere/report.txt"), {}, "/nowhere/report.txt"),
        (("--latest", "newest"), {}, "--latest"),
        (("--format", "pdf"), {}, "--format"),
        (("--fail-on", "panic"), {}, "--fail-on"),
    ],
)
def test_what_cannot_be_assessed_has_a_status_of_its_own(
    stopped: Path, arguments: tuple[str, ...], environment: dict[str, str], told: str
) -> None:
    done = doctor(stopped, *arguments, **{**nobody(), **environment})
    assert done.returncode == 2
    assert told in done.stderr


def test_a_folder_without_a_registry_cannot_be_assessed(tmp_path: Path) -> None:
    done = doctor(tmp_path / "empty")
    assert done.returncode == 2
    assert "no registry" in done.stderr
    assert not (tmp_path / "empty").exists()


def test_a_database_that_is_none_cannot_be_assessed(tmp_path: Path) -> None:
    (tmp_path / "entrepot.db").write_text("this is no database, whatever its name says " * 50)
    assert doctor(tmp_path, **nobody()).returncode == 2


def test_nothing_is_made_in_the_data_folder(stopped: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(stopped, copy)
    (copy / "keys" / "secrets.key").unlink(missing_ok=True)
    (copy / "keys" / "token.pem").unlink()
    before = sorted(path.relative_to(copy) for path in copy.rglob("*"))
    assert doctor(copy, "--fail-on", "critical", **nobody()).returncode == 0
    after = sorted(path.relative_to(copy) for path in copy.rglob("*"))
    assert after == before


def test_the_three_formats_say_the_same(stopped: Path, tmp_path: Path) -> None:
    environment = nobody()
    text = doctor(stopped, **environment)
    report = as_json(doctor(stopped, "--format", "json", **environment))
    page = tmp_path / "report.html"
    written = doctor(stopped, "--format", "html", "--output", str(page), **environment)
    assert written.stdout == ""
    assert report["findings"]
    for finding in report["findings"]:
        assert finding["check"] in text.stdout
        assert finding["check"] in page.read_text()
    assert "\x1b" not in text.stdout, "colours are for terminals"
    assert page.read_text().startswith("<!doctype html>")
    assert PASSWORD not in text.stdout + page.read_text()


def test_the_log_does_not_get_into_the_result(stopped: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(stopped, copy)
    with sqlite3.connect(copy / "entrepot.db") as connection:
        connection.execute("DROP TABLE robots")
    connection.close()
    done = entrepot("doctor", "--data", str(copy), "--format", "json", **nobody(ENTREPOT_LOG_FORMAT="json"))
    broken = [f["check"] for f in as_json(done)["findings"] if "could not be checked" in f["title"]]
    assert broken == ["robots-without-expiry", "robots-unused", "robots-push-everywhere"]
    assert "check failed" in done.stderr


def test_a_running_server_is_graded(tmp_path: Path) -> None:
    environment = make_certificate(tmp_path) | {"ENTREPOT_HTTPS_ONLY": "true"}
    with serving(tmp_path / "data", scheme="https", environment=environment) as server:
        report = as_json(doctor(server.data, "--format", "json", ENTREPOT_LISTEN=server.address, **environment))
        assert report["tls"]["grade"] == "A", report["tls"]
        assert report["tls"]["protocols"] == ["TLS 1.2", "TLS 1.3"]
        assert len(report["tls"]["ciphers"]) > 2
        assert {f["check"] for f in report["findings"]} & {"tls-grade", "hsts-missing", "catalog-open"} == set()
        over_rest = httpx.get(
            f"{server.url}/api/entrepot/v1/assessment", auth=("admin", PASSWORD), verify=False, timeout=30
        ).json()
        assert over_rest["tls"] == report["tls"]


def test_a_server_that_tells_browsers_nothing_is_no_better_than_b(tmp_path: Path) -> None:
    environment = make_certificate(tmp_path)
    with serving(tmp_path / "data", scheme="https", environment=environment) as server:
        report = as_json(doctor(server.data, "--format", "json", ENTREPOT_LISTEN=server.address, **environment))
        assert report["tls"]["grade"] == "B"
        assert "hsts-missing" in {f["check"] for f in report["findings"]}


# servers of old


@contextmanager
def old_server(folder: Path, *options: str) -> Iterator[Target]:
    """openssl as a server, with what is to be found out."""
    made = make_certificate(folder, "-newkey", "rsa:2048")
    port = free_port()
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-www", *options]
    command += ["-cert", made["ENTREPOT_TLS_CERT_FILE"], "-key", made["ENTREPOT_TLS_KEY_FILE"]]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield Target("127.0.0.1", port, "127.0.0.1", True)
        finally:
            process.kill()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


def test_old_versions_of_tls_are_seen(tmp_path: Path) -> None:
    with old_server(tmp_path, "-no_tls1_3", "-cipher", "ALL:@SECLEVEL=0") as target:
        seen = look(target)
    assert seen is not None
    assert seen.protocols == ("TLS 1.0", "TLS 1.1", "TLS 1.2")
    assert "AES128-SHA" in seen.ciphers
    assert any("ADH" in cipher for cipher in seen.ciphers), "nobody shows a certificate there"


def test_all_ciphers_that_a_server_takes_are_found(tmp_path: Path) -> None:
    wanted = ["ECDHE-RSA-AES256-GCM-SHA384", "AES128-GCM-SHA256", "DHE-RSA-AES128-SHA256"]
    with old_server(tmp_path, "-tls1_2", "-cipher", ":".join(wanted)) as target:
        seen = look(target)
    assert seen is not None
    assert seen.protocols == ("TLS 1.2",)
    assert set(seen.ciphers) == set(wanted)


def test_a_server_that_asks_for_client_certificates_is_seen_all_the_same(tmp_path: Path) -> None:
    environment = make_certificate(tmp_path)
    environment |= {"ENTREPOT_TLS_CLIENT_CA_FILE": environment["ENTREPOT_TLS_CERT_FILE"], "PATH": "/usr/bin:/bin"}
    port = free_port()
    command = [sys.executable, "-m", "entrepot", "serve", "--data", str(tmp_path / "data"), "--workers", "1"]
    command += ["--listen", f"127.0.0.1:{port}"]
    with (tmp_path / "log").open("wb") as log:
        # Whoever shows no certificate is not told whether it is ready, so it is started without waiting for that.
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(port)
            seen = look(Target("127.0.0.1", port, "127.0.0.1", True))
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert seen is not None
    assert seen.protocols == ("TLS 1.2", "TLS 1.3")
    assert seen.has_hsts is None


def test_what_answers_no_handshake_is_nothing(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert look(Target("127.0.0.1", silent.getsockname()[1], "x", True)) is None
    assert look(Target("127.0.0.1", free_port(), "x", True)) is None
    assert look(Target("127.0.0.1", free_port(), "x", False)) is None


def test_a_web_server_of_somebody_else_is_no_registry(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.listen()
        port = other.getsockname()[1]

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

        thread = threading.Thread(target=answer)
        thread.start()
        assert look(Target("127.0.0.1", port, "x", False)) is None
        thread.join()
