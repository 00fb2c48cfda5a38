"""A contest: the two registries of a stage (and nginx), the sizes, and turns taken fairly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from bench.content import Blob, BlobSource
from bench.rawclient import WrongAnswerError
from bench.row import Figures
from bench.servers import DockerRegistry, Entrepot, Nginx, Server

Contender = TypeVar("Contender", bound=Server)


class Sizes(msgspec.Struct, frozen=True):
    """How much is measured: `big`, `layer` in bytes, `seconds` of one round of a load."""

    big: int = 400_000_000
    layer: int = 1_000_000
    layers: int = 10
    tags: int = 100_000
    seconds: float = 3.0
    rounds: int = 3


QUICK = Sizes(big=40_000_000, tags=2_000, seconds=1.0, rounds=1)
"""Sizes for a smoke run: every row works, no figure means anything."""


class Contest:
    """The contenders of a stage, and what its rows share while they run."""

    def __init__(self, entrepot: Entrepot, peer: DockerRegistry, nginx: Nginx | None, sizes: Sizes) -> None:
        self.entrepot = entrepot
        self.peer = peer
        self.nginx = nginx
        self.sizes = sizes
        self.prepared = False
        """Whether a row has made what all rows of the stage read."""
        self._big: BlobSource | None = None
        self._pushed: Blob | None = None

    @property
    def registries(self) -> tuple[Server, Server]:
        """Entrepôt, then docker-registry."""
        return (self.entrepot, self.peer)

    def big_source(self) -> BlobSource:
        """Return the source of large blobs, made when first asked for."""
        if self._big is None:
            self._big = BlobSource(self.sizes.big)
        return self._big

    def big_blob(self, push: Callable[[Blob], None]) -> Blob:
        """Return one large blob that all servers hold, calling `push` the first time."""
        if self._pushed is None:
            blob = self.big_source().make_blob()
            push(blob)
            self._pushed = blob
        return self._pushed


def prepare(servers: Iterable[Contender], action: Callable[[Contender], None]) -> None:
    """Do the same to each server, before anything is measured."""
    for server in servers:
        with blame(server):
            action(server)


@contextmanager
def blame(server: Server) -> Iterator[None]:
    """Put the server's name before what a WrongAnswerError inside the block says."""
    try:
        yield
    except WrongAnswerError as problem:
        raise WrongAnswerError(f"{server.name}: {problem}") from problem


def take_turns(
    contenders: Sequence[Contender],
    rounds: int,
    measure: Callable[[Contender], float],
    *,
    best: Callable[[float, float], float] = max,
) -> list[float]:
    """Measure the contenders in turn (A, B, A, B, …) and return the best figure of each.

    The best, not the mean: what else runs on the machine only ever makes a round slower.
    """

    def measure_one(contender: Contender) -> float:
        with blame(contender):
            return measure(contender)

    figures = [measure_one(contender) for contender in contenders]
    for _ in range(rounds - 1):
        for place, contender in enumerate(contenders):
            figures[place] = best(figures[place], measure_one(contender))
    return figures


def compare(contest: Contest, measure: Callable[[Server], float]) -> Figures:
    """Measure both registries in turn, higher being better."""
    ours, theirs = take_turns(contest.registries, contest.sizes.rounds, measure)
    return Figures(entrepot=ours, docker_registry=theirs)
