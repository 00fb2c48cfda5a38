"""Who is the client when proxies stand in between.

``X-Forwarded-*`` is believed only from a configured network, and read from the right: the first address that is not
a trusted proxy is the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from entrepot.errors import ConfigError
from entrepot.web.exchange import Exchange

Network = IPv4Network | IPv6Network


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks in CIDR notation.

    Raises:
        ConfigError: one of them is not a network.
    """
    try:
        return tuple(ip_network(text, strict=False) for text in texts)
    except ValueError as error:
        raise ConfigError(f"trusted_proxies: {error}; write networks such as 10.0.0.0/8.") from None


def contains(networks: Sequence[Network], address: str) -> bool:
    """Whether ``address`` lies in one of ``networks``."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)


def apply_forwarded(exchange: Exchange, trusted: Sequence[Network]) -> None:
    """Replace address, scheme and host by what a trusted proxy says of them."""
    if not contains(trusted, exchange.client_address):
        return
    chain = [part.strip() for part in exchange.text(b"x-forwarded-for").split(",") if part.strip()]
    for address in reversed(chain):
        exchange.client_address = address.removeprefix("[").removesuffix("]")
        if not contains(trusted, exchange.client_address):
            break
    scheme = exchange.text(b"x-forwarded-proto").split(",")[0].strip().lower()
    if scheme in {"http", "https"}:
        exchange.scheme = scheme
    host = exchange.text(b"x-forwarded-host").split(",")[0].strip()
    if host:
        exchange.host = host
