"""The server's processes as the kernel shows them, and a disk of a size of one's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.serving import Server


def workers_of(server: Server) -> list[int]:
    """The process ids of the web workers."""
    pid = server.process.pid
    return sorted(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(server: Server) -> int:
    """Bytes of memory of all processes, shared pages counted once (proportional set size)."""
    total = 0
    for pid in (server.process.pid, *workers_of(server)):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def content_file(server: Server, digest: str) -> Path:
    """Where the bytes of a blob lie."""
    found = list((server.data / "content").rglob(digest.partition(":")[2]))
    assert len(found) == 1, found
    return found[0]


def need_mount() -> None:
    """Skip unless file systems can be mounted here."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    if shutil.which("mount") is None:
        pytest.skip("the mount program is not installed")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode and command[0] == "mount":
        pytest.skip(f"this machine does not let us mount: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


@contextmanager
def small_disk(folder: Path, size: str, *options: str) -> Iterator[Path]:
    """A file system in memory of `size`."""
    need_mount()
    folder.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", ",".join((f"size={size}", *options)), "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _run("umount", "--lazy", str(folder))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody can write to `folder`, not even root."""
    need_mount()
    _run("mount", "--bind", str(folder), str(folder))
    try:
        _run("mount", "-o", "remount,ro,bind", str(folder))
        yield
    finally:
        _run("umount", "--lazy", str(folder))
