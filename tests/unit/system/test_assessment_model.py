"""An assessment decided without I/O: severities, the grade of TLS, thresholds."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from entrepot.auth.model import ScopeEntry
from entrepot.auth.options import LdapOptions, OidcOptions, Options, WorkloadOptions
from entrepot.kit.finding import MOST_RESOURCES, Check, Finding, Weakness
from entrepot.system.assessment.accounts import is_plain, is_unverified, weak_rules
from entrepot.system.assessment.certificate import Certificate, early, expiring, fits, untrusted, weak
from entrepot.system.assessment.files import FileFacts, inline_secrets, loose_keys, open_to
from entrepot.system.assessment.installation import Installation
from entrepot.system.assessment.machine import ending_python, mismatched, older, outside, parse_version, skewed
from entrepot.system.assessment.model import (
    Assessment,
    Observation,
    grade_tls,
    in_order,
    is_broken,
    is_dated,
    is_loopback,
    unchecked,
)
from entrepot.system.assessment.observer import target_of
from entrepot.system.assessment.openness import open_catalog, open_metrics, unlimited
from entrepot.system.assessment.robots import describe, pushes_everywhere
from entrepot.system.assessment.room import DISK, crowded, filled
from entrepot.system.assessment.transport import graded, hsts_missing, https_optional, plain_http

DAY = 86_400.0
GOOD = ("TLS_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256")


def installation(**more: Any) -> Installation:
    given = {"version": "1.2.3", "data": Path("/data"), "database": Path("/data/entrepot.db")}
    return Installation(**{**given, "listen": ("127.0.0.1", 5000), "token_key": Path("/data/keys/token.pem"), **more})


def finding(severity: Any) -> Finding:
    return Finding(check="x", severity=severity, title="X", reason="Because.", remedy="Do.")


def certificate(**more: Any) -> Certificate:
    given = {"subject": "CN=x", "not_before": 0.0, "not_after": 400 * DAY, "names": ("registry.example.com",)}
    return Certificate(**{**given, "key": "EC", "bits": 256, "signature_hash": "sha256", **more})


def assessment(*findings: Finding) -> Assessment:
    return Assessment(version="1", assessed_at=0, checks=1, findings=in_order(findings))


# order and exit


def test_the_worst_comes_first_and_the_rest_stays_in_order() -> None:
    found = assessment(finding("info"), finding("critical"), finding("medium"), finding("high"), finding("low"))
    assert [f.severity for f in found.findings] == ["critical", "high", "medium", "low", "info"]
    assert found.counts() == {"critical": 1, "high": 1, "medium": 1, "low": 1, "info": 1}


@pytest.mark.parametrize(
    ("worst", "least", "fails"),
    [("high", "high", True), ("critical", "high", True), ("medium", "high", False), ("info", "info", True)],
)
def test_it_fails_from_the_severity_on_that_is_asked_for(worst: Any, least: Any, fails: bool) -> None:
    assert assessment(finding(worst)).fails(least) is fails
    assert not assessment().fails(least)


@pytest.mark.parametrize(("severity", "told"), [("critical", "high"), ("high", "high"), ("low", "low")])
def test_what_could_not_be_checked_is_as_bad_as_what_it_looks_for_but_never_critical(severity: Any, told: str) -> None:
    async def run() -> None:
        return None

    check = Check(Weakness(id="x", severity=severity, title="X", reason="R.", remedy="Do."), run)
    found = unchecked(check, "no answer.")
    assert found.severity == told
    assert "could not be checked" in found.title
    assert "no answer" in found.reason


def test_a_finding_names_some_and_counts_all() -> None:
    found = DISK.found([str(number) for number in range(50)])
    assert len(found.resources) == MOST_RESOURCES
    assert found.total == 50
    assert DISK.found(["a"], 12_345).total == 12_345


# TLS


@pytest.mark.parametrize(
    ("more", "grade"),
    [
        ({}, "A"),
        ({"has_hsts": None}, "A"),
        ({"has_hsts": False}, "B"),
        ({"protocols": ("TLS 1.2",)}, "B"),
        ({"ciphers": (*GOOD, "AES128-GCM-SHA256")}, "B"),
        ({"ciphers": (*GOOD, "ECDHE-RSA-AES128-SHA256")}, "B"),
        ({"protocols": ("TLS 1.1", "TLS 1.2", "TLS 1.3")}, "C"),
        ({"protocols": ("TLS 1.0", "TLS 1.1")}, "C"),
        ({"ciphers": (*GOOD, "DES-CBC3-SHA")}, "F"),
        ({"ciphers": (*GOOD, "ECDHE-RSA-RC4-SHA")}, "F"),
        ({"ciphers": (*GOOD, "NULL-SHA256")}, "F"),
    ],
)
def test_the_worst_fault_is_the_grade(more: dict[str, Any], grade: str) -> None:
    given: dict[str, Any] = {"protocols": ("TLS 1.2", "TLS 1.3"), "ciphers": GOOD, "has_hsts": True}
    report = grade_tls(Observation(url="https://x", **{**given, **more}), [], [])
    assert report.grade == grade
    assert bool(report.reasons) is (grade != "A")


def test_a_certificate_lowers_the_grade_too() -> None:
    seen = Observation(url="https://x", protocols=("TLS 1.3",), ciphers=GOOD, has_hsts=True)
    assert grade_tls(seen, [], ["a weak key"]).grade == "D"
    report = grade_tls(seen, ["the certificate has expired"], ["a weak key"])
    assert report.grade == "F"
    assert report.reasons == ("F: the certificate has expired", "D: a weak key")
    found = graded(report)
    assert found is not None
    assert found.severity == "critical"
    assert "expired" in found.reason
    assert graded(grade_tls(seen, [], [])) is None


@pytest.mark.parametrize(
    "cipher", ["ECDHE-RSA-CHACHA20-POLY1305", "DHE-RSA-AES256-GCM-SHA384", "TLS_AES_128_CCM_SHA256"]
)
def test_ciphers_of_today_are_neither_broken_nor_dated(cipher: str) -> None:
    assert not is_broken(cipher)
    assert not is_dated(cipher)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.6.7", "::1", "localhost"])
def test_the_machine_itself_is_no_network(host: str) -> None:
    assert is_loopback(host)
    assert plain_http(installation(listen=(host, 5000))) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "192.0.2.1"])
def test_plain_http_over_a_network_is_critical(host: str) -> None:
    found = plain_http(installation(listen=(host, 5000)))
    assert found is not None
    assert found.severity == "critical"


@pytest.mark.parametrize(
    "more", [{"cert_file": Path("c")}, {"external_url": "https://r.example.com"}, {"has_trusted_proxies": True}]
)
def test_where_tls_ends_somewhere_plain_http_is_not_all_there_is(more: dict[str, Any]) -> None:
    assert plain_http(installation(listen=("0.0.0.0", 5000), **more)) is None


def test_https_is_to_be_insisted_on_where_a_proxy_ends_it() -> None:
    assert https_optional(installation(has_trusted_proxies=True)) is not None
    assert https_optional(installation(has_trusted_proxies=True, https_only=True)) is None
    assert https_optional(installation(cert_file=Path("c"))) is None, "nothing else is spoken"
    assert https_optional(installation()) is None


def test_hsts_is_judged_by_the_answer_and_else_by_the_configuration() -> None:
    own = installation(cert_file=Path("c"), https_only=True, hsts_seconds=60)
    assert hsts_missing(own, None) == []
    assert hsts_missing(own, True) == []
    assert hsts_missing(own, False), "a proxy may take it away"
    assert hsts_missing(installation(cert_file=Path("c"), hsts_seconds=60), None)
    assert hsts_missing(installation(external_url="https://x"), True) == []
    assert hsts_missing(installation(), None) is None


def test_it_connects_to_the_listener_or_to_the_proxy_that_ends_tls() -> None:
    assert target_of(installation(listen=("0.0.0.0", 5000))).url == "http://127.0.0.1:5000"
    assert target_of(installation(listen=("::", 5000))).url == "http://[::1]:5000"
    own = target_of(installation(cert_file=Path("c"), external_url="https://r.example.com"))
    assert (own.url, own.server_name) == ("https://127.0.0.1:5000", "r.example.com")
    assert target_of(installation(external_url="https://r.example.com")).url == "https://r.example.com:443"
    assert target_of(installation(external_url="http://r.example.com")).url == "http://127.0.0.1:5000"


# certificates


@pytest.mark.parametrize(
    ("days", "severity"), [(-1, "critical"), (1, "high"), (6.9, "high"), (8, "medium"), (29.9, "medium"), (31, None)]
)
def test_the_end_of_a_certificate_is_told_in_time(days: float, severity: str | None) -> None:
    found = expiring(certificate(not_after=100 * DAY), (100 - days) * DAY)
    assert (found and found.severity) == severity


def test_a_certificate_that_is_not_valid_yet_is_told() -> None:
    assert early(certificate(not_before=10.0), 9.0) is not None
    assert early(certificate(not_before=10.0), 10.0) is None


@pytest.mark.parametrize(
    ("names", "host", "right"),
    [
        (("registry.example.com",), "registry.example.com", True),
        (("registry.example.com",), "REGISTRY.example.com.", True),
        (("*.example.com",), "registry.example.com", True),
        (("*.example.com",), "a.registry.example.com", False),
        (("*.example.com",), "example.com", False),
        (("example.com",), "registry.example.com", False),
        (("10.0.0.1",), "10.0.0.1", True),
        (("2001:db8::1",), "2001:db8:0::1", True),
        (("*.0.0.1",), "10.0.0.1", False),
        ((), "registry.example.com", False),
        (("*",), "localhost", False),
    ],
)
def test_a_name_fits_as_clients_see_it(names: tuple[str, ...], host: str, right: bool) -> None:
    assert fits(names, host) is right


@pytest.mark.parametrize(
    ("more", "is_weak"),
    [
        ({"key": "RSA", "bits": 1024}, True),
        ({"key": "RSA", "bits": 2048}, False),
        ({"key": "EC", "bits": 192}, True),
        ({"key": "Ed25519PublicKey", "bits": 256, "signature_hash": ""}, False),
        ({"signature_hash": "sha1"}, True),
        ({"signature_hash": "md5"}, True),
        ({"signature_hash": "sha1", "is_self_signed": True}, False),
    ],
)
def test_weak_keys_and_signatures_are_told(more: dict[str, Any], is_weak: bool) -> None:
    assert bool(weak(certificate(**more))) is is_weak


def test_what_clients_must_refuse_is_told() -> None:
    assert untrusted(certificate(), "registry.example.com", DAY) == []
    assert len(untrusted(certificate(not_before=5.0, not_after=6.0), "other", 7.0)) == 2
    assert untrusted(None, "x", 0) == []
    assert untrusted(certificate(), "", DAY) == [], "no name is configured"


# accounts and providers


@pytest.mark.parametrize(
    ("shortest", "classes", "is_weak"), [(8, 3, False), (8, 2, True), (8, 0, True), (16, 0, False), (12, 2, True)]
)
def test_rules_for_passwords_are_compared_with_the_default(shortest: int, classes: int, is_weak: bool) -> None:
    assert (weak_rules(shortest, classes) is not None) is is_weak


def ldap(**more: Any) -> LdapOptions:
    return LdapOptions(name="corp", base_dn="dc=x", **{"url": "ldaps://d", **more})


@pytest.mark.parametrize(
    ("options", "plain", "unverified"),
    [
        (ldap(), False, False),
        (ldap(url="ldap://d"), True, False),
        (ldap(url="ldap://d", start_tls=True), False, False),
        (ldap(verify_certificate=False), False, True),
        (OidcOptions(name="o", endpoint="https://i", client_id="c"), False, False),
        (OidcOptions(name="o", endpoint="http://i", client_id="c"), True, False),
        (OidcOptions(name="o", endpoint="https://i", client_id="c", verify_certificate=False), False, True),
        (WorkloadOptions(name="w", issuer="http://i", audiences=("a",)), True, False),
        (WorkloadOptions(name="w", issuer="http://i", audiences=("a",), jwks_url="https://k"), False, False),
        (WorkloadOptions(name="w", issuer="http://i", audiences=("a",), jwks_file="/k"), False, False),
        (WorkloadOptions(name="w", issuer="https://i", audiences=("a",), verify_certificate=False), False, True),
    ],
)
def test_providers_are_to_be_asked_under_tls_that_is_checked(options: Options, plain: bool, unverified: bool) -> None:
    assert is_plain(options) is plain
    assert is_unverified(options) is unverified


# what is open


def test_the_catalog_is_judged_by_the_rule_and_by_what_is_seen() -> None:
    assert open_catalog(by_rule=False, status=None) is None
    assert open_catalog(by_rule=False, status=401) is None
    assert open_catalog(by_rule=False, status=200) is not None
    assert open_catalog(by_rule=True, status=None) is not None


@pytest.mark.parametrize(
    ("more", "is_open"),
    [
        ({}, False),
        ({"listen": ("0.0.0.0", 5000)}, True),
        ({"listen": ("0.0.0.0", 5000), "metrics_login": True}, False),
        ({"listen": ("0.0.0.0", 5000), "metrics_listen": ("127.0.0.1", 9090)}, False),
        ({"metrics_listen": ("0.0.0.0", 9090)}, True),
    ],
)
def test_metrics_are_open_where_other_machines_read_them(more: dict[str, Any], is_open: bool) -> None:
    assert (open_metrics(installation(**more)) is not None) is is_open


def test_rates_are_to_be_limited_where_other_machines_ask() -> None:
    public = installation(listen=("0.0.0.0", 5000), unlimited=("rate_limits.pulls",))
    found = unlimited(public)
    assert found is not None
    assert found.resources == ("rate_limits.pulls",)
    assert unlimited(installation(unlimited=("rate_limits.pulls",))) is None
    assert unlimited(installation(listen=("0.0.0.0", 5000))) is None


# robots


@pytest.mark.parametrize(
    ("entry", "wide"),
    [
        (ScopeEntry("project", (("repository", "push"),)), True),
        (ScopeEntry("project", (("repository", "pull"),)), False),
        (ScopeEntry("project", (("repository", "push"),), project_id=3), False),
        (ScopeEntry("project", (("repository", "push"),), repositories=("ci/**",)), False),
        (ScopeEntry("system", (("project", "create"),)), False),
    ],
)
def test_a_robot_that_may_push_everywhere_is_wide(entry: ScopeEntry, wide: bool) -> None:
    assert pushes_everywhere((entry,)) is wide


def test_a_robot_is_shown_as_it_logs_in() -> None:
    assert describe("robot$", 7, "ci", "team", "") == "robot$team+ci (id 7)"
    assert describe("robot$", 7, "ci", None, "of the\n build") == "robot$ci (id 7: of the build)"
    assert len(describe("robot$", 7, "ci", None, "x" * 1000)) < 100


# room


@pytest.mark.parametrize(
    ("free", "severity"), [(25, None), (21, None), (20, "medium"), (11, "medium"), (10, "critical")]
)
def test_a_disk_is_told_at_80_and_at_90_percent(free: int, severity: str | None) -> None:
    found = filled(DISK, 100, free, Path("/data"))
    assert (found and found.severity) == severity


def test_a_file_system_without_numbers_is_not_full() -> None:
    assert filled(DISK, 0, 0, Path("/data")) is None


def test_a_database_needs_room_for_two_of_it() -> None:
    assert crowded(100, 200) is None
    assert crowded(100, 199) is not None


# files


@pytest.mark.parametrize(("mode", "is_open"), [(0o700, False), (0o750, True), (0o701, True), (0o600, False)])
def test_a_folder_is_for_its_owner_alone(mode: int, is_open: bool) -> None:
    assert (open_to(DISK, [FileFacts("/data", mode, 0)], 0o077) is not None) is is_open


def test_keys_are_of_the_owner_of_the_folder_and_for_nobody_else() -> None:
    assert loose_keys([FileFacts("/k", 0o600, 7)], 7) is None
    assert loose_keys([FileFacts("/k", 0o640, 7)], 7) is not None
    assert loose_keys([FileFacts("/k", 0o600, 8)], 7) is not None


def test_secrets_in_the_file_are_named_and_not_shown() -> None:
    document = {
        "admin_password": "hidden-1",
        "secrets": {"key": "hidden-2"},
        "identity": {
            "ldap": [{"name": "corp", "bind_password": "hidden-3"}, {"name": "b", "bind_password_file": "/x"}],
            "oidc": '[{"name": "sso", "client_secret": "hidden-4"}]',
        },
    }
    found = list(inline_secrets(document))
    assert found == [
        "admin_password",
        "secrets.key",
        "identity.ldap[corp].bind_password",
        "identity.oidc[sso].client_secret",
    ]
    assert list(inline_secrets({"admin_password_file": "/x", "secrets": {"key_file": "/y"}})) == []


# the machine


@pytest.mark.parametrize(
    ("seconds", "severity"), [(0, None), (10, None), (-10, None), (11, "medium"), (-45, "medium"), (61, "high")]
)
def test_clocks_may_differ_by_some_seconds(seconds: float, severity: str | None) -> None:
    found = skewed({"a": 0.0, "b": seconds})
    assert (found and found.severity) == severity
    if found:
        assert found.resources == (f"b: {abs(seconds)} s {'ahead' if seconds > 0 else 'behind'}",)


@pytest.mark.parametrize(("stored", "severity"), [("0003", None), (None, None), ("0002", "low"), ("0004", "high")])
def test_a_database_of_a_newer_version_is_worse_than_one_of_an_older(stored: str | None, severity: str | None) -> None:
    found = mismatched(stored, "0003")
    assert (found and found.severity) == severity


@pytest.mark.parametrize(
    ("version", "latest", "is_older"),
    [("1.2.3", "1.2.3", False), ("1.2.3", "v1.10", True), ("1.9", "1.10.0", True), ("2.0.0.dev1", "2.0.0", False)],
)
def test_versions_are_compared_by_number(version: str, latest: str, is_older: bool) -> None:
    assert (older(version, latest) is not None) is is_older


@pytest.mark.parametrize("text", ["", "latest", "x1.2", "-1"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a version"):
        parse_version(text)


@pytest.mark.parametrize(
    ("today", "severity"), [(date(2026, 1, 1), None), (date(2027, 9, 1), "info"), (date(2027, 11, 1), "medium")]
)
def test_the_end_of_a_python_is_told(today: date, severity: str | None) -> None:
    found = ending_python((3, 11), today)
    assert found is not None
    assert [f.severity for f in found] == ([severity] if severity else [])
    assert ending_python((3, 99), today) is None


def test_clocks_of_others_are_asked_by_http_only() -> None:
    options: list[Options] = [ldap(), OidcOptions(name="o", endpoint="https://i/", client_id="c")]
    discovery = "https://i/.well-known/openid-configuration"
    assert outside(installation(), options) == [discovery]
    assert outside(installation(external_url="https://r"), options) == [discovery, "https://r/livez"]
    assert outside(installation(external_url="https://r", cert_file=Path("c")), []) == []
