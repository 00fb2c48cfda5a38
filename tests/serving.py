"""A started Entrepôt: what every test folder uses to run the server as a user would.

    with serving(tmp_path / "data", workers=2) as server:
        httpx.get(f"{server.url}/v2/", auth=(server.user, server.password))

The server runs in a session of its own, so that ending its process group ends its workers too.
"""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["PASSWORD", "Server", "free_port", "serving"]

PASSWORD = "correct-horse-battery-staple-9"

READY_WITHIN = 30.0
"""Seconds from the start to the first 200 of `/readyz`, on a busy machine."""

STOPPED_WITHIN = 40.0
"""Seconds from SIGTERM to the exit: the drain with its grace, on a busy machine."""

DRAIN_DELAY = 0.2
"""Seconds that a stopping server still accepts; seconds more at every stop would be most of a test's time."""

LOG_TAIL = 6000
"""Characters of the log that a failure shows."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on.

    It lies under the ephemeral range: there an outgoing connection of any client could take the
    port as its own between a stop and a restart.
    """
    for _ in range(200):
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port between 20000 and 32000 on 127.0.0.1")


@dataclass
class Server:
    """One `entrepot serve`; `start` it, or take it started from `serving`."""

    data: Path
    workers: int = 1
    config: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    user: str = "admin"
    password: str = PASSWORD
    scheme: str = "http"
    port: int = field(default_factory=free_port)
    log: Path = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _asked_to_end: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.log = self.data.with_name(f"{self.data.name}.log")

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`, the first part of the name of whatever is pushed here."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The supervisor: the process that `entrepot serve` is."""
        assert self._process is not None, "the server was never started"
        return self._process

    @property
    def command(self) -> list[str]:
        command = [sys.executable, "-m", "entrepot", "serve"]
        command += ["--listen", self.address, "--data", str(self.data)]
        command += ["--workers", str(self.workers)]
        if self.config is not None:
            command += ["--config", str(self.config)]
        return [*command, *self.arguments]

    def start(self) -> None:
        """Start it and wait for `/readyz`.

        Raises:
            AssertionError: it ended or was not ready in time; the message has the log's tail.
        """
        assert self._process is None or self._process.poll() is not None, "it runs already"
        self._asked_to_end = False
        # a setting of the developer's shell must not change what is tested
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ENTREPOT_")}
        own = {
            "ENTREPOT_ADMIN_PASSWORD": self.password,
            "ENTREPOT_LIMITS_DRAIN_DELAY": str(DRAIN_DELAY),
            "PYTHONUNBUFFERED": "1",
        }
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env={**inherited, **own, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask it to end (SIGTERM) and wait.

        Raises:
            AssertionError: it did not end in time, not with exit code 0, or left a process behind.
        """
        self.check_alive()
        self._asked_to_end = True
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(self._told(f"no exit {STOPPED_WITHIN:g} s after SIGTERM")) from None
        left = self._group_lives()
        self.kill()
        assert code == 0, self._told(f"exit code {code} after SIGTERM")
        assert not left, self._told("it ended and left processes of its group behind")

    def kill(self) -> None:
        """End it and all its workers at once (SIGKILL), as a power cut would."""
        self._asked_to_end = True
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        deadline = time.monotonic() + 10
        while self._group_lives() and time.monotonic() < deadline:
            time.sleep(0.01)

    def restart(self) -> None:
        """Stop it, unless that happened already, and start it again: same port, same data."""
        if not self._asked_to_end:
            self.stop()
        self.start()

    def check_alive(self) -> None:
        """Raise AssertionError with the log's tail if it ended although nobody asked it to."""
        code = self.process.poll()
        assert code is None or self._asked_to_end, self._told(f"exit code {code}, and nobody asked it to end")

    def log_text(self) -> str:
        """All that it wrote so far, over every start."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _group_lives(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            code = self.process.poll()
            assert code is None, self._told(f"exit code {code} before it was ready")
            if self._ready():
                return
            time.sleep(0.02)
        raise AssertionError(self._told(f"not ready after {READY_WITHIN:g} s"))

    def _ready(self) -> bool:
        connection: http.client.HTTPConnection
        if self.scheme == "https":
            unchecked = ssl.create_default_context()
            unchecked.check_hostname = False
            unchecked.verify_mode = ssl.CERT_NONE
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=unchecked)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _told(self, what: str) -> str:
        command = " ".join(self.command)
        return f"{command}: {what}\n--- tail of {self.log}\n{self.log_text()[-LOG_TAIL:]}"


@contextmanager
def serving(
    data: Path,
    *,
    workers: int = 1,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    password: str = PASSWORD,
    scheme: str = "http",
) -> Iterator[Server]:
    """Run a server on `data` and a free port; on the way out it must stop cleanly.

    A test that killed or stopped it itself is left alone, and a failing test is not hidden behind
    a failing stop.

    Raises:
        AssertionError: it ended by itself, or did not stop cleanly.
    """
    server = Server(
        data,
        workers=workers,
        config=config,
        environment=environment or {},
        arguments=arguments,
        password=password,
        scheme=scheme,
    )
    server.start()
    try:
        yield server
        server.check_alive()
        if server.process.poll() is None:
            server.stop()
    finally:
        server.kill()
