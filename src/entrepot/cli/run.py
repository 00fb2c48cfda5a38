"""What every command needs: the configuration, the database, and an error's one line."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from entrepot.config import Config, check_certificate
from entrepot.config import load as load_config
from entrepot.errors import ConfigError, EntrepotError

T = TypeVar("T")
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="A TOML file.")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="The data folder.")]


def load(path: Path | None, **overrides: Any) -> Config:
    """The checked configuration; ``overrides`` are the command line's."""
    given = {name: value for name, value in overrides.items() if value is not None}

    def read() -> Config:
        config = load_config(path, os.environ, given)
        check_certificate(config.tls)
        return config

    return attempt(read)


def with_database(config: Config, work: Callable[[Any], Awaitable[T]]) -> T:
    """What ``work`` makes of the database that ``config`` names."""
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

    return attempt(lambda: asyncio.run(run()))


def attempt(work: Callable[[], T]) -> T:
    """What ``work`` returns; an error that a user can mend is one line and status 1."""
    try:
        return work()
    except (ConfigError, EntrepotError) as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Say what went wrong, and end with status 1."""
    sys.stderr.write(f"entrepot: {message}\n")
    raise typer.Exit(1)
