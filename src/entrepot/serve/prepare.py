"""What must be true before the first worker starts: folder, schema, key, ``admin``, ``library``."""

from __future__ import annotations

import os
from pathlib import Path

from entrepot.access.tokens import load_key
from entrepot.app import database_path, key_path
from entrepot.auth.logins import Logins
from entrepot.auth.service import Users
from entrepot.config import Config
from entrepot.database import Database
from entrepot.database.migrate import upgrade
from entrepot.errors import ConfigError, EntrepotError
from entrepot.projects.service import ensure_library
from entrepot.settings.service import Settings


async def prepare(config: Config) -> str | None:
    """Make the data folder usable; the password of ``admin`` if one had to be made up.

    Raises:
        ConfigError: saying what stands in the way.
    """
    make_data_folder(config.data)
    upgrade(database_path(config))
    load_key(key_path(config))
    database = Database(database_path(config))
    database.open()
    try:
        settings = Settings(database, config.settings)
        users = Users(database, Logins(database), settings)
        password = await users.ensure_admin(config.first_password())
        await ensure_library(database, settings)
    except EntrepotError as error:
        raise ConfigError(error.message) from error
    else:
        return password
    finally:
        await database.close()


def make_data_folder(path: Path) -> None:
    """Create the data folder, readable by its owner only.

    Raises:
        ConfigError: it cannot be created or written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The data folder {path} cannot be created: {error.strerror}.") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(
            f"The data folder {path} cannot be written: change its owner or mode, or set another with --data."
        )
