"""Asking providers again: what became of people who came with something that the registry keeps itself.

A session, a personal token or a bearer token does not pass by the provider. So once what the provider said is older
than its ``cache_seconds``, the next request asks it again: groups and rights follow the source, and who is gone there
is gone here. A provider that does not answer changes nothing, and nobody waits for it for long.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from entrepot.auth.accounts import Accounts
from entrepot.auth.directory import Directory
from entrepot.auth.model import User
from entrepot.auth.provider import CannotTell, Link, Provider, ProviderUnreachable
from entrepot.auth.store import links as store
from entrepot.database import Database
from entrepot.errors import EntrepotError
from entrepot.journal.model import SYSTEM
from entrepot.kit import clock
from entrepot.kit.expiring import ExpiringMap
from entrepot.kit.secretbox import SecretBox

_NEVER = float("inf")
_AGAIN_SECONDS = 15.0
_PATIENCE = 2.0
"""Seconds that a request waits; what comes later counts for the next one."""
_REMEMBERED = 16_384

log = structlog.get_logger()


class Rechecks:
    """Asks each provider at most once in its time, whoever waits for it."""

    def __init__(self, database: Database, directory: Directory, accounts: Accounts, box: SecretBox) -> None:
        self._database = database
        self._directory = directory
        self._accounts = accounts
        self._box = box
        self._running: dict[int, asyncio.Task[None]] = {}
        self._silent: ExpiringMap[int | str, bool] = ExpiringMap(_REMEMBERED, clock.monotonic)
        """Providers that did not answer a moment ago, by name, and accounts that could not be asked about."""

    async def due_at(self, user: User) -> float:
        """When a provider must be asked about an account, in seconds since the epoch.

        Accounts that are kept here too: an address may have tied them to a person.
        """
        due = _NEVER
        if not await self._directory.providers():
            return due
        for link in await store.of_user(self._database, user.id):
            provider = await self._directory.find(link.provider)
            if provider is not None and not link.is_gone:
                due = min(due, link.checked_at / 1_000_000 + provider.policy.cache_seconds)
        return due

    async def ask(self, user_id: int) -> None:
        """Ask now, once for all who wait, and not for long; never an error."""
        if self._silent.get(user_id) is not None:
            return
        running = self._running.get(user_id)
        if running is None:
            running = asyncio.ensure_future(self._ask(user_id))
            self._running[user_id] = running
            running.add_done_callback(lambda done: self._ended(user_id, done))
        await asyncio.wait((running,), timeout=_PATIENCE)
        if running.done():
            running.result()
        else:
            self._leave_alone(user_id)

    async def _ask(self, user_id: int) -> None:
        for link in await store.of_user(self._database, user_id):
            provider = await self._directory.find(link.provider)
            if provider is None or link.is_gone:
                continue
            if self._silent.get(provider.name) is not None:
                self._leave_alone(user_id)
                continue
            if link.checked_at / 1_000_000 + provider.policy.cache_seconds > clock.now():
                continue  # another process has just asked
            slow = asyncio.get_running_loop().call_later(_PATIENCE, self._leave_alone, provider.name)
            try:
                await self._look_up(provider, link)
                self._silent.discard(user_id)
            except ProviderUnreachable as error:
                self._leave_alone(provider.name)
                log.warning("identity provider unreachable", provider=provider.name, error=error.message)
            except Exception as error:
                # One who is known and could not be let in now (too many groups) keeps what there is: nobody is lost
                # because somebody tidies up the source.
                self._leave_alone(user_id)
                if isinstance(error, EntrepotError):
                    log.warning("account not checked", provider=provider.name, error=error.message)
                else:
                    log.exception("account not checked", provider=provider.name)
            finally:
                slow.cancel()

    def _leave_alone(self, key: int | str) -> None:
        """Ask nothing about an account, or nothing of a provider, for some seconds: else all its people would wait."""
        self._silent.put(key, True, clock.monotonic() + _AGAIN_SECONDS)

    def _ended(self, user_id: int, task: asyncio.Task[None]) -> None:
        self._running.pop(user_id, None)
        if not task.cancelled():
            task.exception()  # whoever waited may have gone

    async def _look_up(self, provider: Provider, link: Link) -> None:
        # One process asks: a refresh token may be good for one use only, and a second one may revoke them all.
        claimed = msgspec.structs.replace(link, checked_at=clock.now_us())
        if not await self._database.write(lambda tx: store.claim(tx, link, claimed.checked_at), durable=False):
            return
        try:
            await self._look_up_claimed(provider, claimed)
        except BaseException:
            await self._database.write(lambda tx: store.claim(tx, claimed, link.checked_at), durable=False)
            raise

    async def _look_up_claimed(self, provider: Provider, link: Link) -> None:
        credential = ""
        if link.credential is not None:
            credential = self._box.open(link.credential)
        try:
            person = await provider.look_up(link, credential)
        except CannotTell:
            await self._accounts.keep(link, without_credential=True)
            return
        if person is None:
            await self._accounts.lose(link, provider.policy, SYSTEM)
        else:
            await self._accounts.admit(person, provider.policy, SYSTEM)
