"""A program the bench started: its start, its end whatever happens, its memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

GRACE = 20.0
"""Seconds a program gets to stop by itself before it is killed."""


class Program:
    """A child process in a session of its own, so that Ctrl-C reaches the bench alone."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str]) -> None:
        """Start it; what it prints is appended to `log`, whose folder is its working folder."""
        self._log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the process that was started, not of its children."""
        return self._child.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    def tail(self) -> str:
        """Return the last lines that it printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def stop(self) -> None:
        """Ask it to stop, wait at most GRACE seconds, then kill what is left of its session."""
        try:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(GRACE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()


def measure_memory(pid: int) -> int:
    """Return the proportional set size, in bytes, of a process and all its descendants."""
    return sum(_read_pss(member) for member in _find_family(pid))


def _find_family(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                # After the command's name, which may hold anything: state, then parent.
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                children.setdefault(int(parent), []).append(int(entry.name))
    family = [pid]
    for member in family:
        family.extend(children.get(member, ()))
    return family


def _read_pss(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def wait_a_moment() -> None:
    """Sleep as long as one try costs while something starts: 5 ms."""
    time.sleep(0.005)
