"""The table: outcomes as rich shows them and as `--json` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.row import Outcome

_COLOURS = {"ok": "green", "short": "yellow", "wrong": "red"}


_WIDTH = 140
"""Columns of the table where the output is no terminal, so that a log keeps every word."""


def print_table(outcomes: Sequence[Outcome], *, quick: bool) -> None:
    """Print one line a row on standard output, and below them what went wrong."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    title = "Entrepôt beside docker-registry and nginx: best of the rounds of one run"
    if quick:
        title = "Smoke run (--quick): small sizes, the figures mean nothing"
    table = Table(title=title)
    table.add_column("row", overflow="fold", min_width=24)
    for name in ("Entrepôt", "docker-registry", "nginx"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for name in ("ratio", "must", "aim"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for outcome in outcomes:
        aim = f"[green]{outcome.aim}[/green]" if outcome.aim_reached else outcome.aim
        colour = _COLOURS[outcome.verdict]
        table.add_row(
            outcome.row,
            _show(outcome.entrepot),
            _show(outcome.docker_registry),
            _show(outcome.nginx),
            outcome.unit,
            f"{_show(outcome.ratio)}x" if outcome.ratio is not None else "",
            outcome.must,
            aim,
            f"[{colour}]{outcome.verdict}[/{colour}]",
        )
    console.print(table)
    for outcome in outcomes:
        if outcome.problem:
            console.print(f"{outcome.row}: {outcome.problem}", style="red", markup=False)


def write_json(file: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the outcomes as a JSON array of objects, fields as in Outcome."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(outcomes)) + b"\n")


def _show(figure: float | None) -> str:
    """Return a figure with three digits that mean something."""
    if figure is None:
        return ""
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"
