"""Passwords: argon2 hashes, checked in a bounded pool.

A right password is remembered for a minute under a keyed hash, so that Basic on every request costs microseconds; a
wrong one for longer, so that repeating it costs nothing. A storm of wrong passwords finds a full queue.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from entrepot.errors import TooManyRequests
from entrepot.kit import clock
from entrepot.kit.expiring import ExpiringMap

T = TypeVar("T")

_RIGHT_SECONDS = 60.0
_WRONG_SECONDS = 600.0
_REMEMBERED = 16_384
_QUEUE = 64
_QUEUE_PER_ADDRESS = 16

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's parameters for argon2id: 19 MiB and about 20 ms a check, so the pool never takes much memory."""

_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$6UiFrKD1143DjO5i6nKF4Q$t+9dSw0HaFMfgcXTaEP9RO6xzs2D1rNkTj8wAlDX5kQ"
"""Checked when there is no such account, so that both cases take as long."""


def hash_password(password: str) -> str:
    """The argon2id hash to store; it takes 20 ms, so a server asks ``PasswordChecker.hash`` instead."""
    return _hasher.hash(password)


class PasswordChecker:
    """Checks passwords without letting anybody take the machine."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        # Two memories: a storm of wrong passwords must not push the right ones out.
        self._right: ExpiringMap[bytes, int] = ExpiringMap(_REMEMBERED, clock.monotonic)
        self._wrong: ExpiringMap[bytes, bool] = ExpiringMap(_REMEMBERED, clock.monotonic)
        self._waiting = 0
        self._by_address: dict[str, int] = {}
        self._pool = ThreadPoolExecutor(
            max(1, (os.cpu_count() or 1) // 2), thread_name_prefix="argon2", initializer=_be_nice
        )

    def fingerprint(self, name: str, password: str, hashes: Sequence[str]) -> bytes:
        """Names one credential under the stored hashes, without keeping the password."""
        text = "\0".join((str(len(name)), str(len(password)), name, password, *hashes))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()

    def recall(self, fingerprint: bytes) -> int | None:
        """Which hash this credential fitted when it was checked, from 1; 0: none; ``None``: it was not, or long ago."""
        return self._right.get(fingerprint) or (None if self._wrong.get(fingerprint) is None else 0)

    def check(
        self, fingerprint: bytes, password: str, hashes: Sequence[str], client_address: str
    ) -> asyncio.Future[int]:
        """Begin to find out which of ``hashes`` (none: there is no such account) ``password`` fits, from 1; 0: none.

        Raises:
            TooManyRequests: too many checks are waiting.
        """

        def work() -> int:
            if not hashes:
                _matches(_NOBODY, password)
                return 0
            return next((number for number, known in enumerate(hashes, 1) if _matches(known, password)), 0)

        async def check() -> int:
            number = await running
            if number:
                self._right.put(fingerprint, number, clock.monotonic() + _RIGHT_SECONDS)
            else:
                self._wrong.put(fingerprint, True, clock.monotonic() + _WRONG_SECONDS)
            return number

        running = self._submit(work, client_address)
        return asyncio.ensure_future(check())

    async def hash(self, password: str, client_address: str) -> str:
        """The hash to store.

        Raises:
            TooManyRequests: too many checks are waiting.
        """
        return await self._submit(lambda: hash_password(password), client_address)

    def _submit(self, work: Callable[[], T], client_address: str) -> asyncio.Future[T]:
        waiting = self._by_address.get(client_address, 0)
        if self._waiting >= _QUEUE or waiting >= _QUEUE_PER_ADDRESS:
            raise TooManyRequests(
                "Too many logins are being checked: try again in some seconds.",
                headers=((b"retry-after", b"3"),),
            )
        self._by_address[client_address] = waiting + 1
        self._waiting += 1

        def leave(_done: object) -> None:
            self._waiting -= 1
            self._by_address[client_address] -= 1
            if not self._by_address[client_address]:
                del self._by_address[client_address]

        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(leave)
        return future


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def _be_nice() -> None:
    """Let requests go before password checks: on Linux a thread has a niceness of its own."""
    os.nice(5)
