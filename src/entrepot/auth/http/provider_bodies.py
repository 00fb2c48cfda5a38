"""Identity providers as our own API writes them: one model a kind, with the keys that the configuration has.

``tests/unit/auth/test_provider_bodies.py`` holds them against ``auth/options.py``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from entrepot.auth.http.fields import storable
from entrepot.auth.options import Scope
from entrepot.web.rest import Body

_Text = Annotated[str, Field(max_length=4096), AfterValidator(storable)]
_Name = Annotated[str, Field(max_length=255), AfterValidator(storable)]
_Texts = Annotated[list[_Name], Field(max_length=50)]
_Parameters = Annotated[dict[_Name, _Name], Field(max_length=50)]
_Seconds = Annotated[float, Field(ge=0.1, le=120)]
_CacheSeconds = Annotated[int, Field(ge=1, le=86_400)]
_Secret = Annotated[
    _Text | None, Field(description="Never answered. In a change: left out, the present one stays; empty, it goes.")
]


class LdapFields(Body):
    """An LDAP directory."""

    url: _Text = Field(description="ldaps://host, or ldap://host with start_tls.")
    start_tls: bool = False
    verify_certificate: bool = True
    ca_file: _Text = ""
    bind_dn: _Text = ""
    base_dn: _Text
    filter: _Text = ""
    scope: Scope = "subtree"
    user_attribute: _Name = "uid"
    subject_attribute: _Name = ""
    email_attribute: _Name = "mail"
    real_name_attribute: _Name = "cn"
    membership_attribute: _Name = "memberOf"
    group_base_dn: _Text = ""
    group_filter: _Text = ""
    group_scope: Scope = "subtree"
    group_attribute: _Name = "cn"
    member_attribute: _Name = "member"
    nested_groups: bool = True
    admin_group: _Text = ""
    timeout: _Seconds = 5.0
    connections: int = Field(4, ge=1, le=64)
    cache_seconds: _CacheSeconds = 300
    link_by_email: bool = False
    onboard: bool = True
    disable_when_gone: bool = True


class OidcFields(Body):
    """An OpenID provider."""

    title: _Name = ""
    endpoint: _Text = Field(description="The issuer.")
    client_id: _Text
    scope: _Text = "openid profile email"
    verify_certificate: bool = True
    ca_file: _Text = ""
    user_claim: _Name = ""
    groups_claim: _Name = ""
    group_filter: _Text = ""
    admin_group: _Text = ""
    auto_onboard: bool = False
    extra_parameters: _Parameters = Field(default_factory=dict)
    logout: bool = False
    api_audiences: _Texts = Field(default_factory=list)
    introspect: bool = False
    timeout: _Seconds = 10.0
    cache_seconds: _CacheSeconds = 300
    link_by_email: bool = False
    disable_when_gone: bool = False


class WorkloadFields(Body):
    """An issuer of tokens for CI jobs and pods. A file with a bearer token is named in the configuration only."""

    issuer: _Text = Field(description="As tokens name it in iss.")
    audiences: _Texts = Field(min_length=1)
    jwks_url: _Text = ""
    jwks_file: _Text = ""
    ca_file: _Text = ""
    verify_certificate: bool = True
    timeout: _Seconds = 10.0
    token_seconds: int = Field(900, ge=60, le=86_400)
    session_seconds: int = Field(3600, ge=0, le=86_400)


class LdapInput(LdapFields):
    """An LDAP directory, as it is described."""

    model_config = ConfigDict(extra="forbid")
    bind_password: _Secret = None


class OidcInput(OidcFields):
    """An OpenID provider, as it is described."""

    model_config = ConfigDict(extra="forbid")
    client_secret: _Secret = None


class WorkloadInput(WorkloadFields):
    """An issuer of tokens, as it is described."""

    model_config = ConfigDict(extra="forbid")


class LdapChange(Body):
    """What an LDAP directory shall be."""

    kind: Literal["ldap"]
    options: LdapInput


class OidcChange(Body):
    """What an OpenID provider shall be."""

    kind: Literal["oidc"]
    options: OidcInput


class WorkloadChange(Body):
    """What an issuer of tokens shall be."""

    kind: Literal["workload"]
    options: WorkloadInput


class _Called(Body):
    name: Annotated[str, Field(max_length=32, description="A letter, then letters, digits and -; all small.")]


class NewLdap(_Called, LdapChange):
    """An LDAP directory to add."""


class NewOidc(_Called, OidcChange):
    """An OpenID provider to add."""


class NewWorkload(_Called, WorkloadChange):
    """An issuer of tokens to add."""


class _Known(Body):
    name: str
    is_fixed: bool = Field(description="Whether the configuration describes it, so that it cannot be changed here.")
    has_secret: bool
    creation_time: datetime | None = None
    update_time: datetime | None = None


class LdapProvider(_Known):
    """An LDAP directory."""

    kind: Literal["ldap"]
    options: LdapFields


class OidcProvider(_Known):
    """An OpenID provider."""

    kind: Literal["oidc"]
    options: OidcFields


class WorkloadProvider(_Known):
    """An issuer of tokens."""

    kind: Literal["workload"]
    options: WorkloadFields


New = NewLdap | NewOidc | NewWorkload
Change = LdapChange | OidcChange | WorkloadChange
Shown = Annotated[LdapProvider | OidcProvider | WorkloadProvider, Field(discriminator="kind")]


def values_of(options: LdapInput | OidcInput | WorkloadInput) -> dict[str, Any]:
    """What was said of a provider; a secret that was left out is not there."""
    return {key: value for key, value in options.model_dump().items() if value is not None}
