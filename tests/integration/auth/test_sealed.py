"""Everything that is kept sealed: tried, and sealed anew in one transaction."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, update

from entrepot.auth.identity_providers import IdentityProviders
from entrepot.auth.provider import Link
from entrepot.auth.sealed import examine, reseal_all
from entrepot.auth.store import identity_providers, links, pending_logins
from entrepot.auth.tables import identity_providers as provider_table
from entrepot.database import query
from entrepot.errors import Unreadable
from entrepot.journal.model import SYSTEM
from entrepot.kit.secretbox import SecretBox, new_key
from entrepot.settings.service import Settings
from tests.integration.rig import Bench, Rig

OLD, NEW = new_key(), new_key()
_SPOIL = query(update(provider_table).values(secret=bindparam("new_secret")))


async def fill(rig: Rig) -> None:
    """One of everything that is kept sealed, under the old key."""
    box = SecretBox(keys=OLD)
    await Settings(rig.database, {}, box).update(SYSTEM, {"oidc_client_secret": "in-settings"})
    options = {"name": "corp", "url": "ldaps://x.test", "base_dn": "dc=x", "bind_password": "of-provider"}
    await IdentityProviders(rig.database, box, ()).create(SYSTEM, "ldap", options)
    link = Link("corp", "s-1", 1, "alice", False, False, 0, box.seal("refresh-token"))
    await rig.database.write(lambda tx: links.add(tx, link, 0))
    row = pending_logins.PendingRow("browser", "corp", box.seal("under way"), 0)
    await rig.database.write(lambda tx: pending_logins.add(tx, b"x" * 32, row))
    rig.app.sessions._box = box
    await rig.app.sessions.begin(await rig.user(), SYSTEM, provider="corp", id_token="id-token")
    await rig.app.sessions.begin(await rig.user(), SYSTEM)


async def lost(rig: Rig, key: str) -> dict[str, tuple[int, int]]:
    return {found.place: (found.total, found.lost) for found in await examine(rig.database, SecretBox(keys=key).open)}


def test_everything_gets_under_the_first_key_and_what_was_under_way_is_thrown_away(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await fill(rig)
        before = await lost(rig, NEW)
        assert before == dict.fromkeys(before, (1, 1))
        assert len(before) == 5
        counts = await reseal_all(rig.database, SYSTEM, SecretBox(keys=f"{NEW},{OLD}").reseal)
        assert counts == dict.fromkeys(before, 1)
        assert await lost(rig, NEW) == {**dict.fromkeys(before, (1, 0)), "logins under way": (0, 0)}
        box = SecretBox(keys=NEW)
        assert await Settings(rig.database, {}, box).text("oidc_client_secret") == "in-settings"
        stored = await identity_providers.list_all(rig.database)
        assert stored[0].secret is not None
        assert box.open(stored[0].secret) == "of-provider"
        tied = await links.find(rig.database, "corp", "s-1")
        assert tied is not None
        assert tied.credential is not None
        assert box.open(tied.credential) == "refresh-token"
        assert (await rig.events())[-1]["counts"] == counts

    run(work)


def test_if_one_of_them_cannot_be_opened_nothing_changes_and_it_is_named(run: Bench) -> None:
    async def work(rig: Rig) -> None:
        await fill(rig)
        foreign = SecretBox(keys=new_key()).seal("x")
        await rig.database.write(lambda tx: tx.run(_SPOIL, new_secret=foreign))
        with pytest.raises(Unreadable, match="Among the identity providers"):
            await reseal_all(rig.database, SYSTEM, SecretBox(keys=f"{NEW},{OLD}").reseal)
        after = await lost(rig, OLD)
        assert after.pop("identity providers") == (1, 1)
        assert after == dict.fromkeys(after, (1, 0))
        assert "SecretsResealed" not in await rig.kinds()

    run(work)
