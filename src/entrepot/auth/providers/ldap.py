"""An LDAP directory, Active Directory among them: search and bind."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress

from sansldap import FilterEquality, FilterPresent, FilterSubstrings, LDAPFilter

from entrepot.auth.dn import dn_key, is_within
from entrepot.auth.options import LdapOptions, Scope
from entrepot.auth.provider import Link, PersonRefused, Policy, ProviderGroup, ProviderUser
from entrepot.auth.providers.ldap_connection import Entry, Search
from entrepot.auth.providers.ldap_directory import BaseMissing, Cut, LdapDirectory
from entrepot.auth.providers.ldap_groups import GroupReader, Memberships
from entrepot.kit import clock

_LONGEST_SUBJECT = 1024
_BINARY = "hex:"
_GUID = "objectguid"
_GUID_BYTES = 16
_STATE = ("userAccountControl", "accountExpires", "nsAccountLock", "pwdAccountLockedTime")
_AD_DISABLED = 2
_AD_EPOCH = 11_644_473_600
"""Seconds from 1601, Windows's epoch, to 1970."""
_AD_NEVER = 0x7FFF_FFFF_FFFF_FFFF
_LOCKED_FOR_GOOD = "000001010000Z"
"""What the password policy of OpenLDAP writes for a lock that only an administrator takes away."""
_MOST_FOUND = 500


class LdapProvider:
    """One directory; see ``auth.provider.Provider``."""

    kind = "ldap"

    def __init__(self, options: LdapOptions) -> None:
        self.options = options
        self._directory = LdapDirectory(options)
        self._groups = GroupReader(self._directory)

    @property
    def name(self) -> str:
        """What the operator calls it."""
        return self.options.name

    @property
    def policy(self) -> Policy:
        """How far it is believed."""
        return self.options.policy

    async def log_in(self, name: str, password: str) -> ProviderUser | None:
        """See ``Provider.log_in``: (1) who is called so, (2) is it their password, (3) what else is known of them."""
        if not (_can_be_sent(name) and _can_be_sent(password)):
            return None
        async with self._directory.patience():
            # 1
            entry = await self._find(name)
            if entry is None or _is_disabled(entry):
                await self._directory.pretend()
                return None
            # 2
            if not await self._directory.holds(entry.dn, password):
                return None
            # 3
            return await self._person(entry, name)

    async def look_up(self, link: Link, credential: str) -> ProviderUser | None:  # noqa: ARG002 - it has its own
        """See ``Provider.look_up``."""
        async with self._directory.patience():
            entry = await self._find_subject(link.subject)
            if entry is None or _is_disabled(entry):
                return None
            return await self._person(entry, link.name)

    async def probe(self) -> None:
        """See ``Provider.probe``."""
        async with self._directory.patience():
            await self._directory.probe()

    async def close(self) -> None:
        """See ``Provider.close``."""
        await self._directory.close()

    # for administrators

    async def find_person(self, name: str) -> ProviderUser | None:
        """The person who is called so, without asking for a password.

        Raises:
            ProviderUnreachable: it does not answer within its time-out.
            PersonRefused: there are several, or too many groups.
        """
        if not _can_be_sent(name):
            return None
        async with self._directory.patience():
            entry = await self._find(name)
            return None if entry is None or _is_disabled(entry) else await self._person(entry, name)

    async def search_people(self, part: str) -> list[ProviderUser]:
        """The first 500 people with ``part`` in what they are called, by name, without their groups.

        Raises:
            ProviderUnreachable: it does not answer within its time-out.
        """
        options = self.options
        wanted = self._directory.all_of(options.filter, _containing(options.user_attribute, part))
        entries = await self._search_some(options.base_dn, options.scope, wanted, self._attributes())
        found = [self._described(entry, dn_key(entry.dn), entry.text(options.user_attribute)) for entry in entries]
        return sorted((person for person in found if person.name), key=lambda person: person.name)

    async def search_groups(self, part: str = "", dn: str = "") -> list[ProviderGroup]:
        """The first 500 groups with ``part`` in their names, or the one of a DN.

        Raises:
            ProviderUnreachable: it does not answer within its time-out.
        """
        options = self.options
        attributes = (options.group_attribute,)
        is_group = options.group_filter or f"({options.member_attribute}=*)"
        if dn:
            async with self._directory.patience():
                read = await self._directory.read([dn], attributes, self._directory.all_of(is_group))
                entries: Sequence[Entry] = [entry for entry in read if entry is not None]
        else:
            base = options.group_base_dn or options.base_dn
            scope = options.group_scope if options.group_base_dn else "subtree"
            wanted = self._directory.all_of(is_group, _containing(options.group_attribute, part))
            entries = await self._search_some(base, scope, wanted, attributes)
        return sorted((self._groups.group_of(entry) for entry in entries), key=lambda group: group.name)

    # finding

    async def _find(self, name: str) -> Entry | None:
        """The one entry of who is called so; ``name`` is a value in the protocol, never a part of a filter's text."""
        options = self.options
        return await self._find_one(FilterEquality(options.user_attribute, name.encode()), name)

    async def _find_subject(self, subject: str) -> Entry | None:
        options = self.options
        if options.subject_attribute:
            value = _subject_bytes(options.subject_attribute, subject)
            return await self._find_one(FilterEquality(options.subject_attribute, value), subject)
        entry = None
        if is_within(subject, options.base_dn, options.scope):
            search = Search(base=subject, wanted=self._directory.all_of(options.filter), attributes=self._attributes())
            with suppress(BaseMissing):
                entry = next(iter(await self._directory.search(search)), None)
        if entry is None:
            await self._directory.require_base()
        return entry

    async def _find_one(self, which: LDAPFilter, name: str) -> Entry | None:
        options = self.options
        search = Search(
            base=options.base_dn,
            scope=options.scope,
            wanted=self._directory.all_of(options.filter, which),
            attributes=self._attributes(),
        )
        try:
            found = await self._directory.search(search)
        except Cut:
            raise PersonRefused(
                f"{options.name} knows several people as {name[:64]}: ask the operator to narrow base_dn or filter."
            ) from None
        return found[0] if found else None

    async def _search_some(
        self, base: str, scope: Scope, wanted: LDAPFilter, attributes: tuple[str, ...]
    ) -> Sequence[Entry]:
        search = Search(base=base, scope=scope, wanted=wanted, attributes=attributes, limit=_MOST_FOUND)
        async with self._directory.patience():
            try:
                return await self._directory.search(search)
            except Cut as cut:
                return cut.entries[:_MOST_FOUND]

    # describing

    async def _person(self, entry: Entry, name: str) -> ProviderUser:
        called = entry.text(self.options.user_attribute) or name
        subject = self._subject(entry, called)
        memberships = await self._groups.read(entry, called)
        return self._described(entry, subject, called, memberships)

    def _described(self, entry: Entry, subject: str, name: str, of: Memberships | None = None) -> ProviderUser:
        email = entry.text(self.options.email_attribute) if self.options.email_attribute else ""
        real_name = entry.text(self.options.real_name_attribute) if self.options.real_name_attribute else ""
        return ProviderUser(
            provider=self.name,
            subject=subject,
            name=name,
            email=email,
            is_email_verified=bool(email),  # the company's own directory says so; link_by_email says if that counts
            real_name=real_name,
            groups=of.groups if of else None,
            is_admin=of.is_admin if of else False,
        )

    def _subject(self, entry: Entry, name: str) -> str:
        attribute = self.options.subject_attribute
        if not attribute:
            subject = dn_key(entry.dn)
        else:
            value = next(iter(entry.values.get(attribute.lower(), ())), b"")
            subject = _subject_text(attribute, value)
        if not 0 < len(subject) <= _LONGEST_SUBJECT:
            raise PersonRefused(
                f"{name[:64]} has no usable {attribute or 'DN'} at {self.name}: ask the operator to look at "
                "subject_attribute, and at what bind_dn may read."
            )
        return subject

    def _attributes(self) -> tuple[str, ...]:
        options = self.options
        wanted = (
            options.user_attribute,
            options.subject_attribute,
            options.email_attribute,
            options.real_name_attribute,
            options.membership_attribute,
            *_STATE,
        )
        return tuple(dict.fromkeys(attribute for attribute in wanted if attribute))


def _can_be_sent(text: str) -> bool:
    """Whether it can be a name or a password there; an empty password would be an anonymous bind, which succeeds."""
    try:
        return bool(text) and b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _containing(attribute: str, part: str) -> LDAPFilter:
    return FilterSubstrings(attribute, None, [part.encode()], None) if part else FilterPresent(attribute)


def _subject_text(attribute: str, value: bytes) -> str:
    """A value as text that ``_subject_bytes`` reads: as it is, else as a GUID or hexadecimal digits."""
    if attribute.lower() == _GUID and len(value) == _GUID_BYTES:
        return str(uuid.UUID(bytes_le=value))
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = ""
    if value and (not text.isprintable() or not text or text.startswith(_BINARY)):
        return _BINARY + value.hex()
    return text


def _subject_bytes(attribute: str, subject: str) -> bytes:
    try:
        if subject.startswith(_BINARY):
            return bytes.fromhex(subject.removeprefix(_BINARY))
        if attribute.lower() == _GUID:
            return uuid.UUID(subject).bytes_le
    except ValueError:
        pass  # written under another subject_attribute: it is found nowhere
    return subject.encode()


def _is_disabled(entry: Entry) -> bool:
    """Whether an account is disabled or has ended there: Active Directory, 389 and FreeIPA, OpenLDAP."""
    ends = _number(entry.text("accountExpires"))
    return (
        bool(_number(entry.text("userAccountControl")) & _AD_DISABLED)
        or (ends not in {0, _AD_NEVER} and ends / 10_000_000 - _AD_EPOCH < clock.now())
        or entry.text("nsAccountLock").lower() == "true"
        or entry.text("pwdAccountLockedTime") == _LOCKED_FOR_GOOD
    )


def _number(text: str) -> int:
    return int(text) if text.lstrip("-").isdecimal() and text.isascii() else 0
