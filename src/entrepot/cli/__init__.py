"""The command line."""

from __future__ import annotations

from typing import Annotated

import typer

from entrepot import __version__
from entrepot.cli import certificates, projects, secrets, users
from entrepot.cli import config as config_commands
from entrepot.cli.doctor import doctor
from entrepot.cli.run import ConfigFile, DataFolder, attempt, load

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="A container registry."
)
app.add_typer(config_commands.app, name="config")
app.add_typer(users.app, name="user")
app.add_typer(projects.app, name="project")
app.add_typer(certificates.app, name="cert")
app.command("doctor")(doctor)
app.add_typer(secrets.app, name="secrets")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"entrepot {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    _show: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    return


@app.command()
def serve(
    config: ConfigFile = None,
    listen: Annotated[str | None, typer.Option(help="Address and port.")] = None,
    data: DataFolder = None,
    workers: Annotated[int | None, typer.Option(help="Web worker processes.")] = None,
) -> None:
    """Run the registry."""
    from entrepot.serve.supervisor import serve as run  # noqa: PLC0415 - other commands need none of it

    settings = load(config, listen=listen, data=data, workers=workers)
    raise typer.Exit(attempt(lambda: run(settings)))
