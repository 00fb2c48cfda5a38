"""Start and idle memory: what an installation costs before it does anything."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from bench.content import BlobSource, make_image
from bench.contest import Contest, take_turns
from bench.exchanges import pull_image, push_image
from bench.process import measure_memory
from bench.rawclient import Connection
from bench.row import Figures
from bench.servers import Server

_BASE = ("/v2/", (200, 401))
_REPOSITORY = "bench/app"
_SETTLE = 2.0
"""Seconds between the last request and the look at the memory."""
_folders = itertools.count()


def measure_first_start(contest: Contest) -> Figures:
    """From exec to the first answer of GET /v2/, with a new data folder; seconds."""

    def measure(server: Server) -> float:
        return _start(_clone(server))

    return _compare_times(contest, measure)


def measure_next_start(contest: Contest) -> Figures:
    """The same with a data folder that exists already; seconds."""
    clones = {server.name: _clone(server) for server in contest.registries}
    for clone in clones.values():
        _start(clone)
    return _compare_times(contest, lambda server: _start(clones[server.name]))


def measure_idle_memory(contest: Contest) -> Figures:
    """Proportional set size of all processes after pushing and pulling a small image; MB."""

    def measure(server: Server) -> float:
        image = make_image(BlobSource(1024), 2)
        with _clone(server) as clone:
            with Connection(clone.address) as connection:
                fields = clone.fields(_REPOSITORY)
                connection.run(push_image(fields, _REPOSITORY, "latest", image))
                connection.run(pull_image(fields, _REPOSITORY, "latest", image))
            time.sleep(_SETTLE)
            return measure_memory(clone.pid) / 1e6

    ours, theirs = take_turns(contest.registries, 1, measure)
    return Figures(ours, theirs)


def _compare_times(contest: Contest, measure: Callable[[Server], float]) -> Figures:
    ours, theirs = take_turns(contest.registries, contest.sizes.rounds, measure, best=min)
    return Figures(ours, theirs)


def _clone(server: Server) -> Server:
    """Return a server like this one with a new folder, not started."""
    return type(server)(server.folder / f"start-{next(_folders)}", server.certificate)


def _start(server: Server) -> float:
    seconds = server.start(*_BASE)
    server.stop()
    return seconds
