"""What an identity provider is: it says who somebody is, and what became of them.

``local``, ``ldap`` and ``oidc`` are its implementations; ``tests/contract`` holds what all of them must do.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from entrepot.errors import EntrepotError, Unavailable

MOST_GROUPS = 1000
"""Groups of one person; who has more is refused rather than shown with some of them."""
LONGEST_GROUP = 255
"""Characters of a group's name."""


class ProviderGroup(msgspec.Struct, frozen=True):
    """A group as its provider names it."""

    key: str
    """What is compared: a normalised DN, a claim's value."""
    name: str
    """What people read."""


class ProviderUser(msgspec.Struct, frozen=True, kw_only=True):
    """A person as a provider describes them."""

    provider: str
    subject: str
    """What never changes there, and is never given to somebody else."""
    name: str
    """What the person is called there; the account's name, if it is free."""
    email: str = ""
    is_email_verified: bool = False
    real_name: str = ""
    groups: tuple[ProviderGroup, ...] | None = None
    """``None``: the provider does not say, so what is known stays."""
    is_admin: bool = False
    credential: str = msgspec.field(default="")
    """What the provider can be asked with again (a refresh token); empty: nothing, or the one that is known."""


class Link(msgspec.Struct, frozen=True):
    """An account's tie to a person at a provider; times in microseconds since the epoch."""

    provider: str
    subject: str
    user_id: int
    name: str
    is_admin: bool
    is_gone: bool
    checked_at: int
    credential: bytes | None
    """Sealed."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How far a provider is believed."""

    kind: str = "local"
    """The provider's."""
    cache_seconds: int = 300
    """How long what it said counts."""
    links_by_email: bool = False
    """Whether a person whose address is an account's becomes that account."""
    onboards: bool = True
    """Whether an account is made at the first login without asking the person for its name."""
    ends_with_source: bool = True
    """Whether an account ends for all its credentials when the provider does not know the person any more."""


class Provider(Protocol):
    """One source of accounts."""

    @property
    def name(self) -> str:
        """What the operator calls it."""

    @property
    def kind(self) -> str:
        """``local``, ``ldap`` or ``oidc``."""

    @property
    def policy(self) -> Policy:
        """How far it is believed."""

    async def log_in(self, name: str, password: str) -> ProviderUser | None:
        """The person behind a name and a password; ``None`` if they do not belong together, or it takes no passwords.

        Raises:
            ProviderUnreachable: it does not answer within its time-out.
            PersonRefused: they do, but the person cannot be let in.
        """

    async def look_up(self, link: Link, credential: str) -> ProviderUser | None:
        """The person of ``link`` as the provider knows them now; ``None`` if it does not any more.

        Args:
            link: the tie.
            credential: its credential, opened.

        Raises:
            ProviderUnreachable: it does not answer within its time-out.
            CannotTell: it has no way to ask.
            PersonRefused: it knows the person, who cannot be let in any more.
        """

    async def probe(self) -> None:
        """Try whether it answers, with its own credentials.

        Raises:
            ProviderUnreachable: it does not, or refuses the credentials; the sentence says which.
        """

    async def close(self) -> None:
        """End its connections."""


class ProviderUnreachable(Unavailable):
    """An identity provider does not answer, or not as it should."""

    def __init__(self, message: str) -> None:
        """``message`` says who does not answer, and how."""
        super().__init__(message, headers=((b"retry-after", b"10"),))


class RegistryRefused(ProviderUnreachable):
    """An identity provider refuses the registry's own credentials; the sentence holds no address."""


def unreachable(name: str) -> ProviderUnreachable:
    """What strangers are told of a provider that does not answer: where it is stays in the log."""
    return ProviderUnreachable(f"The identity provider {name} does not answer now: try again later.")


class PersonRefused(EntrepotError):
    """The provider knows the person, who may not be let in; the sentence says why."""

    status = 401
    code = "UNAUTHORIZED"


class CannotTell(Exception):
    """The provider has no way to say what became of a person."""


def check_groups(provider: str, name: str, groups: tuple[ProviderGroup, ...]) -> None:
    """Refuse what is out of all measure.

    Raises:
        PersonRefused: there are too many groups, or a name is too long.
    """
    if len(groups) > MOST_GROUPS:
        raise PersonRefused(
            f"{name[:64]} is in {len(groups)} groups of {provider}, more than the {MOST_GROUPS} that are taken: "
            "ask the operator to filter them."
        )
    if any(len(group.key) > 4 * LONGEST_GROUP or len(group.name) > LONGEST_GROUP for group in groups):
        raise PersonRefused(
            f"{name[:64]} is in a group of {provider} whose name has more than {LONGEST_GROUP} characters: "
            "ask the operator to filter it."
        )
