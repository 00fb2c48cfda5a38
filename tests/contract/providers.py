"""The identity providers that the contract is asked of. A new one adds one line to ``PROVIDERS``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from entrepot.auth.model import User
from entrepot.auth.options import OidcOptions, parse_options
from entrepot.auth.provider import Link, Provider
from entrepot.auth.providers.ldap import LdapProvider
from entrepot.auth.providers.local import LocalProvider
from entrepot.auth.providers.oidc import OidcProvider
from tests import ldap_server
from tests.issuer import CALLBACK, CLIENT, SECRET, Issuer
from tests.ldap_server import Slapd


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One provider and what stands behind it; ``alice`` is known there."""

    open: Callable[[], Provider]
    """A provider, made anew."""
    password: str
    """Alice's; empty: it takes no passwords."""
    link: Callable[[Provider], Awaitable[tuple[Link, str]]]
    """What an account of Alice's would remember of her, and the opened credential."""
    group: str
    """A group of hers; empty: the provider says nothing of groups."""
    timeout: float
    """Seconds within which it gives up."""
    forget: Callable[[], None]
    """Takes Alice away there."""
    stop: Callable[[], None] | None
    """Takes everything away that answers; ``None``: it is always there."""


def linked(name: str, provider: str, subject: str) -> Link:
    return Link(provider, subject, 7, name, is_admin=False, is_gone=False, checked_at=0, credential=None)


@contextmanager
def ldap(folder: Path) -> Iterator[Source]:
    """A directory, by StartTLS."""
    ldap_server.require_slapd()
    slapd = Slapd(folder)
    options = parse_options("ldap", slapd.options(timeout=1.0))
    assert options.kind == "ldap"
    subject = ldap_server.user_dn("alice")

    async def link(_provider: Provider) -> tuple[Link, str]:
        return linked("alice", "corp", subject), ""

    try:
        yield Source(
            open=lambda: LdapProvider(options),  # type: ignore[arg-type] # parsed as such
            password=ldap_server.password_of("alice"),
            link=link,
            group="developers",
            timeout=1.0,
            forget=lambda: slapd.delete(subject),
            stop=slapd.stop,
        )
    finally:
        slapd.stop()


@contextmanager
def local(_folder: Path) -> Iterator[Source]:
    """Accounts that are kept here."""
    hasher = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    alice = User(7, "alice", hasher.hash("Alice-Secret-1"), is_admin=False, is_disabled=False, credential_version=1)
    users = {alice.id: alice}

    async def find_by_name(name: str) -> User | None:
        return next((user for user in users.values() if user.name == name), None)

    async def find_by_id(user_id: int) -> User | None:
        return users.get(user_id)

    async def matches(user: User, password: str) -> bool:
        try:
            return hasher.verify(user.password_hash, password)
        except (VerifyMismatchError, UnicodeEncodeError):
            return False

    async def link(_provider: Provider) -> tuple[Link, str]:
        return linked("alice", "local", "7"), ""

    yield Source(
        open=lambda: LocalProvider(find_by_name, find_by_id, matches),
        password="Alice-Secret-1",
        link=link,
        group="",
        timeout=1.0,
        forget=users.clear,
        stop=None,
    )


@contextmanager
def oidc(_folder: Path) -> Iterator[Source]:
    """An OpenID provider, by refresh tokens."""
    with Issuer() as issuer:
        options = OidcOptions(
            name="corp",
            endpoint=issuer.url,
            client_id=CLIENT,
            client_secret=SECRET,
            groups_claim="groups",
            timeout=1.0,
            disable_when_gone=True,
        )

        async def link(provider: Provider) -> tuple[Link, str]:
            assert isinstance(provider, OidcProvider)
            begun = await provider.begin(CALLBACK)
            code = issuer.code(begun.url)
            person, _ = await provider.finish(
                code, redirect_uri=CALLBACK, nonce=begun.nonce, code_verifier=begun.code_verifier, issuer=None
            )
            return linked("alice", "corp", person.subject), person.credential

        yield Source(
            open=lambda: OidcProvider(options),
            password="",
            link=link,
            group="dev",
            timeout=1.0,
            forget=issuer.refreshable.clear,
            stop=issuer.stop,
        )


PROVIDERS: dict[str, Callable[[Path], AbstractContextManager[Source]]] = {
    "ldap": ldap,
    "local": local,
    "oidc": oidc,
}
