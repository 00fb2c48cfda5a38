"""Where an account comes from: its ties to people at identity providers, and the groups that came with them."""

from __future__ import annotations

import msgspec

from entrepot.auth.directory import Directory
from entrepot.auth.model import User
from entrepot.auth.options import OidcOptions
from entrepot.auth.store import identities as store
from entrepot.database import Database


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """An account's tie to a person at a provider; times in microseconds since the epoch."""

    user_id: int
    provider: str
    title: str
    """What people call the provider."""
    issuer: str
    """The address of an OpenID provider; empty: it is none, or is not configured any more."""
    subject: str
    name: str
    """What the person is called there."""
    created_at: int
    checked_at: int


class Identities:
    """The ties of one database."""

    def __init__(self, database: Database, directory: Directory) -> None:
        self._database = database
        self._directory = directory

    async def of(self, user: User) -> list[Identity]:
        """An account's ties."""
        if not user.source:
            return []
        listed = await self._directory.options("oidc")
        known = {options.name: options for options in listed if isinstance(options, OidcOptions)}
        found = []
        for provider, subject, name, created_at, checked_at in await store.of_user(self._database, user.id):
            options = known.get(provider)
            found.append(
                Identity(
                    user_id=user.id,
                    provider=provider,
                    title=(options.title if options else "") or provider,
                    issuer=options.endpoint if options else "",
                    subject=subject,
                    name=name,
                    created_at=created_at,
                    checked_at=checked_at,
                )
            )
        return found

    async def oidc_of(self, user: User) -> Identity | None:
        """An account's tie to an OpenID provider; Harbor's API knows one."""
        return next((identity for identity in await self.of(user) if identity.issuer), None)

    async def groups_of(self, user: User) -> list[str]:
        """The names of the groups that an account is in, those that were made here too."""
        return await store.groups_of(self._database, user.id)
