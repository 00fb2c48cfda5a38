"""docs/ldap.md names every key of a directory with its default, and its examples can be configured."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from entrepot.auth.options import LdapOptions, parse_options
from entrepot.auth.provider import MOST_GROUPS

PAGE = (Path(__file__).parents[3] / "docs" / "ldap.md").read_text("utf-8")
EXAMPLES = [tomllib.loads(block) for block in re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]


def written(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is msgspec.NODEFAULT else str(default)


def test_every_key_is_there_with_its_default() -> None:
    table = PAGE.partition("## All keys")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \| (.*?) ?\| ", table, re.MULTILINE)
    told = {name: default.strip("` ") for names, default in rows for name in re.findall(r"`([^`]+)`", names)}
    assert told.pop("bind_password_file") == ""
    assert told == {field.name: written(field.default) for field in msgspec.structs.fields(LdapOptions)}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_can_be_configured(example: dict[str, dict[str, list[dict[str, object]]]]) -> None:
    [described] = example["identity"]["ldap"]
    options = parse_options("ldap", {key: value for key, value in described.items() if key != "bind_password_file"})
    assert isinstance(options, LdapOptions)
    assert options.verify_certificate
    assert options.start_tls or options.url.startswith("ldaps://")


def test_the_page_tells_how_many_groups_are_taken() -> None:
    assert f"more than {MOST_GROUPS:,} groups" in PAGE
