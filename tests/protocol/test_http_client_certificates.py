"""Client certificates: those that the listener asks for, and those that an nginx in front tells of."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from entrepot.cli.authority import Authority
from tests.protocol.client import eventually
from tests.serving import PASSWORD, Server, free_port, serving

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


# an nginx in front

_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate         {folder}/server.crt;
    ssl_certificate_key     {folder}/server.key;
    ssl_client_certificate  {folder}/ca.crt;
    ssl_verify_client       optional;
    client_max_body_size    0;
    location / {{
        proxy_pass                http://{server};
        proxy_http_version        1.1;
        proxy_request_buffering   off;
        proxy_buffering           off;
        proxy_set_header          Host $http_host;
        proxy_set_header          X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header          X-Forwarded-Proto $scheme;
        proxy_set_header          X-Forwarded-Host $http_host;
        proxy_set_header          X-SSL-Client-Cert $ssl_client_escaped_cert;
    }}
  }}
}}
"""


@pytest.fixture(scope="module")
def behind(folder: Path) -> Iterator[Server]:
    """A server of plain HTTP that believes a proxy on this machine."""
    rules = [
        {"rule": 'common_name == "tester" and issuer like "CN=Entrep*"', "principal": "admin"},
        {"rule": 'common_name == "stranger"', "principal": "nobody-at-all"},
    ]
    environment = {
        "ENTREPOT_TRUSTED_PROXIES": "127.0.0.1/32",
        "ENTREPOT_CLIENT_CERTIFICATES_HEADER": "X-SSL-Client-Cert",
        "ENTREPOT_CLIENT_CERTIFICATES_RULES": json.dumps(rules),
    }
    with serving(folder / "behind", workers=2, environment=environment) as started:
        yield started


@pytest.fixture(scope="module")
def front(folder: Path, behind: Server) -> Iterator[str]:
    """The URL of an nginx in front of it, as docs/tls.md configures one."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("the nginx program is not installed")
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, port=port, server=behind.address))
    nginx = subprocess.Popen([program, "-c", str(configuration), "-p", str(folder)])
    try:
        url = f"https://127.0.0.1:{port}"
        assert eventually(lambda: who(folder, url, None) is not None, 20)
        yield url
    finally:
        nginx.terminate()
        nginx.wait(20)


def who(folder: Path, url: str, name: str | None, **headers: str) -> tuple[int, str] | None:
    """The status of a request for one's own account, and the account's name."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    try:
        with httpx.Client(verify=context_for(folder, name), timeout=10, trust_env=False) as http:
            answer = http.get(f"{url}/api/v2.0/users/current", headers=named)
    except httpx.HTTPError:
        return None
    return answer.status_code, answer.json().get("username", "") if answer.status_code == 200 else ""


def test_a_certificate_is_the_login_of_its_principal(folder: Path, front: str) -> None:
    assert who(folder, front, "tester") == (200, "admin")
    with httpx.Client(verify=context_for(folder, "tester"), timeout=10, trust_env=False) as http:
        assert http.get(f"{front}/v2/_catalog").status_code == 200
        assert http.get(f"{front}/v2/").status_code == 200


def test_without_a_certificate_a_header_of_ones_own_does_not_help(folder: Path, front: str, behind: Server) -> None:
    assert who(folder, front, None) == (401, "")
    own = quote((folder / "client-tester.crt").read_text())
    assert who(folder, front, None, X_SSL_Client_Cert=own) == (401, "")


def test_a_certificate_without_a_rule_is_no_login_and_one_that_was_not_checked_does_not_pass(
    folder: Path, front: str, tmp_path: Path
) -> None:
    authority = Authority.open(folder)
    authority.issue_client("unknown", timedelta(days=1))
    authority.issue_client("stranger", timedelta(days=1))
    assert who(folder, front, "unknown") == (401, "")
    assert who(folder, front, "stranger") == (401, ""), "its account is not there"
    assert who(folder, front, "expired") in {(400, ""), None}, "nginx refuses it"


def test_a_header_that_does_not_come_from_a_trusted_proxy_is_not_believed(folder: Path, tmp_path: Path) -> None:
    environment = {
        "ENTREPOT_TRUSTED_PROXIES": "192.0.2.0/24",
        "ENTREPOT_CLIENT_CERTIFICATES_HEADER": "X-SSL-Client-Cert",
        "ENTREPOT_CLIENT_CERTIFICATES_RULES": '[{"rule": "common_name == \'tester\'", "principal": "admin"}]',
    }
    own = quote((folder / "client-tester.crt").read_text())
    with serving(tmp_path / "data", environment=environment) as started:
        answer = httpx.get(f"{started.url}/api/v2.0/users/current", headers={"X-SSL-Client-Cert": own})
        assert answer.status_code == 401


@pytest.mark.parametrize("value", ["x", "%", "-----BEGIN%20CERTIFICATE-----%0A", "A" * 9000, "%00" * 100])
def test_garbage_in_the_header_is_no_login_and_no_failure(behind: Server, value: str) -> None:
    answer = httpx.get(f"{behind.url}/api/v2.0/users/current", headers={"X-SSL-Client-Cert": value})
    assert answer.status_code == 401


def test_a_certificate_that_the_proxy_did_not_look_at_has_expired_and_is_told_so(behind: Server, folder: Path) -> None:
    authority = Authority.open(folder)
    authority.issue_client("tester", timedelta(seconds=-1))
    expired = quote((folder / "client-tester.crt").read_text())
    authority.issue_client("tester", timedelta(days=1))
    for path in ("/api/v2.0/users/current", "/v2/_catalog"):
        answer = httpx.get(f"{behind.url}{path}", headers={"X-SSL-Client-Cert": expired})
        assert answer.status_code == 401
        assert "renew it" in answer.json()["errors"][0]["message"]
    answer = httpx.get(f"{behind.url}/v2/_catalog", headers={"X-SSL-Client-Cert": expired}, auth=("admin", PASSWORD))
    assert answer.status_code == 200
