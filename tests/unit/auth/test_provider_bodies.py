"""The models of our own API say of providers just what the configuration says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from entrepot.auth.http.provider_bodies import (
    LdapFields,
    LdapInput,
    OidcFields,
    OidcInput,
    WorkloadFields,
    WorkloadInput,
    values_of,
)
from entrepot.auth.options import LdapOptions, OidcOptions, Options, WorkloadOptions, parse_options

KINDS: list[tuple[type[Options], type[BaseModel], type[BaseModel]]] = [
    (LdapOptions, LdapFields, LdapInput),
    (OidcOptions, OidcFields, OidcInput),
    (WorkloadOptions, WorkloadFields, WorkloadInput),
]
ONLY_IN_THE_CONFIGURATION = {"bearer_file"}
"""What is read from the server's disk and sent elsewhere."""


def default_of(field: Any) -> Any:
    if field.default_factory is not None:
        made = field.default_factory()
        return tuple(made) if isinstance(made, list) else made
    return field.default


@pytest.mark.parametrize(("options", "shown", "taken"), KINDS)
def test_the_fields_and_their_defaults_are_those_of_the_configuration(
    options: type[Options], shown: type[BaseModel], taken: type[BaseModel]
) -> None:
    expected: dict[str, Any] = {}
    for field in msgspec.structs.fields(options):
        if field.name in {"name", options.secret_field, *ONLY_IN_THE_CONFIGURATION}:
            continue
        if field.default_factory is not msgspec.NODEFAULT:
            expected[field.name] = field.default_factory()
        else:
            expected[field.name] = PydanticUndefined if field.default is msgspec.NODEFAULT else field.default
    assert {name: default_of(field) for name, field in shown.model_fields.items()} == expected
    more = {options.secret_field} if options.secret_field else set()
    assert set(taken.model_fields) == set(shown.model_fields) | more
    assert taken.model_config.get("extra") == "forbid"


def test_a_secret_that_is_left_out_is_not_among_the_values_and_an_empty_one_is() -> None:
    described = {"endpoint": "https://id.example.com", "client_id": "registry"}
    assert "client_secret" not in values_of(OidcInput.model_validate(described))
    assert values_of(OidcInput.model_validate(described | {"client_secret": ""}))["client_secret"] == ""


def test_what_was_described_becomes_options() -> None:
    values = values_of(WorkloadInput(issuer="https://ci.example.com", audiences=["registry"]))
    assert isinstance(parse_options("workload", values | {"name": "ci"}), WorkloadOptions)
