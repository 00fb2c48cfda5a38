"""A prepared registry for every test, on every database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.rig import ENGINES, Bench


@pytest.fixture(scope="session", params=ENGINES)
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A folder with schema, key and administrator, made once and copied for every test."""
    made = Bench(tmp_path_factory.mktemp("prepared") / "data", ENGINES[request.param])
    made.prepare()
    return made


@pytest.fixture
def run(prepared: Bench, tmp_path: Path) -> Bench:
    """Runs a coroutine function with a rig: ``run(work)``."""
    return prepared.copy_to(tmp_path / "data")
