"""An authority of one's own, for trials: two files in a folder, and what it signs."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entrepot.errors import ConfigError
from entrepot.kit import clock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, GeneralName

_AUTHORITY_DAYS = 3650
_SKEW = timedelta(minutes=5)
"""A certificate begins a little before now: clocks differ."""


class Authority:
    """The authority of a folder: ``ca.crt`` and ``ca.key``."""

    def __init__(self, folder: Path, certificate: Certificate, key: EllipticCurvePrivateKey) -> None:
        self._folder = folder
        self._certificate = certificate
        self._key = key

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """The one that is there, else a new one.

        Raises:
            ConfigError: only a half of it is there, or it cannot be used.
        """
        from cryptography import x509  # noqa: PLC0415 - other commands need none of it
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

        certificate_path, key_path = folder / "ca.crt", folder / "ca.key"
        if not certificate_path.exists() and not key_path.exists():
            return cls._make(folder)
        try:
            certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
            key: Any = load_pem_private_key(key_path.read_bytes(), None)
            fits = key.public_key() == certificate.public_key()
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"{certificate_path} and {key_path} are no authority that can be used ({error}): "
                "move them away for a new one."
            ) from None
        if not fits or certificate.not_valid_after_utc <= _now() + timedelta(days=1):
            reason = "has ended" if fits else "has another key"
            raise ConfigError(f"The authority {certificate_path} {reason}: move it and its key away for a new one.")
        return cls(folder, certificate, key)

    @classmethod
    def _make(cls, folder: Path) -> Authority:
        from cryptography import x509  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

        key = _new_key()
        subject = _subject(f"Entrepôt trial authority of {socket.gethostname()}")
        builder = _begun(subject, key, timedelta(days=_AUTHORITY_DAYS)).issuer_name(subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        certificate = builder.sign(key, SHA256())
        _write(folder / "ca.key", _key_pem(key), 0o600, new=True)
        _write(folder / "ca.crt", _certificate_pem(certificate), 0o644, new=True)
        return cls(folder, certificate, key)

    def server_names(self) -> list[str]:
        """The names of the server certificate that is there, but for those that every one has."""
        from cryptography import x509  # noqa: PLC0415 - as above

        try:
            certificate = x509.load_pem_x509_certificate((self._folder / "server.crt").read_bytes())
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (OSError, ValueError, x509.ExtensionNotFound):
            return []
        return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]

    def issue_server(self, names: Sequence[str], life: timedelta) -> None:
        """Write ``server.crt`` and ``server.key``, in the place of those that are there."""
        from cryptography import x509  # noqa: PLC0415 - as above
        from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415 - as above

        alternatives: list[GeneralName] = []
        for name in names:
            try:
                alternatives.append(x509.IPAddress(ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        self._issue("server", names[-1], life, ExtendedKeyUsageOID.SERVER_AUTH, alternatives)

    def issue_client(self, name: str, life: timedelta) -> None:
        """Write ``client-NAME.crt`` and ``client-NAME.key``."""
        from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415 - as above

        self._issue(f"client-{name}", name, life, ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def _issue(self, file: str, name: str, life: timedelta, use: Any, alternatives: list[GeneralName]) -> None:
        from cryptography import x509  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

        key = _new_key()
        life = min(life, self._certificate.not_valid_after_utc - _now())
        identifier: Any = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = _begun(_subject(name), key, life).issuer_name(self._certificate.subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        builder = builder.add_extension(identifier, critical=False)
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        _write(self._folder / f"{file}.key", _key_pem(key), 0o600)
        _write(self._folder / f"{file}.crt", _certificate_pem(builder.sign(self._key, SHA256())), 0o644)


def _begun(subject: Any, key: EllipticCurvePrivateKey, life: timedelta) -> CertificateBuilder:
    from cryptography import x509  # noqa: PLC0415 - as above

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _SKEW)
        .not_valid_after(_now() + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> Any:
    from cryptography import x509  # noqa: PLC0415 - as above

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(name: str) -> Any:
    from cryptography import x509  # noqa: PLC0415 - as above

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])])


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - as above

    return ec.generate_private_key(ec.SECP256R1())


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate_pem(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - as above

    return certificate.public_bytes(Encoding.PEM)


def _write(path: Path, content: bytes, mode: int, *, new: bool = False) -> None:
    """Write a file at once: a server that looks at it meanwhile sees the former or the new one."""
    if new and path.exists():
        raise ConfigError(f"{path} is there already: move it away first.")
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    part.replace(path)


def _now() -> datetime:
    return datetime.fromtimestamp(clock.now(), UTC)
