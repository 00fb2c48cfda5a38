"""Checks of how the registry is reached: plain HTTP, HTTPS, HSTS, the grade of TLS."""

from __future__ import annotations

from collections.abc import Sequence

from entrepot.kit.finding import Check, Finding, Severity, Weakness, one
from entrepot.system.assessment.certificate import Certificates, untrusted, weak
from entrepot.system.assessment.installation import Installation
from entrepot.system.assessment.model import TlsReport, grade_tls
from entrepot.system.assessment.observer import Observer

PLAIN_HTTP = Weakness(
    id="tls-missing",
    severity="critical",
    title="The registry is reached over plain HTTP",
    reason="Passwords, tokens and images cross the network unprotected: whoever is on the way reads and changes them.",
    remedy="Set tls.cert_file and tls.key_file; or put a proxy that ends TLS before it, set trusted_proxies and "
    "external_url, and listen = 127.0.0.1:5000.",
)
HTTPS_OPTIONAL = Weakness(
    id="https-optional",
    severity="medium",
    title="HTTPS is not insisted on",
    reason="What comes past the proxy in plain HTTP is answered too, and browsers are not told to insist on HTTPS.",
    remedy="Set https_only = true.",
)
NO_HSTS = Weakness(
    id="hsts-missing",
    severity="low",
    title="Browsers are not told to insist on HTTPS",
    reason="Without Strict-Transport-Security a browser's first request can be led to plain HTTP by whoever is on the "
    "way.",
    remedy="Set https_only = true and tls.hsts_seconds = 31536000.",
)
TLS_GRADE = Weakness(
    id="tls-grade",
    severity="critical",
    title="TLS is not as good as it could be",
    reason="Old protocols, weak ciphers or a certificate that clients must not believe let others read or change "
    "what is sent.",
    remedy="Mend what the reason names: at the proxy that ends TLS (nginx: ssl_protocols TLSv1.2 TLSv1.3), or with "
    "https_only, tls.cert_file and tls.key_file.",
)
_SEVERITY_OF: dict[str, Severity] = {"B": "low", "C": "high", "D": "high", "E": "high", "F": "critical"}


def checks(installation: Installation, certificates: Certificates, observer: Observer) -> list[Check]:
    """The checks of the transport."""

    async def plain() -> list[Finding]:
        return one(plain_http(installation))

    async def optional() -> list[Finding]:
        return one(https_optional(installation))

    async def hsts() -> list[Finding] | None:
        seen = await observer.observe()
        return hsts_missing(installation, None if seen is None else seen.has_hsts)

    async def grade() -> list[Finding] | None:
        report = await tls_report(installation, certificates, observer)
        return None if report is None else one(graded(report))

    return [
        Check(PLAIN_HTTP, plain),
        Check(HTTPS_OPTIONAL, optional),
        Check(NO_HSTS, hsts),
        Check(TLS_GRADE, grade),
    ]


async def tls_report(installation: Installation, certificates: Certificates, observer: Observer) -> TlsReport | None:
    """The grade of the running listener, or of the proxy before it; ``None``: nothing runs, or without TLS."""
    seen = await observer.observe()
    if seen is None or not seen.protocols:
        return None
    shown = certificates.shown(seen)
    return grade_tls(seen, untrusted(shown, installation.host, certificates.now()), weak(shown))


def plain_http(installation: Installation) -> Finding | None:
    """Whether clients have no other way than plain HTTP, over a network."""
    has_tls = installation.cert_file is not None or installation.is_https_outside
    return None if has_tls or not installation.is_public else PLAIN_HTTP.found()


def https_optional(installation: Installation) -> Finding | None:
    """Whether something else than HTTPS is answered, where there is HTTPS."""
    if installation.https_only or installation.cert_file is not None:
        return None  # with a certificate of its own the listener speaks nothing else
    return HTTPS_OPTIONAL.found() if installation.is_https_outside else None


def hsts_missing(installation: Installation, seen: bool | None) -> list[Finding] | None:
    """Whether HSTS is missing: in the answer that was ``seen``, else by the configuration."""
    if installation.cert_file is None and not installation.is_https_outside:
        return None
    told = installation.https_only and installation.hsts_seconds > 0 if seen is None else seen
    return [] if told else [NO_HSTS.found()]


def graded(report: TlsReport) -> Finding | None:
    """What a grade below A says."""
    severity = _SEVERITY_OF.get(report.grade)
    if severity is None:
        return None
    reasons: Sequence[str] = report.reasons
    return TLS_GRADE.found(
        [report.url],
        severity=severity,
        title=f"TLS has grade {report.grade}",
        reason=f"A client that connected found: {'; '.join(reasons)}.",
    )
