"""Logins under way: strangers begin as many as they like, and the table does not grow without end."""

from __future__ import annotations

import hashlib

from entrepot.auth.store import pending_logins as store
from entrepot.database import Transaction
from entrepot.kit import clock
from tests.integration.rig import Bench, Rig


def test_of_too_many_the_oldest_go(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        ids = [hashlib.sha256(b"%d" % number).digest() for number in range(30)]
        now = clock.now_us()

        async def fill(tx: Transaction) -> None:
            for number, pending_id in enumerate(ids):
                await store.add(tx, pending_id, store.PendingRow("browser", "sso", b"sealed", now + number))

        await rig.database.write(fill)
        assert not await rig.database.write(lambda tx: store.trim(tx, 10))
        kept = [number for number, pending_id in enumerate(ids) if await store.find(rig.database, pending_id)]
        assert kept == list(range(20, 30))
        assert not await rig.database.write(lambda tx: store.trim(tx, 10))
        await rig.app.browser_logins.expire()
        assert await store.find(rig.database, ids[-1]) is not None

    run(work)
