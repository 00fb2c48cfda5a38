"""The listener with TLS: 1.2 and newer, HTTP/1.1 unless HTTP/2 is asked for."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.protocol.client import challenge_of, digest_of
from tests.serving import PASSWORD, Server, free_port, serving


@dataclass(frozen=True)
class Certificate:
    cert: Path
    key: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"ENTREPOT_TLS_CERT_FILE": str(self.cert), "ENTREPOT_TLS_KEY_FILE": str(self.key)}

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.cert))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Self-signed for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(made.key), "-out", str(made.cert)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made


@pytest.fixture(scope="module")
def secure(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tls")
    with serving(folder / "data", scheme="https", workers=2, environment=certificate.environment) as started:
        yield started


def hello(server: Server, *options: str) -> str:
    """What openssl says after a handshake."""
    command = ["openssl", "s_client", "-connect", server.address, *options]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=30, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


def test_images_travel_over_tls(certificate: Certificate, secure: Server) -> None:
    content = b"secret " * 1_000_000
    with httpx.Client(base_url=secure.url, verify=certificate.trusting(), auth=("admin", PASSWORD), timeout=30) as http:
        begun = http.post("/v2/demo/app/blobs/uploads/")
        assert begun.status_code == 202
        assert begun.headers["Location"].startswith("/v2/")
        done = http.put(f"{begun.headers['Location']}?digest={digest_of(content)}", content=content)
        assert done.status_code == 201
        assert http.get(f"/v2/demo/app/blobs/{digest_of(content)}").content == content
        challenge = challenge_of(httpx.get(f"{secure.url}/v2/", verify=certificate.trusting()))
        assert challenge["realm"] == f"{secure.url}/service/token"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_tls_of_today_is_spoken(secure: Server, version: str) -> None:
    told = hello(secure, version)
    assert f"TLSv1.{version[-1]}" in told
    assert "Cipher is (NONE)" not in told


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_tls_of_old_is_refused(secure: Server, version: str) -> None:
    told = hello(secure, version, "-cipher", "ALL:@SECLEVEL=0")
    if "unknown option" in told.lower():
        pytest.skip(f"this openssl cannot speak {version}")
    assert "Cipher is (NONE)" in told, told[-2000:]
    assert "alert" in told, told[-2000:]


def test_what_is_no_tls_is_not_served(secure: Server) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{secure.address}/v2/", timeout=10)


def test_http_1_is_the_default(secure: Server) -> None:
    assert "ALPN protocol: h2" not in hello(secure, "-alpn", "h2,http/1.1")


def test_http_2_is_a_setting(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> None:
    environment = certificate.environment | {"ENTREPOT_TLS_HTTP2": "true"}
    folder = tmp_path_factory.mktemp("http2")
    with serving(folder / "data", scheme="https", environment=environment) as started:
        assert "ALPN protocol: h2" in hello(started, "-alpn", "h2,http/1.1")
        with httpx.Client(verify=certificate.trusting()) as http:
            assert http.get(f"{started.url}/livez").status_code == 200


def curl(certificate: Certificate, *arguments: str) -> str:
    command = ["curl", "--silent", "--show-error", "--cacert", str(certificate.cert), "--http2", "--max-time", "30"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_image_is_pushed_and_pulled_over_http_2(
    certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("the curl program is not installed")
    features = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    if "HTTP2" not in features:
        pytest.skip("this curl cannot speak HTTP/2")
    folder = tmp_path_factory.mktemp("http2-push")
    content = folder / "content"
    content.write_bytes(b"over http2 " * 300_000)
    digest = digest_of(content.read_bytes())
    environment = certificate.environment | {"ENTREPOT_TLS_HTTP2": "true"}
    with serving(folder / "data", scheme="https", environment=environment) as started:
        login = ("--user", f"admin:{PASSWORD}")
        blobs = f"{started.url}/v2/demo/app/blobs"
        told = curl(certificate, *login, "-D", "-", "-X", "POST", "-d", "", f"{blobs}/uploads/")
        assert told.startswith("HTTP/2 202"), told
        location = next(line.split()[1] for line in told.splitlines() if line.lower().startswith("location:"))
        told = curl(certificate, *login, "-D", "-", "-T", str(content), f"{started.url}{location}?digest={digest}")
        assert told.startswith("HTTP/2 201"), told
        fetched = folder / "fetched"
        curl(certificate, *login, "-o", str(fetched), f"{blobs}/{digest}")
        assert fetched.read_bytes() == content.read_bytes()
        # a body of unknown length, and one POST for all: HTTP/2 has no transfer-encoding to tell
        told = curl(
            certificate,
            *login,
            "-D",
            "-",
            "-X",
            "POST",
            "-H",
            "Content-Length:",
            "--data-binary",
            f"@{content}",
            f"{blobs}/uploads/?digest={digest}",
        )
        assert told.startswith("HTTP/2 201"), told


def test_a_certificate_that_is_none_stops_the_start(certificate: Certificate, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not a certificate")
    environment = {"ENTREPOT_TLS_CERT_FILE": str(garbage), "ENTREPOT_TLS_KEY_FILE": str(certificate.key)}
    server = Server(tmp_path / "data", scheme="https", environment=environment, port=free_port())
    with pytest.raises(AssertionError, match="exit code 1"):
        server.start()
    told = server.log_text()
    assert "garbage.pem" in told
    assert "Traceback" not in told
