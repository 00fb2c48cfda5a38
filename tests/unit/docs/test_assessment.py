"""The list of checks in docs/assessment.md is the code's: id, severity, reason, remedy."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from entrepot.app import assessor_of, database_path
from entrepot.config import Config
from entrepot.database import Database
from entrepot.kit.finding import MOST_RESOURCES, Check, Weakness
from entrepot.settings.service import Settings
from entrepot.system.assessment.service import REMEMBER_SECONDS

PAGE = Path(__file__).parents[3] / "docs" / "assessment.md"


def checks(folder: Path) -> tuple[Check, ...]:
    config = Config(data=folder)
    database = Database(database_path(config))
    return assessor_of(config, database, Settings(database, {}), None).checks


def table(found: Sequence[Check]) -> str:
    """The table as the page has it."""
    lines = ["| check | at most | what is found, and why it matters | what mends it |", "|---|---|---|---|"]
    lines += [
        f"| `{w.id}` | {w.severity} | **{_cell(w.title)}.** {_cell(w.reason)} | {_cell(w.remedy)} |"
        for w in (check.weakness for check in found)
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def test_the_page_on_the_assessment_lists_every_check(tmp_path: Path) -> None:
    expected = table(checks(tmp_path))
    assert expected in PAGE.read_text("utf-8"), f"Put this table into {PAGE}:\n\n{expected}"


def test_every_check_has_an_id_of_its_own_and_says_what_to_do(tmp_path: Path) -> None:
    found = checks(tmp_path)
    assert len({check.id for check in found}) == len(found)
    for check in found:
        assert check.title[0].isupper() or check.title.startswith("/"), check.id
        assert not check.title.endswith("."), check.id
        assert check.weakness.reason.endswith("."), check.id
        assert check.weakness.remedy, check.id


def test_the_page_tells_how_many_things_are_named_and_how_long_an_answer_is_kept() -> None:
    text = PAGE.read_text("utf-8")
    assert f"at most {MOST_RESOURCES}" in text
    assert f"kept for {REMEMBER_SECONDS:.0f} seconds" in text


def test_a_bar_in_a_sentence_does_not_break_the_table() -> None:
    weakness = Weakness(id="x", severity="low", title="A|b", reason="Because.", remedy="Do.")

    async def nothing() -> None:
        return None

    assert "A\\|b" in table([Check(weakness, nothing)])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(table(checks(Path(folder))))  # noqa: T201 - it is a generator then
