"""Address rules on started servers: asked directly and through nginx, spoofed headers and IPv6 included."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.protocol.client import Json, Registry, admin_of, eventually, refused
from tests.serving import Server, free_port, serving

GOOD, BAD, PROXY = "127.0.0.2", "127.0.0.3", "127.0.0.1"
"""Loopback addresses that clients bind to; the last is nginx's own, and what every client has that binds to none."""

RULES = {"entrepot_addresses_allow": f"{GOOD}, {PROXY}, 203.0.113.0/24", "entrepot_addresses_deny": BAD}
SPOOFS: list[dict[str, str]] = [
    {},
    {"X-Forwarded-For": GOOD},
    {"X-Forwarded-For": f"{GOOD}, {PROXY}"},
    {"X-Forwarded-For": "203.0.113.7, 203.0.113.8"},
    {"X-Forwarded-For": "garbage"},
    {"Forwarded": f"for={GOOD}"},
    {"Forwarded": f"for={GOOD};proto=https;host=evil.example", "X-Forwarded-For": GOOD},
    {"Forwarded": 'for="'},
    {"X-Real-IP": GOOD, "True-Client-IP": GOOD, "CF-Connecting-IP": GOOD, "X-Client-IP": GOOD},
    {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
]
DOCUMENTED = Path(__file__).parents[2] / "docs" / "addresses.md"


@contextmanager
def coming_from(url: str, address: str, auth: tuple[str, str] | None = None) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(base_url=url, transport=transport, auth=auth, timeout=30) as http:
        yield http


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers that trust nginx alone, with rules that the operator has fixed."""
    environment = {"ENTREPOT_TRUSTED_PROXIES": f"{PROXY}/32", "ENTREPOT_SETTINGS": json.dumps(RULES)}
    with serving(tmp_path_factory.mktemp("ruled") / "data", workers=2, environment=environment) as server:
        yield server


@pytest.fixture(scope="module")
def nginx(ruled: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The nginx of docs/addresses.md in front; its URL."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    found = re.search(r"```nginx\n(.*?)```", DOCUMENTED.read_text("utf-8"), re.DOTALL)
    assert found is not None
    documented = found[1].replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    documented = documented.replace("http://127.0.0.1:5000", ruled.url)
    assert ruled.url in documented
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{documented}\n}}\n"
    )
    process = subprocess.Popen([program, "-c", str(config), "-e", str(folder / "error.log")])
    try:
        url = f"http://127.0.0.1:{port}"
        assert eventually(lambda: answers(url), 10), (folder / "error.log").read_text()
        yield url
    finally:
        process.terminate()
        process.wait(10)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez").status_code == 200
    except httpx.TransportError:
        return False


def records(server: Server) -> list[Json]:
    with admin_of(server) as registry:
        answer = registry.get("/api/entrepot/v1/audit?q=kind=AddressRefused&page_size=100")
        assert answer.status_code == 200, answer.text
        found: list[Json] = answer.json()
        return found


@pytest.mark.parametrize("spoof", SPOOFS, ids=lambda headers: "-".join(headers) or "none")
@pytest.mark.parametrize("way", ["directly", "through nginx"])
def test_a_refused_address_stays_refused_whatever_it_sends(
    request: pytest.FixtureRequest, ruled: Server, way: str, spoof: dict[str, str]
) -> None:
    url = ruled.url if way == "directly" else request.getfixturevalue("nginx")
    with coming_from(url, BAD, (ruled.user, ruled.password)) as http:
        refused(http.get("/v2/", headers=spoof), 403, "DENIED")
        refused(http.get("/api/v2.0/projects", headers=spoof), 403, "FORBIDDEN")
        answer = http.put("/v2/a/b/manifests/1", headers=spoof, content=b"not read")
        refused(answer, 403, "DENIED")
        assert answer.headers.get("Connection") == "close" or way != "directly", "its body is not read"
        assert http.get("/livez", headers=spoof).status_code == 200


@pytest.mark.parametrize("spoof", SPOOFS, ids=lambda headers: "-".join(headers) or "none")
@pytest.mark.parametrize("way", ["directly", "through nginx"])
def test_an_allowed_address_is_let_in_whatever_it_sends(
    request: pytest.FixtureRequest, ruled: Server, way: str, spoof: dict[str, str]
) -> None:
    url = ruled.url if way == "directly" else request.getfixturevalue("nginx")
    with coming_from(url, GOOD) as http:
        assert http.get("/v2/", headers=spoof, auth=(ruled.user, ruled.password)).status_code == 200
        challenge = http.get("/v2/", headers=spoof).headers["WWW-Authenticate"]
        assert f'realm="{url}/service/token"' in challenge, "scheme and host are those that the proxy told"


def test_what_was_refused_is_in_the_audit_log(ruled: Server) -> None:
    with coming_from(ruled.url, BAD) as http:
        for _ in range(3):
            refused(http.get("/v2/"), 403, "DENIED")

    def of_bad() -> list[Json]:
        return [record for record in records(ruled) if record["client_address"] == BAD]

    assert eventually(lambda: bool(of_bad()), 15)
    record = of_bad()[0]
    assert (record["operation"], record["resource_type"], record["resource"]) == ("access", "address", BAD)
    assert record["outcome"] == "refused"
    assert record["changes"]["count"] >= 1


def test_a_pushed_image_goes_through_nginx_from_an_allowed_address(ruled: Server, nginx: str) -> None:
    with coming_from(nginx, GOOD, (ruled.user, ruled.password)) as http:
        registry = Registry(ruled, http)
        registry.push_image("through/nginx", "v1", b"a layer" * 1000)
        assert registry.get("/v2/through/nginx/manifests/v1").status_code == 200


def test_a_project_is_shut_on_every_worker_from_the_next_request_on(ruled: Server) -> None:
    auth = (ruled.user, ruled.password)
    with admin_of(ruled) as admin, coming_from(ruled.url, GOOD, auth) as good:
        admin.push_image("payments/app", "v1", b"a layer")
        rules = "/api/entrepot/v1/projects/payments/addresses"
        for turn in range(4):
            allowed = [GOOD] if turn % 2 else [PROXY]
            assert admin.http.put(rules, json={"allow": allowed}).status_code == 200
            for _ in range(4):  # a new connection each, to whichever worker
                with coming_from(ruled.url, GOOD, auth) as http:
                    status = http.get("/v2/payments/app/manifests/v1").status_code
                    assert status == (200 if GOOD in allowed else 403)
                    listed = http.get("/api/v2.0/projects/payments/repositories").status_code
                    assert listed == (200 if GOOD in allowed else 403)
        assert good.get(rules).json() == {"allow": [f"{GOOD}/32"], "deny": []}


def test_the_address_of_an_ipv6_client_is_its_own_and_that_of_an_ipv4_client_is_no_ipv6_address(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = Server(tmp_path_factory.mktemp("ipv6") / "data")
    server.arguments = ["--listen", f"[::]:{server.port}"]
    server.start()
    try:
        auth = (server.user, server.password)
        with (
            httpx.Client(base_url=f"http://[::1]:{server.port}", auth=auth) as by_ipv6,
            httpx.Client(base_url=server.url, auth=auth) as by_ipv4,
        ):
            settings = "/api/v2.0/configurations"
            refused(by_ipv6.put(settings, json={"entrepot_addresses_allow": PROXY}), 400, "BAD_REQUEST")
            assert by_ipv6.put(settings, json={"entrepot_addresses_allow": "::1"}).status_code == 200
            assert by_ipv6.get("/v2/").status_code == 200
            refused(by_ipv4.get("/v2/"), 403, "DENIED")
            both = {"entrepot_addresses_allow": f"::1, {PROXY}", "entrepot_admin_addresses_allow": "::1/128"}
            assert by_ipv6.put(settings, json=both).status_code == 200
            assert by_ipv4.get("/v2/").status_code == 200
            refused(by_ipv4.get(settings), 403, "FORBIDDEN")
            assert by_ipv4.get("/metrics").status_code == 200
        server.stop()
    finally:
        server.kill()


@pytest.mark.parametrize(("seconds", "told"), [("31536000", "max-age=31536000"), ("60", "max-age=60"), ("0", None)])
def test_every_answer_over_https_says_for_how_long_https_is_to_be_used(
    tmp_path_factory: pytest.TempPathFactory, seconds: str, told: str | None
) -> None:
    environment = {
        "ENTREPOT_TRUSTED_PROXIES": f"{PROXY}/32",
        "ENTREPOT_HTTPS_ONLY": "true",
        "ENTREPOT_TLS_HSTS_SECONDS": seconds,
    }
    paths = ["/v2/", "/v2/a/b/manifests/1", "/livez", "/readyz", "/metrics", "/service/token", "/no/such/thing"]
    paths += ("/api/v2.0/systeminfo", "/api/v2.0/users", "/api/entrepot/v1/openapi.json", "/c/log_out", "/c/login")
    with (
        serving(tmp_path_factory.mktemp("hsts") / "data", environment=environment) as server,
        httpx.Client(base_url=server.url) as http,
    ):
        for path in paths:
            over_https = http.get(path, headers={"X-Forwarded-Proto": "https"})
            assert over_https.headers.get("Strict-Transport-Security") == told, path
            assert over_https.status_code != 500
            assert "Strict-Transport-Security" not in http.get(path).headers, "it counts over HTTPS only"
