"""Checks of the certificate: its times, its names, its key and signature."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from entrepot.kit import clock
from entrepot.kit.finding import Check, Finding, Look, Weakness
from entrepot.system.assessment.installation import Installation
from entrepot.system.assessment.model import Observation
from entrepot.system.assessment.observer import Observer

_DAY = 86_400.0
SOON_DAYS = 30
_LEAST_RSA = 2048
_LEAST_EC = 224
_WEAK_HASHES = frozenset({"md5", "sha1"})

EXPIRY = Weakness(
    id="certificate-expiry",
    severity="critical",
    title="The certificate has expired, or ends soon",
    reason="Clients refuse a certificate that has expired: every pull and push then fails. It is told from 30 days "
    "before; in the last 7 it is high, after the end critical.",
    remedy="Renew the certificate and replace the files of tls.cert_file and tls.key_file (or the proxy's).",
)
EARLY = Weakness(
    id="certificate-not-yet-valid",
    severity="critical",
    title="The certificate is not valid yet",
    reason="Clients refuse it until it is; often a clock is wrong.",
    remedy="Set the clock (timedatectl set-ntp true), or replace the files of tls.cert_file and tls.key_file.",
)
NAME = Weakness(
    id="certificate-name",
    severity="high",
    title="The certificate is for another name",
    reason="Clients refuse a certificate that does not name the host that they asked for.",
    remedy="Get a certificate that names the host of external_url, or correct external_url.",
)
WEAK = Weakness(
    id="certificate-weak",
    severity="high",
    title="The certificate's key or signature is weak",
    reason="An RSA key under 2048 bits, a curve under 224, or a signature with SHA-1 or MD5 can be forged; clients "
    "refuse it more and more.",
    remedy="Make a new key and certificate: openssl req -newkey rsa:3072 -sha256 … and replace the files of "
    "tls.cert_file and tls.key_file.",
)


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at; times in seconds since the epoch."""

    subject: str
    not_before: float
    not_after: float
    names: tuple[str, ...]
    """DNS names and addresses."""
    key: str
    """``RSA``, ``EC``, or something else."""
    bits: int
    signature_hash: str
    """Empty: the signature has none of its own (Ed25519)."""
    is_self_signed: bool = False


class Certificates:
    """Where the certificate comes from: the file, or a client that has seen it."""

    def __init__(self, installation: Installation, observer: Observer, now: Callable[[], float] = clock.now) -> None:
        self._installation = installation
        self._observer = observer
        self.now = now

    async def find(self) -> Certificate | None:
        """The file's certificate, else what a proxy shows; ``None``: there is neither, or nothing runs.

        Raises:
            OSError: the file cannot be read.
            ValueError: it holds no certificate.
        """
        if self._installation.cert_file is not None:
            return await asyncio.to_thread(read_certificate, self._installation.cert_file)
        seen = await self._observer.observe()
        return parse_certificate(seen.certificate) if seen is not None and seen.certificate else None

    def shown(self, seen: Observation) -> Certificate | None:
        """What a client was shown."""
        return parse_certificate(seen.certificate) if seen.certificate else None


def checks(installation: Installation, certificates: Certificates) -> list[Check]:
    """The checks of the certificate."""

    def of(decide: Callable[[Certificate], Finding | None]) -> Look:
        async def look() -> list[Finding] | None:
            certificate = await certificates.find()
            if certificate is None:
                return None
            finding = decide(certificate)
            return [] if finding is None else [finding]

        return look

    async def name() -> list[Finding] | None:
        certificate = await certificates.find()
        if certificate is None or not installation.host:
            return None
        return [] if fits(certificate.names, installation.host) else [misnamed(certificate, installation.host)]

    return [
        Check(EXPIRY, of(lambda certificate: expiring(certificate, certificates.now()))),
        Check(EARLY, of(lambda certificate: early(certificate, certificates.now()))),
        Check(NAME, name),
        Check(WEAK, of(weakly_signed)),
    ]


# decisions


def expiring(certificate: Certificate, now: float) -> Finding | None:
    """Whether the end is near, or past."""
    days = (certificate.not_after - now) / _DAY
    day = clock.rfc3339(certificate.not_after)[:10]
    if days >= SOON_DAYS:
        return None
    if days < 0:
        return EXPIRY.found([certificate.subject], title=f"The certificate has expired on {day}")
    return EXPIRY.found(
        [certificate.subject],
        severity="high" if days < 7 else "medium",  # noqa: PLR2004 - a week
        title=f"The certificate ends on {day}",
    )


def early(certificate: Certificate, now: float) -> Finding | None:
    """Whether it is not valid yet."""
    if certificate.not_before <= now:
        return None
    day = clock.rfc3339(certificate.not_before)
    return EARLY.found([certificate.subject], title=f"The certificate is not valid before {day}")


def misnamed(certificate: Certificate, host: str) -> Finding:
    """That ``host`` is not among its names."""
    return NAME.found(certificate.names or [certificate.subject], title=f"The certificate does not name {host}")


def weakly_signed(certificate: Certificate) -> Finding | None:
    """Whether its key or signature is too weak."""
    faults = weak(certificate)
    return WEAK.found([certificate.subject], title=f"The certificate has {' and '.join(faults)}") if faults else None


def weak(certificate: Certificate | None) -> list[str]:
    """What is weak about it."""
    if certificate is None:
        return []
    least = {"RSA": _LEAST_RSA, "EC": _LEAST_EC, "DSA": 1 << 30}.get(certificate.key, 0)
    faults = []
    if certificate.bits < least:
        faults.append(f"a weak key ({certificate.key}, {certificate.bits} bits)")
    # Nobody checks the signature that a root makes on itself.
    if certificate.signature_hash in _WEAK_HASHES and not certificate.is_self_signed:
        faults.append(f"a signature with {certificate.signature_hash.upper()}")
    return faults


def untrusted(certificate: Certificate | None, host: str, now: float) -> list[str]:
    """Why a client that asks for ``host`` must refuse it."""
    if certificate is None:
        return []
    faults = []
    if certificate.not_after < now:
        faults.append("the certificate has expired")
    if certificate.not_before > now:
        faults.append("the certificate is not valid yet")
    if host and not fits(certificate.names, host):
        faults.append(f"the certificate does not name {host}")
    return faults


def fits(names: tuple[str, ...], host: str) -> bool:
    """Whether one of a certificate's names is ``host`` (RFC 6125: a star is one whole label, the first)."""
    asked = host.lower().rstrip(".")
    try:
        address: object = ipaddress.ip_address(asked)
    except ValueError:
        _, _, parent = asked.partition(".")
        return asked in names or (bool(parent) and f"*.{parent}" in names)
    return str(address) in names


# reading


def read_certificate(path: Path) -> Certificate:
    """The first certificate of a PEM file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds none.
    """
    from cryptography import x509  # noqa: PLC0415 - 20 ms that serving does not wait for

    return _describe(x509.load_pem_x509_certificate(path.read_bytes()))


def parse_certificate(der: bytes) -> Certificate:
    """A certificate in DER.

    Raises:
        ValueError: it is none.
    """
    from cryptography import x509  # noqa: PLC0415 - as above

    return _describe(x509.load_der_x509_certificate(der))


def _describe(certificate: Any) -> Certificate:
    from cryptography import x509  # noqa: PLC0415 - as above

    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [name.lower() for name in alternative.get_values_for_type(x509.DNSName)]
        names += [str(address) for address in alternative.get_values_for_type(x509.IPAddress)]
    except x509.ExtensionNotFound:
        names = []
    key = certificate.public_key()
    algorithm = certificate.signature_hash_algorithm
    return Certificate(
        subject=certificate.subject.rfc4514_string(),
        not_before=_seconds(certificate.not_valid_before_utc),
        not_after=_seconds(certificate.not_valid_after_utc),
        names=tuple(names),
        key=_kind_of(key),
        bits=getattr(key, "key_size", 256),
        signature_hash=algorithm.name if algorithm is not None else "",
        is_self_signed=certificate.issuer == certificate.subject,
    )


def _kind_of(key: Any) -> str:
    name = type(key).__name__
    return next((short for long, short in (("RSA", "RSA"), ("Elliptic", "EC"), ("DSA", "DSA")) if long in name), name)


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
