"""docs/configuration.md names every key of the configuration, and every setting that can be changed at run time."""

from __future__ import annotations

import re
from pathlib import Path

from entrepot.config import variables
from entrepot.settings.model import SETTINGS

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def named() -> set[str]:
    """What the first cells of the page's tables name."""
    cells = re.findall(r"^\| (`.*?`) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_page_on_configuration_names_every_key() -> None:
    assert {".".join(path) for path in variables().values()} - named() == set()


def test_the_page_on_configuration_names_every_setting_that_can_be_changed() -> None:
    assert {key for key, setting in SETTINGS.items() if setting.is_editable} - named() == set()
