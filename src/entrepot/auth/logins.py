"""Logins: the one place where a password or a robot's secret is compared.

What was right a moment ago is let in before anything else is looked at. Then failures throttle, then argon2 decides,
then whoever vouches for people elsewhere, and the outcome is counted and recorded. An account that does not exist takes
the same way.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

import msgspec
import structlog

from entrepot.auth.model import LoggedIn, LoginFailed, User
from entrepot.auth.passwords import PasswordChecker
from entrepot.auth.throttle import (
    BY_ACCOUNT,
    BY_ACCOUNT_AND_ADDRESS,
    BY_ADDRESS,
    REGISTRATIONS_BY_ADDRESS,
    Limit,
    Throttle,
    key_of,
    network_of,
    too_early,
)
from entrepot.database import Database, Transaction
from entrepot.errors import EntrepotError, Unavailable
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.kit.expiring import ExpiringMap

_LONGEST_NAME = 255
_TOLD_SECONDS = 10.0
_FAMILIAR_SECONDS = 86_400.0
_REMEMBERED = 16_384
_OURS = 500
"""From here on a status tells of a failure of ours, not of the caller."""

log = structlog.get_logger()


class Checked(msgspec.Struct, frozen=True):
    """What came of a check."""

    number: int = 0
    """Which of the hashes fitted, from 1; 0: none."""
    user: User | None = None
    """The account that somebody elsewhere vouched for."""
    provider: str = ""
    """Who that was."""

    @property
    def is_right(self) -> bool:
        """Whether the credential is good."""
        return self.number > 0 or self.user is not None


WRONG = Checked()


class Elsewhere(Protocol):
    """Whoever vouches for people whose passwords are not kept here."""

    async def recall(self, name: str, password: str) -> Checked | None:
        """Who these were a moment ago; ``WRONG`` if nobody; ``None`` if they were not asked."""

    async def ask(self, name: str, password: str, origin: Origin) -> Checked:
        """Who they are.

        Raises:
            EntrepotError: somebody who might know does not answer, or the person may not be let in.
        """


class Logins:
    """Checks credentials, throttles guesses, records what came of it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._checker = PasswordChecker()
        self._throttle = Throttle(database)
        self._running: dict[bytes, asyncio.Task[Checked]] = {}
        self._guesses: dict[str, int] = {}
        """Checks that run, by account and address: they are not counted yet."""
        self._familiar: ExpiringMap[str, bool] = ExpiringMap(_REMEMBERED, clock.monotonic)
        """Where accounts have logged in from: guesses made elsewhere do not keep them out."""
        self._told: ExpiringMap[bytes, bool] = ExpiringMap(_REMEMBERED, clock.monotonic)

    async def check(self, name: str, password: str, hashes: Sequence[str], origin: Origin) -> bool:
        """Whether ``password`` is behind one of ``hashes``, as ``log_in``."""
        return (await self.log_in(name, password, hashes, origin)).is_right

    async def log_in(
        self,
        name: str,
        password: str,
        hashes: Sequence[str],
        origin: Origin,
        *,
        elsewhere: Elsewhere | None = None,
        begins_session: bool = False,
    ) -> Checked:
        """Whether ``password`` is behind one of ``hashes``, or somebody elsewhere vouches for it.

        Args:
            name: the account that was named.
            password: what was shown.
            hashes: the account's; none if there is no such account, or it may not log in.
            origin: who asks.
            elsewhere: who else is asked.
            begins_session: record a login even if the password was remembered.

        Raises:
            TooManyRequests: too many attempts failed, or too many are being checked.
            EntrepotError: see ``Elsewhere.ask``.
        """
        fingerprint = self._checker.fingerprint(name, password, hashes)
        seen = self._checker.recall(fingerprint)
        known = None if seen is None else Checked(seen)
        if elsewhere is not None and not seen:
            there = await elsewhere.recall(name, password)
            known = there if there is None or there.is_right else known
        if known is None:
            return await self._decide(fingerprint, name, password, hashes, origin, elsewhere)
        if not known.is_right:
            await self._repeated(fingerprint, name, origin)
        elif begins_session:
            await self._succeeded(name, origin, known, None)
        return known

    async def hash(self, password: str, origin: Origin) -> str:
        """The hash of a new password, made beside the event loop.

        Raises:
            TooManyRequests: too many passwords are being checked.
        """
        return await self._checker.hash(password, origin.client_address)

    async def count_registration(self, origin: Origin) -> None:
        """Count an account that somebody makes for themselves.

        Raises:
            TooManyRequests: too many were made from this address.
        """
        key = key_of("registration", network_of(origin.client_address))
        await self._throttle.require({key: REGISTRATIONS_BY_ADDRESS})
        await self._database.write(lambda tx: self._throttle.count(tx, [key]), durable=False)

    async def expire(self) -> None:
        """Delete counts of failures that do not matter any more."""
        await self._throttle.expire()

    async def _decide(
        self,
        fingerprint: bytes,
        name: str,
        password: str,
        hashes: Sequence[str],
        origin: Origin,
        elsewhere: Elsewhere | None,
    ) -> Checked:
        running = self._running.get(fingerprint)
        if running is None:
            limits = self._limits(name, origin)
            counted = await self._throttle.require(limits)
            pair = next(iter(limits))
            guesses = self._guesses.get(pair, 0)
            if guesses >= max(1, BY_ACCOUNT_AND_ADDRESS.free - counted.get(pair, 0)):
                raise too_early(1)
            local = self._checker.check(fingerprint, password, hashes, origin.client_address)

            async def checking() -> Checked:
                number = await local
                return Checked(number) if number or elsewhere is None else await elsewhere.ask(name, password, origin)

            self._guesses[pair] = guesses + 1
            outcome = self._settle(fingerprint, checking(), name, origin, is_counted=pair in counted)
            running = asyncio.ensure_future(outcome)
            self._running[fingerprint] = running
        return await asyncio.shield(running)

    async def _settle(
        self, fingerprint: bytes, checking: Awaitable[Checked], name: str, origin: Origin, *, is_counted: bool
    ) -> Checked:
        pair = _keys(name, origin)[0]
        try:
            checked = await checking
            if checked.is_right:
                self._familiar.put(pair, True, clock.monotonic() + _FAMILIAR_SECONDS)
                await self._succeeded(name, origin, checked, pair if is_counted else None)
            else:
                self._told.put(fingerprint, True, clock.monotonic() + _TOLD_SECONDS)
                await self._failed(name, origin, list(_keys(name, origin)))
        except EntrepotError as error:
            if error.status < _OURS:  # the password was right, and the person is not let in: told, and no guess
                await self._failed(name, origin, [])
            raise
        else:
            return checked
        finally:
            del self._running[fingerprint]
            self._guesses[pair] -= 1
            if not self._guesses[pair]:
                del self._guesses[pair]

    def _limits(self, name: str, origin: Origin) -> Mapping[str, Limit]:
        pair, address, account = _keys(name, origin)
        limits = {pair: BY_ACCOUNT_AND_ADDRESS, address: BY_ADDRESS}
        if self._familiar.get(pair) is None:
            limits[account] = BY_ACCOUNT
        return limits

    async def _repeated(self, fingerprint: bytes, name: str, origin: Origin) -> None:
        """The same wrong password again: no new guess, so it does not count, but it is told, now and then."""
        if self._told.get(fingerprint) is None:
            self._told.put(fingerprint, True, clock.monotonic() + _TOLD_SECONDS)
            await self._failed(name, origin, [])

    async def _succeeded(self, name: str, origin: Origin, checked: Checked, clear: str | None) -> None:
        if checked.user is not None:
            name = checked.user.name

        async def work(tx: Transaction) -> None:
            if clear:
                await self._throttle.clear(tx, clear)
            event = LoggedIn(user=name, provider=checked.provider)
            await journal.append(tx, msgspec.structs.replace(origin, principal=name), event)

        try:
            await self._database.write(work, durable=False)
        except Unavailable as error:
            # A full disk must not keep anybody from pulling.
            log.warning("login not recorded", user=name, client_address=origin.client_address, error=error.message)

    async def _failed(self, name: str, origin: Origin, keys: list[str]) -> None:
        tried = storable(name)

        async def work(tx: Transaction) -> None:
            if keys:
                await self._throttle.count(tx, keys)
            await journal.append(tx, msgspec.structs.replace(origin, principal=tried), LoginFailed(user=tried))

        await self._database.write(work, durable=False)


def storable(name: str) -> str:
    """A name as it was tried, short enough and fit for a text column."""
    return name[:_LONGEST_NAME].encode("utf-8", "replace").decode().replace("\0", "?")


def _keys(name: str, origin: Origin) -> tuple[str, str, str]:
    """What failures are counted under: account and address, address, account."""
    network, name = network_of(origin.client_address), _plain(name)
    return key_of("pair", name, network), key_of("address", network), key_of("account", name)


def _plain(name: str) -> str:
    """A name without what directories do not look at: each way to write it would be as many guesses more."""
    if name.isascii():
        return "".join(name.lower().split())
    letters = unicodedata.normalize("NFKD", name[:_LONGEST_NAME]).casefold()
    return "".join(letter for letter in letters if unicodedata.category(letter)[0] not in "CMZ")
