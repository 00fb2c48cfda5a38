"""Reading the file and the environment.

A variable's name is the setting's path in capitals: ``registry.sparse`` is ``ENTREPOT_REGISTRY_SPARSE``. Everything is
checked before anything is opened.
"""

from __future__ import annotations

import ssl
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from entrepot.config.schema import Config
from entrepot.config.sections import Section, Tls
from entrepot.config.values import read_file
from entrepot.errors import ConfigError

PREFIX = "ENTREPOT_"


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
