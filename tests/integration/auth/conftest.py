"""A prepared office for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.auth.desk import Office
from tests.integration.auth.moving_clock import MovingClock


@pytest.fixture(scope="session")
def made_office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """A folder with schema, key and administrator, made once and copied for every test."""
    made = Office(tmp_path_factory.mktemp("office") / "data")
    made.prepare()
    return made


@pytest.fixture
def office(made_office: Office, tmp_path: Path) -> Office:
    """Runs a coroutine function with a desk: ``office(work)``."""
    return made_office.copy_to(tmp_path / "data")


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch) -> MovingClock:
    """The time, to be advanced."""
    return MovingClock(monkeypatch)
