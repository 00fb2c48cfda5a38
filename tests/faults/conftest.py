"""A server that faults are done to; tests that end it start their own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.protocol.client import Registry, admin_of
from tests.serving import Server, serving

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("faults") / "data", workers=2) as started:
        yield started


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[Registry]:
    with admin_of(server) as registry:
        yield registry


@pytest.fixture
def repository() -> str:
    """The name of a repository that no other test uses."""
    return f"faulty-{next(_numbers)}/app"
