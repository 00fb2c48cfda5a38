"""Logins of people in their browsers, at an OpenID provider: there and back, and a name for a new account.

A login that is under way is a row that nothing but its state finds, and that only the browser it began in can use:
the state is compared with a cookie. It is used once, whatever comes of it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar, cast

import msgspec
import structlog

from entrepot.auth.accounts import Accounts, NotOnboarded
from entrepot.auth.browser_login import (
    AFTER_LOGIN,
    CALLBACK,
    LOGIN_SECONDS,
    ONBOARDING_SECONDS,
    Arrived,
    BrowserLoginFailed,
    Going,
    Newcomer,
    Returned,
    local_path,
)
from entrepot.auth.directory import Directory
from entrepot.auth.logins import storable
from entrepot.auth.model import LoggedIn, User
from entrepot.auth.oidc_client import Begun
from entrepot.auth.provider import Policy, ProviderUnreachable, ProviderUser, RegistryRefused, unreachable
from entrepot.auth.sessions import Sessions
from entrepot.auth.store import pending_logins as store
from entrepot.auth.throttle import BY_ADDRESS, Throttle, key_of, network_of
from entrepot.database import Database, Transaction
from entrepot.errors import EntrepotError, InvalidInput, NotAuthenticated, NotFound, Precondition
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.kit.secretbox import SecretBox

MOST_PENDING = 100_000
"""Logins under way that are kept; of more than that the oldest go."""
_KIND = "oidc"
_BROWSER = "browser"
_ONBOARDING = "onboarding"
_SECOND = 1_000_000
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")
_USED = "This login was used or is too old: begin again."

log = structlog.get_logger()


class BrowserProvider(Protocol):
    """A provider that people log in at with their browsers."""

    @property
    def name(self) -> str:
        """What the operator calls it."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def policy(self) -> Policy:
        """How far it is believed."""

    async def begin(self, redirect_uri: str) -> Begun:
        """Where to send a browser, and what to keep until it comes back."""

    async def finish(
        self, code: str, *, redirect_uri: str, nonce: str, code_verifier: str, issuer: str | None
    ) -> tuple[ProviderUser, str]:
        """The person who came back, and the ID token."""

    async def end_session_url(self, id_token: str, back_to: str) -> str:
        """Where a browser logs out there too; empty: nowhere."""


class _Under(msgspec.Struct, frozen=True):
    """What is kept of a login under way."""

    nonce: str
    code_verifier: str
    redirect_uri: str
    redirect: str
    browser: str
    """SHA-256 of the cookie."""


class _Person(msgspec.Struct, frozen=True):
    """What is kept of somebody without an account."""

    person: ProviderUser
    id_token: str
    redirect: str


_Kept = TypeVar("_Kept", _Under, _Person)


class BrowserLogins:
    """The browser logins of one database; ``site`` is everywhere the registry's own URL, without a path."""

    def __init__(
        self, database: Database, directory: Directory, accounts: Accounts, sessions: Sessions, box: SecretBox
    ) -> None:
        self._database = database
        self._directory = directory
        self._accounts = accounts
        self._sessions = sessions
        self._box = box
        self._throttle = Throttle(database)

    async def begin(self, provider: str, redirect: str, cookie: str, *, site: str) -> Going:
        """Send a browser to a provider (empty: the first).

        Args:
            provider: its name.
            redirect: the path to go to afterwards; empty: the account's page.
            cookie: what the browser holds from another login under way, or nothing.
            site: the registry's own URL.

        Raises:
            Precondition: no OpenID provider is configured.
            NotFound: none of that name is.
            InvalidInput: the path leads elsewhere.
            ProviderUnreachable: the provider does not answer.
        """
        path = local_path(redirect)
        chosen = await self._chosen(provider)
        redirect_uri = site + CALLBACK
        with _hushed(chosen.name):
            begun = await chosen.begin(redirect_uri)
        browser = cookie if _COOKIE.fullmatch(cookie) else secrets.token_urlsafe(32)
        kept = _Under(begun.nonce, begun.code_verifier, redirect_uri, path, _digest(browser).hex())
        await self._keep(begun.state, _BROWSER, chosen.name, kept)
        return Going(begun.url, browser)

    async def finish(self, returned: Returned, cookie: str, origin: Origin) -> Arrived:
        """Let in whoever comes back from a provider.

        (1) Once, (2) in the same browser, (3) as the provider says, (4) under an account.

        Raises:
            NotAuthenticated: something does not fit; the sentence says what.
            PersonRefused: the person may not be let in.
            ProviderUnreachable: the provider does not answer as it should.
            TooManyRequests: too many logins from this address came to nothing.
        """
        key = key_of("browser", network_of(origin.client_address))
        await self._throttle.require({key: BY_ADDRESS})
        # 1
        row = await self._database.write(lambda tx: store.take(tx, _digest(returned.state)))
        provider = row.provider if row else ""
        try:
            kept = self._opened(row, _BROWSER, LOGIN_SECONDS, _Under)
            if row is None or kept is None:
                raise NotAuthenticated(_USED)
            # 2
            if not hmac.compare_digest(_digest(cookie).hex(), kept.browser):
                raise NotAuthenticated("This login began in another browser, or its cookie is gone: begin again.")
            return await self._admit(row.provider, kept, returned, origin)
        except EntrepotError as error:
            await self._failed(provider, error, origin, [] if error.status >= 500 else [key])  # noqa: PLR2004 - ours
            raise

    async def newcomer(self, cookie: str) -> Newcomer | None:
        """Who has to choose a name in the browser with this cookie; ``None``: nobody, or not any more."""
        row = await store.find(self._database, _digest(cookie)) if _COOKIE.fullmatch(cookie) else None
        kept = self._opened(row, _ONBOARDING, ONBOARDING_SECONDS, _Person)
        if row is None or kept is None:
            return None
        return Newcomer(row.provider, kept.person.name, kept.person.email, kept.redirect)

    async def onboard(self, cookie: str, chosen_name: str, origin: Origin) -> Arrived:
        """Make an account called ``chosen_name`` for whoever has to choose a name, and begin a session.

        Raises:
            NotAuthenticated: nobody has, or not any more.
            InvalidInput: it cannot be a name.
            Conflict: it is taken.
        """
        if not chosen_name:
            raise InvalidInput("Choose a user name.", code="BAD_REQUEST")
        row = await store.find(self._database, _digest(cookie)) if _COOKIE.fullmatch(cookie) else None
        kept = self._opened(row, _ONBOARDING, ONBOARDING_SECONDS, _Person)
        if row is None or kept is None:
            raise NotAuthenticated(_USED)
        provider = await self._found(row.provider)
        user = await self._accounts.admit(
            kept.person,
            provider.policy,
            msgspec.structs.replace(origin, principal=chosen_name),
            chosen_name=chosen_name,
            vouched_at=row.created_at,
        )
        if await self._database.write(lambda tx: store.take(tx, _digest(cookie))) is None:
            raise NotAuthenticated(_USED)
        return await self._let_in(user, provider.name, kept.id_token, kept.redirect, origin)

    async def log_out(self, session: str, origin: Origin, *, site: str) -> str:
        """End the session with this cookie; where to go to end it at the provider too, empty: nowhere."""
        name, id_token = await self._sessions.provider_of(session)
        await self._sessions.end(session, origin)
        provider = await self._find(name) if name else None
        return await provider.end_session_url(id_token, site + AFTER_LOGIN) if provider is not None else ""

    async def expire(self) -> None:
        """Delete logins that nobody came back from."""
        before = clock.now_us() - max(LOGIN_SECONDS, ONBOARDING_SECONDS) * _SECOND
        while await self._database.write(lambda tx: store.expire(tx, before), durable=False):
            pass
        while await self._database.write(lambda tx: store.trim(tx, MOST_PENDING), durable=False):
            pass

    # steps

    async def _admit(self, name: str, kept: _Under, returned: Returned, origin: Origin) -> Arrived:
        provider = await self._found(name)
        # 3
        if returned.error is not None or not returned.code:
            raise NotAuthenticated(_refusal(provider.title, returned.error or ""))
        with _hushed(provider.name):
            person, id_token = await provider.finish(
                returned.code,
                redirect_uri=kept.redirect_uri,
                nonce=kept.nonce,
                code_verifier=kept.code_verifier,
                issuer=returned.issuer,
            )
        # 4
        named = msgspec.structs.replace(origin, principal=storable(person.name))
        try:
            user = await self._accounts.admit(person, provider.policy, named)
        except NotOnboarded:
            cookie = secrets.token_urlsafe(32)
            await self._keep(cookie, _ONBOARDING, name, _Person(person, id_token, kept.redirect))
            return Arrived(kept.redirect, onboarding=cookie, suggestion=person.name)
        return await self._let_in(user, name, id_token, kept.redirect, origin)

    async def _let_in(self, user: User, provider: str, id_token: str, redirect: str, origin: Origin) -> Arrived:
        named = msgspec.structs.replace(origin, principal=user.name)
        event = LoggedIn(user=user.name, user_id=user.id, provider=provider)
        await self._database.write(lambda tx: journal.append(tx, named, event), durable=False)
        session = await self._sessions.begin(user, named, provider=provider, id_token=id_token)
        return Arrived(redirect, user=user, session=session)

    async def _failed(self, provider: str, error: EntrepotError, origin: Origin, keys: list[str]) -> None:
        async def work(tx: Transaction) -> None:
            if keys:
                await self._throttle.count(tx, keys)
            await journal.append(
                tx, origin, BrowserLoginFailed(user="", provider=provider, reason=type(error).__name__)
            )

        log.info("browser login failed", provider=provider, client_address=origin.client_address, error=error.message)
        await self._database.write(work, durable=False)

    async def _keep(self, key: str, kind: str, provider: str, kept: _Under | _Person) -> None:
        sealed = self._box.seal(msgspec.json.encode(kept).decode())
        row = store.PendingRow(kind, provider, sealed, clock.now_us())
        # Anybody may begin a login: a sync of the disk for each would be a gift to who begins many.
        await self._database.write(lambda tx: store.add(tx, _digest(key), row), durable=False)

    def _opened(self, row: store.PendingRow | None, kind: str, seconds: int, of: type[_Kept]) -> _Kept | None:
        if row is None or row.kind != kind or clock.now_us() - row.created_at > seconds * _SECOND:
            return None
        return msgspec.json.decode(self._box.open(row.sealed), type=of)

    # providers

    async def _chosen(self, name: str) -> BrowserProvider:
        listed = await self._directory.options(_KIND)
        if not listed:
            raise Precondition("No OpenID provider is configured here: log in with a name and a password.")
        provider = await self._find(name or listed[0].name)
        if provider is None:
            raise NotFound("There is no OpenID provider of this name.", code="NOT_FOUND")
        return provider

    async def _found(self, name: str) -> BrowserProvider:
        provider = await self._find(name)
        if provider is None:
            raise NotAuthenticated("The provider of this login is not configured any more: begin again.")
        return provider

    async def _find(self, name: str) -> BrowserProvider | None:
        found = await self._directory.find(name)
        return cast("BrowserProvider", found) if found is not None and found.kind == _KIND else None


@contextmanager
def _hushed(provider: str) -> Iterator[None]:
    """Strangers read what a page says: where a provider is stays in the log."""
    try:
        yield
    except RegistryRefused:
        raise
    except ProviderUnreachable as error:
        log.warning("identity provider unreachable", provider=provider, error=error.message)
        raise unreachable(provider) from error


def _refusal(title: str, word: str) -> str:
    if word == "access_denied":
        return f"You were not let in at {title}, or did not agree."
    shown = word if word.isidentifier() and len(word) <= 64 else "no reason given"  # noqa: PLR2004 - a word
    return f"{title} ended the login ({shown}): begin again."


def _digest(text: str) -> bytes:
    """How a secret is kept: who reads the database must not be able to use it."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
