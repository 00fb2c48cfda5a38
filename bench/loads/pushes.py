"""Push of large blobs (into memory, and over TLS) and of small ones (durably, to the disk)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from bench.content import Blob, BlobSource
from bench.contest import Contest, compare, prepare
from bench.exchanges import push_blob
from bench.loop import measure_rate
from bench.rawclient import Connection, Exchange
from bench.row import Figures
from bench.servers import Server

SMALL = 4096
"""Bytes of a small blob."""
SMALL_CONNECTIONS = 16
_REPOSITORY = "bench/pushes"


def measure_push_one(contest: Contest) -> Figures:
    """One stream; MB/s. Over TLS when the stage's servers speak it."""
    return _measure_push(contest, 1)


def measure_push_four(contest: Contest) -> Figures:
    """Four streams at once, different content; MB/s together."""
    return _measure_push(contest, 4)


def measure_small_pushes(contest: Contest) -> Figures:
    """Blobs of 4 KiB, POST and PUT each, on sixteen connections; blobs/s."""
    source = BlobSource(SMALL)

    def measure(server: Server) -> float:
        fields = server.fields(_REPOSITORY)

        def push_new() -> Exchange[None]:
            return push_blob(fields, _REPOSITORY, source.make_blob(), patch=False)

        seconds = contest.sizes.seconds
        return measure_rate(server.address, SMALL_CONNECTIONS, seconds, push_new)

    return compare(contest, measure)


def _measure_push(contest: Contest, streams: int) -> Figures:
    source = contest.big_source()
    warm_up = BlobSource(SMALL)
    prepare(contest.registries, lambda server: _warm_up(server, warm_up))

    def measure(server: Server) -> float:
        blobs = [source.make_blob() for _ in range(streams)]
        try:
            seconds = _push(server, blobs)
        finally:
            server.drop_content(source.size)
        return streams * source.size / seconds / 1e6

    return compare(contest, measure)


def _warm_up(server: Server, source: BlobSource) -> None:
    _push(server, [source.make_blob()])


def _push(server: Server, blobs: list[Blob]) -> float:
    """Push each blob on a connection of its own, all at once; return the seconds it took."""
    fields = server.fields(_REPOSITORY)
    with ExitStack() as stack:
        lanes = [(stack.enter_context(Connection(server.address)), blob) for blob in blobs]
        pool = stack.enter_context(ThreadPoolExecutor(len(blobs)))
        started = time.monotonic()
        for done in [
            pool.submit(connection.run, push_blob(fields, _REPOSITORY, blob, patch=True)) for connection, blob in lanes
        ]:
            done.result()
        return time.monotonic() - started
