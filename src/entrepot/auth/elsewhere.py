"""People whose passwords are not kept here: the directory says who they are, and accounts what they are here."""

from __future__ import annotations

import msgspec

from entrepot.auth.accounts import Accounts
from entrepot.auth.directory import Directory
from entrepot.auth.logins import WRONG, Checked
from entrepot.journal.model import Origin


class Elsewhere:
    """Asks the providers that take passwords."""

    def __init__(self, directory: Directory, accounts: Accounts) -> None:
        self._directory = directory
        self._accounts = accounts

    async def recall(self, name: str, password: str) -> Checked | None:
        """See ``logins.Elsewhere``."""
        if not await self._directory.takes_passwords() or self._directory.was_refused(name, password):
            return WRONG
        vouched = await self._directory.recall(name, password)
        user = await self._accounts.find(vouched.person) if vouched else None
        return Checked(user=user, provider=vouched.provider.name) if vouched and user else None

    async def ask(self, name: str, password: str, origin: Origin) -> Checked:
        """See ``logins.Elsewhere``."""
        if not await self._directory.takes_passwords():
            return WRONG
        vouched = await self._directory.log_in(name, password)
        if vouched is None:
            return WRONG
        named = msgspec.structs.replace(origin, principal=vouched.person.name)
        user = await self._accounts.admit(vouched.person, vouched.provider.policy, named)
        return Checked(user=user, provider=vouched.provider.name)
