"""The command line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from entrepot import __version__
from entrepot.config import Config, check_certificate, load
from entrepot.errors import ConfigError, EntrepotError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="A container registry."
)
config_app = typer.Typer(no_args_is_help=True, help="Look at the configuration.")
user_app = typer.Typer(no_args_is_help=True, help="Accounts.")
project_app = typer.Typer(no_args_is_help=True, help="Projects.")
app.add_typer(config_app, name="config")
app.add_typer(user_app, name="user")
app.add_typer(project_app, name="project")

T = TypeVar("T")
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="A TOML file.")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="The data folder.")]


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

    settings = _load(config, listen=listen, data=data, workers=workers)
    raise typer.Exit(_try(lambda: run(settings)))


@config_app.command("check")
def check(config: ConfigFile = None) -> None:
    """Say whether the configuration is valid."""
    _load(config)
    print("The configuration is valid.")


@config_app.command("schema")
def schema() -> None:
    """Print every setting as JSON Schema."""
    print(json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False))


@user_app.command("password")
def password(
    name: str,
    config: ConfigFile = None,
    data: DataFolder = None,
    *,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the password from standard input.")] = False,
) -> None:
    """Set an account's password; logins and tokens under the old one end at once."""
    from entrepot.auth.logins import Logins  # noqa: PLC0415
    from entrepot.auth.service import Users  # noqa: PLC0415
    from entrepot.database import Database  # noqa: PLC0415
    from entrepot.journal.model import SYSTEM  # noqa: PLC0415
    from entrepot.settings.service import Settings  # noqa: PLC0415

    settings = _load(config, data=data)
    if stdin:
        secret = sys.stdin.readline().rstrip("\n")
    else:
        secret = typer.prompt(f"New password of {name}", hide_input=True, confirmation_prompt=True)

    async def work(database: Database) -> None:
        users = Users(database, Logins(database), Settings(database, settings.settings))
        await users.set_password(SYSTEM, name, secret)

    _with_database(settings, work)
    print(f"The password of {name} is set.")


@project_app.command("list")
def list_projects(config: ConfigFile = None, data: DataFolder = None) -> None:
    """List the projects and who may pull from them."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from entrepot.projects import store  # noqa: PLC0415

    table = Table("project", "visibility")
    for project in _with_database(_load(config, data=data), store.list_all):
        table.add_row(project.name, "public" if project.is_public else "private")
    Console().print(table)


@project_app.command("create")
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

    _with_database(_load(config, data=data), lambda database: service.create(database, SYSTEM, name, is_public=public))
    print(f"The project {name} is there.")


@project_app.command("visibility")
def set_visibility(name: str, visibility: str, config: ConfigFile = None, data: DataFolder = None) -> None:
    """Make a project public (everybody may pull from it) or private."""
    from entrepot.journal.model import SYSTEM  # noqa: PLC0415
    from entrepot.projects import service  # noqa: PLC0415

    if visibility not in {"public", "private"}:
        _fail("The visibility is public or private.")
    _with_database(
        _load(config, data=data),
        lambda database: service.set_public(database, SYSTEM, name, is_public=visibility == "public"),
    )
    print(f"The project {name} is {visibility}.")


def _load(path: Path | None, **overrides: Any) -> Config:
    given = {name: value for name, value in overrides.items() if value is not None}

    def read() -> Config:
        config = load(path, os.environ, given)
        check_certificate(config.tls)
        return config

    return _try(read)


def _with_database(config: Config, work: Callable[[Any], Awaitable[T]]) -> T:
    from entrepot.app import database_path  # noqa: PLC0415
    from entrepot.database import Database  # noqa: PLC0415
    from entrepot.database.migrate import current  # noqa: PLC0415

    async def run() -> T:
        path = database_path(config)
        if current(path) is None:
            raise ConfigError(f"There is no registry in {config.data}: name its folder with --data, or start it once.")
        database = Database(path)
        database.open()
        try:
            return await work(database)
        finally:
            await database.close()

    return _try(lambda: asyncio.run(run()))


def _try(work: Callable[[], T]) -> T:
    try:
        return work()
    except (ConfigError, EntrepotError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"entrepot: {message}\n")
    raise typer.Exit(1)
