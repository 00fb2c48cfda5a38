"""What can be set of an identity provider, in the configuration's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import msgspec

from entrepot.auth.provider import Policy
from entrepot.errors import InvalidInput

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_RESERVED = frozenset({"local"})
Scope = Literal["base", "one", "subtree"]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every provider has."""

    kind: ClassVar[str] = ""
    secret_field: ClassVar[str] = ""
    """The field that holds a secret; empty: none does."""

    name: str

    def check(self) -> None:
        """Check what a type does not say.

        Raises:
            InvalidInput: a value cannot be.
        """
        if not _NAME.fullmatch(self.name) or self.name in _RESERVED:
            raise _wrong("name", "begins with a letter and has at most 32 of a-z, 0-9 and -; local is taken")

    @property
    def secret(self) -> str:
        """The secret, or nothing."""
        return getattr(self, self.secret_field) if self.secret_field else ""


class LdapOptions(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An LDAP directory, Active Directory among them: search and bind."""

    kind: ClassVar[str] = "ldap"
    secret_field: ClassVar[str] = "bind_password"  # noqa: S105 - a field's name

    url: str
    """``ldaps://host`` or ``ldap://host``, with a port if it is not the usual one."""
    start_tls: bool = False
    verify_certificate: bool = True
    ca_file: str = ""
    """The authority of the server's certificate, in PEM; empty: the system's."""
    bind_dn: str = ""
    """Who searches; empty: anybody."""
    bind_password: str = ""
    base_dn: str
    filter: str = ""
    """What people must match too, such as ``(objectClass=person)``."""
    scope: Scope = "subtree"
    user_attribute: str = "uid"
    """What people log in with; Active Directory: sAMAccountName."""
    subject_attribute: str = ""
    """What never changes (entryUUID, objectGUID); empty: the DN."""
    email_attribute: str = "mail"
    real_name_attribute: str = "cn"
    membership_attribute: str = "memberOf"
    """Names a person's groups at the person; empty: it is not asked."""
    group_base_dn: str = ""
    """Where groups that name their members are searched; empty: nowhere."""
    group_filter: str = ""
    group_scope: Scope = "subtree"
    group_attribute: str = "cn"
    """What a group is called."""
    member_attribute: str = "member"
    nested_groups: bool = True
    """Whether a member of a group's group is a member."""
    admin_group: str = ""
    """The DN of the group whose members administer the registry."""
    timeout: float = 5.0
    """Seconds for one login, everything included."""
    connections: int = 4
    """Connections kept for searches, of each worker process."""
    cache_seconds: int = 300
    link_by_email: bool = False
    onboard: bool = True
    disable_when_gone: bool = True

    def check(self) -> None:
        """See ``Options.check``."""
        super().check()
        scheme = _ldap_scheme(self.url)
        if self.start_tls and scheme == "ldaps":
            raise _wrong("start_tls", "is for ldap:// URLs; ldaps:// has TLS from the first byte")
        if not self.base_dn.strip():
            raise _wrong("base_dn", "says where people are searched, such as ou=people,dc=example,dc=com")
        for field in ("filter", "group_filter"):
            if getattr(self, field):
                _check_filter(field, getattr(self, field))
        for field in ("user_attribute", "group_attribute", "member_attribute"):
            if not getattr(self, field).strip():
                raise _wrong(field, "must be the name of an attribute")
        _check_numbers(self.timeout, self.cache_seconds)
        if not 1 <= self.connections <= 64:  # noqa: PLR2004 - more would wear a directory out
            raise _wrong("connections", "is from 1 to 64")

    @property
    def policy(self) -> Policy:
        """How far it is believed."""
        return Policy(
            kind=self.kind,
            cache_seconds=self.cache_seconds,
            links_by_email=self.link_by_email,
            onboards=self.onboard,
            ends_with_source=self.disable_when_gone,
        )


class OidcOptions(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenID provider: the authorization code flow with PKCE."""

    kind: ClassVar[str] = "oidc"
    secret_field: ClassVar[str] = "client_secret"  # noqa: S105 - a field's name

    title: str = ""
    """What people choose at login; empty: the name."""
    endpoint: str
    """The issuer; ``/.well-known/openid-configuration`` below it is read."""
    client_id: str
    client_secret: str = ""
    """Empty: a public client, which PKCE alone protects."""
    scope: str = "openid profile email"
    """``offline_access`` or what the provider takes for it lets groups be asked again without a login."""
    verify_certificate: bool = True
    ca_file: str = ""
    user_claim: str = ""
    """What a person is called; empty: preferred_username, else the part of email before the @, else name, else sub."""
    groups_claim: str = ""
    """Empty: groups are not asked."""
    group_filter: str = ""
    """A regular expression that a group's whole name must match to be taken."""
    admin_group: str = ""
    auto_onboard: bool = False
    """Whether an account is made with the person's name as it is; else the person chooses one at the first login."""
    extra_parameters: dict[str, str] = {}
    """More parameters for the authorization endpoint."""
    logout: bool = False
    """Whether logging out here logs out there too."""
    api_audiences: tuple[str, ...] = ()
    """Audiences of access tokens that REST takes; ID tokens for client_id are always taken."""
    introspect: bool = False
    """Whether REST takes access tokens that are not JWTs too, by asking the provider about each (RFC 7662)."""
    timeout: float = 10.0
    cache_seconds: int = 300
    link_by_email: bool = False
    disable_when_gone: bool = False
    """Whether a refused refresh token means that the person is gone: it may have expired too."""

    def check(self) -> None:
        """See ``Options.check``."""
        super().check()
        check_url("endpoint", self.endpoint)
        if not self.client_id:
            raise _wrong("client_id", "is what the provider calls this registry")
        if "openid" not in self.scope.replace(",", " ").split():
            raise _wrong("scope", "holds openid, with spaces or commas between")
        try:
            re.compile(self.group_filter)
        except re.error:
            raise _wrong("group_filter", "is a regular expression") from None
        _check_numbers(self.timeout, self.cache_seconds)

    @property
    def policy(self) -> Policy:
        """How far it is believed."""
        return Policy(
            kind=self.kind,
            cache_seconds=self.cache_seconds,
            links_by_email=self.link_by_email,
            onboards=self.auto_onboard,
            ends_with_source=self.disable_when_gone,
        )


class WorkloadOptions(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An issuer of tokens for CI jobs and pods; which robot accounts trust which tokens is said at the robots."""

    kind: ClassVar[str] = "workload"

    issuer: str
    """As tokens name it in ``iss``."""
    audiences: tuple[str, ...]
    """One of them must be in a token's ``aud``."""
    jwks_url: str = ""
    """Where its keys are; empty: found by discovery below the issuer."""
    jwks_file: str = ""
    """A file with its keys, for an issuer that cannot be reached."""
    ca_file: str = ""
    verify_certificate: bool = True
    bearer_file: str = ""
    """A token shown when keys are fetched (a Kubernetes API server may ask for one)."""
    timeout: float = 10.0
    token_seconds: int = 900
    """How long an exchanged registry token lives."""
    session_seconds: int = 3600
    """How long docker login goes on after the workload's own token has expired."""

    def check(self) -> None:
        """See ``Options.check``."""
        super().check()
        check_url("issuer", self.issuer)
        if self.jwks_url:
            check_url("jwks_url", self.jwks_url)
        if not self.audiences or not all(self.audiences):
            raise _wrong("audiences", "names at least one audience: a token for somebody else must not open this door")
        if not 60 <= self.token_seconds <= 86_400:  # noqa: PLR2004 - a minute to a day
            raise _wrong("token_seconds", "is from 60 to 86400")
        if not 0 <= self.session_seconds <= 86_400:  # noqa: PLR2004 - a day
            raise _wrong("session_seconds", "is from 0 to 86400")
        _check_numbers(self.timeout, 1)


KINDS: Mapping[str, type[Options]] = {options.kind: options for options in (LdapOptions, OidcOptions, WorkloadOptions)}


def parse_options(kind: str, values: Mapping[str, Any]) -> Options:
    """The checked options of a provider of ``kind``.

    Raises:
        InvalidInput: there is no such kind, or a field is unknown, missing or wrong; no secret is repeated.
    """
    expected = KINDS.get(kind)
    if expected is None:
        raise InvalidInput(f"A provider's kind is {', '.join(KINDS)}.", code="BAD_REQUEST")
    try:
        options = msgspec.convert(values, expected)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The provider cannot be so: {error}.", code="BAD_REQUEST") from None
    options.check()
    return options


def check_url(field: str, url: str) -> None:
    """Refuse what is not an absolute HTTP URL.

    Raises:
        InvalidInput: it is not.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.fragment
    except ValueError:
        good = False
    if not good:
        raise _wrong(field, "is an absolute URL, such as https://id.example.com")


def _ldap_scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"ldap", "ldaps"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        good = False
    if not good:
        raise _wrong("url", "is ldaps://host, or ldap://host with start_tls; with :port if it is not the usual one")
    return parts.scheme


def _check_filter(field: str, text: str) -> None:
    from entrepot.auth.ldap_filter import read_filter  # noqa: PLC0415 - loads the protocol

    try:
        read_filter(text)
    except ValueError:
        raise _wrong(field, "is an LDAP filter in parentheses, such as (objectClass=person)") from None


def _check_numbers(timeout: float, cache_seconds: int) -> None:
    if not 0.1 <= timeout <= 120:  # noqa: PLR2004 - seconds
        raise _wrong("timeout", "is from 0.1 to 120 seconds")
    if not 1 <= cache_seconds <= 86_400:  # noqa: PLR2004 - a day
        raise _wrong("cache_seconds", "is from 1 to 86400")


def _wrong(field: str, words: str) -> InvalidInput:
    return InvalidInput(f"{field} {words}.", code="BAD_REQUEST")
