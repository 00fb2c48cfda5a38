"""The page of an assessment: whole, without scripts, and with nothing of others' words taken as its own."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from entrepot.kit.finding import Finding
from entrepot.system.assessment.model import Assessment, Skipped, TlsReport
from entrepot.system.assessment.page import render_page, visible

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \"'&\x1b[31m\u202e"


def page(*findings: Finding, **more: object) -> str:
    given = {"version": "1.2.3", "assessed_at": 1_700_000_000.0, "checks": 40, "findings": findings, **more}
    return render_page(Assessment(**given))  # type: ignore[arg-type]


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Seen:
    seen = Seen()
    seen.feed(text)
    seen.close()
    assert seen.open == []
    return seen


def test_what_others_wrote_is_shown_and_never_done() -> None:
    hostile = Finding(
        check=HOSTILE, severity="high", title=HOSTILE, reason=HOSTILE, remedy=HOSTILE, resources=(HOSTILE,), total=9
    )
    tls = TlsReport(url=HOSTILE, grade=HOSTILE, reasons=(HOSTILE,), protocols=(HOSTILE,), ciphers=(HOSTILE,))
    text = page(hostile, tls=tls, skipped=(Skipped(HOSTILE, HOSTILE),), version=HOSTILE)
    seen = parsed(text)
    assert not {"script", "img", "link", "iframe", "a"} & set(seen.tags)
    assert seen.attributes <= {"lang", "charset", "name", "content", "class"}
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;" in text
    assert "and 8 more" in text


def test_the_page_needs_nothing_from_elsewhere() -> None:
    text = page(Finding(check="x", severity="low", title="T", reason="R.", remedy="Do."))
    assert not re.search(r"(src|href|url\(|@import|https?:)", text)


def test_nothing_found_is_said() -> None:
    text = page()
    assert "Nothing was found" in text
    parsed(text)


def test_no_terminal_is_told_what_to_do() -> None:
    assert visible("a\x1b[2Jb\r\x9b\nc\td") == "a\ufffd[2Jb\ufffd\ufffd c\td"
