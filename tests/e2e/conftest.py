"""What the tests with real clients share: one server with two workers, the clients, the images."""

from __future__ import annotations

import itertools
import json
import os
import re
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import SEARCH_PATH, Tool, client, root_only
from tests.e2e.engines import containerd_engine, docker_engine, remove_tree
from tests.e2e.images import (
    GREETING,
    Layout,
    compiled_hello,
    debian_layout,
    debian_rootfs,
    multi_arch_layout,
    scratch_layout,
)
from tests.e2e.registry import Registry, looking_at
from tests.serving import Server, serving

# crun, podman's default, needs cgroup v2 and the right to raise limits; runc runs everywhere
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1024:1024"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""

REGISTRIES_CONF = """\
unqualified-search-registries = []
[[registry]]
location = "127.0.0.1"
insecure = true
"""

LOGGED_BEFORE = pytest.StashKey[int]()
LOG_SHOWN = 8000
"""Characters."""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cache() -> Path:
    """What outlives a run: the debootstrap root."""
    return Path(os.environ.get("ENTREPOT_TEST_CACHE", "/var/tmp/entrepot-tests"))


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder for the whole run with a short path, as unix sockets want it."""
    folder = Path(tempfile.mkdtemp(prefix="entrepot-e2e-", dir="/var/tmp"))
    yield folder
    remove_tree(folder)


@pytest.fixture(scope="session")
def server(scratch: Path) -> Iterator[Server]:
    """Entrepôt with two workers: the requests of one client meet both."""
    with serving(scratch / "entrepot" / "data", workers=2) as started:
        yield started


@pytest.fixture(scope="session")
def registry(server: Server) -> Iterator[Registry]:
    with looking_at(server) as looked:
        yield looked


@pytest.fixture(autouse=True)
def _server_outlives_the_test(server: Server, request: pytest.FixtureRequest) -> Iterator[None]:
    """Blame the test during which the server ended; remember where its log stood, for a failure."""
    server.check_alive()
    request.node.stash[LOGGED_BEFORE] = len(server.log_text())
    yield
    server.check_alive()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the server wrote during the test."""
    report = yield
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and isinstance(server, Server):
        said = server.log_text()[item.stash.get(LOGGED_BEFORE, 0) :]
        report.sections.append(("the server's log during the test", said[-LOG_SHOWN:]))
    return report


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """A project name of the test's own; the first push creates it."""
    stem = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40].strip("-")
    return f"{stem}-{next(_numbers)}"


# --- environments and clients ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def environment(scratch: Path) -> dict[str, str]:
    """The variables of every client: a home of its own, nothing of the developer's."""
    home = scratch / "home"
    containers = home / ".config" / "containers"
    containers.mkdir(parents=True)
    (containers / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    (containers / "containers.conf").write_text(CONTAINERS_CONF)
    (containers / "registries.conf").write_text(REGISTRIES_CONF)
    (containers / "storage.conf").write_text(
        "[storage]\n"
        'driver = "overlay"\n'
        f'graphroot = "{scratch}/containers/graph"\n'
        f'runroot = "{scratch}/containers/run"\n'
    )
    (scratch / "tmp").mkdir()
    return {
        "PATH": SEARCH_PATH,
        "HOME": str(home),
        "TMPDIR": str(scratch / "tmp"),
        "LANG": "C.UTF-8",
        "XDG_RUNTIME_DIR": str(scratch / "tmp"),
        "DOCKER_CONFIG": str(home / ".docker"),
        "CONTAINERS_CONF": str(containers / "containers.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(containers / "registries.conf"),
        "CONTAINERS_STORAGE_CONF": str(containers / "storage.conf"),
        "REGISTRY_AUTH_FILE": str(home / "auth.json"),
    }


@pytest.fixture(scope="session")
def docker(scratch: Path, environment: dict[str, str], server: Server) -> Iterator[Tool]:
    """The docker command line, logged in, and its engine."""
    with docker_engine(scratch / "docker", environment) as tool:
        tool("login", "-u", server.user, "--password-stdin", server.address, stdin=server.password)
        yield tool


@pytest.fixture(scope="session")
def ctr(scratch: Path, environment: dict[str, str]) -> Iterator[Tool]:
    with containerd_engine(scratch / "containerd", environment) as tool:
        yield tool


def _containers_tool(name: str, environment: dict[str, str], server: Server) -> Tool:
    tool = Tool(client(name), environment)
    login = ["login", "--tls-verify=false", "-u", server.user, "--password-stdin", server.address]
    tool(*login, stdin=server.password)
    return tool


@pytest.fixture(scope="session")
def skopeo(environment: dict[str, str], server: Server) -> Tool:
    return _containers_tool("skopeo", environment, server)


@pytest.fixture(scope="session")
def podman(environment: dict[str, str], server: Server) -> Tool:
    root_only("podman's storage")
    return _containers_tool("podman", environment, server)


@pytest.fixture(scope="session")
def buildah(environment: dict[str, str], server: Server) -> Tool:
    root_only("buildah's storage")
    return _containers_tool("buildah", environment, server)


@pytest.fixture
def stranger(tmp_path: Path) -> dict[str, str]:
    """Variables that make any client somebody who never logged in."""
    # podman insists that the file exists
    (tmp_path / "auth.json").write_text("{}")
    return {
        "HOME": str(tmp_path),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"),
    }


# --- images ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def hello(scratch: Path) -> Path:
    """A folder to build from: a Dockerfile and the static program that prints the greeting."""
    folder = scratch / "hello"
    folder.mkdir()
    return compiled_hello(folder)


@pytest.fixture(scope="session")
def tiny(scratch: Path) -> Layout:
    """An image from scratch, laid out by hand."""
    return scratch_layout(scratch / "tiny", {"hello": GREETING.encode(), "more": b"\0" * 70_000})


@pytest.fixture(scope="session")
def multi(scratch: Path) -> Layout:
    """An image index of two architectures."""
    return multi_arch_layout(scratch / "multi")


@pytest.fixture(scope="session")
def rootfs(cache: Path) -> Path:
    """A Debian as debootstrap makes it, as a tar."""
    return debian_rootfs(cache)


@pytest.fixture(scope="session")
def debian(scratch: Path, rootfs: Path) -> Layout:
    """The Debian as an image of one layer."""
    return debian_layout(scratch / "debian", rootfs)
