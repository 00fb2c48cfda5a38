"""Client certificates that a trusted proxy has checked and tells of in a header.

Two ways of telling are understood, by the header's name:

``X-Forwarded-Client-Cert``
    Envoy's, and so that of service meshes: elements with commas between, each ``By=…;Hash=…;Cert="…";Chain="…";
    Subject="…";URI=…;DNS=…``. The **last element counts**: it is about the peer of the nearest proxy, which saw the
    handshake itself. With ``SANITIZE_SET`` it is the only one; with ``APPEND_FORWARD`` those before it are what that
    peer has sent, true only if the peer is a proxy that is trusted as well. So they are read, since a quote that is
    left open there must not swallow what follows, but never believed.
any other name
    One certificate as nginx's ``$ssl_client_escaped_cert`` has it (PEM, URL-encoded; AWS does it alike), or without the
    PEM's markers (Traefik; HAProxy's base64 of DER). The header must be there once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import msgspec

from entrepot.errors import ConfigError, InvalidInput, NotAuthenticated
from entrepot.kit import clock
from entrepot.kit.claim_rule import parse_rule
from entrepot.kit.expiring import ExpiringMap
from entrepot.web.exchange import Exchange

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name

ENVOY = "x-forwarded-client-cert"
_LONGEST = 64 * 1024
"""Characters of a header that is looked at."""
_KEPT = 1000
_KEPT_SECONDS = 300.0

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_END = b"-----END CERTIFICATE-----"
_FIELD = re.compile(r'\s*([A-Za-z]{1,20})=(?:"((?:[^"\\]|\\.)*)"|([^",;]*))\s*([,;]|$)', re.DOTALL)


class ClientCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a certificate; a proxy that sends only parts of it leaves the others empty."""

    subject: str = ""
    """As in RFC 4514: ``CN=builder,O=Acme``, the last part of the name first."""
    common_name: str = ""
    issuer: str = ""
    serial: str = ""
    """Hexadecimal, small letters."""
    fingerprint: str = ""
    """SHA-256 of the certificate in hexadecimal, small letters."""
    uris: tuple[str, ...] = ()
    """SPIFFE ids among them."""
    dns_names: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    begins: float | None = None
    """Seconds since the epoch."""
    ends: float | None = None

    def is_valid(self, now: float) -> bool:
        """Whether ``now`` (seconds since the epoch) lies in its time; true if that is not known."""
        return (self.begins is None or self.begins <= now) and (self.ends is None or now <= self.ends)

    def values(self) -> dict[str, Any]:
        """What rules are written on. What is not known is left out: no rule holds for it."""
        texts = {
            "subject": self.subject,
            "common_name": self.common_name,
            "issuer": self.issuer,
            "serial": self.serial,
            "fingerprint": self.fingerprint,
            "uri": self.uris[0] if self.uris else "",
        }
        known: dict[str, Any] = {name: text for name, text in texts.items() if text}
        return known | {"uris": list(self.uris), "dns": list(self.dns_names), "emails": list(self.emails)}


class Certificates:
    """Which principal a request's certificate stands for."""

    def __init__(self, header: str, rules: Sequence[tuple[str, str]]) -> None:
        """Read ``header``; the first of ``rules`` (rule, name of a robot or a user) that holds counts.

        Raises:
            ConfigError: a rule cannot be read.
        """
        self._header = header.lower().encode("latin-1", "replace")
        self._is_envoys = header.lower() == ENVOY
        self._seen: ExpiringMap[bytes, ClientCertificate] = ExpiringMap(_KEPT, clock.monotonic)
        try:
            self._rules = [(parse_rule(rule), principal) for rule, principal in rules]
        except InvalidInput as error:
            raise ConfigError(f"client_certificates.rules: {error.message}") from None

    def principal_of(self, exchange: Exchange) -> str | None:
        """The name of the robot account or the user whose certificate a request was sent with.

        To be asked only for requests that a trusted proxy has sent. ``None``: no certificate, one that cannot be read
        or that no rule is for, or one that is out of its time beside another credential.

        Raises:
            NotAuthenticated: the certificate is somebody's and all that the request shows, but out of its time.
        """
        certificate = self.certificate_of(exchange)
        if certificate is None:
            return None
        values = certificate.values()
        principal = next((principal for rule, principal in self._rules if rule.holds(values)), None)
        if principal is None or certificate.is_valid(clock.now()):
            return principal
        if exchange.header(b"authorization") or exchange.header(b"cookie"):
            return None
        # Proxies check this; but some are told to pass on whatever they see.
        held = f"{_text(certificate.begins)} to {_text(certificate.ends)}"
        raise NotAuthenticated(f"The client certificate holds from {held}: renew it, or look at the clocks.")

    def certificate_of(self, exchange: Exchange) -> ClientCertificate | None:
        """The certificate that a request was sent with, if it is told of one that can be read."""
        value = exchange.header(self._header)
        if not value or len(value) > _LONGEST:
            return None
        if not self._is_envoys and sum(name == self._header for name, _ in exchange.scope["headers"]) != 1:
            return None  # a proxy that adds its own to that of the client
        certificate = self._seen.get(value)
        if certificate is None:
            text = value.decode("latin-1")
            certificate = read_envoy(text) if self._is_envoys else read_escaped(text)
            if certificate is None:
                return None
            # A mesh shows the same few certificates with every request, and reading one costs 100 µs.
            self._seen.put(value, certificate, clock.monotonic() + _KEPT_SECONDS)
        return certificate


def _text(seconds: float | None) -> str:
    return clock.rfc3339(seconds) if seconds is not None else "?"


def read_envoy(text: str) -> ClientCertificate | None:
    """The certificate of the last element of an ``X-Forwarded-Client-Cert``; ``None`` if the header is malformed."""
    fields = _last_element(text)
    if fields is None:
        return None
    certs = fields.get("cert", []) or fields.get("chain", [])
    fingerprint = "".join(fields.get("hash", [])).lower()
    if certs:
        certificate = read_escaped(certs[0])
        differs = certificate is not None and fingerprint not in {"", certificate.fingerprint}
        return None if differs else certificate
    uris = tuple(filter(None, fields.get("uri", [])))
    names = tuple(filter(None, fields.get("dns", [])))
    subject, common_name = _read_subject("".join(fields.get("subject", [])))
    if not (uris or names or subject or fingerprint):
        return None
    return ClientCertificate(
        subject=subject, common_name=common_name, fingerprint=fingerprint, uris=uris, dns_names=names
    )


def _last_element(text: str) -> dict[str, list[str]] | None:
    """Its fields by their names in small letters.

    The grammar is kept strictly: after a closing quote a field ends. So whoever leaves a quote open in an element
    before cannot turn the inside of a later value into fields: none begins with a comma or a semicolon. A backslash
    stays what it is: Envoy puts the subject as it is between the quotes, where RFC 4514 has escaped those in it.
    """
    fields: dict[str, list[str]] = {}
    position, separator = 0, ";"
    while separator:
        found = _FIELD.match(text, position)
        if found is None:
            return None
        name, quoted, plain, separator = found.groups()
        fields.setdefault(name.lower(), []).append(plain.strip() if quoted is None else quoted)
        if separator == ",":
            fields = {}
        position = found.end()
    return fields


def read_escaped(text: str) -> ClientCertificate | None:
    """The certificate in URL-encoded PEM, or in base64 with or without PEM's markers; ``None`` if there is none."""
    from cryptography import x509  # noqa: PLC0415 - few installations need it

    content = unquote_to_bytes(text).strip().strip(b'"')
    if content.startswith(_BEGIN):
        body, end, _ = content.removeprefix(_BEGIN).partition(_END)
        if not end:
            return None
    else:
        body = content.split(b",", 1)[0]
    # A header cannot hold line ends: some proxies put spaces or tabs there.
    lines = b"\n".join([_BEGIN, b"".join(body.split()), _END])
    try:
        return _describe(x509.load_pem_x509_certificate(lines))
    except Exception:  # noqa: BLE001 - the fields of what is signed may still be anything
        return None


def _describe(certificate: Certificate) -> ClientCertificate:
    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    try:
        names: Any = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return ClientCertificate(
        subject=certificate.subject.rfc4514_string(),
        common_name=_common_name(certificate.subject),
        issuer=certificate.issuer.rfc4514_string(),
        serial=f"{certificate.serial_number:x}",
        fingerprint=certificate.fingerprint(SHA256()).hex(),
        uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        dns_names=tuple(names.get_values_for_type(x509.DNSName)),
        emails=tuple(names.get_values_for_type(x509.RFC822Name)),
        begins=certificate.not_valid_before_utc.timestamp(),
        ends=certificate.not_valid_after_utc.timestamp(),
    )


def _read_subject(text: str) -> tuple[str, str]:
    """A subject as certificates that are sent whole have it, and the common name in it."""
    from cryptography import x509  # noqa: PLC0415 - as above

    try:
        name = x509.Name.from_rfc4514_string(text)
    except Exception:  # noqa: BLE001 - text that a client may have chosen
        return text, ""
    return name.rfc4514_string(), _common_name(name)


def _common_name(name: Name) -> str:
    from cryptography.x509.oid import NameOID  # noqa: PLC0415 - as above

    found = [str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    # Two common names are a way to be taken for somebody else: whoever looks at one of them has seen half.
    return found[0] if len(found) == 1 else ""
