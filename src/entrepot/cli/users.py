"""``entrepot user``: accounts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from entrepot.cli.run import ConfigFile, DataFolder, load, with_database

if TYPE_CHECKING:
    from entrepot.database import Database

app = typer.Typer(no_args_is_help=True, help="Accounts.")


@app.command("password")
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
    from entrepot.journal.model import SYSTEM  # noqa: PLC0415
    from entrepot.settings.service import Settings  # noqa: PLC0415

    settings = load(config, data=data)
    if stdin:
        secret = sys.stdin.readline().rstrip("\n")
    else:
        secret = typer.prompt(f"New password of {name}", hide_input=True, confirmation_prompt=True)

    async def work(database: Database) -> None:
        users = Users(database, Logins(database), Settings(database, settings.settings))
        await users.set_password(SYSTEM, name, secret)

    with_database(settings, work)
    print(f"The password of {name} is set.")
