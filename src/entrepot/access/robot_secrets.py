"""Secrets of robot accounts: refreshed at once, or rotated with an overlap, so that nothing has to stop."""

from __future__ import annotations

import asyncio

import msgspec

from entrepot.access.events import RobotSecretAdded, RobotSecretRemoved, RobotSecretReplaced
from entrepot.access.robots import RobotAccounts
from entrepot.access.scopes import refusal
from entrepot.access.secret import check_secret, random_secret
from entrepot.auth.model import Caller, RobotSecret
from entrepot.auth.passwords import hash_password
from entrepot.auth.store import robots as store
from entrepot.database import Database, Transaction
from entrepot.errors import Conflict, NotFound
from entrepot.journal import store as journal
from entrepot.kit import clock

MOST_SECRETS = 5
"""Secrets that a robot account can have at one time: a wrong one is compared with each."""
LONGEST_OVERLAP = 24 * 366
"""Hours."""

_HOUR = 3_600_000_000
"""Microseconds."""


class NewSecret(msgspec.Struct, frozen=True):
    """A secret, told this once."""

    id: int
    secret: str


class RobotSecrets:
    """What robot accounts log in with."""

    def __init__(self, database: Database, accounts: RobotAccounts) -> None:
        self._database = database
        self._accounts = accounts

    async def refresh(self, caller: Caller, robot_id: int, wanted: str = "") -> str:
        """Replace every secret by one, ``wanted`` or made up; the made-up one is told this once.

        Raises:
            InvalidInput: ``wanted`` is too short, too long or too simple.
            NotFound: there is no such account.
            Denied: the caller may not.
        """
        robot = await self._accounts.require(caller, robot_id, "update", takes_over=True)
        if wanted:
            check_secret(wanted)
        secret = wanted or random_secret()
        secret_hash = await asyncio.to_thread(hash_password, secret)
        name = await self._accounts.name_of(robot)

        async def work(tx: Transaction) -> None:
            await _require_there(tx, robot_id)
            kept = await store.add_secret(tx, robot_id, secret_hash, clock.now_us())
            await store.delete_secrets(tx, robot_id, keep=kept)
            await store.end_tokens(tx, robot_id)
            event = RobotSecretReplaced(project_id=robot.project_id, robot_id=robot_id, robot=name)
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)
        return "" if wanted else secret

    async def add(self, caller: Caller, robot_id: int, *, overlap_hours: int | None) -> NewSecret:
        """Make one secret more; the older ones stay valid for ``overlap_hours`` (``None``: until they are removed).

        Raises:
            InvalidInput: the overlap is too long.
            NotFound: there is no such account.
            Conflict: it has too many secrets.
            Denied: the caller may not.
        """
        if overlap_hours is not None and not 0 <= overlap_hours <= LONGEST_OVERLAP:
            raise refusal(f"Older secrets can stay valid for 0 to {LONGEST_OVERLAP} hours, or be kept.")
        robot = await self._accounts.require(caller, robot_id, "update", takes_over=True)
        secret = random_secret()
        secret_hash = await asyncio.to_thread(hash_password, secret)
        name = await self._accounts.name_of(robot)

        async def work(tx: Transaction) -> int:
            await _require_there(tx, robot_id)
            now = clock.now_us()
            for old in await store.list_secrets(tx, robot_id):
                if old.expires_at is not None and old.expires_at <= now:
                    await store.delete_secret(tx, robot_id, old.id)
            if len(await store.list_secrets(tx, robot_id)) >= MOST_SECRETS:
                raise Conflict(f"A robot account has at most {MOST_SECRETS} secrets: remove one first.")
            added = await store.add_secret(tx, robot_id, secret_hash, now)
            ends = None if overlap_hours is None else now + overlap_hours * _HOUR
            if ends is not None:
                await store.expire_secrets(tx, robot_id, ends, keep=added)
                if not overlap_hours:
                    await store.end_tokens(tx, robot_id)
            event = RobotSecretAdded(
                project_id=robot.project_id,
                robot_id=robot_id,
                robot=name,
                secret_id=added,
                older_end_at=None if ends is None else ends // 1_000_000,
            )
            await journal.append(tx, caller.origin, event)
            return added

        return NewSecret(await self._database.write(work), secret)

    async def list_valid(self, caller: Caller, robot_id: int) -> list[RobotSecret]:
        """The secrets that are valid now, oldest first; what they are nobody can tell.

        Raises:
            NotFound: there is no such account.
            Denied: the caller may not see it.
        """
        await self._accounts.require(caller, robot_id, "read")
        now = clock.now_us()
        found = await store.list_secrets(self._database, robot_id)
        return [secret for secret in found if secret.expires_at is None or secret.expires_at > now]

    async def remove(self, caller: Caller, robot_id: int, secret_id: int) -> None:
        """Remove one secret; tokens that were issued to the account so far end, since any may stem from it.

        Raises:
            NotFound: there is no such account or secret.
            Denied: the caller may not.
        """
        robot = await self._accounts.require(caller, robot_id, "update", takes_over=True)
        name = await self._accounts.name_of(robot)

        async def work(tx: Transaction) -> None:
            if not await store.delete_secret(tx, robot_id, secret_id):
                raise NotFound(f"The robot account {name} has no secret {secret_id}.")
            await store.end_tokens(tx, robot_id)
            event = RobotSecretRemoved(project_id=robot.project_id, robot_id=robot_id, robot=name, secret_id=secret_id)
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)


async def _require_there(tx: Transaction, robot_id: int) -> None:
    if await store.find(tx, robot_id) is None:
        raise NotFound(f"There is no robot account {robot_id}.")
