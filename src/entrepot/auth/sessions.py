"""Sessions: a browser that has logged in, known by a cookie."""

from __future__ import annotations

import hashlib
import secrets

import msgspec

from entrepot.auth.model import LoggedOut, User
from entrepot.auth.store import sessions as store
from entrepot.auth.store import users
from entrepot.database import Database, Transaction
from entrepot.database.cache import VersionedCache
from entrepot.errors import Unreadable
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.kit.secretbox import SecretBox
from entrepot.settings.service import Settings

COOKIE = "sid"
"""The cookie's name, as in Harbor."""

_COOKIE_LENGTH = 43
_MINUTE = 60_000_000
_MOST_SESSIONS = 100
"""Sessions of one user; the one that was used least lately makes room."""


class _Found(msgspec.Struct, frozen=True):
    user: User
    used_at: int


class Sessions:
    """The sessions of one database."""

    def __init__(self, database: Database, settings: Settings, box: SecretBox) -> None:
        self._box = box
        self._database = database
        self._settings = settings
        self._found: VersionedCache[_Found] = VersionedCache(database, 10_000)
        self._used: dict[bytes, int] = {}
        """Uses that are not written yet (rule 7: a read does not write)."""

    async def begin(
        self,
        user: User,
        origin: Origin,  # noqa: ARG002 - who logs in was recorded by the login
        *,
        provider: str = "",
        id_token: str = "",
    ) -> str:
        """Begin a session for ``user``, who has just logged in; the cookie's value.

        Args:
            user: the account.
            origin: where the request comes from.
            provider: the OpenID provider at which it was.
            id_token: what ends the session there.
        """
        sealed = self._box.seal(id_token) if id_token else None
        cookie = secrets.token_urlsafe(32)
        now = clock.now_us()

        async def work(tx: Transaction) -> None:
            await store.add(tx, _id(cookie), user.id, user.credential_version, now, provider=provider, id_token=sealed)
            await store.trim(tx, user.id, _MOST_SESSIONS)

        await self._database.write(work)
        return cookie

    async def find(self, cookie: str) -> User | None:
        """The user behind a cookie, if the session has neither ended nor been idle for too long."""
        if len(cookie) != _COOKIE_LENGTH:
            return None
        session_id = _id(cookie)
        found, version = self._found.lookup(session_id)
        if found is None:
            row = await store.find(self._database, session_id)
            user = await users.find_by_id(self._database, row.user_id) if row else None
            if row is None or user is None or user.is_disabled or user.credential_version != row.credential_version:
                return None
            found = _Found(user, row.used_at)
            self._found.fill(session_id, found, version)
        timeout = await self._timeout()
        now = clock.now_us()
        idle = now - max(found.used_at, self._used.get(session_id, 0))
        if idle >= timeout:
            return None
        # Once a minute is enough, unless a session lasts for few of them.
        if idle >= min(_MINUTE, timeout // 4):
            self._used[session_id] = now
        return found.user

    async def provider_of(self, cookie: str) -> tuple[str, str]:
        """The OpenID provider at which a session was begun, and the token that ends it there; empty: at none."""
        row = await store.find(self._database, _id(cookie)) if len(cookie) == _COOKIE_LENGTH else None
        if row is None:
            return "", ""
        try:
            return row.provider, self._box.open(row.id_token) if row.id_token else ""
        except Unreadable:
            return row.provider, ""

    async def end(self, cookie: str, origin: Origin) -> None:
        """End a session, if it is one."""
        user = await self.find(cookie)
        if user is None:
            return
        session_id = _id(cookie)
        self._used.pop(session_id, None)

        async def work(tx: Transaction) -> None:
            if await store.end(tx, session_id):
                event = LoggedOut(user=user.name, user_id=user.id)
                await journal.append(tx, msgspec.structs.replace(origin, principal=user.name), event)

        await self._database.write(work)

    async def flush(self) -> None:
        """Write when sessions were used."""
        uses = dict(self._used)
        if not uses:
            return
        await self._database.write(lambda tx: store.set_used(tx, uses), durable=False)
        for session_id, at in uses.items():
            if self._used.get(session_id) == at:
                del self._used[session_id]

    async def expire(self) -> None:
        """Delete sessions that were idle for too long."""
        before = clock.now_us() - await self._timeout()
        while await self._database.write(lambda tx: store.expire(tx, before), durable=False):
            pass

    async def _timeout(self) -> int:
        """Microseconds without a request after which a session is over."""
        return await self._settings.number("session_timeout") * _MINUTE


def _id(cookie: str) -> bytes:
    """How a session is kept: who reads the database must not be able to use it."""
    return hashlib.sha256(cookie.encode("utf-8", "replace")).digest()
