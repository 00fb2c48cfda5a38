"""Bring the schema to the version that this program was written for."""

from __future__ import annotations

import fcntl
import sqlite3
from pathlib import Path

from entrepot.errors import ConfigError

HEAD = "0003"
"""The newest revision in ``migrations/versions``; a unit test compares."""


def upgrade(path: Path) -> None:
    """Create or migrate the database at ``path``; a second process that starts at once waits for the first.

    Raises:
        ConfigError: the file cannot be opened, or belongs to a newer version of the program.
    """
    try:
        with open(path.with_suffix(".lock"), "a", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if current(path) != HEAD:
                _run_alembic(path)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"The database {path} cannot be opened or migrated: {error}.") from error


def current(path: Path) -> str | None:
    """The revision of the database, or ``None`` if it is new."""
    if not path.exists():
        return None
    connection = sqlite3.connect(path, timeout=20)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    finally:
        connection.close()
    return str(row[0]) if row else None


def _run_alembic(path: Path) -> None:
    # alembic takes a fifth of a second to import and is needed only when there is something to do.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}".replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except SQLAlchemyError as error:
        raise ConfigError(f"The database {path} cannot be migrated, and is as it was: {error}.") from error
    except CommandError as error:
        raise ConfigError(
            f"The database {path} was written by another version of Entrepôt ({error}): install that version or newer."
        ) from error
