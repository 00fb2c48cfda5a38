"""The supervisor: prepares, forks workers, restarts what dies, drains what stops.

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
import socket
import sys
import traceback

import structlog

from entrepot import __version__
from entrepot.config import Config, split_address
from entrepot.errors import ConfigError
from entrepot.kit import clock
from entrepot.serve import logs, worker
from entrepot.serve.prepare import prepare

log = structlog.get_logger()

_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGQUIT})
_SHORT_LIFE = 5.0
_LONGEST_PAUSE = 10.0


def serve(config: Config) -> int:
    """Run until told to stop; the exit status.

    Raises:
        ConfigError: something must be changed before it can start.
    """
    logs.configure(config.log)
    for listen in filter(None, (config.listen, config.metrics.listen)):
        check_free(listen)
    password = _prepare_apart(config)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, what workers share
    supervisor = _Supervisor(config)
    try:
        return supervisor.run(password)
    finally:
        shutil.rmtree(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""), ignore_errors=True)


def check_free(listen: str) -> None:
    """Refuse an address that another program holds: workers share their port, and would share it with that one.

    Raises:
        ConfigError: it is taken, or cannot be bound.
    """
    host, port = split_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"{listen} cannot be listened on ({error.strerror}): stop what uses it or set another with --listen."
            ) from error


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
    def __init__(self, config: Config) -> None:
        self._config = config
        self._pids: dict[int, tuple[int, float]] = {}  # pid → worker number, start
        self._due: dict[int, float] = {}  # worker number → when to start it again
        self._pause = 0.0
        self._alive = os.pipe()
        self._ready: tuple[int, int] | None = os.pipe()

    def run(self, password: str | None) -> int:
        for index in range(self._config.worker_count):
            self._start(index)
        if not self._await_first():
            return self._stop(signal.SIGQUIT, failed=True)
        self._greet(password)
        while True:
            pause = min((due - clock.monotonic() for due in self._due.values()), default=3600.0)
            received = signal.sigtimedwait(_SIGNALS, max(0.0, pause))
            if received and received.si_signo != signal.SIGCHLD:
                # Ctrl-C is impatient, SIGTERM leaves load balancers time to notice.
                hurry = received.si_signo != signal.SIGTERM
                return self._stop(signal.SIGQUIT if hurry else signal.SIGTERM)
            self._reap()
            for index, due in list(self._due.items()):
                if due <= clock.monotonic():
                    del self._due[index]
                    self._start(index)

    def _start(self, index: int) -> None:
        ready = self._ready[1] if self._ready else os.open(os.devnull, os.O_WRONLY)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become_worker(index, ready)
        if not self._ready:
            os.close(ready)
        self._pids[pid] = (index, clock.monotonic())

    def _become_worker(self, index: int, ready_fd: int) -> None:
        status = 1
        try:
            os.close(self._alive[1])
            if self._ready:
                os.close(self._ready[0])
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            worker.run(self._config, index, self._alive[0], ready_fd)
            status = 0
        except ConfigError as error:
            log.error("worker cannot start", reason=str(error))  # noqa: TRY400 - the message says it all
        except BaseException:  # noqa: BLE001 - a forked child must never return into the supervisor's code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _await_first(self) -> bool:
        """Whether a worker has come to answer."""
        assert self._ready is not None  # noqa: S101 - called once, before it is given up
        reading, writing = self._ready
        os.close(writing)
        self._ready = None
        is_ready = os.read(reading, 1) == b"r"
        os.close(reading)
        return is_ready

    def _greet(self, password: str | None) -> None:
        lines = [f"Entrepôt {__version__} answers at {self._config.url} (data: {self._config.data.resolve()})"]
        if password:
            lines.append(f"The first login is admin with the password {password}")
            lines.append("It is shown only this once; change it with: entrepot user password admin")
        with contextlib.suppress(OSError):
            sys.stderr.write("\n".join(lines) + "\n")
            sys.stderr.flush()

    def _reap(self) -> None:
        while self._pids:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid not in self._pids:
                continue
            index, started = self._pids.pop(pid)
            _forget_metrics(pid)
            short = clock.monotonic() - started < _SHORT_LIFE
            self._pause = min(_LONGEST_PAUSE, self._pause * 2 + 0.1) if short else 0.0
            log.error("worker died", worker=index, status=os.waitstatus_to_exitcode(status), restart_in=self._pause)
            self._due[index] = clock.monotonic() + self._pause

    def _stop(self, number: signal.Signals, *, failed: bool = False) -> int:
        """Tell the workers to stop and wait for them; a second signal hurries them."""
        limits = self._config.limits
        deadline = clock.monotonic() + limits.drain_delay + limits.drain_timeout + 10
        self._tell(number)
        while self._pids and clock.monotonic() < deadline:
            received = signal.sigtimedwait(_SIGNALS, 0.5)
            if received and received.si_signo != signal.SIGCHLD:
                self._tell(signal.SIGQUIT)
            failed = self._collect() or failed
        self._tell(signal.SIGKILL)
        return 1 if failed or self._pids else 0

    def _tell(self, number: signal.Signals) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _collect(self) -> bool:
        """Forget the workers that have ended; whether one of them failed."""
        failed = False
        for pid in list(self._pids):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del self._pids[pid]
                failed = failed or status != 0
        return failed


def _forget_metrics(pid: int) -> None:
    from prometheus_client import multiprocess  # noqa: PLC0415 - needs the folder that __main__ sets

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
