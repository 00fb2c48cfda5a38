"""Tokens of OpenID providers that programs show to REST in place of ours."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec
import structlog

from entrepot.auth.accounts import Accounts
from entrepot.auth.directory import Directory
from entrepot.auth.model import LoggedIn, User
from entrepot.auth.provider import ProviderUnreachable, ProviderUser, unreachable
from entrepot.auth.workload import peek
from entrepot.database import Database
from entrepot.errors import NotAuthenticated
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.kit.expiring import ExpiringMap

_REMEMBERED = 16_384
_TOLD_SECONDS = 3600.0

log = structlog.get_logger()


@runtime_checkable
class BearerReader(Protocol):
    """A provider that knows its tokens again."""

    async def of_bearer(self, token: str) -> tuple[ProviderUser, float] | None:
        """The person behind a token and when it expires; ``None`` if it is another's.

        Raises:
            NotAuthenticated: it does not hold.
        """


class ForeignBearers:
    """Asks each provider whether a token is its own."""

    def __init__(self, database: Database, directory: Directory, accounts: Accounts) -> None:
        self._database = database
        self._directory = directory
        self._accounts = accounts
        self._told: ExpiringMap[tuple[int, str], bool] = ExpiringMap(_REMEMBERED, clock.monotonic)

    async def user_of(self, token: str, origin: Origin) -> tuple[User, float]:
        """The account behind a provider's token, and when the token expires (seconds since the epoch).

        Raises:
            NotAuthenticated: no provider takes it for its own, or it does not hold.
            ProviderUnreachable: its provider cannot be asked.
        """
        silent: ProviderUnreachable | None = None
        for provider in await self._directory.providers():
            if not isinstance(provider, BearerReader):
                continue
            try:
                shown = await provider.of_bearer(token)
            except ProviderUnreachable as error:
                log.warning("identity provider unreachable", provider=provider.name, error=error.message)
                silent = unreachable(provider.name)
                continue
            if shown is None:
                continue
            person, expires_at = shown
            named = msgspec.structs.replace(origin, principal=person.name)
            user = await self._accounts.admit(person, provider.policy, named, vouched_at=_issued_at(token))
            await self._tell(user, provider.name, origin)
            return user, expires_at
        raise silent or NotAuthenticated("The token is not valid: log in again.")

    async def _tell(self, user: User, provider: str, origin: Origin) -> None:
        """A token is shown with every request; once an hour is enough to know of it."""
        key = (user.id, origin.client_address)
        if self._told.get(key) is None:
            self._told.put(key, True, clock.monotonic() + _TOLD_SECONDS)
            named = msgspec.structs.replace(origin, principal=user.name)
            event = LoggedIn(user=user.name, user_id=user.id, provider=provider)
            await self._database.write(lambda tx: journal.append(tx, named, event), durable=False)


def _issued_at(token: str) -> int:
    """When a checked token was made, in microseconds since the epoch; one that does not say so changes nothing."""
    try:
        issued = peek(token).get("iat")
    except NotAuthenticated:
        issued = None
    return int(issued * 1_000_000) if isinstance(issued, int | float) and 0 < issued < 2**40 else 1
