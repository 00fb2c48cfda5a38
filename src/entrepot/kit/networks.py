"""Addresses and networks: how they are read, and rules that allow or deny by them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LONGEST = 64
_MAPPED_BITS = 96
"""The bits of an IPv6 network that come before an IPv4 address in it (``::ffff:0:0/96``)."""


@lru_cache(maxsize=8192)
def parse_address(text: str) -> Address | None:
    """An address as a machine tells it, ``None`` if it is none.

    The same machine is always the same value: a zone (``fe80::1%eth0``) is left out, and an IPv4 address that was
    mapped into IPv6 (``::ffff:192.0.2.1``) is an IPv4 address.
    """
    if len(text) > _LONGEST:
        return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def parse_network(text: str) -> Network:
    """A network in CIDR notation, or a single address; bits of the host are left out.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    wrong = ValueError(f"{text[:_LONGEST]!r} is not a network: write networks such as 10.0.0.0/8 or 2001:db8::/32")
    if len(text) > _LONGEST or "%" in text:
        raise wrong
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise wrong from None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= _MAPPED_BITS:
        return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks, each once, in the order in which they are given.

    Raises:
        ValueError: one of them is none.
    """
    return tuple(dict.fromkeys(parse_network(text) for text in texts))


def split_networks(text: str) -> list[str]:
    """The networks of a text in which commas stand between them."""
    return [part for part in (piece.strip() for piece in text.split(",")) if part]


def contains(networks: Sequence[Network], address: str) -> bool:
    """Whether ``address`` lies in one of ``networks``; what is no address lies in none."""
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in networks)


class AddressRules(msgspec.Struct, frozen=True):
    """From where something may be used: ``deny`` wins, and an empty ``allow`` is everywhere else."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any rule."""
        return bool(self.allow or self.deny)

    def lets(self, address: str) -> bool:
        """Whether ``address`` is let in; where there is any rule, what is no address is not."""
        if not self.allow and not self.deny:
            return True
        parsed = parse_address(address)
        if parsed is None or any(parsed in network for network in self.deny):
            return False
        return not self.allow or any(parsed in network for network in self.allow)


EVERYWHERE = AddressRules()


def parse_rules(allow: Iterable[str], deny: Iterable[str]) -> AddressRules:
    """Rules from networks as people write them.

    Raises:
        ValueError: one of them is none.
    """
    return AddressRules(parse_networks(allow), parse_networks(deny))
