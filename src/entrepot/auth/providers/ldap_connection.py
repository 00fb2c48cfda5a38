"""One connection to a directory: TLS, bind, search; LDAP (RFC 4511) on the event loop.

The library speaks the protocol and does no I/O, so nothing here can block and a time-out ends whatever is under way.
Several searches travel together (``search``); referrals are not followed. A connection that was left in the middle of a
request is of no use any more: whoever leaves it closes it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from typing import cast

import msgspec
from sansldap import BindResponse as Bound
from sansldap import (
    ExtendedResponse,
    LDAPClient,
    LDAPControl,
    LDAPError,
    LDAPFilter,
    LDAPMessage,
    LDAPResult,
    LDAPResultCode,
    PagedResultControl,
    SearchResultDone,
    SearchResultEntry,
    SearchResultReference,
    SearchScope,
)

from entrepot.auth.options import Scope

_START_TLS = "1.3.6.1.4.1.1466.20037"
_SCOPES = {"base": SearchScope.BASE, "one": SearchScope.ONE_LEVEL, "subtree": SearchScope.SUBTREE}
_LARGEST = 16 * 1024 * 1024
"""Bytes of all answers to one request."""
_PAGE = 500


class DirectoryFailed(Exception):
    """A directory cannot be asked; the text says why, and holds no secret."""


class ConnectionBroken(DirectoryFailed):
    """There is no connection, or not any more."""


class Entry(msgspec.Struct, frozen=True):
    """What a search found: a DN, and values by attribute in lower case."""

    dn: str
    values: dict[str, tuple[bytes, ...]]

    def texts(self, attribute: str) -> list[str]:
        """All values of an attribute."""
        return [value.decode("utf-8", "replace") for value in self.values.get(attribute.lower(), ())]

    def text(self, attribute: str) -> str:
        """The first value of an attribute, or nothing."""
        return next(iter(self.texts(attribute)), "")


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched."""

    base: str
    wanted: LDAPFilter
    attributes: tuple[str, ...]
    scope: Scope = "base"
    limit: int = 1
    """Entries; more are cut off, which the result's code says."""


class Answer(msgspec.Struct, frozen=True):
    """What came of a request."""

    code: LDAPResultCode
    text: str = ""
    """The directory's own words; for logs and administrators."""
    entries: tuple[Entry, ...] = ()


class LdapConnection(asyncio.Protocol):
    """A connection; one coroutine at a time uses it."""

    def __init__(self) -> None:
        self._session = LDAPClient()
        self._transport: asyncio.Transport | None = None
        self._pending: set[int] = set()
        self._answers: list[LDAPMessage] = []
        self._received = 0
        self._answered: asyncio.Future[None] | None = None
        self._why = "there is no connection"

    @classmethod
    async def open(cls, host: str, port: int, *, tls: ssl.SSLContext | None, start_tls: bool) -> LdapConnection:
        """Connect.

        Args:
            host: a name or an address.
            port: its port.
            tls: what a certificate must be; ``None``: no TLS.
            start_tls: begin without TLS and ask for it.

        Raises:
            ConnectionBroken: there is no connection.
        """
        loop = asyncio.get_running_loop()
        at_once = tls is not None and not start_tls
        connection = cls()
        try:
            await loop.create_connection(
                lambda: connection, host, port, ssl=tls if at_once else None, server_hostname=host if at_once else None
            )
            if tls is not None and start_tls:
                await connection._start_tls(tls, host)
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError | UnicodeError):
                raise ConnectionBroken(_told(error)) from None
            raise
        return connection

    @property
    def is_open(self) -> bool:
        """Whether it can be used, as far as is known here."""
        return self._transport is not None and not self._transport.is_closing()

    async def bind(self, dn: str, password: str) -> Answer:
        """Show a name and a password.

        Raises:
            ConnectionBroken: the connection ended.
        """
        answer = (await self._ask([self._session.bind_simple(dn, password)]))[-1]
        if not isinstance(answer, Bound):
            raise self._fail("it answers a bind with something else")
        return _answer(answer.result)

    async def search(self, searches: Sequence[Search]) -> list[Answer]:
        """What each of some searches finds; they travel together.

        Raises:
            ConnectionBroken: the connection ended.
        """
        found = await self._search([(search, ()) for search in searches])
        return [_answer(done.result, entries) for entries, done in found]

    async def search_pages(self, search: Search) -> Answer:
        """What one search finds, page by page, for directories that give away only so many entries at once.

        Raises:
            ConnectionBroken: the connection ended.
        """
        entries: list[Entry] = []
        cookie = b""
        while True:
            page = PagedResultControl(critical=False, size=min(_PAGE, search.limit), cookie=cookie)
            [(more, done)] = await self._search([(search, (page,))])
            entries += more
            cookie = next((control.cookie for control in done.controls if isinstance(control, PagedResultControl)), b"")
            if len(entries) > search.limit:
                return Answer(LDAPResultCode.SIZE_LIMIT_EXCEEDED, "", tuple(entries))
            if not cookie or done.result.result_code != LDAPResultCode.SUCCESS:
                return _answer(done.result, entries)

    def close(self) -> None:
        """End it, whatever is under way."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        if self._answered is None or self._answered.done():
            self._fail("it speaks without being asked")
            return
        self._received += len(data)
        if self._received > _LARGEST:
            self._fail(f"its answer has more than {_LARGEST} bytes")
            return
        try:
            messages = self._session.receive(data)
        except LDAPError as error:
            self._fail(f"it ends the connection, or does not speak LDAP: {_short(str(error))}")
            return
        except (ValueError, LookupError, RecursionError, ArithmeticError):
            self._fail("it does not speak LDAP")
            return
        for message in messages:
            self._answers.append(message)
            if not isinstance(message, SearchResultEntry | SearchResultReference):
                self._pending.discard(message.message_id)
        if not self._pending:
            self._answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._fail(f"the connection broke: {_told(exc)}" if exc else "it closed the connection")

    # asking

    async def _ask(self, ids: Sequence[int]) -> list[LDAPMessage]:
        """Send what the session has to say, and wait for all answers to the requests of these numbers."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionBroken(self._why)
        self._pending = set(ids)
        self._answers, self._received = [], 0
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(self._session.data_to_send())
        try:
            await self._answered
        finally:
            self._answered = None
        return self._answers

    async def _search(
        self, searches: Sequence[tuple[Search, tuple[LDAPControl, ...]]]
    ) -> list[tuple[list[Entry], SearchResultDone]]:
        ids = [
            self._session.search_request(
                search.base,
                _SCOPES[search.scope],
                size_limit=search.limit if search.scope != "base" else 0,
                filter=search.wanted,
                attributes=list(search.attributes) or ["1.1"],
                controls=list(controls),
            )
            for search, controls in searches
        ]
        entries: dict[int, list[Entry]] = {number: [] for number in ids}
        done: dict[int, SearchResultDone] = {}
        for message in await self._ask(ids):
            if isinstance(message, SearchResultEntry):
                entries[message.message_id].append(_entry(message))
            elif isinstance(message, SearchResultDone):
                done[message.message_id] = message
        if len(done) != len(ids):
            raise self._fail("it answers a search with something else")
        return [(entries[number], done[number]) for number in ids]

    async def _start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        answer = (await self._ask([self._session.extended_request(_START_TLS)]))[0]
        if not isinstance(answer, ExtendedResponse) or answer.result.result_code != LDAPResultCode.SUCCESS:
            raise ConnectionBroken("it refuses StartTLS")
        if self._transport is None:
            raise ConnectionBroken(self._why)
        # A session of its own: what somebody put in behind the answer, in the clear, is never read.
        self._session = LDAPClient()
        transport = await asyncio.get_running_loop().start_tls(self._transport, self, tls, server_hostname=host)
        if transport is None:
            raise ConnectionBroken("it closed the connection")
        self._transport = transport

    def _fail(self, why: str) -> ConnectionBroken:
        """End the connection; whoever waits is told."""
        self._why = why
        self.close()
        error = ConnectionBroken(why)
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)
        return error


def _answer(result: LDAPResult, entries: Sequence[Entry] = ()) -> Answer:
    return Answer(result.result_code, _short(result.diagnostics_message), tuple(entries))


def _entry(message: SearchResultEntry) -> Entry:
    values: dict[str, tuple[bytes, ...]] = {}
    for attribute in message.attributes:
        # "memberOf;range=0-1499" is how Active Directory begins a long list
        name = attribute.name.partition(";")[0].lower()
        values[name] = (*values.get(name, ()), *attribute.values)
    return Entry(message.object_name, values)


def _told(error: BaseException) -> str:
    """Why there is no connection, in words of the system's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {_short(error.verify_message or str(error))}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {_short(error.reason or str(error))}"
    if isinstance(error, UnicodeError):
        return "its host name cannot be one"
    if isinstance(error, socket.gaierror):
        return "its host name is not known"
    if isinstance(error, OSError) and error.errno:
        return f"it cannot be connected: {os.strerror(error.errno)}"
    return f"it cannot be connected: {_short(str(error)) or 'it closed the connection'}"


def _short(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text[:200]).strip()
