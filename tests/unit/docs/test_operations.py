"""The lists of operations in docs/api.md are complete, and tell the permissions that the gate asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from entrepot.app import App
from entrepot.config import Config
from entrepot.rest import HARBOR_PREFIX, OWN_PREFIX, RestApis
from entrepot.serve.prepare import make_data_folder
from entrepot.web.rest import Route

PAGE = Path(__file__).parents[3] / "docs" / "api.md"


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> RestApis:
    data = tmp_path_factory.mktemp("registry") / "data"
    make_data_folder(data)
    return App(Config(data=data), None)._build_rest()


def table(routes: Sequence[Route]) -> str:
    """The table as the page has it."""
    rows = sorted((re.sub(r":path\}", "}", route.path), route.method, str(route.rule)) for route in routes)
    lines = [f"| {method} | `{path}` | {rule} |" for path, method, rule in rows]
    return "\n".join(["| method | path | permission |", "|---|---|---|", *lines]) + "\n"


@pytest.mark.parametrize("prefix", [HARBOR_PREFIX, OWN_PREFIX])
def test_the_page_on_the_apis_lists_every_operation(apis: RestApis, prefix: str) -> None:
    expected = table(apis.harbor_routes() if prefix == HARBOR_PREFIX else apis.own_routes())
    assert expected in PAGE.read_text("utf-8"), f"Put this table into {PAGE}:\n\n{expected}"
