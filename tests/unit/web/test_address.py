"""The client behind proxies: what a header may say, and what nobody gets away with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import ConfigError
from entrepot.web.address import UNKNOWN, address_of, apply_forwarded, normalise, parse_forwarded, parse_networks
from entrepot.web.exchange import Exchange

TRUSTED = parse_networks(["127.0.0.0/8", "10.1.0.0/16", "::1/128", "2001:db8:1::/48"])
PROXY, CLIENT, EVIL = "127.0.0.1", "203.0.113.7", "6.6.6.6"


def exchange(client: str, *headers: tuple[str, str]) -> Exchange:
    async def nothing(*_: Any) -> Any:
        raise AssertionError("nothing is read or sent")

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/v2/",
        "query_string": b"",
        "scheme": "http",
        "client": (client, 4711),
        "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers],
    }
    return Exchange(scope, nothing, nothing, process="p", idle_timeout=1.0)


def told(client: str, *headers: tuple[str, str]) -> tuple[str, str, str]:
    """Address, scheme and host of a client after the headers were looked at."""
    asked = exchange(client, *headers)
    apply_forwarded(asked, TRUSTED)
    return asked.client_address, asked.scheme, asked.host


def address(client: str, *headers: tuple[str, str]) -> str:
    return told(client, *headers)[0]


def test_trusted_proxies_must_be_networks() -> None:
    with pytest.raises(ConfigError, match="trusted_proxies"):
        parse_networks(["proxy.example.com"])


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("203.0.113.7", CLIENT),
        (" 203.0.113.7 ", CLIENT),
        ("203.0.113.7:4711", CLIENT),
        ("203.0.113.7:_port", CLIENT),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:47", "2001:db8::7"),
        ('"[2001:db8::7]:47"', "2001:db8::7"),
        ("fe80::7%eth0", "fe80::7"),
        ("[::ffff:203.0.113.7]:1", CLIENT),
        ("::ffff:203.0.113.7", CLIENT),
        ("unknown", UNKNOWN),
        ("_hidden", UNKNOWN),
        ("", UNKNOWN),
        ("[2001:db8::7", UNKNOWN),
        ("2001:db8::7]:47", UNKNOWN),
        ("203.0.113.7:80:90", UNKNOWN),
        ("localhost", UNKNOWN),
        ("<script>", UNKNOWN),
    ],
)
def test_a_node_is_an_address_with_or_without_a_port(node: str, expected: str) -> None:
    assert address_of(node) == expected


def test_addresses_are_written_one_way() -> None:
    assert normalise("::ffff:192.0.2.1") == "192.0.2.1"
    assert normalise("FE80::1%eth0") == "fe80::1"
    assert normalise("not an address") == "not an address"


# X-Forwarded-For


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ("203.0.113.7", CLIENT),
        ("203.0.113.7:99, 10.1.2.3:80", CLIENT),
        ("6.6.6.6, 203.0.113.7", CLIENT),
        ("6.6.6.6, 203.0.113.7, 10.1.2.3, 127.0.0.5", CLIENT),
        ("6.6.6.6, 203.0.113.7, 2001:db8:1::5", CLIENT),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.9.9, 10.1.2.3", "10.1.9.9"),
        (" , ,203.0.113.7, ", CLIENT),
        ("203.0.113.7, unknown", UNKNOWN),
        ("203.0.113.7, _x, 10.1.2.3", UNKNOWN),
        ("203.0.113.7, garbage", UNKNOWN),
    ],
)
def test_the_chain_is_read_from_the_right(chain: str, expected: str) -> None:
    assert address(PROXY, ("x-forwarded-for", chain)) == expected


def test_repeated_lines_are_one_chain() -> None:
    assert address(PROXY, ("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", CLIENT)) == CLIENT


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-forwarded-host", "x-forwarded-proto"])
def test_a_client_that_is_no_trusted_proxy_is_not_believed(name: str) -> None:
    for value in ("10.1.2.3", "for=10.1.2.3;host=evil.example;proto=https", "https"):
        assert told(EVIL, (name, value)) == (EVIL, "http", "")


def test_a_proxy_without_the_header_is_the_client() -> None:
    assert told(PROXY) == (PROXY, "http", "")
    assert address(PROXY, ("x-forwarded-for", "")) == PROXY
    assert address(PROXY, ("x-forwarded-for", " , ,")) == PROXY


def test_more_hops_than_anybody_has_are_not_walked() -> None:
    assert address(PROXY, ("x-forwarded-for", ", ".join(["203.0.113.7", *["10.1.0.1"] * 31]))) == CLIENT
    assert address(PROXY, ("x-forwarded-for", ", ".join(["203.0.113.7", *["10.1.0.1"] * 500]))) == UNKNOWN


def test_of_several_schemes_and_hosts_the_last_counts_since_the_proxy_wrote_it() -> None:
    chain = ("x-forwarded-for", CLIENT)
    assert told(PROXY, chain, ("x-forwarded-proto", "https, http")) == (CLIENT, "http", "")
    assert told(PROXY, chain, ("x-forwarded-proto", "http"), ("x-forwarded-proto", "HTTPS")) == (CLIENT, "https", "")
    assert told(PROXY, chain, ("x-forwarded-host", "evil.example, good.example:8443"))[2] == "good.example:8443"


@pytest.mark.parametrize("host", ["", 'a",error="x', "a b", "a/b", "[::1", "a:port", "x" * 300])
def test_what_is_no_host_is_not_believed(host: str) -> None:
    assert told(PROXY, ("x-forwarded-for", CLIENT), ("x-forwarded-host", host))[2] == ""


# Forwarded


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("for=192.0.2.1", [{"for": "192.0.2.1"}]),
        ('For="[2001:db8::1]:47";proto=https', [{"for": "[2001:db8::1]:47", "proto": "https"}]),
        ("for=unknown, for=_x;by=_y", [{"for": "unknown"}, {"for": "_x", "by": "_y"}]),
        ("for=192.0.2.1:80 , for=[2001:db8::1]", [{"for": "192.0.2.1:80"}, {"for": "[2001:db8::1]"}]),
        (r'host="a\"b, c";for=1.2.3.4', [{"host": 'a"b, c', "for": "1.2.3.4"}]),
        (" , for=1.2.3.4,, ", [{"for": "1.2.3.4"}]),
        ("", []),
        ("garbage", None),
        ("for=", None),
        ("for=1.2.3.4 for=6.6.6.6", None),
        ("for=1.2.3.4;for=6.6.6.6", None),
        ('for="1.2.3.4', None),
        ("for=a=b", None),
    ],
)
def test_forwarded_is_read_as_rfc_7239_writes_it(text: str, elements: list[dict[str, str]] | None) -> None:
    assert parse_forwarded(text) == elements


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=203.0.113.7", (CLIENT, "http", "")),
        ('for="203.0.113.7:47";proto=https;host=r.example', (CLIENT, "https", "r.example")),
        ('for="[2001:db8::7]:47"', ("2001:db8::7", "http", "")),
        ("for=6.6.6.6;proto=https, for=203.0.113.7", (CLIENT, "http", "")),
        (
            "for=6.6.6.6, for=203.0.113.7;proto=https;host=r.example, for=10.1.2.3;proto=http",
            (CLIENT, "https", "r.example"),
        ),
        ("for=203.0.113.7, for=unknown", (UNKNOWN, "http", "")),
        ("for=203.0.113.7, for=_hidden;proto=https", (UNKNOWN, "https", "")),
        ("for=203.0.113.7, proto=https", (PROXY, "https", "")),
        ("for=203.0.113.7, garbage", (UNKNOWN, "http", "")),
        ("garbage", (UNKNOWN, "http", "")),
    ],
)
def test_forwarded_is_read_from_the_right_too(value: str, expected: tuple[str, str, str]) -> None:
    assert told(PROXY, ("forwarded", value)) == expected


@pytest.mark.parametrize("sent", ['for=10.9.9.9;x="', 'for="', 'for=10.9.9.9,x="\\', "for=10.9.9.9;"])
@pytest.mark.parametrize(
    "added", ["for=203.0.113.7", 'for="[2001:db8::7]:1";proto=http', 'by="_p";for="203.0.113.7:5"']
)
def test_a_quotation_mark_that_nobody_closes_hides_no_proxy(sent: str, added: str) -> None:
    """What the client sent comes first, what the proxy added second."""
    assert address(PROXY, ("forwarded", sent), ("forwarded", added)) in {CLIENT, "2001:db8::7", UNKNOWN}
    assert address(PROXY, ("forwarded", f"{sent}, {added}")) in {CLIENT, "2001:db8::7", UNKNOWN}


def test_behind_a_proxy_that_writes_x_forwarded_for_what_a_client_sends_as_forwarded_does_not_count() -> None:
    spoofed = ("forwarded", "for=10.9.9.9;proto=https;host=evil.example")
    assert told(PROXY, spoofed, ("x-forwarded-for", CLIENT)) == (CLIENT, "http", "")
    assert told(PROXY, spoofed, ("x-forwarded-for", f"10.9.9.9, {CLIENT}"), ("x-forwarded-proto", "http")) == (
        CLIENT,
        "http",
        "",
    )


def test_without_x_forwarded_for_only_forwarded_says_scheme_and_host() -> None:
    sent = (("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example"))
    assert told(PROXY, *sent, ("forwarded", f"for={CLIENT};proto=http;host=r.example")) == (CLIENT, "http", "r.example")


# hostile input

HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["x-forwarded-for", "forwarded", "x-forwarded-proto", "x-forwarded-host"]),
        st.one_of(
            st.text(st.characters(max_codepoint=255)),
            st.lists(
                st.sampled_from(
                    ["for=", "proto=", "host=", '"', ",", ";", "\\", " ", "10.1.0.1", CLIENT, "[::1]", ":80", "_x"]
                )
            ).map("".join),
        ),
    ),
    max_size=4,
)


@given(HEADERS)
def test_no_header_whatever_makes_it_fail(headers: list[tuple[str, str]]) -> None:
    client, scheme, _host = told(PROXY, *headers)
    assert client in {UNKNOWN, normalise(client)}
    assert scheme in {"http", "https"}


@given(HEADERS)
def test_no_header_of_a_client_changes_what_a_proxy_wrote_after_it(headers: list[tuple[str, str]]) -> None:
    """A proxy as nginx is set up: it adds to X-Forwarded-For, and writes -Proto and -Host itself."""
    sent = [pair for pair in headers if pair[0] in {"x-forwarded-for", "forwarded"}]
    wrote = [("x-forwarded-for", CLIENT), ("x-forwarded-proto", "https"), ("x-forwarded-host", "r.example")]
    assert told(PROXY, *sent, *wrote) == (CLIENT, "https", "r.example")
