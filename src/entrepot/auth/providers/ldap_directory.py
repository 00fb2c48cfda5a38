"""A directory: a few connections kept for searches, one of its own for each password, and a patience for everything."""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import structlog
from sansldap import FilterAnd, FilterPresent, LDAPFilter
from sansldap import LDAPResultCode as Code

from entrepot.auth.ldap_filter import read_filter as parse_filter
from entrepot.auth.options import LdapOptions
from entrepot.auth.provider import ProviderUnreachable
from entrepot.auth.providers.ldap_connection import (
    Answer,
    ConnectionBroken,
    DirectoryFailed,
    Entry,
    LdapConnection,
    Search,
)

T = TypeVar("T")

_PORTS = {"ldap": 389, "ldaps": 636}
_IDLE_SECONDS = 60.0
_MOST_BINDS = 16
_TOGETHER = 50
"""Searches that travel together: OpenLDAP ends a connection on which anybody has a hundred waiting."""
_NOT_HIS = frozenset(
    {
        Code.INVALID_CREDENTIALS,
        Code.INAPPROPRIATE_AUTHENTICATION,
        Code.NO_SUCH_OBJECT,
        Code.CONSTRAINT_VIOLATION,
        Code.UNWILLING_TO_PERFORM,
        Code.INSUFFICIENT_ACCESS_RIGHTS,
    }
)
"""What directories say of wrong passwords and of accounts that are locked, expired or disabled."""
_AD_WRONG = "data 52e"
"""How Active Directory says that a password is just wrong; other numbers are of locked and expired accounts."""
_UNREADABLE = frozenset({Code.NO_SUCH_OBJECT, Code.INSUFFICIENT_ACCESS_RIGHTS, Code.INVALID_DN_SYNTAX, Code.REFERRAL})

log = structlog.get_logger()


class BaseMissing(DirectoryFailed):
    """What is searched below is not there."""


class Cut(Exception):
    """A search found more than was asked for, or more than the directory gives away."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__()
        self.entries = entries


class LdapDirectory:
    """Searches and binds; every method but ``close`` is called inside ``patience``."""

    def __init__(self, options: LdapOptions) -> None:
        self.options = options
        self._slots = asyncio.Semaphore(options.connections)
        self._binds = asyncio.Semaphore(_MOST_BINDS)
        self._idle: dict[LdapConnection, asyncio.TimerHandle] = {}
        self._is_closed = False
        self._tls: tuple[int, ssl.SSLContext] | None = None

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        """Whatever happens inside ends within ``timeout``, and failures are told as what they mean for a login.

        Raises:
            ProviderUnreachable: the directory does not answer, or not as it should.
        """
        try:
            async with asyncio.timeout(self.options.timeout):
                yield
        except TimeoutError:
            self._drop_idle()
            raise self._unreachable(f"not within {self.options.timeout:g} seconds") from None
        except ConnectionBroken as error:
            self._drop_idle()
            raise self._unreachable(str(error)) from None
        except DirectoryFailed as error:
            raise ProviderUnreachable(
                f"The directory {self.options.name} at {self._address()} cannot be asked: {error}."
            ) from None

    async def search(self, search: Search) -> tuple[Entry, ...]:
        """The entries that a search finds.

        Raises:
            DirectoryFailed: it cannot be done; ``BaseMissing``: there is nothing to search below.
            Cut: there are more than ``search.limit``.
        """

        async def work(connection: LdapConnection) -> Answer:
            is_long = search.limit > _TOGETHER
            return await connection.search_pages(search) if is_long else (await connection.search([search]))[0]

        answer = await self._with_connection(work)
        if answer.code == Code.SUCCESS:
            if len(answer.entries) > search.limit:
                raise Cut(answer.entries)
            return answer.entries
        if answer.code in {Code.SIZE_LIMIT_EXCEEDED, Code.ADMIN_LIMIT_EXCEEDED}:
            raise Cut(answer.entries)
        if answer.code == Code.NO_SUCH_OBJECT:
            raise BaseMissing(f"{search.base} is not there, or {self._searcher()} may not see it")
        raise DirectoryFailed(f"{self._searcher()} may not search {search.base} ({_said(answer)})")

    async def read(
        self, names: Sequence[str], attributes: tuple[str, ...], wanted: LDAPFilter | None = None
    ) -> list[Entry | None]:
        """The entries of some DNs; ``None`` where there is none, it may not be read, or it is not ``wanted``.

        Raises:
            DirectoryFailed: it cannot be done.
        """
        which = wanted or FilterPresent("objectClass")
        found: list[Entry | None] = []
        for begin in range(0, len(names), _TOGETHER):
            searches = [
                Search(base=name, wanted=which, attributes=attributes) for name in names[begin : begin + _TOGETHER]
            ]

            async def work(connection: LdapConnection, searches: list[Search] = searches) -> list[Answer]:
                return await connection.search(searches)

            for answer in await self._with_connection(work):
                if answer.code not in {Code.SUCCESS, *_UNREADABLE}:
                    raise DirectoryFailed(f"{self._searcher()} may not read entries ({_said(answer)})")
                found.append(answer.entries[0] if answer.entries else None)
        return found

    async def holds(self, dn: str, password: str) -> bool:
        """Whether an entry's password is this one, and the account may be used.

        Raises:
            DirectoryFailed: it cannot be asked.
        """
        if not dn or not password:
            return False  # many directories take a bind without either for an anonymous one, which succeeds
        async with self._binds:
            connection = await self._connect()
            try:
                answer = await connection.bind(dn, password)
            finally:
                connection.close()
        if answer.code == Code.SUCCESS:
            return True
        if answer.code in _NOT_HIS:
            if answer.code != Code.INVALID_CREDENTIALS or (answer.text and _AD_WRONG not in answer.text):
                log.info("directory refused a login", provider=self.options.name, dn=dn, reason=_said(answer))
            return False
        raise DirectoryFailed(f"it takes no passwords ({_said(answer)})")

    async def pretend(self) -> None:
        """Take as long as ``holds`` does: else the time of a refusal would tell who is here."""
        name, password = secrets.token_hex(8), secrets.token_hex(8)
        async with self._binds:
            connection = await self._connect()
            try:
                await connection.bind(f"cn={name},{self.options.base_dn}", password)
            finally:
                connection.close()

    async def probe(self) -> None:
        """Connect, log in as who searches, and look at where people are searched.

        Raises:
            DirectoryFailed: one of them does not work.
        """
        connection = await self._open()
        try:
            [answer] = await connection.search([self._base()])
        finally:
            connection.close()
        self._check_base(answer)

    async def require_base(self) -> None:
        """Make sure that where people are searched is there: only then is somebody who is not found gone.

        Raises:
            DirectoryFailed: it is not.
        """

        async def work(connection: LdapConnection) -> Answer:
            return (await connection.search([self._base()]))[0]

        self._check_base(await self._with_connection(work))

    async def close(self) -> None:
        """End all connections; those that are in use end when they are not any more."""
        self._is_closed = True
        self._drop_idle()

    def all_of(self, *filters: LDAPFilter | str) -> LDAPFilter:
        """A filter that wants all of some; text is read, and empty text wants nothing.

        Raises:
            DirectoryFailed: a text is no filter.
        """
        read = [read_filter(part) if isinstance(part, str) else part for part in filters if part]
        return read[0] if len(read) == 1 else FilterAnd(read) if read else FilterPresent("objectClass")

    # connections

    async def _with_connection(self, work: Callable[[LdapConnection], Awaitable[T]]) -> T:
        """Do ``work`` on a connection; on another one if a kept one proves to be gone, as after a restart."""
        async with self._slots:
            while True:
                kept = self._take()
                connection = kept or await self._open()
                try:
                    result = await work(connection)
                except ConnectionBroken:
                    connection.close()
                    if kept is None:
                        raise
                except BaseException:
                    connection.close()
                    raise
                else:
                    self._give(connection)
                    return result

    def _take(self) -> LdapConnection | None:
        while self._idle:
            connection, timer = self._idle.popitem()
            timer.cancel()
            if connection.is_open:
                return connection
            connection.close()
        return None

    def _give(self, connection: LdapConnection) -> None:
        if self._is_closed or not connection.is_open:
            connection.close()
            return
        timer = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._expire, connection)
        self._idle[connection] = timer

    def _expire(self, connection: LdapConnection) -> None:
        self._idle.pop(connection, None)
        connection.close()

    def _drop_idle(self) -> None:
        while self._idle:
            connection, timer = self._idle.popitem()
            timer.cancel()
            connection.close()

    async def _open(self) -> LdapConnection:
        """A connection that searches."""
        if self.options.bind_dn and not self.options.bind_password:  # an anonymous bind under somebody's name
            raise DirectoryFailed("bind_dn is set, and bind_password is empty")
        connection = await self._connect()
        if not self.options.bind_dn:
            return connection
        try:
            answer = await connection.bind(self.options.bind_dn, self.options.bind_password)
        except BaseException:
            connection.close()
            raise
        if answer.code != Code.SUCCESS:
            connection.close()
            raise DirectoryFailed(f"it refuses bind_dn or bind_password ({_said(answer)})")
        return connection

    async def _connect(self) -> LdapConnection:
        scheme, host, port = self._endpoint()
        wants_tls = scheme == "ldaps" or self.options.start_tls
        tls = await asyncio.to_thread(self._tls_context) if wants_tls else None
        return await LdapConnection.open(host, port, tls=tls, start_tls=self.options.start_tls)

    def _endpoint(self) -> tuple[str, str, int]:
        try:
            parts = urlsplit(self.options.url)
            return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            raise DirectoryFailed("its url has no host or port that can be") from None

    def _address(self) -> str:
        """The URL without what may stand before an @."""
        return f"{self.options.url.partition('://')[0]}://{urlsplit(self.options.url).netloc.rpartition('@')[2]}"

    def _tls_context(self) -> ssl.SSLContext:
        """What a certificate must be; made again when ``ca_file`` was replaced."""
        path = self.options.ca_file
        try:
            stamp = os.stat(path).st_mtime_ns if path else 0
            if self._tls is None or self._tls[0] != stamp:
                context = ssl.create_default_context(cafile=path or None)
                if not self.options.verify_certificate:
                    context.check_hostname = False
                    context.verify_mode = ssl.CERT_NONE
                self._tls = stamp, context
        except (OSError, ValueError):  # an SSLError is an OSError
            raise DirectoryFailed(f"ca_file {path} cannot be read as a certificate in PEM") from None
        return self._tls[1]

    def _unreachable(self, reason: str) -> ProviderUnreachable:
        return ProviderUnreachable(f"The directory {self.options.name} at {self._address()} does not answer: {reason}.")

    def _base(self) -> Search:
        return Search(base=self.options.base_dn, wanted=FilterPresent("objectClass"), attributes=())

    def _check_base(self, answer: Answer) -> None:
        if answer.code != Code.SUCCESS or not answer.entries:
            raise BaseMissing(f"base_dn {self.options.base_dn} is not there, or {self._searcher()} may not see it")

    def _searcher(self) -> str:
        return self.options.bind_dn or "anybody"


def read_filter(text: str) -> LDAPFilter:
    """See ``ldap_filter.read_filter``.

    Raises:
        DirectoryFailed: it is none.
    """
    try:
        return parse_filter(text)
    except ValueError as error:
        raise DirectoryFailed(str(error)) from None


def _said(answer: Answer) -> str:
    """What a directory answered, for logs and administrators."""
    words = answer.code.name.replace("_", " ").lower()
    return f"{words}: {answer.text}" if answer.text else words
