"""``entrepot secrets``: the key under which secrets are kept in the database."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entrepot.cli.run import ConfigFile, DataFolder, attempt, fail, load, with_database

if TYPE_CHECKING:
    from entrepot.auth.sealed import Found
    from entrepot.config import Config
    from entrepot.database import Database
    from entrepot.kit.secretbox import SecretBox

app = typer.Typer(no_args_is_help=True, help="The key under which secrets are kept.")

_MOST_PASSES = 10
_GRACE_SECONDS = 1.0
"""How long a running server may take to write what it sealed a moment before the key changed."""


@app.command("key")
def key() -> None:
    """Print a new key."""
    from entrepot.kit.secretbox import new_key  # noqa: PLC0415

    print(new_key())


@app.command("check")
def check(config: ConfigFile = None, data: DataFolder = None) -> None:
    """Say whether everything that is kept sealed can be opened; the exit status is 1 if something cannot."""
    settings = load(config, data=data)
    box = _box(settings)
    found = with_database(settings, lambda database: _examine(database, box))
    for place in found:
        print(f"{place.place}: {place.total}" + (f", {place.lost} of them cannot be opened" if place.lost else ""))
    if any(place.lost for place in found):
        fail("Some secrets were sealed with a key that is not here: bring back the key, or set them anew.")
    print("Everything that is sealed can be opened.")


@app.command("rotate")
def rotate(
    config: ConfigFile = None,
    data: DataFolder = None,
    *,
    keep_keys: Annotated[
        bool, typer.Option("--keep-keys", help="Seal everything with the first key that is there; change no key.")
    ] = False,
) -> None:
    """Seal everything with a new key, while servers run.

    (1) The new key comes first in the key file. (2) Everything is sealed with it, in one transaction, and again until
    nothing is left under another key. (3) The old keys leave the file. Whatever happens between two of these, every
    secret can be opened with a key of the file, and the command can be run again.
    """
    from entrepot.app import secrets_key_path  # noqa: PLC0415
    from entrepot.kit.secretbox import SecretBox, new_key, read_keys  # noqa: PLC0415

    settings = load(config, data=data)
    box = _box(settings)
    if settings.secrets.key or keep_keys:
        _tell(with_database(settings, lambda database: _reseal(database, box)))
        print(
            "Everything is sealed with the first key. Restart servers that were started with others, "
            "then take the others out of the configuration."
        )
        return
    path = secrets_key_path(settings)
    with _alone(path):
        made = new_key()
        _write(path, [made, *attempt(lambda: read_keys(path))])  # 1
        _tell(_reseal_until_done(settings, SecretBox(path=path), SecretBox(keys=made)))  # 2
        _write(path, [made])  # 3
    print(f"Everything is sealed with a new key, the only one in {path}. Keep a copy of it apart from the database's.")


def _box(settings: Config) -> SecretBox:
    from entrepot.app import open_box  # noqa: PLC0415

    with_database(settings, _exists)  # before a key is made in a folder that is none of a registry's
    return attempt(lambda: open_box(settings))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Of two rotations at once the second would take the first one's key out of the file."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        fail("The key is being rotated already: wait until that is over.")
    finally:
        os.close(folder)


def _write(path: Path, keys: list[str]) -> None:
    from entrepot.kit.secretbox import write_keys  # noqa: PLC0415

    try:
        write_keys(path, keys)
    except OSError as error:
        fail(
            f"{path} cannot be written ({error.strerror}): put a key of entrepot secrets key on its first line where "
            "it comes from, then run entrepot secrets rotate --keep-keys."
        )


async def _exists(_database: Database) -> None:
    return


async def _examine(database: Database, box: SecretBox) -> list[Found]:
    from entrepot.auth.sealed import examine  # noqa: PLC0415

    return await examine(database, box.open)


async def _reseal(database: Database, box: SecretBox) -> dict[str, int]:
    from entrepot.auth.sealed import reseal_all  # noqa: PLC0415
    from entrepot.journal.model import SYSTEM  # noqa: PLC0415

    return await reseal_all(database, SYSTEM, box.reseal)


def _reseal_until_done(settings: Config, every: SecretBox, new: SecretBox) -> dict[str, int]:
    """Seal everything with the new key, also what a running server was about to write under the old one."""
    for _ in range(_MOST_PASSES):
        counts = with_database(settings, lambda database: _reseal(database, every))
        time.sleep(_GRACE_SECONDS)
        if not any(place.lost for place in with_database(settings, lambda database: _examine(database, new))):
            return counts
    return fail(
        "Servers keep sealing with the old key, which therefore stays in the file: restart them, and run this again."
    )


def _tell(counts: dict[str, int]) -> None:
    for place, count in counts.items():
        sys.stdout.write(f"{place}: {count}{' thrown away' if place == 'logins under way' else ''}\n")
