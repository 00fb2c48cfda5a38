"""One server with two workers for all protocol tests that need no setting of their own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.protocol.client import Registry, admin_of, client
from tests.serving import Server, serving

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("protocol") / "data", workers=2) as started:
        yield started


@pytest.fixture(scope="session")
def admin(server: Server) -> Iterator[Registry]:
    """A client with Basic credentials of the administrator."""
    with admin_of(server) as registry:
        yield registry


@pytest.fixture(scope="session")
def anybody(server: Server) -> Iterator[Registry]:
    """A client without credentials."""
    with client(server) as registry:
        yield registry


@pytest.fixture
def repository() -> str:
    """The name of a repository that no other test uses."""
    return f"project-{next(_numbers)}/app"


@pytest.fixture
def other_repository() -> str:
    """Another such name, of another project."""
    return f"elsewhere-{next(_numbers)}/app"
