"""The worker processes: forked, started again when they die, replaced as a whole when the certificate changes.

A worker that takes another's place is forked beside it and inherits its socket. The former one goes on until the new
one answers; then it is retired: it takes no new connections and ends with its last transfer. If the new one never comes
to answer, the former one stays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import sys
import traceback

import structlog

from entrepot.config import Config
from entrepot.errors import ConfigError
from entrepot.kit import clock
from entrepot.serve import worker
from entrepot.serve.certificates import Certificates
from entrepot.serve.chores import new_turn
from entrepot.serve.sockets import Listeners
from entrepot.serve.worker import RETIRE, Post

log = structlog.get_logger()

BLOCKED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGQUIT, signal.SIGHUP})
"""Signals that the supervisor waits for, and a worker handles in its own way."""

_SHORT_LIFE = 5.0
_LONGEST_PAUSE = 10.0
_LOOK = 0.1
"""Seconds between two looks whether a worker that was just started answers."""


@dataclasses.dataclass(slots=True)
class _Member:
    index: int
    generation: int
    started: float
    ready: int | None
    """A pipe that tells when it answers; ``None`` once it has, or cannot any more."""
    is_retired: bool = False


class Crew:
    """All workers, those of the current generation and the retired ones that have not ended yet."""

    def __init__(self, config: Config, listeners: Listeners, certificates: Certificates) -> None:
        self._config = config
        self._listeners = listeners
        self._certificates = certificates
        self._members: dict[int, _Member] = {}  # by process id
        self._due: dict[int, float] = {}  # worker number → when to start it again
        self._pause = 0.0
        self._generation = 0
        self._turn = new_turn()
        self._alive = os.pipe()

    @property
    def is_gone(self) -> bool:
        """Whether no worker is left."""
        return not self._members

    def start(self) -> None:
        """Fork a worker for every number, which take the places of those that are there."""
        self._generation += 1
        self._due.clear()
        self._pause = 0.0
        for index in range(self._config.worker_count):
            self._fork(index)

    def await_first(self) -> bool:
        """Whether a worker has come to answer; for the first generation."""
        poll = select.poll()
        awaited = {member.ready: member for member in self._members.values() if member.ready is not None}
        for pipe in awaited:
            poll.register(pipe, select.POLLIN)
        while awaited:
            for pipe, _ in poll.poll():
                poll.unregister(pipe)
                if self._hear(awaited.pop(pipe)):
                    return True
        return False

    def patience(self) -> float:
        """Seconds until ``attend`` should be called again, if no signal comes before."""
        if any(member.ready is not None for member in self._members.values()):
            return _LOOK
        return max(0.0, min((due - clock.monotonic() for due in self._due.values()), default=3600.0))

    def attend(self) -> None:
        """See who died, who has come to answer and who is to be started again."""
        self._reap()
        for member in list(self._members.values()):
            if member.ready is not None and self._hear(member):
                self._retire_former(member)
        for index, due in list(self._due.items()):
            if due <= clock.monotonic():
                del self._due[index]
                self._fork(index)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to all."""
        for pid in self._members:
            _send(pid, number)

    def collect(self) -> bool:
        """Forget the workers that have ended; whether one of them failed."""
        failed = False
        for pid in list(self._members):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del self._members[pid]
                failed = failed or status != 0
        return failed

    def _fork(self, index: int) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._become_worker(index, writing)
        os.close(writing)
        os.set_blocking(reading, False)
        self._members[pid] = _Member(index, self._generation, clock.monotonic(), reading)

    def _become_worker(self, index: int, ready: int) -> None:
        status = 1
        try:
            os.close(self._alive[1])
            for member in self._members.values():
                if member.ready is not None:
                    os.close(member.ready)
            post = Post(
                index=index,
                alive=self._alive[0],
                ready=ready,
                turn=self._turn,
                sockets=self._listeners.keep(index),
                certificate=self._certificates.current,
            )
            for number in BLOCKED:
                # A terminal that goes away tells every process of its group; workers hear of it from the supervisor.
                signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
            worker.run(self._config, post)
            status = 0
        except ConfigError as error:
            log.error("worker cannot start", reason=str(error))  # noqa: TRY400 - the message says it all
        except BaseException:  # noqa: BLE001 - a forked child must never return into the supervisor's code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _hear(self, member: _Member) -> bool:
        """Whether it has just come to answer."""
        if member.ready is None:
            return False
        try:
            told = os.read(member.ready, 1)
        except BlockingIOError:
            return False
        os.close(member.ready)
        member.ready = None
        return told == b"r"

    def _retire_former(self, successor: _Member) -> None:
        for pid, member in self._members.items():
            is_former = member.index == successor.index and member.generation < successor.generation
            if is_former and not member.is_retired:
                member.is_retired = True
                _send(pid, RETIRE)

    def _reap(self) -> None:
        while self._members:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            member = self._members.pop(pid, None)
            if member is not None:
                _forget_metrics(pid)
                self._bury(member, os.waitstatus_to_exitcode(status))

    def _bury(self, member: _Member, code: int) -> None:
        if member.ready is not None:
            os.close(member.ready)
        if member.generation < self._generation:
            if not member.is_retired or code:
                log.error("former worker died", worker=member.index, status=code)
            return
        short = clock.monotonic() - member.started < _SHORT_LIFE
        self._pause = min(_LONGEST_PAUSE, self._pause * 2 + 0.1) if short else 0.0
        log.error("worker died", worker=member.index, status=code, restart_in=self._pause)
        self._due[member.index] = clock.monotonic() + self._pause
        if self._pause and all(other.index != member.index for other in self._members.values()):
            # Nobody would take connections from its socket meanwhile.
            self._listeners.renew(member.index)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _forget_metrics(pid: int) -> None:
    from prometheus_client import multiprocess  # noqa: PLC0415 - needs the folder that __main__ sets

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
