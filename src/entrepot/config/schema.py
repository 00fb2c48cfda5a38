"""Everything that can be set, checked as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator, model_validator

from entrepot.config.identity import Identity
from entrepot.config.sections import (
    Api,
    Auth,
    ClientCertificates,
    Limits,
    Log,
    Metrics,
    RateLimits,
    RegistrySection,
    Secrets,
    Section,
    Storage,
    Tls,
)
from entrepot.config.values import read_file, split_address
from entrepot.errors import ConfigError
from entrepot.settings.model import check_overrides
from entrepot.web.address import parse_networks


class Config(Section):
    """Everything that can be set."""

    listen: str = Field("127.0.0.1:5000", description="Address and port; [::]:5000 for every address.")
    data: Path = Field(Path("data"), description="The folder of database, content and keys.")
    workers: int | None = Field(
        None, ge=1, le=256, description="Web worker processes; unset: one a core, at most four."
    )
    external_url: str = Field("", description="How clients reach the registry, such as https://registry.example.com.")
    https_only: bool = Field(False, description="Refuse requests that did not come over HTTPS.")
    http_redirect_listen: str = Field(
        "", description="Address and port of a plain HTTP listener that only leads to HTTPS, such as :80; empty: none."
    )
    trusted_proxies: list[str] = Field(
        default_factory=list, description="Networks whose X-Forwarded-* headers are believed."
    )
    admin_password: SecretStr | None = Field(None, description="The password of admin at the first start.")
    admin_password_file: Path | None = Field(None, description="A file that holds it.")
    tls: Tls = Tls()
    storage: Storage = Storage()
    registry: RegistrySection = RegistrySection()
    auth: Auth = Auth()
    metrics: Metrics = Metrics()
    api: Api = Api()
    log: Log = Log()
    limits: Limits = Limits()
    identity: Identity = Identity()
    secrets: Secrets = Secrets()
    rate_limits: RateLimits = RateLimits()
    client_certificates: ClientCertificates = ClientCertificates()
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings in Harbor's vocabulary that are fixed here and cannot be changed at run time.",
    )

    @field_validator("settings", mode="before")
    @classmethod
    def _is_object(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError('write a JSON object, such as {"read_only": true}') from None

    @field_validator("settings")
    @classmethod
    def _are_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            check_overrides(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("http_redirect_listen")
    @classmethod
    def _has_port_if_set(cls, value: str) -> str:
        if value:
            split_address(value)
        return value

    @field_validator("listen")
    @classmethod
    def _has_port(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("external_url")
    @classmethod
    def _is_origin(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("write scheme and host, such as https://registry.example.com")
        return value.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        try:
            parse_networks(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        if self.metrics.listen and self.metrics.listen == self.listen:
            raise ValueError("metrics.listen must differ from listen")
        if self.storage.driver == "memory" and (self.workers or 1) > 1:
            raise ValueError("storage.driver memory is of one process: set workers to 1")
        if self.admin_password and self.admin_password_file:
            raise ValueError("give admin_password or admin_password_file, not both")
        if self.https_only and not self.tls.cert_file and not self.trusted_proxies:
            raise ValueError("https_only needs tls.cert_file, or trusted_proxies that end TLS")
        if self.http_redirect_listen and not self.tls.cert_file:
            raise ValueError("http_redirect_listen leads to HTTPS, which needs tls.cert_file")
        if self.http_redirect_listen and self.http_redirect_listen in {self.listen, self.metrics.listen}:
            raise ValueError("http_redirect_listen must differ from the other listeners")
        if self.client_certificates.rules and not self.client_certificates.header:
            raise ValueError("client_certificates.rules need client_certificates.header")
        if self.client_certificates.header and not self.trusted_proxies:
            raise ValueError("client_certificates.header is believed from trusted_proxies only: name them")
        return self

    @property
    def worker_count(self) -> int:
        """How many web workers to run."""
        if self.storage.driver == "memory":
            return 1
        return self.workers or min(os.cpu_count() or 1, 4)

    @property
    def url(self) -> str:
        """Where the registry answers, as printed at start."""
        host, port = split_address(self.listen)
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        return self.external_url or f"{'https' if self.tls.cert_file else 'http'}://{shown}:{port}"

    def first_password(self) -> str | None:
        """The password of ``admin`` at the first start, if one was given."""
        if self.admin_password_file:
            try:
                return read_file(self.admin_password_file, "admin_password_file").decode().strip()
            except UnicodeDecodeError:
                raise ConfigError(f"admin_password_file: {self.admin_password_file} is not UTF-8 text.") from None
        return self.admin_password.get_secret_value() if self.admin_password else None
