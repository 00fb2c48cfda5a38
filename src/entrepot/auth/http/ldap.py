"""Routes for administrators of an LDAP directory: Harbor's ``/ldap``.

They speak of one directory: of the settings' if there is one, else of the first that is configured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
from fastapi import Query, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from entrepot.auth.accounts import Accounts
from entrepot.auth.directory import Directory
from entrepot.auth.dn import normalise_dn
from entrepot.auth.groups import LDAP
from entrepot.auth.http.fields import Secret, Word
from entrepot.auth.http.groups import UserGroup
from entrepot.auth.model import Caller
from entrepot.auth.options import LdapOptions, parse_options
from entrepot.auth.provider import ProviderUnreachable
from entrepot.errors import EntrepotError, InvalidInput, Precondition
from entrepot.web.rest import Asking, Body, Route, get, post
from entrepot.web.rule import system

if TYPE_CHECKING:
    from entrepot.auth.providers.ldap import LdapProvider

_OF_SETTINGS = "ldap"
_SCOPES = ("base", "one", "subtree")
_MOST_IMPORTED = 500
_LONGEST_TIMEOUT = 120
_LONGEST_DN = 4096

Name = Annotated[str, Query(max_length=255, description="A part of the name; empty: all, at most 500.")]


class LdapConf(Body):
    """A directory to try; what is left out is as it is configured."""

    ldap_url: Word | None = None
    ldap_search_dn: str | None = Field(None, max_length=_LONGEST_DN)
    ldap_search_password: Secret | None = Field(
        None, description="Left out: the configured one, if nothing of where it is sent was changed."
    )
    ldap_base_dn: str | None = Field(None, max_length=_LONGEST_DN)
    ldap_filter: str | None = Field(None, max_length=_LONGEST_DN)
    ldap_uid: Word | None = None
    ldap_scope: int | None = Field(None, ge=0, le=2, description="0: the entry itself, 1: one level, 2: all below.")
    ldap_connection_timeout: int | None = Field(None, ge=1, le=2**31, description="Seconds.")
    ldap_verify_cert: bool | None = None


class LdapPingResult(Body):
    """What came of trying."""

    success: bool
    message: str | None = None


class LdapUser(Body):
    """A person in the directory."""

    username: str
    email: str
    realname: str


class LdapImportUsers(Body):
    """Who is to have an account."""

    ldap_uid_list: list[Word] = Field(max_length=_MOST_IMPORTED)


class LdapRoutes:
    """Trying a directory, finding people and groups in it, making accounts of people."""

    def __init__(self, directory: Directory, accounts: Accounts) -> None:
        self._directory = directory
        self._accounts = accounts

    def routes(self) -> list[Route]:
        """Below ``/api/v2.0``."""
        return [
            post("/ldap/ping", self.ping, system("configuration", "update"), tag="ldap", status=200),
            get("/ldap/users/search", self.search_users, system("ldap-user", "list"), tag="ldap"),
            post("/ldap/users/import", self.import_users, system("ldap-user", "create"), tag="ldap", status=200),
            get("/ldap/groups/search", self.search_groups, system("ldap-user", "list"), tag="ldap"),
        ]

    async def ping(self, body: LdapConf | None = None) -> LdapPingResult:
        """Try a directory: connect, log in as who searches, look at the base DN."""
        from entrepot.auth.providers.ldap import LdapProvider  # noqa: PLC0415 - loads the protocol

        configured = await self._options()
        values = body.model_dump(exclude_none=True) if body else {}
        if values:
            options = _described(values, configured)
        elif configured is None:
            return LdapPingResult(success=False, message="There is no LDAP directory: configure one.")
        else:
            options = configured
        provider = LdapProvider(options)
        try:
            await provider.probe()
        except ProviderUnreachable as error:
            return LdapPingResult(success=False, message=error.message)
        finally:
            await provider.close()
        return LdapPingResult(success=True)

    async def search_users(self, username: Name = "") -> list[LdapUser]:
        """Find people in the directory by a part of what they log in with."""
        people = await (await self._provider()).search_people(_sendable(username))
        return [LdapUser(username=one.name, email=one.email, realname=one.real_name) for one in people]

    async def import_users(self, caller: Annotated[Caller, Asking], body: LdapImportUsers) -> Response:
        """Make accounts of people in the directory, before they log in.

        Who cannot be imported is listed in an answer 404; the others are.
        """
        provider = await self._provider()
        policy = msgspec.structs.replace(provider.policy, onboards=True)
        failed: list[dict[str, str]] = []
        silent = ""
        for name in dict.fromkeys(body.ldap_uid_list):
            error = silent or ("" if name else "empty_uid")
            try:
                person = None if error else await provider.find_person(name)
                if person is not None:
                    await self._accounts.admit(person, policy, caller.origin)
                else:
                    error = error or "unknown_user"
            except ProviderUnreachable as unreachable:
                error = silent = unreachable.message
            except EntrepotError as refused:
                error = refused.message
            if error:
                failed.append({"uid": name, "error": error})
        return JSONResponse(failed, 404) if failed else Response()

    async def search_groups(
        self,
        groupname: Name = "",
        groupdn: Annotated[str, Query(max_length=_LONGEST_DN, description="The DN of a group.")] = "",
    ) -> list[UserGroup]:
        """Find groups in the directory by a part of their name, or the one of a DN."""
        if groupdn:
            try:
                normalise_dn(_sendable(groupdn))
            except ValueError as error:
                raise InvalidInput(f"groupdn is no DN: {error}.", code="BAD_REQUEST") from None
        found = await (await self._provider()).search_groups(_sendable(groupname), groupdn)
        return [UserGroup(id=0, group_name=one.name, group_type=LDAP, ldap_group_dn=one.key) for one in found]

    async def _options(self) -> LdapOptions | None:
        """The directory that these routes speak of."""
        found = cast("list[LdapOptions]", await self._directory.options(LdapOptions.kind))
        return next((one for one in found if one.name == _OF_SETTINGS), found[0] if found else None)

    async def _provider(self) -> LdapProvider:
        options = await self._options()
        provider = await self._directory.find(options.name) if options else None
        if provider is None:
            raise Precondition("There is no LDAP directory: configure one.")
        return cast("LdapProvider", provider)


def _described(values: dict[str, Any], configured: LdapOptions | None) -> LdapOptions:
    """What is to be tried: what was sent over what is configured.

    The configured password goes only to where it goes anyway: somebody who may try a directory must not get it sent to
    a server of theirs, or past a certificate that is not checked.
    """
    known: dict[str, Any] = msgspec.to_builtins(configured) if configured else {"name": _OF_SETTINGS}
    wanted = known | {
        option: values[key]
        for key, option in {
            "ldap_search_dn": "bind_dn",
            "ldap_base_dn": "base_dn",
            "ldap_uid": "user_attribute",
            "ldap_verify_cert": "verify_certificate",
        }.items()
        if key in values
    }
    if "ldap_url" in values:
        wanted["url"] = _with_scheme(values["ldap_url"].strip())
        wanted["start_tls"] = bool(wanted.get("start_tls")) and wanted["url"].startswith("ldap://")
    if "ldap_filter" in values:
        wanted["filter"] = _in_parentheses(values["ldap_filter"].strip())
    if "ldap_scope" in values:
        wanted["scope"] = _SCOPES[values["ldap_scope"]]
    if "ldap_connection_timeout" in values:
        wanted["timeout"] = float(min(values["ldap_connection_timeout"], _LONGEST_TIMEOUT))
    destination = ("url", "start_tls", "verify_certificate", "bind_dn")
    if "ldap_search_password" in values:
        wanted["bind_password"] = values["ldap_search_password"]
    elif any(wanted.get(field) != known.get(field) for field in destination):
        wanted["bind_password"] = ""
    return cast("LdapOptions", parse_options(LdapOptions.kind, wanted))


def _with_scheme(url: str) -> str:
    """Harbor takes an address without a scheme."""
    if "://" in url:
        return url
    return f"{'ldaps' if url.endswith(':636') else 'ldap'}://{url}"


def _in_parentheses(text: str) -> str:
    """Harbor takes a filter without parentheses."""
    return f"({text})" if text and not text.startswith("(") else text


def _sendable(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput("NUL and halves of surrogate pairs are in no name.", code="BAD_REQUEST")
    return text
