"""Who is the client when proxies stand in between.

What a header says is believed only from a configured network, and read from the right: each trusted proxy adds whom it
was asked by, so the first address that is no trusted proxy's is the client's, and whatever stands left of it was sent
by the client itself.

**Which header counts.** ``X-Forwarded-For``, and with it ``X-Forwarded-Proto`` and ``-Host``, if there is one; only
without it ``Forwarded`` (RFC 7239), which then says address, scheme and host. A proxy that writes one passes on what a
client sends as the other, and nothing here can tell which it writes. So nginx, which writes ``X-Forwarded-For``, may
pass ``Forwarded`` through: it is not looked at. A proxy that writes ``Forwarded`` must remove every ``X-Forwarded-``
header that it is sent, and one that writes ``X-Forwarded-For`` must write ``-Proto`` and ``-Host`` too, or remove them.

**Several values.** Of ``X-Forwarded-Proto`` and ``-Host`` the last counts: the trusted proxy wrote it, an earlier one
may be the client's. With proxies in a row the inner one must pass on what the outer one said. Of ``Forwarded`` the
element counts that names the client, since a trusted proxy wrote the whole of it.

**What cannot be read** makes the client ``unknown``: an address without rights, which every rule refuses. To fall back
to the proxy's own address would let in whoever sends garbage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from entrepot.errors import ConfigError
from entrepot.kit import networks
from entrepot.kit.networks import Network, contains, parse_address
from entrepot.web.exchange import Exchange

__all__ = ["UNKNOWN", "Network", "apply_forwarded", "contains", "normalise", "parse_networks"]

UNKNOWN = "unknown"
"""The address of a client that a trusted proxy does not name, or not so that it can be read."""

_MOST_HOPS = 32
_HOST = re.compile(r"[A-Za-z0-9._~-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
_BRACKETED = re.compile(r"\[([^\]]*)\](?::[0-9_a-zA-Z.-]*)?")
_WITH_PORT = re.compile(r"([0-9.]+):[0-9_a-zA-Z.-]*")
# RFC 7239, section 4; like most servers this takes an address without quotes too, brackets and colons in it.
_PAIR = re.compile(r'[ \t]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;=]+))[ \t]*')
_EMPTY = re.compile(r"[ \t]*")

Element = dict[str, str]
"""One hop of ``Forwarded``: its parameters by name."""


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks of trusted proxies, in CIDR notation.

    Raises:
        ConfigError: one of them is not a network.
    """
    try:
        return networks.parse_networks(texts)
    except ValueError as error:
        raise ConfigError(f"trusted_proxies: {error}.") from None


def normalise(address: str) -> str:
    """An address as everything else compares it: no zone, no IPv4 inside of IPv6; what is none stays as it is."""
    parsed = parse_address(address)
    return address if parsed is None else str(parsed)


def apply_forwarded(exchange: Exchange, trusted: Sequence[Network]) -> None:
    """Replace address, scheme and host by what a trusted proxy says of them; garbage never raises."""
    if not contains(trusted, exchange.client_address):
        return
    exchange.behind_proxy = True
    chain = exchange.text(b"x-forwarded-for")
    forwarded = exchange.text(b"forwarded")
    if forwarded and not chain.strip(" \t,"):
        _apply_elements(exchange, parse_forwarded(forwarded), trusted)
        return
    for hops, entry in enumerate(_from_the_right(chain)):
        exchange.client_address = UNKNOWN if hops >= _MOST_HOPS else address_of(entry)
        if not contains(trusted, exchange.client_address):
            break
    _apply(exchange, _last(exchange.text(b"x-forwarded-proto")), _last(exchange.text(b"x-forwarded-host")))


def _apply_elements(exchange: Exchange, elements: list[Element] | None, trusted: Sequence[Network]) -> None:
    if elements is None:
        exchange.client_address = UNKNOWN
        return
    named: Element = {}
    for hops, element in enumerate(reversed(elements)):
        if "for" not in element:
            # This proxy does not tell addresses; what it says of scheme and host still counts for the nearest hop.
            named = named or element
            break
        named = element
        exchange.client_address = UNKNOWN if hops >= _MOST_HOPS else address_of(element["for"])
        if not contains(trusted, exchange.client_address):
            break
    _apply(exchange, named.get("proto", ""), named.get("host", ""))


def _apply(exchange: Exchange, scheme: str, host: str) -> None:
    if scheme.lower() in {"http", "https"}:
        exchange.scheme = scheme.lower()
    if _HOST.fullmatch(host):
        exchange.host = host


def _from_the_right(chain: str) -> Iterator[str]:
    """The entries of a list, the last first, without looking at more than is asked for."""
    end = len(chain)
    while end >= 0:
        start = chain.rfind(",", 0, end)
        entry = chain[start + 1 : end].strip()
        if entry:
            yield entry
        end = start


def _last(values: str) -> str:
    return values.rpartition(",")[2].strip()


def address_of(node: str) -> str:
    """The address of ``192.0.2.1``, ``192.0.2.1:47``, ``2001:db8::1``, ``[2001:db8::1]:47``; else ``UNKNOWN``.

    Names that hide an address (``unknown``, ``_secret``) are none.
    """
    node = node.strip().strip('"')
    matched = _BRACKETED.fullmatch(node) or _WITH_PORT.fullmatch(node)
    parsed = parse_address(matched[1] if matched else node)
    return UNKNOWN if parsed is None else str(parsed)


def parse_forwarded(text: str) -> list[Element] | None:
    """The elements of ``Forwarded``, or ``None`` if anything in it breaks the grammar.

    Nothing is skipped: a client's quotation mark that nobody closes would swallow what the proxy added after it.
    """
    elements: list[Element] = []
    element: Element = {}
    at = 0
    while True:
        matched = _PAIR.match(text, at)
        if matched:
            name = matched[1].lower()
            if name in element:
                return None
            element[name] = re.sub(r"\\(.)", r"\1", matched[2]) if matched[2] is not None else matched[3]
        else:
            matched = _EMPTY.match(text, at)  # an empty element of a list is allowed (RFC 9110, 5.6.1)
        at = matched.end() if matched else at
        separator = text[at : at + 1]
        if separator == ";":
            at += 1
            continue
        if element:
            elements.append(element)
            element = {}
        if separator != ",":
            return None if separator else elements
        at += 1
