"""The listener that only leads to HTTPS: where it leads, and what it does not take for a host."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.web.redirect import Redirect


def scope(*hosts: bytes, path: bytes = b"/v2/", query: bytes = b"", method: str = "GET") -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "headers": [(b"host", host) for host in hosts],
    }


def answer_of(redirect: Redirect, asked: dict[str, Any]) -> tuple[int, dict[bytes, bytes]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was asked for")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(redirect(asked, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[1] == {"type": "http.response.body", "body": b"", "more_body": False}
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_every_method_is_led_to_https_and_kept(method: str) -> None:
    status, headers = answer_of(Redirect(443, ""), scope(b"r.example.com", query=b"a=1&b=%20", method=method))
    assert status == 308
    assert headers[b"location"] == b"https://r.example.com/v2/?a=1&b=%20"
    assert headers[b"connection"] == b"close"


@pytest.mark.parametrize(
    ("host", "port", "location"),
    [
        (b"r.example.com", 443, "https://r.example.com/v2/"),
        (b"r.example.com:80", 443, "https://r.example.com/v2/"),
        (b"r.example.com:8080", 5443, "https://r.example.com:5443/v2/"),
        (b"R.Example.com.", 443, "https://R.Example.com./v2/"),
        (b"10.0.0.1:80", 443, "https://10.0.0.1/v2/"),
        (b"[::1]", 5443, "https://[::1]:5443/v2/"),
        (b"[fe80::1]:80", 443, "https://[fe80::1]/v2/"),
        (b"localhost:", 443, "https://localhost/v2/"),
        (b"my_registry", 443, "https://my_registry/v2/"),
    ],
)
def test_without_an_own_name_the_host_that_was_asked_for_is_kept(host: bytes, port: int, location: str) -> None:
    assert Redirect(port, "").location_of(scope(host)) == location


def test_the_name_of_the_registry_goes_before_the_host_that_was_asked_for() -> None:
    redirect = Redirect(5443, "https://registry.example.com:8443")
    assert redirect.location_of(scope(b"evil.example")) == "https://registry.example.com:8443/v2/"
    assert redirect.location_of(scope()) == "https://registry.example.com:8443/v2/"


def test_a_name_of_plain_http_would_lead_in_a_circle_and_is_not_used() -> None:
    assert Redirect(443, "http://registry.example.com").location_of(scope(b"a.example")) == "https://a.example/v2/"


@pytest.mark.parametrize(
    "hosts",
    [
        (),
        (b"",),
        (b"a.example", b"b.example"),
        (b"a.example", b"a.example"),
        (b"a.example/path",),
        (b"user@a.example",),
        (b"a.example:80@evil.example",),
        (b"a.example\r\nset-cookie: x=1",),
        (b"a.example b",),
        (b"a.example?",),
        (b"a.example#",),
        (b"a.example\\@b",),
        (b"a..example",),
        (b".",),
        (b"-a.example",),
        (b"a.example:port",),
        (b"a.example:123456",),
        (b"[::1",),
        (b"::1",),
        (b"[:::]",),
        (b"[v1.x]",),
        (b"\xc3\xa9.example",),
        (b"a" * 64 + b".example",),
        (b"a.example, b.example",),
        (b".".join([b"a" * 60] * 5),),
    ],
)
def test_a_host_that_is_none_is_refused(hosts: tuple[bytes, ...]) -> None:
    status, headers = answer_of(Redirect(443, ""), scope(*hosts))
    assert status == 400
    assert b"location" not in headers


def test_a_host_that_is_none_is_refused_even_where_it_does_not_matter() -> None:
    assert answer_of(Redirect(443, "https://r.example.com"), scope(b"a b"))[0] == 400


@pytest.mark.parametrize("path", [b"*", b"", b"a.example:443", b"http://evil.example/"])
def test_what_is_asked_for_must_be_a_path(path: bytes) -> None:
    assert answer_of(Redirect(443, "https://r.example.com"), scope(b"r.example.com", path=path))[0] == 400


def test_a_path_of_two_slashes_stays_on_the_host() -> None:
    location = Redirect(443, "").location_of(scope(b"a.example", path=b"//evil.example/%2e%2e/"))
    assert location == "https://a.example//evil.example/%2e%2e/"
    assert urlsplit(location).hostname == "a.example"


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_nothing_that_is_sent_leads_elsewhere_or_breaks_the_answer(host: bytes, path: bytes, query: bytes) -> None:
    location = Redirect(5443, "https://r.example.com").location_of(scope(host, path=b"/" + path, query=query))
    assert location == "" or (
        urlsplit(location).netloc == "r.example.com"
        and location.isascii()
        and location.isprintable()
        and " " not in location
    )
    location = Redirect(5443, "").location_of(scope(host, path=b"/" + path, query=query))
    if location:
        named = host.decode("latin-1").rpartition(":")[0] or host.decode("latin-1")
        assert urlsplit(location).netloc in {f"{named}:5443", f"{host.decode('latin-1')}:5443"}
