"""The groups of a person in a directory, those that they are in by way of other groups included.

Groups are named by the person (``memberOf``), or name the person (a search below ``group_base_dn``), or both. Upwards
it goes level by level, each group once, so that groups that hold each other end too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from sansldap import FilterEquality, FilterOr, LDAPFilter

from entrepot.auth.dn import dn_key, first_value, is_within
from entrepot.auth.options import LdapOptions
from entrepot.auth.provider import MOST_GROUPS, PersonRefused, ProviderGroup, check_groups
from entrepot.auth.providers.ldap_connection import Entry, Search
from entrepot.auth.providers.ldap_directory import Cut, LdapDirectory

_DEEPEST = 50
_ASKED_AT_ONCE = 50
"""Members that one search asks for."""
_BY_NAME = frozenset({"memberuid"})
"""Attributes that hold what a person is called, not a DN (RFC 2307)."""


class Memberships(msgspec.Struct, frozen=True):
    """What a person is in."""

    groups: tuple[ProviderGroup, ...]
    is_admin: bool


class _Group(msgspec.Struct, frozen=True):
    dn: str
    name: str = ""
    entry: Entry | None = None
    """As it was read, if it was."""


class GroupReader:
    """Finds the groups of people."""

    def __init__(self, directory: LdapDirectory) -> None:
        self._directory = directory
        self._options: LdapOptions = directory.options

    async def read(self, person: Entry, name: str) -> Memberships:
        """The groups of ``person``, who is called ``name``.

        Raises:
            PersonRefused: there are too many.
            DirectoryFailed: the directory cannot be asked.
        """
        options = self._options
        named = {dn_key(dn): _Group(dn) for dn in self._named_by(person)}
        outside = named.keys() - self._kept(named).keys()
        found = await self._searched([person.dn], [name])
        groups: dict[str, _Group] = {}
        level = self._kept(named) | found
        for _ in range(_DEEPEST):
            level = await self._completed({key: group for key, group in level.items() if key not in groups}, name)
            groups |= level
            self._check(name, groups)
            if not level or not options.nested_groups:
                break
            level = await self._above(level)
        else:
            raise PersonRefused(
                f"{name[:64]} is in groups of {options.name} that are nested more than {_DEEPEST} deep: "
                "ask the operator to filter them."
            )
        taken = self._check(name, groups)
        return Memberships(taken, await self._is_admin(person, name, {*groups, *outside}, groups))

    def group_of(self, entry: Entry) -> ProviderGroup:
        """A group as it is known outside."""
        return _shown(dn_key(entry.dn), self._group(entry))

    # finding

    def _named_by(self, entry: Entry) -> list[str]:
        """The groups that an entry says it is in."""
        return entry.texts(self._options.membership_attribute) if self._options.membership_attribute else []

    def _kept(self, groups: dict[str, _Group]) -> dict[str, _Group]:
        """Those that are where groups are."""
        base, scope = self._options.group_base_dn, self._options.group_scope
        return {key: group for key, group in groups.items() if not base or is_within(group.dn, base, scope)}

    async def _above(self, level: dict[str, _Group]) -> dict[str, _Group]:
        """The groups that those of ``level`` are in."""
        entries = [group.entry for group in level.values() if group.entry is not None]
        named = {dn_key(dn): _Group(dn) for entry in entries for dn in self._named_by(entry)}
        return self._kept(named) | await self._searched([group.dn for group in level.values()], [])

    async def _searched(self, members: Sequence[str], names: Sequence[str]) -> dict[str, _Group]:
        """The groups that name one of ``members`` (DNs), or of ``names`` where groups hold names."""
        options = self._options
        if not options.group_base_dn:
            return {}
        values = names if options.member_attribute.lower() in _BY_NAME else members
        found: dict[str, _Group] = {}
        for begin in range(0, len(values), _ASKED_AT_ONCE):
            search = Search(
                base=options.group_base_dn,
                scope=options.group_scope,
                wanted=self._directory.all_of(
                    options.group_filter, self._holding(values[begin : begin + _ASKED_AT_ONCE])
                ),
                attributes=self._attributes(),
                limit=MOST_GROUPS + 1,
            )
            try:
                entries = await self._directory.search(search)
            except Cut as cut:
                raise PersonRefused(
                    f"{options.name} has given only {len(cut.entries)} of somebody's groups, at most {MOST_GROUPS} "
                    "are taken: ask the operator to filter them, or to raise the directory's limit."
                ) from None
            found |= {dn_key(entry.dn): self._group(entry) for entry in entries}
        return found

    async def _completed(self, level: dict[str, _Group], name: str) -> dict[str, _Group]:
        """``level`` with what must be read of its groups, less those that ``group_filter`` does not want."""
        options = self._options
        self._check(name, level)
        unread = {key: group for key, group in level.items() if group.entry is None and self._must_read(group)}
        if not unread:
            return level
        wanted = self._directory.all_of(options.group_filter) if options.group_filter else None
        read = await self._directory.read([group.dn for group in unread.values()], self._attributes(), wanted)
        completed = dict(level)
        for key, entry in zip(unread, read, strict=True):
            if entry is not None:
                completed[key] = self._group(entry)
            elif wanted is not None:
                del completed[key]
        return completed

    def _must_read(self, group: _Group) -> bool:
        options = self._options
        is_named = first_value(group.dn)[0] == options.group_attribute.lower()
        return not is_named or bool(options.group_filter) or options.nested_groups

    async def _is_admin(self, person: Entry, name: str, seen: Iterable[str], groups: dict[str, _Group]) -> bool:
        """Whether somebody is in ``admin_group``, by what was seen or by what it says itself."""
        options = self._options
        if not options.admin_group:
            return False
        if dn_key(options.admin_group) in seen:
            return True
        values = [person.dn, *(group.dn for group in groups.values())]
        if options.member_attribute.lower() in _BY_NAME:
            values = [name]
        for begin in range(0, len(values), _ASKED_AT_ONCE):
            holding = self._holding(values[begin : begin + _ASKED_AT_ONCE])
            if (await self._directory.read([options.admin_group], ("1.1",), holding))[0] is not None:
                return True
        return False

    # small things

    def _holding(self, values: Sequence[str]) -> LDAPFilter:
        attribute = self._options.member_attribute
        equal: list[LDAPFilter] = [FilterEquality(attribute, value.encode()) for value in values]
        return equal[0] if len(equal) == 1 else FilterOr(equal)

    def _attributes(self) -> tuple[str, ...]:
        named = (self._options.group_attribute, self._options.membership_attribute)
        return tuple(attribute for attribute in named if attribute)

    def _group(self, entry: Entry) -> _Group:
        return _Group(entry.dn, entry.text(self._options.group_attribute), entry)

    def _check(self, name: str, groups: dict[str, _Group]) -> tuple[ProviderGroup, ...]:
        taken = tuple(_shown(key, group) for key, group in sorted(groups.items()))
        check_groups(self._options.name, name, taken)
        return taken


def _shown(key: str, group: _Group) -> ProviderGroup:
    return ProviderGroup(key, group.name or first_value(group.dn)[1] or key)
