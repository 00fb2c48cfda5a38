"""The supervisor: prepares, forks workers, restarts what dies, replaces what has an old certificate, drains what stops.

Workers are forked from a process that has imported everything, so they start in milliseconds and share its memory. The
supervisor itself runs no thread and no event loop while it forks.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import signal
import sys
import traceback

import structlog

from entrepot import __version__
from entrepot.config import Config
from entrepot.errors import ConfigError
from entrepot.kit import clock
from entrepot.serve import logs
from entrepot.serve.certificates import Certificates
from entrepot.serve.crew import BLOCKED, Crew
from entrepot.serve.prepare import prepare
from entrepot.serve.sockets import Listeners

log = structlog.get_logger()

_LOOK_AT_FILES = 10.0
"""Seconds between two looks at the certificate."""


def serve(config: Config) -> int:
    """Run until told to stop; the exit status.

    Raises:
        ConfigError: something must be changed before it can start.
    """
    logs.configure(config.log)
    certificates = Certificates(config.tls)
    addresses = filter(None, (config.listen, config.metrics.listen, config.http_redirect_listen))
    listeners = Listeners(list(addresses), config.worker_count, config.limits.idle_timeout)
    password = _prepare_apart(config)
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, what workers share
    supervisor = _Supervisor(config, listeners, certificates)
    try:
        return supervisor.run(password)
    finally:
        shutil.rmtree(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""), ignore_errors=True)


def _prepare_apart(config: Config) -> str | None:
    """Run ``prepare`` in a child, whose imports (migrations among them) would stay in memory here and in every worker.

    Raises:
        ConfigError: what ``prepare`` raised.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        failed = 1
        try:
            answer = asyncio.run(prepare(config)) or ""
            failed = 0
        except ConfigError as error:
            answer = str(error)
        except BaseException:  # noqa: BLE001 - a forked child must never return into the supervisor's code
            answer = traceback.format_exc()
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:
            pipe.write(answer)
        os._exit(failed)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        answer = pipe.read()
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise ConfigError(answer or "The preparation of the data folder was killed.")
    return answer or None


class _Supervisor:
    def __init__(self, config: Config, listeners: Listeners, certificates: Certificates) -> None:
        self._config = config
        self._listeners = listeners
        self._certificates = certificates
        self._crew = Crew(config, listeners, certificates)
        self._terminal = _has_terminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN  # not under nohup(1)

    def run(self, password: str | None) -> int:
        self._crew.start()
        if not self._crew.await_first():
            return self._stop(signal.SIGQUIT, failed=True)
        self._greet(password)
        look_at = clock.monotonic() + _LOOK_AT_FILES
        while True:
            pause = min(self._crew.patience(), max(0.0, look_at - clock.monotonic()))
            received = signal.sigtimedwait(BLOCKED, pause)
            number = received.si_signo if received else signal.SIGCHLD
            if self._is_end(number):
                # Ctrl-C is impatient, SIGTERM leaves load balancers time to notice.
                hurry = number != signal.SIGTERM
                return self._stop(signal.SIGQUIT if hurry else signal.SIGTERM)
            self._crew.attend()
            if number == signal.SIGHUP or clock.monotonic() >= look_at:
                self._look_at_files()
                look_at = clock.monotonic() + _LOOK_AT_FILES

    def _is_end(self, number: int) -> bool:
        if number == signal.SIGHUP:
            # An operator asks for the certificate to be looked at, or the terminal that we were started from is gone.
            return self._terminal and not _has_terminal()
        return number != signal.SIGCHLD

    def _look_at_files(self) -> None:
        if not self._certificates.look():
            return
        if self._config.storage.driver == "memory":
            log.warning("the certificate has changed; storage.driver memory would be lost with the worker: restart")
            return
        log.info("the certificate has changed; new workers take over")
        self._crew.start()

    def _greet(self, password: str | None) -> None:
        lines = [f"Entrepôt {__version__} answers at {self._config.url} (data: {self._config.data.resolve()})"]
        if password:
            lines.append(f"The first login is admin with the password {password}")
            lines.append("It is shown only this once; change it with: entrepot user password admin")
        with contextlib.suppress(OSError):
            sys.stderr.write("\n".join(lines) + "\n")
            sys.stderr.flush()

    def _stop(self, number: signal.Signals, *, failed: bool = False) -> int:
        """Tell the workers to stop and wait for them; a second signal hurries them."""
        limits = self._config.limits
        deadline = clock.monotonic() + limits.drain_delay + limits.drain_timeout + 10
        self._listeners.close()  # so that a port is closed with the last worker that serves it
        self._crew.tell(number)
        while not self._crew.is_gone and clock.monotonic() < deadline:
            received = signal.sigtimedwait(BLOCKED, 0.5)
            if received and received.si_signo not in {signal.SIGCHLD, signal.SIGHUP}:
                self._crew.tell(signal.SIGQUIT)
            failed = self._crew.collect() or failed
        self._crew.tell(signal.SIGKILL)
        return 1 if failed or not self._crew.is_gone else 0


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
