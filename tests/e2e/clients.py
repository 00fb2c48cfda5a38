"""The clients' programs: found, or skipped by name with the reason; run, their words shown on failure."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).resolve()
CACHE = Path(os.environ.get("ENTREPOT_CLIENTS", HERE.parents[2] / ".cache" / "clients"))
"""Where `tools/install-clients` puts what is not Debian's."""

SEARCH_PATH = os.pathsep.join(
    [str(CACHE / "bin"), os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"), "/usr/sbin", "/sbin"]
)


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test with its reason; where nothing may be missing (CI), fail it."""
    required = os.environ.get("CI", "").lower() in {"true", "1"}
    if required or os.environ.get("ENTREPOT_REQUIRE_CLIENTS") == "1":
        pytest.fail(f"{reason} (and this run may skip nothing)", pytrace=False)
    pytest.skip(reason)


def client(name: str) -> str:
    """Return the path of the program `name`, or skip (in CI: fail) by its name."""
    path = shutil.which(name, path=SEARCH_PATH)
    if path is None:
        skip_or_fail(f"{name} is not installed: run tools/install-clients")
    return path


def root_only(what: str) -> None:
    """Skip (in CI: fail) what only root can do."""
    if os.geteuid() != 0:
        skip_or_fail(f"{what} needs root")


@dataclass(frozen=True)
class Tool:
    """A program with the words and variables that every call of it gets."""

    path: str
    environment: Mapping[str, str]
    leading: Sequence[str] = ()
    folder: Path | None = None

    def __call__(self, *arguments: str | Path, stdin: str = "", within: float = 120) -> str:
        """Run it, demand exit code 0, return what it printed."""
        done = self.run(*arguments, stdin=stdin, within=within)
        assert done.returncode == 0, told(done)
        return done.stdout

    def refused(self, *arguments: str | Path, stdin: str = "", within: float = 120) -> str:
        """Run it, demand that it fails, return its words (both streams)."""
        done = self.run(*arguments, stdin=stdin, within=within)
        assert done.returncode != 0, f"this was expected to fail:\n{told(done)}"
        return done.stdout + done.stderr

    def words(self, *arguments: str | Path, stdin: str = "", within: float = 120) -> str:
        """Run it, demand exit code 0, return both streams."""
        done = self.run(*arguments, stdin=stdin, within=within)
        assert done.returncode == 0, told(done)
        return done.stdout + done.stderr

    def run(self, *arguments: str | Path, stdin: str = "", within: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.path, *self.leading, *map(str, arguments)],
            input=stdin,
            env=dict(self.environment),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def having(self, **environment: str) -> Tool:
        """The same with other variables, so that a test can be somebody else."""
        return replace(self, environment={**self.environment, **environment})

    def within(self, folder: Path) -> Tool:
        """The same, run in `folder`."""
        return replace(self, folder=folder)


def told(done: subprocess.CompletedProcess[str]) -> str:
    """A finished program as a failure shows it."""
    return (
        f"{' '.join(done.args)}\nexit code {done.returncode}\n"
        f"--- stdout\n{done.stdout[-4000:]}\n--- stderr\n{done.stderr[-4000:]}"
    )
