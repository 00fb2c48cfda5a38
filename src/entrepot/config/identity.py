"""Identity providers, as the file describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from pydantic import Field, field_validator, model_validator

from entrepot.auth.options import KINDS, Options, parse_options
from entrepot.config.sections import Section
from entrepot.config.values import read_file
from entrepot.errors import ConfigError, InvalidInput


def _described(kind: str) -> dict[str, Any]:
    """What JSON Schema says of a list of providers."""
    definitions = msgspec.json.schema(KINDS[kind])["$defs"]
    return {"items": next(iter(definitions.values()))}


class Identity(Section):
    """Where accounts come from, beside those that are kept here."""

    ldap: list[dict[str, Any]] = Field(
        default_factory=list,
        description="LDAP directories; docs/ldap.md lists their keys.",
        json_schema_extra=_described("ldap"),
    )
    oidc: list[dict[str, Any]] = Field(
        default_factory=list,
        description="OpenID providers; docs/oidc.md lists their keys.",
        json_schema_extra=_described("oidc"),
    )
    workload: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Issuers of tokens for CI jobs and pods; docs/workload-identity.md lists their keys.",
        json_schema_extra=_described("workload"),
    )

    @field_validator("ldap", "oidc", "workload", mode="before")
    @classmethod
    def _is_list(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError('write a JSON list of objects, such as [{"name": "corp", …}]') from None

    @model_validator(mode="after")
    def _are_providers(self) -> Identity:
        names = [options.name for options in self.providers()]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two providers are called {', '.join(sorted(twice))}")
        return self

    def providers(self) -> list[Options]:
        """What is described, with secrets read from their files."""
        return [
            _options(kind, values)
            for kind, described in (("ldap", self.ldap), ("oidc", self.oidc), ("workload", self.workload))
            for values in described
        ]


def _options(kind: str, values: dict[str, Any]) -> Options:
    described = dict(values)
    field = KINDS[kind].secret_field
    path = described.pop(f"{field}_file", None) if field else None
    if path is not None and field in described:
        raise ValueError(f"{values.get('name', kind)}: give {field} or {field}_file, not both")
    try:
        if path is not None:
            described[field] = read_file(Path(path), f"{field}_file").decode().strip()
        return parse_options(kind, described)
    except (InvalidInput, ConfigError) as error:
        raise ValueError(f"{values.get('name', kind)}: {error}") from None
