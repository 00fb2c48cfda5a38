"""Accounts: finding, creating, logging in."""

from __future__ import annotations

import secrets

from entrepot.auth import passwords, store
from entrepot.auth.model import Principal, User, is_user_name
from entrepot.database import Database
from entrepot.database.cache import VersionedCache
from entrepot.errors import InvalidInput, NotAuthenticated, NotFound
from entrepot.kit import clock

ADMIN = "admin"
_SHORTEST_PASSWORD = 8
_LONGEST_PASSWORD = 1024


class Users:
    """The accounts of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._checker = passwords.PasswordChecker()
        self._by_name: VersionedCache[User] = VersionedCache(database, 10_000)
        self._by_id: VersionedCache[User] = VersionedCache(database, 10_000)

    async def log_in(self, name: str, password: str, client_address: str) -> Principal:
        """The principal behind a name and a password.

        Raises:
            NotAuthenticated: they do not belong together, or the account is disabled.
            TooManyRequests: too many logins are waiting.
        """
        possible = is_user_name(name) and len(password) <= _LONGEST_PASSWORD
        user = await self.find_by_name(name) if possible else None
        right = await self._checker.check(
            name, password[:_LONGEST_PASSWORD], user.password_hash if user else None, client_address
        )
        if user is None or not right or user.is_disabled:
            raise NotAuthenticated("The user name or the password is wrong.")
        return user.principal

    async def find_by_name(self, name: str) -> User | None:
        """The account called ``name``."""
        user, version = self._by_name.lookup(name)
        if user is None:
            user = await store.find_by_name(self._database, name)
            if user is not None:
                self._by_name.fill(name, user, version)
        return user

    async def find_by_id(self, user_id: int) -> User | None:
        """The account with this id."""
        user, version = self._by_id.lookup(user_id)
        if user is None:
            user = await store.find_by_id(self._database, user_id)
            if user is not None:
                self._by_id.fill(user_id, user, version)
        return user

    async def ensure_admin(self, password: str | None) -> str | None:
        """Create ``admin`` at the first start; the password if one had to be made up."""
        if await self.find_by_name(ADMIN) is not None:
            return None
        if password:
            check_password(password)
        chosen = password or secrets.token_urlsafe(15)
        hashed = passwords.hash_password(chosen)
        added = await self._database.write(lambda tx: store.add(tx, ADMIN, hashed, clock.now_us(), is_admin=True))
        return chosen if added and not password else None

    async def set_password(self, name: str, password: str) -> None:
        """Replace a password; everything that was issued under the old one ends.

        Raises:
            InvalidInput: the password is too short or too long.
            NotFound: there is no such account.
        """
        check_password(password)
        hashed = passwords.hash_password(password)
        if not await self._database.write(lambda tx: store.set_password(tx, name, hashed)):
            raise NotFound(f"There is no user {name}.")


def check_password(password: str) -> None:
    """Refuse passwords that cannot be good.

    Raises:
        InvalidInput: it is too short or too long.
    """
    if not _SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD:
        raise InvalidInput(f"A password has {_SHORTEST_PASSWORD} to {_LONGEST_PASSWORD} characters.")
