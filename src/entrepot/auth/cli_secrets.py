"""CLI secrets: what people whose passwords are kept elsewhere show to ``docker login``, with an end of its own."""

from __future__ import annotations

import re
import secrets

import msgspec

from entrepot.auth.events import CliSecretRevoked, CliSecretSet
from entrepot.auth.logins import Logins
from entrepot.auth.model import USER, Caller, User
from entrepot.auth.personal_tokens import PREFIX as TOKEN_PREFIX
from entrepot.auth.store import cli_secrets as store
from entrepot.auth.store import users
from entrepot.auth.store.cli_secrets import CliSecretRow
from entrepot.database import Database, Transaction
from entrepot.database.cache import VersionedCache
from entrepot.errors import Denied, InvalidInput, NotFound, Precondition
from entrepot.journal import store as journal
from entrepot.kit import clock
from entrepot.settings.service import Settings

PREFIX = "entc_"
"""What made up secrets begin with, so that those who search code for leaked secrets know them."""

_DAY = 86_400_000_000
_LEAST, _MOST = 8, 128
_KINDS = tuple(re.compile(kind) for kind in ("[A-Z]", "[a-z]", "[0-9]"))
_WITH_PASSWORD = frozenset({"basic", "session"})


class CliSecret(msgspec.Struct, frozen=True):
    """A secret that was just set, and is shown this once; ``expires_at`` in microseconds since the epoch."""

    secret: str
    expires_at: int | None


class _Known(msgspec.Struct, frozen=True):
    """What an account has, be it nothing."""

    row: CliSecretRow | None


class CliSecrets:
    """The CLI secrets of one database."""

    def __init__(self, database: Database, logins: Logins, settings: Settings) -> None:
        self._database = database
        self._logins = logins
        self._settings = settings
        self._by_user: VersionedCache[_Known] = VersionedCache(database, 10_000)

    async def find(self, user_id: int) -> CliSecretRow | None:
        """An account's secret, even if it has expired."""
        known, version = self._by_user.lookup(user_id)
        if known is None:
            known = _Known(await store.find(self._database, user_id))
            self._by_user.fill(user_id, known, version)
        return known.row

    async def find_hash(self, user_id: int) -> str | None:
        """The hash of an account's secret, if it has one that has not expired."""
        row = await self.find(user_id)
        if row is None or (row.expires_at is not None and row.expires_at <= clock.now_us()):
            return None
        return row.secret_hash

    async def ends_at(self, user_id: int) -> float | None:
        """When an account's secret ends, in seconds since the epoch; ``None``: it has none."""
        row = await self.find(user_id)
        if row is None:
            return None
        return float("inf") if row.expires_at is None else row.expires_at / 1_000_000

    async def set(self, caller: Caller, user_id: int, secret: str | None = None) -> CliSecret:
        """Give an account a secret in place of the one that it had, and end what was issued under that one.

        Args:
            caller: the user, with a password or a session; or an administrator.
            user_id: whose it is.
            secret: the secret; ``None``: one is made up.

        Raises:
            Denied: the caller is somebody else, or came with a token or a CLI secret.
            InvalidInput: the secret is too weak.
            NotFound: there is no such account.
            Precondition: the account's password is kept here.
            TooManyRequests: too many passwords are being checked.
        """
        _require_reach(caller, user_id)
        chosen = _make() if secret is None else secret
        _check(chosen)
        _require_elsewhere(await users.find_by_id(self._database, user_id), user_id)
        secret_hash = await self._logins.hash(chosen, caller.origin)
        days = await self._settings.number("entrepot_cli_secret_days")
        now = clock.now_us()
        expires_at = now + days * _DAY if days else None

        async def work(tx: Transaction) -> None:
            user = _require_elsewhere(await users.find_by_id(tx, user_id), user_id)
            if await store.find(tx, user_id) is not None:
                await store.end_tokens(tx, user_id)
            await store.put(tx, user_id, secret_hash, now, expires_at)
            event = CliSecretSet(user=user.name, user_id=user_id, expires_at=expires_at)
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)
        return CliSecret(chosen, expires_at)

    async def revoke(self, caller: Caller, user_id: int) -> None:
        """Let an account's secret work no longer, nor what was issued under it.

        Raises:
            Denied: the caller is somebody else, or came with a token.
            NotFound: the account has none.
        """
        # A secret that leaked may always be ended with itself.
        if caller.credential != "cli-secret" or caller.principal.id != user_id:
            _require_reach(caller, user_id)

        async def work(tx: Transaction) -> None:
            user = await users.find_by_id(tx, user_id)
            if user is None or not await store.remove(tx, user_id):
                raise NotFound("There is no CLI secret.")
            await store.end_tokens(tx, user_id)
            await journal.append(tx, caller.origin, CliSecretRevoked(user=user.name, user_id=user_id))

        await self._database.write(work)


def _require_reach(caller: Caller, user_id: int) -> None:
    """One's own with a password or a session; anybody's as an administrator, likewise."""
    principal = caller.principal
    administers = principal.is_admin and principal.scope is None
    if principal.kind != USER or (principal.id != user_id and not administers):
        raise Denied("A CLI secret is set by the user whose it is, or by an administrator.", code="FORBIDDEN")
    if caller.credential not in _WITH_PASSWORD or principal.token_id is not None or caller.bound is not None:
        raise Denied(
            "Neither a token nor a CLI secret sets a CLI secret: use the page /account, or the password.",
            code="FORBIDDEN",
        )


def _require_elsewhere(user: User | None, user_id: int) -> User:
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    if not user.source:
        raise Precondition(f"{user.name} has a password here, which serves for docker login too.")
    return user


def _make() -> str:
    while True:
        secret = PREFIX + secrets.token_urlsafe(32)
        if all(kind.search(secret) for kind in _KINDS):
            return secret


def _check(secret: str) -> None:
    if not _LEAST <= len(secret) <= _MOST or not all(kind.search(secret) for kind in _KINDS):
        raise InvalidInput(
            f"A CLI secret has {_LEAST} to {_MOST} characters: capital letters, small letters and digits, at least one "
            "of each.",
            code="BAD_REQUEST",
        )
    if secret.startswith(TOKEN_PREFIX):
        raise InvalidInput(
            f"What begins with {TOKEN_PREFIX} is taken for a personal access token: choose another.", code="BAD_REQUEST"
        )
