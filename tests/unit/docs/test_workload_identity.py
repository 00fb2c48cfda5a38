"""docs/workload-identity.md names every option of an issuer with its default, and its rules can be read."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import msgspec

from entrepot.auth.options import WorkloadOptions, parse_options
from entrepot.kit.claim_rule import parse_rule

PAGE = Path(__file__).parents[3] / "docs" / "workload-identity.md"


def rows() -> dict[str, str]:
    """The defaults that the page's table of options tells, by key."""
    section = PAGE.read_text("utf-8").split("\n## An issuer\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))


def test_the_page_names_every_option_with_its_default() -> None:
    expected = {}
    for field in msgspec.structs.fields(WorkloadOptions):
        required = field.default is msgspec.NODEFAULT
        expected[field.name] = "must be given" if required else f"`{json.dumps(field.default)}`"
    assert rows() == expected


def test_the_rules_on_the_page_are_rules() -> None:
    found = re.findall(r'"rule": "((?:[^"\\]|\\.)*)"', PAGE.read_text("utf-8"))
    assert len(found) >= 3
    for rule in found:
        parse_rule(json.loads(f'"{rule}"'))


def test_the_rules_in_the_table_of_the_language_are_rules() -> None:
    section = PAGE.read_text("utf-8").split("\n## Rules\n")[1].split("\n## ")[0]
    found = [cell.replace("\\|", "|") for cell in re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)]
    assert len(found) >= 8
    for rule in found:
        parse_rule(f'repository == "acme/app" and ({rule})')


def test_the_issuers_on_the_page_can_be_configured() -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    described = [issuer for block in blocks for issuer in tomllib.loads(block)["identity"]["workload"]]
    assert len(described) >= 3
    for issuer in described:
        parse_options("workload", issuer)
