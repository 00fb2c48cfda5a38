"""The certificate that the listeners show: looked at again and again, taken over once it is whole.

Whoever renews it writes two or three files one after another, or swaps the folder under them. What is in use is
therefore a copy of files that were seen to fit together, in memory (memfd_create(2)) under a path that every worker can
open: one that starts in the middle of a change, or after a broken one, gets the copy.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
from pathlib import Path

import msgspec
import structlog

from entrepot.config import read_file
from entrepot.config.sections import Tls
from entrepot.errors import ConfigError

log = structlog.get_logger()


class Certificate(msgspec.Struct, frozen=True):
    """Paths of a chain, its key, and the authority that clients must have a certificate of; PEM."""

    chain: Path
    key: Path
    client_ca: Path | None


class _Copy:
    """One state of the files, in memory."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self._descriptors = {name: _in_memory(name, content) for name, content in contents.items()}
        paths = {name: Path(f"/proc/self/fd/{descriptor}") for name, descriptor in self._descriptors.items()}
        self.certificate = Certificate(paths["cert_file"], paths["key_file"], paths.get("client_ca_file"))

    def check(self, tls: Tls) -> None:
        """Try them.

        Raises:
            ConfigError: they cannot be used, or not together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # An encrypted key would ask for its password on the terminal.
            context.load_cert_chain(self.certificate.chain, self.certificate.key, password=lambda: "")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise ConfigError(
                f"tls: {tls.cert_file} and {tls.key_file} are not a certificate and its key in PEM ({error})."
            ) from None
        if not _is_spoken(self.certificate.key):
            raise ConfigError(
                f"tls: {tls.key_file} is a key of a kind that is not served: use RSA from 2048 bits on, "
                "ECDSA on P-256 or P-384, or Ed25519."
            )
        if self.certificate.client_ca:
            try:
                context.load_verify_locations(self.certificate.client_ca)
            except (ssl.SSLError, OSError) as error:
                raise ConfigError(
                    f"tls.client_ca_file: {tls.client_ca_file} holds no certificate in PEM ({error})."
                ) from None

    def close(self) -> None:
        """Forget it here; processes that were forked before have it still."""
        for descriptor in self._descriptors.values():
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Certificates:
    """The files that the section ``[tls]`` names, and the copy of them that is in use."""

    def __init__(self, tls: Tls) -> None:
        """Read them for the first time.

        Raises:
            ConfigError: they cannot be used.
        """
        self._tls = tls
        self._looked_at = b""
        self._in_use = b""
        self._copy: _Copy | None = None
        if self.is_used:
            self._take(self._read())

    @property
    def is_used(self) -> bool:
        """Whether there is a certificate at all."""
        return self._tls.cert_file is not None

    @property
    def current(self) -> Certificate | None:
        """What a worker that starts now shows."""
        return self._copy.certificate if self._copy else None

    def look(self) -> bool:
        """Look at the files; whether they have changed, and what is new has become the current certificate.

        Files that cannot be used are told of once; they are looked at again like others.
        """
        if not self.is_used:
            return False
        try:
            return self._take(self._read())
        except ConfigError as error:
            seen = str(error).encode()
            if self._looked_at != seen:
                self._looked_at = seen
                self._tell(error)
            return False

    def _read(self) -> dict[str, bytes]:
        files = {name: getattr(self._tls, name) for name in ("cert_file", "key_file", "client_ca_file")}
        return {name: read_file(path, f"tls.{name}") for name, path in files.items() if path}

    def _take(self, contents: dict[str, bytes]) -> bool:
        """Use ``contents`` unless they are in use, or were looked at last.

        Raises:
            ConfigError: at the first time only.
        """
        digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in contents.values())).digest()
        known = digest in {self._looked_at, self._in_use}
        self._looked_at = digest
        if known:
            return False
        copy = _Copy(contents)
        try:
            copy.check(self._tls)
        except ConfigError as error:
            copy.close()
            if self._copy is None:
                raise
            self._tell(error)
            return False
        self._in_use = digest
        former, self._copy = self._copy, copy
        if former:
            former.close()
        return True

    def _tell(self, error: ConfigError) -> None:
        log.warning("the certificate has changed but cannot be used; the former stays in use", reason=str(error))


def _is_spoken(path: Path) -> bool:
    """Whether the HTTP server signs with a key that OpenSSL can read."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 - without TLS it is not needed
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError):
        return True  # parameters before the key, say: the worker will tell
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    return isinstance(key, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey)


def _in_memory(name: str, content: bytes) -> int:
    descriptor = os.memfd_create(f"entrepot-{name}")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    return descriptor
