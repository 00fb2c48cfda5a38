"""The daemons that some clients are: the Docker Engine and containerd, each in a scratch folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.e2e.clients import Tool, client, root_only, skip_or_fail

CONTAINERD_CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/c.sock"
"""


@contextmanager
def docker_engine(folder: Path, environment: Mapping[str, str]) -> Iterator[Tool]:
    """Run `dockerd`; give the docker command line that talks to it.

    No bridge, no firewall rules: nothing of the machine's network is touched.
    """
    root_only("dockerd")
    command = [client("dockerd"), "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/dockerd.pid", "-H", f"unix://{folder}/docker.sock"]
    command += ["--iptables=false", "--ip6tables=false", "--bridge=none"]
    command += ["--ip-forward=false", "--ip-masq=false"]
    own = {"DOCKER_HOST": f"unix://{folder}/docker.sock", "DOCKER_BUILDKIT": "0"}
    docker = Tool(client("docker"), {**environment, **own})
    with _daemon("dockerd", command, folder, lambda: docker.run("version").returncode == 0):
        yield docker


@contextmanager
def containerd_engine(folder: Path, environment: Mapping[str, str]) -> Iterator[Tool]:
    """Run `containerd`; give the `ctr` that talks to it."""
    root_only("containerd")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.toml"
    config.write_text(CONTAINERD_CONFIG.format(folder=folder))
    ctr = Tool(client("ctr"), environment, leading=("-a", f"{folder}/c.sock"))
    command = [client("containerd"), "-c", str(config)]
    with _daemon("containerd", command, folder, lambda: ctr.run("version").returncode == 0):
        yield ctr


@contextmanager
def _daemon(name: str, command: Sequence[str], folder: Path, ready: Callable[[], bool]) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 40
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                skip_or_fail(f"{name} does not start here: {log.read_text()[-1500:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def remove_tree(folder: Path) -> None:
    """Unmount what clients left mounted below `folder` (overlays, namespaces), then delete it."""
    mounted = [line.split()[1].replace("\\040", " ") for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted((p for p in mounted if p.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)
