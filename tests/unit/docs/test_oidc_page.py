"""docs/oidc.md names every key of an OpenID provider with its default, and its examples can be used."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec

from entrepot.auth.options import OidcOptions, parse_options

PAGE = (Path(__file__).parents[3] / "docs" / "oidc.md").read_text("utf-8")


def keys() -> dict[str, str]:
    """The table of keys: name and default."""
    table = PAGE.partition("## Keys")[2].partition("\n## ")[0]
    return {name: default.strip() for name, default in re.findall(r"^\| `(\w+)` \|(.*?)\|", table, re.MULTILINE)}


def test_the_page_names_every_key_and_no_other() -> None:
    assert set(keys()) == set(OidcOptions.__struct_fields__)


def test_the_page_tells_the_defaults() -> None:
    told = keys()
    for field in msgspec.structs.fields(OidcOptions):
        default = field.default
        if isinstance(default, bool | float) or (isinstance(default, int) and not isinstance(default, bool)):
            assert told[field.name] == f"`{str(default).lower().removesuffix('.0')}`", field.name
        elif isinstance(default, str) and default:
            assert told[field.name] == f"`{default}`", field.name


def test_the_example_is_a_configuration() -> None:
    [text] = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    [described] = tomllib.loads(text)["identity"]["oidc"]
    assert parse_options("oidc", described).name == "corp"


def test_what_the_page_says_of_other_providers_are_keys() -> None:
    section = PAGE.partition("\n## Providers")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert named
    assert named <= set(OidcOptions.__struct_fields__)
