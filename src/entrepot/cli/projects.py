"""``entrepot project``: projects."""

from __future__ import annotations

from typing import Annotated

import typer

from entrepot.cli.run import ConfigFile, DataFolder, fail, load, with_database

app = typer.Typer(no_args_is_help=True, help="Projects.")


@app.command("list")
def list_projects(config: ConfigFile = None, data: DataFolder = None) -> None:
    """List the projects and who may pull from them."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from entrepot.projects import store  # noqa: PLC0415

    table = Table("project", "visibility")
    for project in with_database(load(config, data=data), store.list_all):
        table.add_row(project.name, "public" if project.is_public else "private")
    Console().print(table)


@app.command("create")
def create_project(
    name: str,
    config: ConfigFile = None,
    data: DataFolder = None,
    *,
    public: Annotated[bool, typer.Option("--public", help="Everybody may pull from it.")] = False,
) -> None:
    """Create a project."""
    from entrepot.journal.model import SYSTEM  # noqa: PLC0415
    from entrepot.projects import service  # noqa: PLC0415

    with_database(load(config, data=data), lambda database: service.create(database, SYSTEM, name, is_public=public))
    print(f"The project {name} is there.")


@app.command("visibility")
def set_visibility(name: str, visibility: str, config: ConfigFile = None, data: DataFolder = None) -> None:
    """Make a project public (everybody may pull from it) or private."""
    from entrepot.journal.model import SYSTEM  # noqa: PLC0415
    from entrepot.projects import service  # noqa: PLC0415

    if visibility not in {"public", "private"}:
        fail("The visibility is public or private.")
    with_database(
        load(config, data=data),
        lambda database: service.set_public(database, SYSTEM, name, is_public=visibility == "public"),
    )
    print(f"The project {name} is {visibility}.")
