"""The page of an assessment: one HTML document without scripts, to read, to print, to send."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from entrepot.kit.finding import SEVERITIES, Finding
from entrepot.system.assessment.model import Assessment, TlsReport

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1c2330; --soft: #5b6475; --line: #dfe3ea; --card: #f7f8fa;
  --critical: #a4102f; --high: #c4460a; --medium: #8a6500; --low: #2563a8; --info: #5b6475; --good: #1a7f45; }
@media (prefers-color-scheme: dark) { :root { --ground: #12161d; --ink: #e6e9ef; --soft: #9aa4b5; --line: #2b3340;
  --card: #1a202a; --critical: #ff7088; --high: #ff9a5c; --medium: #e5bd4a; --low: #7db5f0; --info: #9aa4b5;
  --good: #56c987; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .75rem; text-transform: capitalize; }
.soft { color: var(--soft); margin: 0; }
.counts { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1.25rem 0 0; padding: 0; list-style: none; }
.counts li { border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .9rem; min-width: 5.5rem; }
.counts b { display: block; font-size: 1.4rem; line-height: 1.2; }
.none b { color: var(--soft); }
article { border: 1px solid var(--line); border-left: .3rem solid; border-radius: .4rem; background: var(--card);
  padding: .9rem 1.1rem; margin: 0 0 .75rem; break-inside: avoid; }
article h3 { font-size: 1rem; margin: 0; color: var(--ink); }
article p { margin: .35rem 0 0; color: var(--ink); }
article .id { float: right; font: .8rem/1.9 ui-monospace, monospace; color: var(--soft); }
.fix { font-weight: 600; }
ul.of { margin: .4rem 0 0; padding: 0 0 0 1.1rem; font: .85rem/1.5 ui-monospace, monospace; color: var(--soft);
  overflow-wrap: anywhere; }
.remedy { overflow-wrap: anywhere; }
.critical { border-left-color: var(--critical); color: var(--critical); }
.high { border-left-color: var(--high); color: var(--high); }
.medium { border-left-color: var(--medium); color: var(--medium); }
.low { border-left-color: var(--low); color: var(--low); }
.info { border-left-color: var(--info); color: var(--info); }
.well { border: 1px solid var(--line); border-left: .3rem solid var(--good); border-radius: .4rem;
  padding: .9rem 1.1rem; margin-top: 2rem; }
.grade { display: flex; gap: 1rem; align-items: baseline; }
.grade b { font-size: 2.2rem; line-height: 1; }
details { margin-top: 2.5rem; color: var(--soft); }
.grade ~ details { margin-top: .75rem; }
"""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """``text`` without what a terminal or a page would act on: names and descriptions are others' words."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\n", " "))


def render_page(assessment: Assessment) -> str:
    """The whole document; it needs nothing from elsewhere."""
    at = datetime.fromtimestamp(assessment.assessed_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Self-assessment, {at}</title><style>{_STYLE}</style></head><body><main>",
        "<h1>Self-assessment</h1>",
        f'<p class="soft">Entrepôt {_text(assessment.version)}, {at}; {assessment.checks} checks</p>',
        _counts(assessment),
        *_tls(assessment.tls),
        *_findings(assessment),
        *_skipped(assessment),
        "</main></body></html>\n",
    ]
    return "\n".join(parts)


def _text(text: str) -> str:
    return escape(visible(text), quote=True)


def _counts(assessment: Assessment) -> str:
    items = [
        f'<li class="{severity if count else "none"}"><b>{count}</b>{severity}</li>'
        for severity, count in assessment.counts().items()
    ]
    return f'<ul class="counts">{"".join(items)}</ul>'


def _tls(report: TlsReport | None) -> Iterable[str]:
    if report is None:
        return
    yield "<h2>TLS</h2>"
    yield f'<div class="grade"><b>{_text(report.grade)}</b><div>'
    yield f'<p class="soft">{_text(report.url)}: {_text(", ".join(report.protocols))}</p></div></div>'
    if report.reasons:
        yield _list(report.reasons)
    if report.ciphers:
        yield f"<details><summary>{len(report.ciphers)} cipher suites</summary>{_list(report.ciphers)}</details>"


def _findings(assessment: Assessment) -> Iterable[str]:
    if not assessment.findings:
        yield '<p class="well">Nothing was found.</p>'
    for severity in SEVERITIES:
        found = [finding for finding in assessment.findings if finding.severity == severity]
        if found:
            yield f'<h2 class="{severity}">{severity}</h2>'
            yield from map(_article, found)


def _article(finding: Finding) -> str:
    more = finding.total - len(finding.resources)
    resources = [*finding.resources, *([f"and {more} more"] if more > 0 else [])]
    return (
        f'<article class="{finding.severity}"><span class="id">{_text(finding.check)}</span>'
        f"<h3>{_text(finding.title)}</h3><p>{_text(finding.reason)}</p>"
        f'<p class="remedy"><span class="fix">To do:</span> {_text(finding.remedy)}</p>'
        f"{_list(resources) if resources else ''}</article>"
    )


def _skipped(assessment: Assessment) -> Iterable[str]:
    if assessment.skipped:
        items = _list([f"{skipped.check}: {skipped.title}" for skipped in assessment.skipped])
        summary = f"{len(assessment.skipped)} checks had nothing to look at here"
        yield f"<details><summary>{summary}</summary>{items}</details>"


def _list(items: Iterable[str]) -> str:
    return f'<ul class="of">{"".join(f"<li>{_text(item)}</li>" for item in items)}</ul>'
