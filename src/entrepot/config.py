"""The configuration: one typed description, read from a TOML file with ``ENTREPOT_`` variables over it.

A variable's name is the setting's path in capitals: ``registry.sparse`` is ``ENTREPOT_REGISTRY_SPARSE``. Everything is
checked before anything is opened.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from entrepot.errors import ConfigError
from entrepot.settings.model import check_overrides
from entrepot.web.address import parse_networks

PREFIX = "ENTREPOT_"


class Section(BaseModel):
    """A table of the file; a key that is not described is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Tls(Section):
    """HTTPS on the listener."""

    cert_file: Path | None = Field(None, description="Certificate chain in PEM.")
    key_file: Path | None = Field(None, description="Private key in PEM.")
    ca_file: Path | None = Field(None, description="The authority's certificate in PEM, for clients to download.")
    http2: bool = Field(
        False,
        description="Offer HTTP/2 too. Uploads are several times slower over it (STACK: 149 against 803 MB/s).",
    )

    @model_validator(mode="after")
    def _together(self) -> Tls:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
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


class Config(Section):
    """Everything that can be set."""

    listen: str = Field("127.0.0.1:5000", description="Address and port; [::]:5000 for every address.")
    data: Path = Field(Path("data"), description="The folder of database, content and keys.")
    workers: int | None = Field(
        None, ge=1, le=256, description="Web worker processes; unset: one a core, at most four."
    )
    external_url: str = Field("", description="How clients reach the registry, such as https://registry.example.com.")
    https_only: bool = Field(False, description="Refuse requests that did not come over HTTPS.")
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


def load(path: Path | None, environment: Mapping[str, str], overrides: Mapping[str, Any]) -> Config:
    """Read and check the configuration.

    Args:
        path: a TOML file, or ``None``.
        environment: where ``ENTREPOT_`` variables are looked for.
        overrides: top-level settings from the command line, over all others.

    Raises:
        ConfigError: naming every setting that is wrong, and how.
    """
    document: dict[str, Any] = {}
    if path is not None:
        try:
            document = tomllib.loads(read_file(path, "--config").decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid TOML: {error}.") from None
    _apply_environment(document, environment)
    document.update(overrides)
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'settings'}: {_reason(e)}" for e in error.errors()]
        raise ConfigError("The configuration is not valid:\n" + "\n".join(lines)) from None
    for setting, file in (
        ("tls.cert_file", config.tls.cert_file),
        ("tls.key_file", config.tls.key_file),
        ("tls.ca_file", config.tls.ca_file),
    ):
        if file:
            read_file(file, setting)
    return config


def check_certificate(tls: Tls) -> None:
    """Try the certificate and its key.

    Raises:
        ConfigError: they cannot be used.
    """
    if tls.cert_file is None or tls.key_file is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert_file, tls.key_file)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"tls: {tls.cert_file} and {tls.key_file} are not a certificate and its key in PEM ({error})."
        ) from None


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``, ``[v6]:port`` or ``:port``.

    Raises:
        ValueError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    is_number = port.isascii() and port.isdigit() and len(port) <= 5  # noqa: PLR2004 - the largest port's digits
    if not colon or not is_number or int(port) > 65_535:  # noqa: PLR2004 - the largest port
        raise ValueError(f"{text!r} is not an address: write host:port, such as 127.0.0.1:5000")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)  # noqa: S104 - asked for by ":5000"


def read_file(path: Path, setting: str) -> bytes:
    """The bytes of a file that a setting names.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}.") from None


def variables() -> dict[str, tuple[str, ...]]:
    """Every environment variable, and the path of its setting."""
    return {PREFIX + "_".join(path).upper(): path for path in _paths(Config, ())}


def _paths(model: type[BaseModel], prefix: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _paths(field.annotation, (*prefix, name))
        else:
            yield (*prefix, name)


def _apply_environment(document: dict[str, Any], environment: Mapping[str, str]) -> None:
    known = variables()
    for variable, text in environment.items():
        if not variable.startswith(PREFIX):
            continue
        path = known.get(variable.replace("__", "_"))
        if path is None:
            # Kubernetes gives every pod variables named after its services, ENTREPOT_PORT among them.
            sys.stderr.write(f"entrepot: {variable} is not a setting and is ignored\n")
            continue
        table = document
        for name in path[:-1]:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ConfigError(f"The configuration is not valid:\n  {name}: this is a section, write [{name}].")
        is_list = path == ("trusted_proxies",)
        table[path[-1]] = [part.strip() for part in text.split(",") if part.strip()] if is_list else text


def _reason(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such setting (entrepot config schema lists all)"
    return str(error["msg"]).removeprefix("Value error, ")
