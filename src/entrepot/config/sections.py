"""The tables of the file: what can be set, table by table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from entrepot.config.values import split_address
from entrepot.errors import InvalidInput
from entrepot.kit.claim_rule import parse_rule
from entrepot.web.rates import parse_rate


class Section(BaseModel):
    """A table of the file; a key that is not described is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Tls(Section):
    """HTTPS on the listener."""

    cert_file: Path | None = Field(None, description="Certificate chain in PEM.")
    key_file: Path | None = Field(None, description="Private key in PEM.")
    ca_file: Path | None = Field(None, description="The authority's certificate in PEM, for clients to download.")
    client_ca_file: Path | None = Field(
        None, description="Clients must show a certificate of this authority (PEM) at the listener."
    )
    hsts_seconds: int = Field(
        31_536_000, ge=0, description="How long browsers insist on HTTPS, told with https_only; 0: not told."
    )
    http2: bool = Field(
        False,
        description="Offer HTTP/2 too. Uploads are several times slower over it (STACK: 149 against 803 MB/s).",
    )

    @model_validator(mode="after")
    def _together(self) -> Tls:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        if self.client_ca_file and not self.cert_file:
            raise ValueError("client_ca_file needs cert_file: without TLS nobody shows a certificate")
        return self


class Storage(Section):
    """Where content is kept."""

    driver: Literal["filesystem", "memory"] = Field("filesystem", description="filesystem, or memory for trials.")
    memory_limit: int = Field(1024**3, ge=0, description="Bytes that the memory driver may hold.")


class RegistrySection(Section):
    """What the registry accepts."""

    sparse: bool = Field(False, description="Accept manifests that name content which was never pushed.")
    create_projects: bool = Field(True, description="A push creates the project that it names, private.")
    upload_expiry: float = Field(24 * 3600, gt=0, description="Seconds after which an idle upload is dropped.")


class Auth(Section):
    """How long tokens live, in seconds."""

    access_token_seconds: int | None = Field(
        None, ge=60, le=86_400, description="Access tokens; unset: the setting token_expiration (30 minutes)."
    )
    refresh_token_seconds: int = Field(30 * 86_400, ge=300, description="What docker login keeps.")


class Metrics(Section):
    """Who may see /metrics."""

    listen: str = Field("", description="A listener of their own, such as 127.0.0.1:9090; empty: the registry's.")
    login: bool = Field(False, description="Ask for an administrator's name and password.")

    @field_validator("listen")
    @classmethod
    def _has_port(cls, value: str) -> str:
        if value:
            split_address(value)
        return value


class Api(Section):
    """The REST APIs."""

    documents_login: bool = Field(False, description="Show the API documents to those who are logged in only.")


class Log(Section):
    """Records on standard output (access) and standard error (everything else)."""

    access: bool = Field(True, description="One JSON record a request.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity.")
    format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal, else JSON.")


class Limits(Section):
    """Patience, in seconds."""

    idle_timeout: float = Field(60, gt=0, description="A transfer without progress is given up after this.")
    drain_delay: float = Field(3, ge=0, description="From SIGTERM (readyz turns 503) to the end of accepting.")
    drain_timeout: float = Field(60, ge=0, description="Running transfers get this long to finish.")


class Secrets(Section):
    """The key under which secrets are kept in the database."""

    key: SecretStr | None = Field(None, description="The key itself; several with commas between: the first seals.")
    key_file: Path | None = Field(None, description="Its file, one key a line; unset: keys/secrets.key in data.")

    @model_validator(mode="after")
    def _is_one(self) -> Secrets:
        if self.key and self.key_file:
            raise ValueError("give key or key_file, not both")
        return self


class RateLimits(Section):
    """How much one address, and one principal, may ask for: requests a period, such as 600/m; empty: no limit."""

    pulls: str = Field("", description="Reads of the registry API.")
    pushes: str = Field("", description="Writes of the registry API.")
    rest: str = Field("", description="Requests to the REST APIs and the pages.")
    logins: str = Field("", description="Requests to the token endpoint and for sessions.")

    @field_validator("pulls", "pushes", "rest", "logins")
    @classmethod
    def _is_rate(cls, value: str) -> str:
        if value:
            parse_rate(value)
        return value


class CertificateRule(Section):
    """Which client certificate is whom."""

    rule: str = Field(description='On the certificate, such as uri == "spiffe://prod/ns/ci/sa/builder".')
    principal: str = Field(min_length=1, description="A robot account's name, or a user's.")

    @field_validator("rule")
    @classmethod
    def _is_rule(cls, value: str) -> str:
        try:
            parse_rule(value)
        except InvalidInput as error:
            raise ValueError(error.message) from None
        return value


class ClientCertificates(Section):
    """Certificates that a trusted proxy has checked and tells of."""

    header: str = Field(
        "", description="X-Forwarded-Client-Cert, or the header that nginx fills with $ssl_client_escaped_cert."
    )
    rules: list[CertificateRule] = Field(default_factory=list, description="The first that fits counts.")

    @field_validator("rules", mode="before")
    @classmethod
    def _is_list(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("write a JSON list of objects with rule and principal") from None
