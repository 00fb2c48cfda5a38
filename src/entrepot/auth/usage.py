"""When and from where robot accounts and personal access tokens were used last: noted in memory, written in batches."""

from __future__ import annotations

from entrepot.auth.model import Principal
from entrepot.auth.store import personal_tokens, robots
from entrepot.database import Database, Transaction
from entrepot.kit import clock

_GRAIN = 60.0
"""Seconds within which a use from the same address is not noted again."""
_MOST = 50_000

Uses = dict[int, tuple[int, str]]
"""By id: microseconds since the epoch, and the client's address."""


class LastUses:
    """The last uses seen by this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[tuple[int, bool], tuple[float, str]] = {}
        self._robots: Uses = {}
        self._tokens: Uses = {}

    def note(self, principal: Principal, client_address: str) -> None:
        """Note that a robot account or a personal access token was used; it costs half a microsecond."""
        token_id = principal.token_id
        id_ = principal.id if token_id is None else token_id
        if id_ is None:
            return
        key = (id_, token_id is None)
        now = clock.now()
        noted = self._noted.get(key)
        if noted is not None and noted[1] == client_address and now - noted[0] < _GRAIN:
            return
        if len(self._noted) >= _MOST:
            self._noted.clear()
        self._noted[key] = (now, client_address)
        uses = self._robots if token_id is None else self._tokens
        uses[id_] = (int(now * 1_000_000), client_address)

    async def flush(self) -> None:
        """Write what was noted since the last time."""
        used_robots, self._robots = self._robots, {}
        used_tokens, self._tokens = self._tokens, {}
        if not used_robots and not used_tokens:
            return

        async def work(tx: Transaction) -> None:
            if used_robots:
                await robots.set_last_used(tx, used_robots)
            if used_tokens:
                await personal_tokens.set_last_used(tx, used_tokens)

        try:
            await self._database.write(work, durable=False)
        except BaseException:
            # Nothing is lost: the next flush writes it, unless there is something newer.
            self._robots = used_robots | self._robots
            self._tokens = used_tokens | self._tokens
            raise
