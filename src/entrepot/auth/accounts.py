"""Accounts of people whom a provider vouches for: found, linked by an explicit rule, or made.

A person is their provider and its subject for them, never a name: two people with one name are two accounts. An e-mail
address links only where the operator says that the provider is trusted with them, and never to the first account.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import msgspec

from entrepot.auth.groups import LDAP, MADE_HERE, OIDC
from entrepot.auth.model import (
    FIRST,
    RESERVED,
    AdminChanged,
    IdentityGone,
    IdentityLinked,
    MembershipsChanged,
    User,
    UserCreated,
    is_user_name,
)
from entrepot.auth.provider import Link, Policy, ProviderUser
from entrepot.auth.store import groups as group_store
from entrepot.auth.store import links as store
from entrepot.auth.store import users
from entrepot.database import Database, Transaction
from entrepot.database.cache import VersionedCache
from entrepot.errors import Conflict, InvalidInput, NotAuthenticated
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.kit.secretbox import SecretBox
from entrepot.settings.service import Settings

_UNFIT = re.compile(r"[^a-zA-Z0-9._@-]+")
_LONGEST_NAME = 200
_MOST_TRIES = 20
_LONGEST_TEXT = 255
_KINDS = {"ldap": LDAP, "oidc": OIDC, "local": MADE_HERE}


_ONBOARDING = {
    "oidc": "This is the first login: open /account in a browser and choose a user name.",
    "ldap": "There is no account for you yet: ask an administrator to import it.",
}


class NotOnboarded(NotAuthenticated):
    """The provider knows the person, who has no account yet and must choose its name."""


class Accounts:
    """The accounts that come from providers."""

    def __init__(
        self, database: Database, settings: Settings, box: SecretBox, is_sole: Callable[[str], Awaitable[bool]]
    ) -> None:
        """``is_sole`` says of a kind of provider whether there is just one."""
        self._is_sole = is_sole
        self._database = database
        self._settings = settings
        self._box = box
        self._links: VersionedCache[Link] = VersionedCache(database, 10_000)

    async def find(self, person: ProviderUser) -> User | None:
        """The account of a person, if it is there and may be used."""
        link = await self._link(person)
        if link is None or link.is_gone:
            return None
        user = await users.find_by_id(self._database, link.user_id)
        return user if user is not None and not user.is_disabled else None

    async def admit(
        self, person: ProviderUser, policy: Policy, origin: Origin, *, chosen_name: str = "", vouched_at: int = 0
    ) -> User:
        """The account of a person whom a provider has just vouched for, with groups and rights as they are there.

        Args:
            person: as the provider describes them.
            policy: how far it is believed.
            origin: who asks.
            chosen_name: what a new account is to be called; empty: as the person is called, if the policy says so.
            vouched_at: when the provider said it, in microseconds since the epoch; 0: just now. What was said before
                the last time it was asked counts no more.

        Raises:
            NotOnboarded: there is no account, and nobody has chosen a name.
            NotAuthenticated: the account is disabled.
            InvalidInput: ``chosen_name`` cannot be one.
            Conflict: it is taken.
        """
        if vouched_at:
            link = await self._link(person)
            if link is not None and vouched_at <= link.checked_at:
                return _usable(await users.find_by_id(self._database, link.user_id), is_gone=link.is_gone)
        naming = _Naming(chosen_name, await self._settings.text("robot_name_prefix"))
        may_claim = await self._is_sole(policy.kind)
        user = await self._database.write(
            lambda tx: self._admit(tx, person, policy, origin, naming, vouched_at=vouched_at, may_claim=may_claim)
        )
        return _usable(user)

    async def keep(self, link: Link, *, without_credential: bool = False) -> None:
        """Note that a provider was asked, and could not tell."""
        asked = msgspec.structs.replace(
            link, checked_at=clock.now_us(), credential=None if without_credential else link.credential
        )
        await self._database.write(lambda tx: store.update_link(tx, asked), durable=False)

    async def lose(self, link: Link, policy: Policy, origin: Origin) -> None:
        """The provider does not know the person any more: no groups of its, no rights; and no account, if so agreed."""

        async def work(tx: Transaction) -> None:
            now = clock.now_us()
            gone = msgspec.structs.replace(
                link, is_gone=policy.ends_with_source, is_admin=False, checked_at=now, credential=None
            )
            await store.update_link(tx, gone)
            user = await users.find_by_id(tx, link.user_id)
            if user is None:
                return
            lost = await store.groups_of(tx, user.id, link.provider)
            for group_id, _ in lost.values():
                await group_store.remove_user(tx, group_id, user.id)
            await _settle(tx, user, origin)
            if not link.is_gone:
                event = IdentityGone(
                    user=user.name, user_id=user.id, provider=link.provider, is_disabled=policy.ends_with_source
                )
                await journal.append(tx, origin, event)

        await self._database.write(work)

    async def _link(self, person: ProviderUser) -> Link | None:
        key = (person.provider, person.subject)
        link, version = self._links.lookup(key)
        if link is None:
            link = await store.find(self._database, *key)
            if link is not None:
                self._links.fill(key, link, version)
        return link

    async def _admit(
        self,
        tx: Transaction,
        person: ProviderUser,
        policy: Policy,
        origin: Origin,
        naming: _Naming,
        *,
        vouched_at: int,
        may_claim: bool,
    ) -> User:
        """In one transaction: (1) who is it, (2) what the link keeps, (3) profile, (4) groups, (5) rights."""
        now = clock.now_us()
        origin = msgspec.structs.replace(origin, principal=origin.principal or person.name)
        # 1
        link = await store.find(tx, person.provider, person.subject)
        if link is None:
            user_id = await self._find_or_make(tx, person, policy, origin, naming, now)
            link = Link(person.provider, person.subject, user_id, "", False, False, 0, None)
            await store.add(tx, link, now)
        elif vouched_at and vouched_at <= link.checked_at:
            return _there(await users.find_by_id(tx, link.user_id))
        # 2
        # Who does not tell the groups does not tell who administers either.
        is_admin = link.is_admin if person.groups is None else person.is_admin
        credential = self._box.seal(person.credential) if person.credential else link.credential
        updated = Link(link.provider, link.subject, link.user_id, person.name, is_admin, False, now, credential)
        await store.update_link(tx, updated)
        user = _there(await users.find_by_id(tx, link.user_id))
        # 3
        if user.source == person.provider:
            email, real_name = person.email[:_LONGEST_TEXT] or user.email, person.real_name[:_LONGEST_TEXT]
            if (email, real_name or user.real_name) != (user.email, user.real_name):
                await users.set_profile(tx, user.id, email, real_name or user.real_name, user.comment, now)
            if person.email:
                await users.set_email_vouched(tx, user.id, flag=_is_vouched(person, policy))
        # 4
        if person.groups is not None:
            await _sync_groups(tx, user, person, origin, _KINDS[policy.kind], may_claim=may_claim)
        # 5
        await _settle(tx, user, origin)
        return _there(await users.find_by_id(tx, user.id))

    async def _find_or_make(
        self, tx: Transaction, person: ProviderUser, policy: Policy, origin: Origin, naming: _Naming, now: int
    ) -> int:
        if person.email and _is_vouched(person, policy):
            user_id = await store.by_email(tx, person.email, FIRST)
            held = [link.provider for link in await store.of_user(tx, user_id)] if user_id else []
            if user_id is not None and person.provider not in held:
                user = await users.find_by_id(tx, user_id)
                event = IdentityLinked(user=user.name if user else "", user_id=user_id, provider=person.provider)
                await journal.append(tx, origin, event)
                return user_id
        if not naming.chosen and not policy.onboards:
            raise NotOnboarded(_ONBOARDING.get(policy.kind, "There is no account for you: ask an administrator."))
        for name in naming.names(person):
            user_id = await users.add(
                tx,
                name,
                "",
                now,
                is_admin=False,
                email=person.email[:_LONGEST_TEXT],
                real_name=person.real_name[:_LONGEST_TEXT],
                source=person.provider,
                is_email_vouched=_is_vouched(person, policy),
            )
            if user_id is not None:
                await journal.append(tx, origin, UserCreated(user=name, user_id=user_id))
                await journal.append(tx, origin, IdentityLinked(user=name, user_id=user_id, provider=person.provider))
                return user_id
        raise Conflict(f"There is a user {naming.chosen or person.name} already: choose another name.")


class _Naming(msgspec.Struct, frozen=True):
    """What a new account may be called."""

    chosen: str
    robot_prefix: str

    def names(self, person: ProviderUser) -> list[str]:
        """The names to try, best first.

        Raises:
            InvalidInput: the chosen one cannot be a name.
        """
        if self.chosen:
            if not self._is_free(self.chosen):
                raise InvalidInput(
                    f"{self.chosen[:64]!r} cannot name a user: use letters and digits, and . _ @ - inside.",
                    code="BAD_REQUEST",
                )
            return [self.chosen]
        plain = _UNFIT.sub("-", person.name).strip("-._@")[:_LONGEST_NAME] or "user"
        names = [plain, f"{plain}@{person.provider}"]
        names += [f"{plain}-{number}@{person.provider}" for number in range(2, _MOST_TRIES)]
        return [name for name in names if self._is_free(name)]

    def _is_free(self, name: str) -> bool:
        return is_user_name(name) and name.lower() not in RESERVED and not name.startswith(self.robot_prefix)


def _is_vouched(person: ProviderUser, policy: Policy) -> bool:
    """Whether an address may tie an account to a person: here, or of this account later at another provider.

    A provider that is not trusted with addresses must not lay out an account for somebody who comes from one that is.
    Only ASCII: in small letters a Kelvin sign is a k.
    """
    return policy.links_by_email and person.is_email_verified and person.email.isascii()


def _there(user: User | None) -> User:
    if user is None:
        raise NotAuthenticated("The account is gone: log in again.")
    return user


def _usable(user: User | None, *, is_gone: bool = False) -> User:
    if user is None or user.is_disabled or is_gone:
        raise NotAuthenticated("The account is disabled: ask an administrator.")
    return user


async def _make_group(tx: Transaction, name: str, kind: int, key: str, provider: str) -> int:
    now = clock.now_us()
    ldap_dn = key if kind == LDAP else ""
    for shown in (name, f"{name}@{provider}", f"{key}@{provider}"):
        group_id = await group_store.add(tx, shown, kind, ldap_dn, now, provider=provider, key=key)
        if group_id is not None:
            return group_id
    raise Conflict(f"There is another group {name} already: rename it.")


async def _sync_groups(
    tx: Transaction, user: User, person: ProviderUser, origin: Origin, kind: int, *, may_claim: bool
) -> None:
    wanted = {group.key: group.name for group in person.groups or ()}
    held = await store.groups_of(tx, user.id, person.provider)
    for key in held.keys() - wanted.keys():
        await group_store.remove_user(tx, held[key][0], user.id)
    for key in sorted(wanted.keys() - held.keys()):
        group_id = await store.find_group(tx, person.provider, kind, key, may_claim=may_claim)
        if group_id is None:
            group_id = await _make_group(tx, wanted[key], kind, key, person.provider)
        await group_store.add_user(tx, group_id, user.id)
    added, removed = wanted.keys() - held.keys(), held.keys() - wanted.keys()
    if added or removed:
        event = MembershipsChanged(
            user=user.name,
            user_id=user.id,
            provider=person.provider,
            added=tuple(sorted(wanted[key] for key in added)),
            removed=tuple(sorted(held[key][1] for key in removed)),
        )
        await journal.append(tx, origin, event)


async def _settle(tx: Transaction, user: User, origin: Origin) -> None:
    """What all providers together say of an account: does it administer, is it gone?"""
    is_admin, is_gone = await store.standing(tx, user.id)
    is_gone = is_gone and not user.password_hash
    await store.set_standing(tx, user.id, source_admin=is_admin, is_gone=is_gone)
    if is_admin != user.is_source_admin:
        await journal.append(tx, origin, AdminChanged(user=user.name, user_id=user.id, is_admin=is_admin))
