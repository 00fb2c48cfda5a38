"""What stands before every answer: proxies, the external URL, HTTPS only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.protocol.client import (
    Json,
    Registry,
    access_records,
    admin_of,
    challenge_of,
    client,
    digest_of,
    eventually,
    refused,
)
from tests.serving import Server, serving


def realm(registry: Registry, **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return challenge_of(registry.get("/v2/", named))["realm"]


def address_of(server: Server, request_id: str) -> str:
    """The client's address in the access record of a request."""

    def found() -> list[Json]:
        return [record for record in access_records(server) if record["request_id"] == request_id]

    assert eventually(lambda: bool(found()))
    address: str = found()[0]["client_address"]
    return address


# --- without any setting --------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["registry.example.com", "registry.example.com:5000", "localhost:80", "[::1]:5000"])
def test_the_realm_follows_the_host_header(anybody: Registry, host: str) -> None:
    assert realm(anybody, Host=host) == f"http://{host}/service/token"


def test_nobody_is_believed_about_where_they_come_from(anybody: Registry) -> None:
    told = {
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "evil.example",
        "X_Forwarded_For": "6.6.6.6",
        "Forwarded": "for=6.6.6.6;host=evil.example;proto=https",
        "X_Request_ID": "untrusted-1",
    }
    assert realm(anybody, Host="registry.example.com", **told) == "http://registry.example.com/service/token"
    assert address_of(anybody.server, "untrusted-1") == "127.0.0.1"


def test_a_host_header_cannot_break_out_of_the_challenge(anybody: Registry) -> None:
    answer = anybody.get("/v2/", {"Host": 'a",error="x'})
    assert answer.status_code in {400, 401}
    if answer.status_code == 401:
        assert "error" not in challenge_of(answer)


# --- behind a proxy that is trusted ---------------------------------------------------------------


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    environment = {"ENTREPOT_TRUSTED_PROXIES": "127.0.0.0/8, 10.1.0.0/16, ::1/128"}
    folder = tmp_path_factory.mktemp("proxied")
    with serving(folder / "data", environment=environment) as started, client(started) as registry:
        yield registry


def test_a_trusted_proxy_tells_scheme_and_host(proxied: Registry) -> None:
    assert realm(proxied, Host="inner:5000", X_Forwarded_Proto="https") == "https://inner:5000/service/token"
    told = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "registry.example.com"}
    assert realm(proxied, Host="inner:5000", **told) == "https://registry.example.com/service/token"
    assert realm(proxied, Host="inner:5000") == "http://inner:5000/service/token"
    assert realm(proxied, Host="inner:5000", X_Forwarded_Proto="gopher") == "http://inner:5000/service/token"


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7, 10.1.2.3, 127.0.0.5", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("10.1.2.3", "10.1.2.3"),
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(proxied: Registry, chain: str, address: str) -> None:
    name = "chain-" + "".join(c if c.isalnum() else "." for c in chain)[:50]
    proxied.get("/livez", {"X-Forwarded-For": chain, "X-Request-ID": name})
    assert address_of(proxied.server, name) == address


@pytest.mark.parametrize("chain", ["", "garbage", "203.0.113.7:4711", '"<script>"', ","])
def test_a_chain_of_garbage_is_no_error(proxied: Registry, chain: str) -> None:
    assert proxied.get("/livez", {"X-Forwarded-For": chain}).status_code == 200


# --- the external URL -----------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://registry.example.com", "https://registry.example.com/"])
def test_the_realm_is_below_the_external_url_whatever_the_host(
    tmp_path_factory: pytest.TempPathFactory, url: str
) -> None:
    folder = tmp_path_factory.mktemp("external")
    with (
        serving(folder / "data", environment={"ENTREPOT_EXTERNAL_URL": url}) as started,
        client(started) as anybody,
        admin_of(started) as registry,
    ):
        for host in ("registry.example.com", "evil.example", started.address):
            assert realm(anybody, Host=host) == "https://registry.example.com/service/token"
        assert registry.begin("demo/app").startswith("/v2/"), "oras refuses a Location on another host"


# --- HTTPS only -----------------------------------------------------------------------------------


def test_https_only_refuses_what_came_in_the_clear(tmp_path_factory: pytest.TempPathFactory) -> None:
    environment = {"ENTREPOT_HTTPS_ONLY": "true", "ENTREPOT_TRUSTED_PROXIES": "127.0.0.1/32"}
    folder = tmp_path_factory.mktemp("https-only")
    with serving(folder / "data", environment=environment) as started, admin_of(started) as registry:
        for path in ("/v2/", "/v2/demo/app/manifests/1", "/service/token", "/metrics"):
            told = refused(registry.get(path), 403, "DENIED")
            assert "https" in told[0]["message"]
        assert registry.get("/livez").status_code == 200
        assert registry.get("/readyz").status_code == 200
        registry.http.headers["X-Forwarded-Proto"] = "https"
        assert registry.get("/v2/").status_code == 200
        digest = registry.push_blob("demo/app", b"over https")
        assert registry.get(f"/v2/demo/app/blobs/{digest_of(b'over https')}").status_code == 200
        assert digest
