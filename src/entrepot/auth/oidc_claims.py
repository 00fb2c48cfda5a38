"""Who a person is, by the claims that an OpenID provider makes about them; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from entrepot.auth.options import OidcOptions
from entrepot.auth.provider import LONGEST_GROUP, PersonRefused, ProviderGroup, ProviderUser, check_groups

Claims = Mapping[str, Any]

_LONGEST = 255
_MOST_LISTED = 20_000
"""Groups that are looked at before the filter."""
_STANDARD = ("preferred_username", "email", "name")


class ClaimReader:
    """Reads claims as one provider's options say."""

    def __init__(self, options: OidcOptions) -> None:
        self._options = options
        self._filter = re.compile(options.group_filter) if options.group_filter else None

    def is_complete(self, claims: Claims) -> bool:
        """Whether nothing that is used is missing, so that the provider need not be asked for more."""
        wanted = [*_STANDARD, self._options.user_claim, self._options.groups_claim]
        return all(find_claim(claims, name) is not None for name in wanted if name) and "email_verified" in claims

    def person(self, claims: Claims, *, credential: str = "", are_all: bool = True) -> ProviderUser:
        """The person.

        Args:
            claims: checked ones.
            credential: what the provider can be asked with again.
            are_all: whether these are all the claims that there are, so that no groups means in none of them.

        Raises:
            PersonRefused: they lack what is needed, or hold too much.
        """
        options = self._options
        subject = text_of(claims.get("sub"))
        if not subject:
            raise PersonRefused(f"The login at {self._title} does not say who it is: it has no sub.")
        name = self._name(claims, subject)
        all_groups = self._groups(claims, name, are_all=are_all)
        groups = None
        if all_groups is not None:
            taken = [group for group in all_groups if self._filter is None or self._filter.fullmatch(group)]
            groups = tuple(ProviderGroup(group, group) for group in taken)
            check_groups(self._title, name, groups)
        email = text_of(claims.get("email"))
        return ProviderUser(
            provider=options.name,
            subject=subject,
            name=name,
            email=email,
            is_email_verified=bool(email) and _is_yes(claims.get("email_verified")),
            real_name=text_of(claims.get("name")),
            groups=groups,
            is_admin=bool(options.admin_group) and options.admin_group in (all_groups or ()),
            credential=credential,
        )

    @property
    def _title(self) -> str:
        return self._options.title or self._options.name

    def _name(self, claims: Claims, subject: str) -> str:
        claim = self._options.user_claim
        if claim:
            name = text_of(find_claim(claims, claim))
            if not name:
                raise PersonRefused(
                    f"The login at {self._title} has no claim {claim}, which names people here: ask the operator."
                )
            return name
        local_part = text_of(claims.get("email")).partition("@")[0]
        return text_of(claims.get("preferred_username")) or local_part or text_of(claims.get("name")) or subject

    def _groups(self, claims: Claims, name: str, *, are_all: bool) -> list[str] | None:
        claim = self._options.groups_claim
        if not claim:
            return [] if are_all else None  # those of before, when it was read, must not stay
        elsewhere = claims.get("_claim_names")
        if (isinstance(elsewhere, Mapping) and claim in elsewhere) or claims.get("hasgroups") is True:
            raise PersonRefused(
                f"{name[:64]} is in so many groups that {self._title} does not list them: "
                "let it send only the groups that are assigned to this application."
            )
        found = find_claim(claims, claim)
        if found is None:
            return [] if are_all else None
        listed = found if isinstance(found, list) else [found]
        if len(listed) > _MOST_LISTED:
            raise PersonRefused(f"{name[:64]} is in {len(listed)} groups of {self._title}, which are too many.")
        named = dict.fromkeys(group for group in listed if isinstance(group, str) and group and group.isprintable())
        if self._filter is None:
            return list(named)
        return [group for group in named if len(group) <= LONGEST_GROUP]  # longer ones would wear the filter out


def find_claim(claims: Claims, name: str) -> Any:
    """The claim called ``name``, or the one that it leads to through claims inside claims (``realm_access.roles``)."""
    if name in claims:
        return claims[name]
    for head, rest in _splits(name):
        inner = claims.get(head)
        if isinstance(inner, Mapping):
            found = find_claim(inner, rest)
            if found is not None:
                return found
    return None


def text_of(value: Any) -> str:
    """A claim that is a text fit to be kept; else nothing."""
    return value if isinstance(value, str) and len(value) <= _LONGEST and value.isprintable() else ""


def _is_yes(value: Any) -> bool:
    return value is True or value == "true"  # as a text: AWS Cognito


def with_userinfo(claims: Claims, userinfo: Claims) -> dict[str, Any]:
    """The signed claims, and of the others what they lack."""
    more = dict(userinfo)
    if "email" in claims and claims["email"] != userinfo.get("email"):
        more.pop("email_verified", None)  # it was another address that is verified
    return {**more, **claims}


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Where a name may be cut: a claim's own name may hold dots too (``https://example.com/groups``)."""
    at = name.find(".")
    while at != -1:
        yield name[:at], name[at + 1 :]
        at = name.find(".", at + 1)
