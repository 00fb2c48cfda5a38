"""``entrepot config``: look at the configuration."""

from __future__ import annotations

import json

import typer

from entrepot.cli.run import ConfigFile, load
from entrepot.config import Config

app = typer.Typer(no_args_is_help=True, help="Look at the configuration.")


@app.command("check")
def check(config: ConfigFile = None) -> None:
    """Say whether the configuration is valid."""
    load(config)
    print("The configuration is valid.")


@app.command("schema")
def schema() -> None:
    """Print every setting as JSON Schema."""
    print(json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False))
