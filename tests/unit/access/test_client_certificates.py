"""Client certificates that a trusted proxy tells of: Envoy's header, nginx's, and what neither can make of it."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from entrepot.access.certificates import Certificates, read_envoy, read_escaped
from entrepot.errors import ConfigError, NotAuthenticated
from entrepot.web.exchange import Exchange

XFCC = "X-Forwarded-Client-Cert"
NGINX = "X-SSL-Client-Cert"
BUILDER = "spiffe://prod/ns/ci/sa/builder"
_DAY = dt.timedelta(days=1)


def made(*names: tuple[x509.ObjectIdentifier, str], uris: Sequence[str] = (), days: int = 1) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    alternatives: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    alternatives += [x509.DNSName("builder.ci.example"), x509.RFC822Name("ci@acme.example")]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid, value) for oid, value in names]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme CA")]))
        .public_key(key.public_key())
        .serial_number(0xABCDEF)
        .not_valid_before(now + min(0, days - 1) * _DAY - _DAY)
        .not_valid_after(now + days * _DAY)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, SHA256())
    )


PERSON = made((NameOID.ORGANIZATION_NAME, "Acme, Inc"), (NameOID.COMMON_NAME, 'Jo "x" Ödön'), uris=[BUILDER])
EXPIRED = made((NameOID.COMMON_NAME, "late"), uris=[BUILDER], days=-1)


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def base64_of(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(SHA256()).hex()


async def _unused(*_: Any) -> Any:
    raise AssertionError


def exchange(*headers: tuple[str, str]) -> Exchange:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v2/",
        "query_string": b"",
        "scheme": "https",
        "client": ("10.0.0.1", 1),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
    }
    return Exchange(scope, _unused, _unused, process="p", idle_timeout=1)


def whose(header: str, rules: list[tuple[str, str]], *values: str) -> str | None:
    return Certificates(header, rules).principal_of(exchange(*((header, value) for value in values)))


IS_BUILDER = [(f'"{BUILDER}" in uris', "robot$builder")]


# what is known of a certificate


@pytest.mark.parametrize(
    "sent",
    [
        quote(pem(PERSON)),
        quote(pem(PERSON), safe="+=/"),  # AWS
        quote(pem(PERSON), safe=""),
        pem(PERSON).replace("\n", "\t"),
        pem(PERSON).replace("\n", " "),
        base64_of(PERSON),  # HAProxy
        quote(base64_of(PERSON), safe=""),  # Traefik 2
        f"{base64_of(PERSON)},{base64_of(EXPIRED)}",  # Traefik, with a chain
        quote(pem(PERSON) + pem(EXPIRED)),
    ],
)
def test_every_way_of_writing_a_certificate_is_read(sent: str) -> None:
    certificate = read_escaped(sent)
    assert certificate is not None
    assert certificate.subject == 'CN=Jo \\"x\\" Ödön,O=Acme\\, Inc'
    assert certificate.common_name == 'Jo "x" Ödön'
    assert certificate.issuer == "CN=Acme CA"
    assert certificate.serial == "abcdef"
    assert certificate.fingerprint == fingerprint(PERSON)
    assert certificate.uris == (BUILDER,)
    assert certificate.dns_names == ("builder.ci.example",)
    assert certificate.emails == ("ci@acme.example",)


def test_rules_are_written_on_these_names() -> None:
    certificate = read_escaped(quote(pem(PERSON)))
    assert certificate is not None
    assert certificate.values() == {
        "subject": 'CN=Jo \\"x\\" Ödön,O=Acme\\, Inc',
        "common_name": 'Jo "x" Ödön',
        "issuer": "CN=Acme CA",
        "serial": "abcdef",
        "fingerprint": fingerprint(PERSON),
        "uri": BUILDER,
        "uris": [BUILDER],
        "dns": ["builder.ci.example"],
        "emails": ["ci@acme.example"],
    }


def test_two_common_names_are_none() -> None:
    certificate = read_escaped(quote(pem(made((NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b")))))
    assert certificate is not None
    assert certificate.common_name == ""


# Envoy


def test_what_envoy_sends_without_the_certificate_itself_is_enough() -> None:
    certificate = read_envoy(
        f'By=spiffe://prod/ns/r/sa/registry;Hash=ABCD;Subject="O=Acme\\, Inc,CN=jo";URI={BUILDER};URI=spiffe://b;DNS=a.b'
    )
    assert certificate is not None
    assert certificate.uris == (BUILDER, "spiffe://b")
    assert certificate.dns_names == ("a.b",)
    assert certificate.subject == "O=Acme\\, Inc,CN=jo"
    assert certificate.common_name == "jo"
    assert certificate.fingerprint == "abcd"


def test_of_the_certificate_itself_more_is_known() -> None:
    text = f'Hash={fingerprint(PERSON)};Cert="{quote(pem(PERSON))}";URI=spiffe://other'
    certificate = read_envoy(text)
    assert certificate == read_escaped(quote(pem(PERSON)))
    chain = read_envoy(f'Chain="{quote(pem(PERSON) + pem(EXPIRED))}"')
    assert chain == certificate


def test_a_certificate_that_is_not_the_one_with_the_hash_is_refused() -> None:
    assert read_envoy(f'Hash={"0" * 64};Cert="{quote(pem(PERSON))}"') is None


def test_the_last_element_counts_for_it_is_what_the_nearest_proxy_saw() -> None:
    forged = f'Hash=aa;Subject="CN=admin";URI={BUILDER}'
    assert whose(XFCC, IS_BUILDER, f"{forged},Hash=bb;URI=spiffe://prod/ns/x/sa/intruder") is None
    assert whose(XFCC, IS_BUILDER, f"Hash=bb;URI=spiffe://x,Hash=aa;URI={BUILDER}") == "robot$builder"
    # two lines are one list, in their order
    assert whose(XFCC, IS_BUILDER, forged, "Hash=bb;URI=spiffe://x") is None
    assert whose(XFCC, IS_BUILDER, "Hash=bb;URI=spiffe://x", forged) == "robot$builder"


@pytest.mark.parametrize(
    "forged",
    [
        'Subject="',
        'Subject="\\',
        'Cert="',
        f'Subject="CN=x";URI={BUILDER};Subject="',
        '"',
        f"URI={BUILDER};",
        f'Hash=aa;URI={BUILDER}"',
    ],
)
@pytest.mark.parametrize(
    "appended",
    [
        # the intruder may choose the subject of its certificate, which Envoy puts between the quotes as it is
        f'By=spiffe://r;Hash=bb;Subject="CN=\\",URI={BUILDER},O=\\"";URI=spiffe://x',
        f'By=spiffe://r;Hash=bb;Subject="O=a,URI={BUILDER};CN=b";URI=spiffe://x',
        'By=spiffe://r;Hash=bb;Subject="";URI=spiffe://x',
        "By=spiffe://r;Hash=bb;URI=spiffe://x",
    ],
)
def test_an_open_quote_before_it_does_not_swallow_it(forged: str, appended: str) -> None:
    assert whose(XFCC, IS_BUILDER, f"{forged},{appended}") is None


@pytest.mark.parametrize(
    "text",
    ["", ",", ";", "=", "URI", "URI=a,", ",URI=a", "URI=a;", 'URI="a', 'URI="a"b', 'URI=a"b"', "Key=;;", "By=only-by"],
)
def test_a_header_that_is_malformed_or_says_nothing_is_none(text: str) -> None:
    assert read_envoy(text) is None


# nginx and others


def test_a_certificate_of_nginx_is_whose_the_rules_say() -> None:
    rules = [
        ('common_name == "somebody"', "nobody"),
        (f'fingerprint == "{fingerprint(PERSON)}" and issuer == "CN=Acme CA"', "jo"),
        ('"builder.ci.example" in dns', "later"),
    ]
    assert whose(NGINX, rules, quote(pem(PERSON))) == "jo"
    assert whose(NGINX, rules[:1], quote(pem(PERSON))) is None
    assert whose(NGINX, [], quote(pem(PERSON))) is None
    assert whose(NGINX, rules) is None


def test_patterns_may_be_matched() -> None:
    assert whose(NGINX, [('uri like "spiffe://prod/ns/ci/*"', "ci")], quote(pem(PERSON))) == "ci"


def test_a_header_that_a_client_has_sent_beside_the_proxys_is_refused() -> None:
    value = quote(pem(PERSON))
    assert whose(NGINX, IS_BUILDER, value) == "robot$builder"
    assert whose(NGINX, IS_BUILDER, value, value) is None
    certificates = Certificates(NGINX, IS_BUILDER)
    assert certificates.principal_of(exchange((NGINX, value))) == "robot$builder"
    assert certificates.principal_of(exchange((NGINX, value), (NGINX, "x"))) is None


def test_a_certificate_that_has_expired_is_refused() -> None:
    assert read_escaped(quote(pem(EXPIRED))) is not None
    with pytest.raises(NotAuthenticated, match="renew it"):
        whose(NGINX, IS_BUILDER, quote(pem(EXPIRED)))
    with pytest.raises(NotAuthenticated, match="renew it"):
        whose(XFCC, IS_BUILDER, f'Cert="{quote(pem(EXPIRED))}"')


def test_one_that_is_nobodys_or_comes_with_another_credential_is_passed_over() -> None:
    assert whose(NGINX, [('common_name == "x"', "x")], quote(pem(EXPIRED))) is None
    certificates = Certificates(NGINX, IS_BUILDER)
    for other in ("Authorization", "Cookie"):
        asked = exchange((NGINX, quote(pem(EXPIRED))), (other, "x"))
        assert certificates.principal_of(asked) is None


def test_a_certificate_that_expires_is_refused_from_then_on_though_it_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = Certificates(NGINX, IS_BUILDER)
    asked = exchange((NGINX, quote(pem(PERSON))))
    assert certificates.principal_of(asked) == "robot$builder"
    now = dt.datetime.now(dt.UTC).timestamp()
    for days in (2, -10):
        monkeypatch.setattr("entrepot.kit.clock.now", lambda days=days: now + days * 86_400)
        with pytest.raises(NotAuthenticated):
            certificates.principal_of(asked)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "(null)",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----",
        quote(pem(PERSON))[:200],
        quote(pem(PERSON).replace("CERTIFICATE", "PRIVATE KEY")),
        "AAAA",
        "%",
        "%00%ff",
        "x" * 70_000,
    ],
)
def test_garbage_is_no_certificate(text: str) -> None:
    assert whose(NGINX, IS_BUILDER, text) is None
    assert whose(XFCC, IS_BUILDER, f'Cert="{text}"') is None


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_no_header_raises(text: str) -> None:
    for header in (XFCC, NGINX):
        assert whose(header, IS_BUILDER, text) is None


_PIECES = st.sampled_from(
    ["By=", "Hash=", "Cert=", "Chain=", "Subject=", "URI=", "DNS=", '"', "\\", ",", ";", "=", " ", "CN=a", "%22", "é"]
)


@given(st.lists(_PIECES, max_size=30).map("".join))
def test_nothing_put_together_of_envoys_words_raises_or_is_somebody(text: str) -> None:
    assert whose(XFCC, IS_BUILDER, text) is None
    assert whose(XFCC, IS_BUILDER, f"{text},Hash=bb;URI=spiffe://x") is None


@given(st.integers(0, 600), st.binary(min_size=1, max_size=4))
def test_no_damaged_certificate_raises(position: int, damage: bytes) -> None:
    der = bytearray(PERSON.public_bytes(Encoding.DER))
    der[position : position + len(damage)] = damage
    certificates = Certificates(NGINX, IS_BUILDER)
    with suppress(NotAuthenticated):
        certificates.principal_of(exchange((NGINX, base64.b64encode(bytes(der)).decode())))


def test_a_rule_that_cannot_be_read_is_named_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"client_certificates\.rules"):
        Certificates(NGINX, [("uri ==", "x")])
