"""Throttling by failures: what may be tried again, and when.

Counts stand in the database, so that all worker processes count together. Nobody is kept waiting: who comes too early
is told at once when to come back. Keys are hashes, so that rows are small whatever was tried.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address, ip_address

import msgspec

from entrepot.auth.store import failures as store
from entrepot.database import Database, Transaction
from entrepot.errors import TooManyRequests
from entrepot.kit import clock


class Limit(msgspec.Struct, frozen=True):
    """How many failures are free; after that each doubles the wait, from one second to ``longest`` seconds."""

    free: int
    longest: int

    def wait(self, failures: int) -> int:
        """Seconds to wait after the last of so many failures."""
        over = failures - self.free
        return 0 if over <= 0 else min(self.longest, 1 << min(over - 1, 16))


BY_ACCOUNT_AND_ADDRESS = Limit(5, 60)
BY_ADDRESS = Limit(30, 60)
BY_ACCOUNT = Limit(100, 10)
"""Softer: else anybody could keep the account's owner out."""
BY_ADDRESS_WITH_TOKEN = Limit(30, 60)
"""Wrong personal access tokens, counted apart: guessing one is hopeless, so nobody else at the address must suffer."""
REGISTRATIONS_BY_ADDRESS = Limit(10, 600)

FORGOTTEN_AFTER = 3600
"""Seconds without a failure after which a count begins anew."""
MOST_COUNTS = 100_000
"""Rows that are kept; of more than that the oldest go."""


class Throttle:
    """The counts of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def require(self, limits: Mapping[str, Limit]) -> dict[str, int]:
        """Let the caller try, and return the failures counted under each key (at most three).

        Raises:
            TooManyRequests: it is too early; the answer says when it is not.
        """
        now = clock.now_us()
        wait = 0.0
        counted = {}
        for key, (failures, last_at) in (await store.find(self._database, list(limits))).items():
            if now - last_at < FORGOTTEN_AFTER * 1_000_000:
                counted[key] = failures
                wait = max(wait, limits[key].wait(failures) - (now - last_at) / 1_000_000)
        if wait > 0:
            raise too_early(math.ceil(wait))
        return counted

    async def count(self, tx: Transaction, keys: Sequence[str]) -> None:
        """Count a failure under each of ``keys``."""
        now = clock.now_us()
        await store.count(tx, keys, now, now - FORGOTTEN_AFTER * 1_000_000)

    async def clear(self, tx: Transaction, key: str) -> None:
        """Forget the failures under ``key``."""
        await store.clear(tx, key)

    async def expire(self) -> None:
        """Delete counts that do not matter any more, and the oldest of too many."""
        before = clock.now_us() - FORGOTTEN_AFTER * 1_000_000
        while await self._database.write(lambda tx: store.expire(tx, before), durable=False):
            pass
        while await self._database.write(lambda tx: store.trim(tx, MOST_COUNTS), durable=False):
            pass


def key_of(kind: str, *parts: str) -> str:
    """The key under which failures are counted."""
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return f"{kind}:{hashlib.blake2b(text, digest_size=16).hexdigest()}"


def network_of(client_address: str) -> str:
    """What counts as one address: of IPv6 the first 64 bits, since any customer has all the rest."""
    try:
        address = ip_address(client_address.partition("%")[0])
    except ValueError:
        return client_address
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


def too_early(seconds: int) -> TooManyRequests:
    """The refusal of who comes ``seconds`` too early."""
    return TooManyRequests(
        f"Too many attempts failed: try again in {seconds} second{'s' if seconds != 1 else ''}.",
        headers=((b"retry-after", b"%d" % seconds),),
    )
