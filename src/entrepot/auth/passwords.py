"""Passwords: argon2 hashes, checked in a bounded pool.

A right password is remembered for a minute under a keyed hash, so that Basic on every request costs microseconds; a
wrong one for some seconds, so that repeating it costs nothing. A storm of wrong passwords finds a full queue.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from entrepot.errors import TooManyRequests
from entrepot.kit import clock
from entrepot.kit.expiring import ExpiringMap

_RIGHT_SECONDS = 60.0
_WRONG_SECONDS = 10.0
_QUEUE = 64
_QUEUE_PER_ADDRESS = 16

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's parameters for argon2id: 19 MiB and about 20 ms a check, so the pool never takes much memory."""

_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$6UiFrKD1143DjO5i6nKF4Q$t+9dSw0HaFMfgcXTaEP9RO6xzs2D1rNkTj8wAlDX5kQ"
"""Checked when there is no such account, so that both cases take as long."""


def hash_password(password: str) -> str:
    """The argon2id hash to store."""
    return _hasher.hash(password)


class PasswordChecker:
    """Checks passwords without letting anybody take the machine."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._seen: ExpiringMap[bytes, bool] = ExpiringMap(16_384, clock.monotonic)
        self._running: dict[bytes, asyncio.Future[bool]] = {}
        self._by_address: dict[str, int] = {}
        self._pool = ThreadPoolExecutor(
            max(1, (os.cpu_count() or 1) // 2), thread_name_prefix="argon2", initializer=_be_nice
        )

    async def check(self, name: str, password: str, password_hash: str | None, client_address: str) -> bool:
        """Whether ``password`` is the one behind ``password_hash`` (``None``: there is no such account).

        Raises:
            TooManyRequests: too many checks are waiting.
        """
        key = self._fingerprint(name, password, password_hash)
        seen = self._seen.get(key)
        if seen is not None:
            return seen
        running = self._running.get(key)
        if running is None:
            self._admit(client_address)
            running = asyncio.ensure_future(self._verify(key, password, password_hash, client_address))
            self._running[key] = running
        return await asyncio.shield(running)

    async def _verify(self, key: bytes, password: str, password_hash: str | None, client_address: str) -> bool:
        try:
            right = await asyncio.get_running_loop().run_in_executor(
                self._pool, _matches, password_hash or _NOBODY, password
            )
            right = right and password_hash is not None
            self._seen.put(key, right, clock.monotonic() + (_RIGHT_SECONDS if right else _WRONG_SECONDS))
            return right
        finally:
            del self._running[key]
            self._by_address[client_address] -= 1
            if not self._by_address[client_address]:
                del self._by_address[client_address]

    def _admit(self, client_address: str) -> None:
        waiting = self._by_address.get(client_address, 0)
        if len(self._running) >= _QUEUE or waiting >= _QUEUE_PER_ADDRESS:
            raise TooManyRequests(
                "Too many logins are being checked: try again in some seconds.",
                headers=((b"retry-after", b"3"),),
            )
        self._by_address[client_address] = waiting + 1

    def _fingerprint(self, name: str, password: str, password_hash: str | None) -> bytes:
        """Names one credential under the current stored hash, without keeping the password."""
        text = "\0".join((name, password, password_hash or ""))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def _be_nice() -> None:
    """Let requests go before password checks: on Linux a thread has a niceness of its own."""
    os.nice(5)
