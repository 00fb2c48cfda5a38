"""Personal access tokens: what a user shows in place of a password, limited, expiring, revocable.

A token is ``entp_<id>_<43 characters>``: the id leads to its row, the rest are 256 random bits, kept as SHA-256.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from hmac import compare_digest

import msgspec

from entrepot.auth.logins import storable
from entrepot.auth.model import (
    USER,
    Caller,
    LoginFailed,
    PersonalToken,
    PersonalTokenCreated,
    PersonalTokenRevoked,
    Scope,
)
from entrepot.auth.store import personal_tokens as store
from entrepot.auth.store import users
from entrepot.auth.throttle import BY_ADDRESS_WITH_TOKEN, Throttle, key_of, network_of
from entrepot.database import Database, Transaction
from entrepot.database.cache import VersionedCache
from entrepot.errors import Conflict, Denied, InvalidInput, NotAuthenticated, NotFound
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock

PREFIX = "entp_"
MOST_TOKENS = 100
"""Tokens of one user."""

_LONGEST_NAME = 255
_LATEST = 253_370_764_800_000_000
"""The year 9999 begins, in microseconds since the epoch; dates end soon after."""
_SECRET = re.compile(r"entp_([1-9][0-9]{0,14})_[A-Za-z0-9_-]{43}")


class PersonalTokens:
    """The personal access tokens of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._throttle = Throttle(database)
        self._by_id: VersionedCache[PersonalToken] = VersionedCache(database, 10_000)

    async def create(
        self, caller: Caller, user_id: int, name: str, scope: Scope | None, expires_at: int | None
    ) -> tuple[PersonalToken, str]:
        """Make a token for the caller itself; it, and its secret, which is shown this once.

        Args:
            caller: the user, with a password or a session.
            user_id: the same user.
            name: what the user calls the token.
            scope: what the token is limited to; ``None``: all that the user may do.
            expires_at: microseconds since the epoch; ``None``: never.

        Raises:
            Denied: the caller is somebody else, or came with a token.
            InvalidInput: name or time are no good.
            Conflict: there is a token of that name, or there are too many.
        """
        _require_self(caller, user_id)
        now = clock.now_us()
        if not name.strip() or len(name) > _LONGEST_NAME:
            raise InvalidInput(f"A token's name has 1 to {_LONGEST_NAME} characters.", code="BAD_REQUEST")
        if expires_at is not None and not now < expires_at < _LATEST:
            raise InvalidInput("A token expires at a time in the future, before the year 9999.", code="BAD_REQUEST")
        random = secrets.token_urlsafe(32)
        secret_hash = _hash(random)

        async def work(tx: Transaction) -> int:
            if await users.find_by_id(tx, user_id) is None:
                raise NotFound("There is no such user any more.")
            if await store.count_of(tx, user_id) >= MOST_TOKENS:
                raise Conflict(f"A user has at most {MOST_TOKENS} tokens: revoke one that is not used.")
            token_id = await store.add(tx, user_id, name, secret_hash, scope, now, expires_at)
            if token_id is None:
                raise Conflict(f"You have a token {name} already: choose another name, or revoke it first.")
            event = PersonalTokenCreated(
                token_id=token_id, token=name, expires_at=expires_at, is_limited=scope is not None
            )
            await journal.append(tx, caller.origin, event)
            return token_id

        token_id = await self._database.write(work)
        token = PersonalToken(token_id, user_id, name, secret_hash, scope, now, expires_at, None, None)
        return token, f"{PREFIX}{token_id}_{random}"

    async def list(self, user_id: int) -> list[PersonalToken]:
        """A user's tokens, by name."""
        return await store.list_of(self._database, user_id)

    async def revoke(self, caller: Caller, user_id: int, token_id: int) -> None:
        """Let a token of the caller's work no longer, with what was issued for it.

        Raises:
            Denied: the caller is somebody else, or came with another token.
            NotFound: the user has no such token.
        """
        if caller.principal.token_id != token_id:  # a token that leaked may always be ended with itself
            _require_self(caller, user_id)

        async def work(tx: Transaction) -> None:
            name = await store.revoke(tx, user_id, token_id)
            if name is None:
                raise NotFound(f"You have no token {token_id}.")
            await journal.append(tx, caller.origin, PersonalTokenRevoked(token_id=token_id, token=name))

        await self._database.write(work)

    async def find(self, token_id: int) -> PersonalToken | None:
        """The token with this id."""
        token, version = self._by_id.lookup(token_id)
        if token is None:
            token = await store.find(self._database, token_id)
            if token is not None:
                self._by_id.fill(token_id, token, version)
        return token

    async def verify(self, secret: str, origin: Origin | None) -> PersonalToken:
        """The token behind ``secret``; a failure is recorded where ``origin`` says whose it is.

        Raises:
            NotAuthenticated: there is none, or it has expired.
            TooManyRequests: too many wrong ones came before from that address.
        """
        matched = _SECRET.fullmatch(secret)
        token = await self.find(int(matched[1])) if matched else None
        expected = token.secret_hash if token else b""
        if compare_digest(_hash(secret[-43:]), expected) and token is not None:
            if token.expires_at is None or token.expires_at > clock.now_us():
                return token
            message = "The personal access token has expired: make a new one."
        else:
            message = "The personal access token is not valid: make a new one."
        if origin is not None:
            await self.refuse(f"{PREFIX}{matched[1]}" if matched else PREFIX, origin)
        raise NotAuthenticated(message)

    async def refuse(self, shown: str, origin: Origin) -> None:
        """Record that a token, called ``shown``, did not open anything.

        Raises:
            TooManyRequests: too many wrong ones came before from that address.
        """
        key = key_of("token", network_of(origin.client_address))
        await self._throttle.require({key: BY_ADDRESS_WITH_TOKEN})
        named = msgspec.structs.replace(origin, principal=storable(shown))

        async def work(tx: Transaction) -> None:
            await self._throttle.count(tx, [key])
            await journal.append(tx, named, LoginFailed(user=shown))

        await self._database.write(work, durable=False)


def _hash(random: str) -> bytes:
    return hashlib.sha256(random.encode("utf-8", "replace")).digest()


def _require_self(caller: Caller, user_id: int) -> None:
    principal = caller.principal
    if principal.kind != USER or principal.id != user_id:
        raise Denied("Personal access tokens are made and revoked by the user whose they are.", code="FORBIDDEN")
    if principal.token_id is not None or caller.bound is not None or caller.credential == "cli-secret":
        raise Denied("A token makes no tokens: log in with the password.", code="FORBIDDEN")
