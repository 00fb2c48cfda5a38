"""Links in the README and in docs/ lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[3]
_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1[`~]*\s*?$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(
    r"!?\[[^\]\[]*(?:\[[^\]]*\][^\]\[]*)*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*<?(\S+?)>?\s*$",
    re.MULTILINE,
)
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)


def documents() -> list[Path]:
    found = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))
    return [*found, *sorted((ROOT / "bench").glob("*.md"))]


def anchors(text: str) -> set[str]:
    headings = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(document: Path) -> list[str]:
    text = _FENCE.sub("", document.read_text("utf-8"))
    found = []
    for match in _LINK.finditer(re.sub(r"`[^`\n]*`", "", text)):
        target = match[1] or match[2]
        if re.match(r"[a-z][a-z0-9+.-]*:", target, re.IGNORECASE):
            continue
        path, _, anchor = unquote(target).partition("#")
        leads_to = (document.parent / path).resolve() if path else document
        if not leads_to.exists() or (
            anchor and leads_to.suffix == ".md" and anchor.lower() not in anchors(leads_to.read_text("utf-8"))
        ):
            found.append(target)
    return found


@pytest.mark.parametrize("document", documents() or [None], ids=lambda path: str(path and path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_to_a_file_and_a_heading(document: Path | None) -> None:
    if document is None:
        pytest.skip("there is no document yet")
    assert broken(document) == []


def test_a_broken_link_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n[a](page.md#one) [b](gone.md) ![c](gone.png)\n```\n[d](in-code.md)\n```\n[e](#two) [f](https://x.y)\n"
    )
    assert broken(page) == ["gone.md", "gone.png", "#two"]
