"""A row of the table: what is measured, what it must reach, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from bench.contest import Contest


class Figures(msgspec.Struct, frozen=True):
    """What one row measured, in its unit; `ratio` when it is not Entrepôt by docker-registry.

    A row whose goal is a bound of its own has no ratio: there, less is better.
    """

    entrepot: float
    docker_registry: float | None = None
    nginx: float | None = None
    ratio: float | None = None


class Row(msgspec.Struct, frozen=True):
    """One row: its name, its unit, the function that measures it, and its goals.

    `must` and `aim` are ratios to be reached; `below` is a bound on Entrepôt's own figure, in the
    row's unit; `aim_nginx` makes nginx's figure of the same run the aim.
    """

    name: str
    unit: str
    measure: Callable[[Contest], Figures]
    must: float | None = None
    aim: float | None = None
    below: float | None = None
    aim_nginx: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """A row's figures judged, as `--json` writes it.

    `verdict` is `ok`, `short`, or `wrong` when a request got a wrong answer (then `problem` says
    which, and there are no figures). `aim_reached` is None where there is no aim.
    """

    row: str
    unit: str
    entrepot: float | None
    docker_registry: float | None
    nginx: float | None
    ratio: float | None
    must: str
    aim: str
    verdict: str
    aim_reached: bool | None
    problem: str | None = None


def judge(row: Row, figures: Figures) -> Outcome:
    """Compare a row's figures with its goals."""
    ratio = figures.ratio
    if ratio is None and figures.docker_registry and row.below is None:
        ratio = figures.entrepot / figures.docker_registry
    if row.below is not None:
        good = figures.entrepot < row.below
    else:
        good = ratio is not None and row.must is not None and ratio >= row.must
    reached = None
    if row.aim is not None:
        reached = ratio is not None and ratio >= row.aim
    elif row.aim_nginx and figures.nginx is not None:
        reached = figures.entrepot >= figures.nginx
    return Outcome(
        row=row.name,
        unit=row.unit,
        entrepot=figures.entrepot,
        docker_registry=figures.docker_registry,
        nginx=figures.nginx,
        ratio=ratio,
        must=describe_must(row),
        aim=describe_aim(row),
        verdict="ok" if good else "short",
        aim_reached=reached,
    )


def report_wrong(row: Row, problem: str) -> Outcome:
    """Return the outcome of a row in which a request got a wrong answer."""
    return Outcome(
        row=row.name,
        unit=row.unit,
        entrepot=None,
        docker_registry=None,
        nginx=None,
        ratio=None,
        must=describe_must(row),
        aim=describe_aim(row),
        verdict="wrong",
        aim_reached=None,
        problem=problem,
    )


def describe_must(row: Row) -> str:
    """Return what a row must reach, in words: `8x`, or `< 150 MB`."""
    return f"< {row.below:g} {row.unit}" if row.below is not None else f"{row.must:g}x"


def describe_aim(row: Row) -> str:
    """Return what a row aims at, in words: `12x`, `nginx`, or nothing."""
    if row.aim_nginx:
        return "nginx"
    return f"{row.aim:g}x" if row.aim is not None else ""
