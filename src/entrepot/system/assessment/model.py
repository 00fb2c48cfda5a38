"""An assessment and its order; how good TLS is; all decided without I/O."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from entrepot.kit.finding import SEVERITIES, Check, Finding, Severity

Grade = str
"""``A`` to ``F``, the best first."""

_UNKNOWN_AT_MOST: Severity = "high"
_BROKEN = ("RC4", "DES", "NULL", "EXP", "MD5", "ADH", "AECDH", "anon", "SEED", "IDEA", "RC2")
_FORWARD_SECRET = ("ECDHE-", "DHE-", "TLS_")
_AUTHENTICATED = ("GCM", "CHACHA20", "CCM")


class Skipped(msgspec.Struct, frozen=True):
    """A check that had nothing to look at."""

    check: str
    title: str


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a client saw of the running registry, without logging in."""

    url: str
    protocols: tuple[str, ...] = ()
    """The versions of TLS that are spoken, such as ``TLS 1.3``; none: it answers in plain HTTP."""
    ciphers: tuple[str, ...] = ()
    """The cipher suites that it agreed to, as OpenSSL names them."""
    certificate: bytes = b""
    """The one that was shown, in DER."""
    has_hsts: bool | None = None
    """Whether browsers are told to insist on HTTPS; ``None``: no answer was had."""
    catalog_status: int | None = None
    """The status of ``/v2/_catalog`` for somebody who has not logged in."""


class TlsReport(msgspec.Struct, frozen=True, kw_only=True):
    """How good the connection is, and why not better."""

    url: str
    grade: Grade
    reasons: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    ciphers: tuple[str, ...] = ()


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """One run: what was found (the worst first), what could not be looked at, and how many checks there were."""

    version: str
    """Of the program."""
    assessed_at: float
    """Seconds since the epoch."""
    checks: int
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...] = ()
    tls: TlsReport | None = None

    def counts(self) -> dict[Severity, int]:
        """How many findings there are of each severity, the worst first."""
        return {severity: sum(f.severity == severity for f in self.findings) for severity in SEVERITIES}

    def fails(self, least: Severity) -> bool:
        """Whether something is as bad as ``least``, or worse."""
        return any(SEVERITIES.index(finding.severity) <= SEVERITIES.index(least) for finding in self.findings)


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The worst first, else as they were found."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def unchecked(check: Check, why: str) -> Finding:
    """What it means that a check failed: as bad as the weakness, but never critical, since nobody has seen it."""
    worst = max(SEVERITIES.index(check.severity), SEVERITIES.index(_UNKNOWN_AT_MOST))
    return Finding(
        check=check.id,
        severity=SEVERITIES[worst],
        title=f"{check.title}: could not be checked",
        reason=f"Could not be checked: {why}",
        remedy="Mend what the reason names and run the assessment again.",
    )


def grade_tls(seen: Observation, certificate_faults: Sequence[str], weak_certificate: Sequence[str]) -> TlsReport:
    """The grade of a connection: the worst of the caps that its faults set (docs/assessment.md lists them).

    Args:
        seen: the handshakes.
        certificate_faults: why a client must not believe the certificate.
        weak_certificate: why its key or signature is too weak.
    """
    caps: list[tuple[Grade, str]] = [("F", fault) for fault in certificate_faults]
    caps += [("D", fault) for fault in weak_certificate]
    caps += [(grade, fault) for grade, fault in _faults_of_handshake(seen)]
    grade = max((cap for cap, _ in caps), default="A")
    return TlsReport(
        url=seen.url,
        grade=grade,
        reasons=tuple(f"{cap}: {fault}" for cap, fault in sorted(caps, reverse=True)),
        protocols=seen.protocols,
        ciphers=seen.ciphers,
    )


def _faults_of_handshake(seen: Observation) -> list[tuple[Grade, str]]:
    old = [version for version in seen.protocols if version in {"TLS 1.0", "TLS 1.1"}]
    broken = [cipher for cipher in seen.ciphers if is_broken(cipher)]
    dated = [cipher for cipher in seen.ciphers if cipher not in broken and is_dated(cipher)]
    found: list[tuple[Grade, str]] = []
    if broken:
        found.append(("F", f"broken ciphers: {', '.join(broken)}"))
    if old:
        found.append(("C", f"{' and '.join(old)} spoken"))
    if dated:
        found.append(("B", f"ciphers without forward secrecy or authenticated encryption: {', '.join(dated)}"))
    if "TLS 1.3" not in seen.protocols:
        found.append(("B", "TLS 1.3 not spoken"))
    if seen.has_hsts is False:
        found.append(("B", "no Strict-Transport-Security header"))
    return found


def is_broken(cipher: str) -> bool:
    """Whether a cipher suite protects nothing any more."""
    return any(part in cipher for part in _BROKEN)


def is_dated(cipher: str) -> bool:
    """Whether a cipher suite lacks forward secrecy or authenticated encryption."""
    return not (cipher.startswith(_FORWARD_SECRET) and any(part in cipher for part in _AUTHENTICATED))


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches ``host``."""
    return host in {"localhost", "::1"} or host.startswith("127.")
