"""``entrepot doctor``: check an installation, running or stopped."""

from __future__ import annotations

import io
import os
import sqlite3
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entrepot.cli.run import ConfigFile, DataFolder, attempt, fail, load, with_database

if TYPE_CHECKING:
    from entrepot.config import Config
    from entrepot.database import Database
    from entrepot.kit.finding import Finding
    from entrepot.kit.secretbox import SecretBox
    from entrepot.system.assessment.model import Assessment

_COLOURS = {"critical": "bold white on red", "high": "bold red", "medium": "yellow", "low": "cyan", "info": "dim"}
_PAPER_WIDTH = 120
_FOUND = 1
_NOT_ASSESSED = 2


class Format(StrEnum):
    """How the result is written."""

    text = "text"
    json = "json"
    html = "html"


class FailOn(StrEnum):
    """From which severity on the exit status is 1."""

    critical = "critical"
    high = "high"
    medium = "medium"
    low = "low"
    info = "info"


def doctor(
    config: ConfigFile = None,
    data: DataFolder = None,
    *,
    form: Annotated[Format, typer.Option("--format", help="How the result is written.")] = Format.text,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file for the result.")] = None,
    fail_on: Annotated[FailOn, typer.Option("--fail-on", help="Exit with 1 from this severity on.")] = FailOn.high,
    latest: Annotated[str, typer.Option("--latest", help="The newest version there is; nobody is asked.")] = "",
) -> None:
    """Check an installation, running or stopped, against the list of docs/assessment.md.

    Exit status: 0 nothing as bad as --fail-on; 1 something is; 2 it could not be assessed.
    """
    try:
        assessment = _assess(config, data, latest)
        _write(assessment, form, output)
    except typer.Exit as exit_:
        raise typer.Exit(_NOT_ASSESSED) from exit_
    raise typer.Exit(_FOUND if assessment.fails(fail_on.value) else 0)


def _assess(config_file: Path | None, data: Path | None, latest: str) -> Assessment:
    from entrepot.app import assessor_of  # noqa: PLC0415 - other commands need none of it
    from entrepot.serve import logs  # noqa: PLC0415
    from entrepot.settings.service import Settings  # noqa: PLC0415
    from entrepot.system.assessment.machine import parse_version  # noqa: PLC0415

    if latest:
        try:
            parse_version(latest)
        except ValueError as error:
            fail(f"--latest: {error}.")
    config = load(config_file, data=data)
    logs.configure(config.log)  # standard output is for the result
    box = _existing_box(config)

    async def work(database: Database) -> Assessment:
        settings = Settings(database, config.settings, box)
        assessor = assessor_of(config, database, settings, box, config_file=config_file, latest=latest, is_outside=True)
        return await assessor.assess()

    try:
        return with_database(config, work)
    except (sqlite3.Error, OSError) as error:
        fail(f"The registry in {config.data} cannot be read: {error}.")


def _existing_box(config: Config) -> SecretBox | None:
    """What opens sealed secrets; ``None`` if the key is not there: looking makes none."""
    from entrepot.app import open_box, secrets_key_path  # noqa: PLC0415

    if config.secrets.key is None and not os.path.exists(secrets_key_path(config)):
        return None
    return attempt(lambda: open_box(config))


def _write(assessment: Assessment, form: Format, output: Path | None) -> None:
    if form is Format.text:
        text = _as_text(assessment, to_terminal=output is None)
    elif form is Format.html:
        from entrepot.system.assessment.page import render_page  # noqa: PLC0415

        text = render_page(assessment)
    else:
        from entrepot.system.assessment.rest import view_of  # noqa: PLC0415 - as REST answers it

        text = view_of(assessment).model_dump_json(indent=2, exclude_none=True) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}.")


def _as_text(assessment: Assessment, *, to_terminal: bool) -> str:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    written = io.StringIO()
    is_terminal = to_terminal and sys.stdout.isatty()
    width = None if is_terminal else _PAPER_WIDTH
    console = Console(file=written, width=width, force_terminal=is_terminal, highlight=False, markup=False)
    if assessment.findings:
        table = Table(show_lines=True, expand=True)
        table.add_column("severity", no_wrap=True)
        table.add_column("what, and why", ratio=3, overflow="fold")
        table.add_column("to do", ratio=2, overflow="fold")
        for finding in assessment.findings:
            table.add_row(*_row(finding))
        console.print(table)
    for line in _summary(assessment):
        console.print(line)
    return written.getvalue()


def _row(finding: Finding) -> tuple[Any, Any, Any]:
    from rich.text import Text  # noqa: PLC0415

    from entrepot.system.assessment.page import visible  # noqa: PLC0415

    what = Text()
    what.append(visible(finding.title), "bold")
    what.append(f" [{finding.check}]\n", "dim")
    what.append(visible(finding.reason))
    for resource in finding.resources:
        what.append(f"\n- {visible(resource)}", "dim")
    if finding.total > len(finding.resources):
        what.append(f"\n- and {finding.total - len(finding.resources)} more", "dim")
    return Text(finding.severity, _COLOURS[finding.severity]), what, Text(visible(finding.remedy))


def _summary(assessment: Assessment) -> list[str]:
    counts = ", ".join(f"{count} {severity}" for severity, count in assessment.counts().items() if count)
    lines = [f"Entrepôt {assessment.version}: {assessment.checks} checks, found: {counts or 'nothing'}."]
    tls = assessment.tls
    if tls is not None:
        lines.append(f"TLS at {tls.url}: grade {tls.grade} ({', '.join(tls.protocols)}).")
    if assessment.skipped:
        names = ", ".join(skipped.check for skipped in assessment.skipped)
        lines.append(f"Nothing to look at here for: {names}.")
    return lines
