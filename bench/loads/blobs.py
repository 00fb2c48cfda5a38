"""GET of a large blob by one stream and by sixteen, beside nginx sending the same file."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

from bench.content import Blob
from bench.contest import Contest, prepare, take_turns
from bench.exchanges import make_blob_request, push_blob
from bench.rawclient import Connection, Request, WrongAnswerError, make_request
from bench.row import Figures
from bench.servers import Nginx, Server

_REPOSITORY = "bench/blobs"
_FILE = "blob"


def measure_download_one(contest: Contest) -> Figures:
    """One stream; MB/s."""
    return _measure_download(contest, 1)


def measure_download_sixteen(contest: Contest) -> Figures:
    """Sixteen streams; MB/s together."""
    return _measure_download(contest, 16)


def _measure_download(contest: Contest, streams: int) -> Figures:
    blob = contest.big_blob(lambda made: _prepare(contest, made))
    contenders: list[Server] = [*contest.registries]
    if contest.nginx:
        contenders.append(contest.nginx)

    def measure(server: Server) -> float:
        request = _make_request(server, blob)
        return _download(server, request, streams, contest.sizes.seconds) / 1e6

    ours, theirs, *reference = take_turns(contenders, contest.sizes.rounds, measure)
    return Figures(ours, theirs, reference[0] if reference else None)


def _download(server: Server, request: Request, streams: int, seconds: float) -> float:
    """GET in a loop on so many connections; return bytes/s of what arrived in that time."""
    deadline = time.monotonic() + seconds

    def stream(_: int) -> int:
        with Connection(server.address) as connection:
            return connection.download(request, deadline)

    started = time.monotonic()
    with ThreadPoolExecutor(streams) as pool:
        total = sum(pool.map(stream, range(streams)))
    return total / (time.monotonic() - started)


def _make_request(server: Server, blob: Blob, *, keep: bool = False) -> Request:
    if isinstance(server, Nginx):
        return make_request("GET", f"/{_FILE}", server.fields(""), size=blob.size, keep=keep)
    return make_blob_request(server.fields(_REPOSITORY), _REPOSITORY, blob, keep=keep)


def _prepare(contest: Contest, blob: Blob) -> None:
    """Give the blob to all servers, then read it once from each and check its digest."""
    prepare(contest.registries, lambda server: _push(server, blob))
    prepare(contest.registries, lambda server: _check(server, blob))
    if contest.nginx:
        with (contest.nginx.data / _FILE).open("wb") as file:
            file.writelines(blob.parts)
        prepare([contest.nginx], lambda server: _check(server, blob))


def _push(server: Server, blob: Blob) -> None:
    with Connection(server.address) as connection:
        fields = server.fields(_REPOSITORY)
        connection.run(push_blob(fields, _REPOSITORY, blob, patch=True))


def _check(server: Server, blob: Blob) -> None:
    request = _make_request(server, blob, keep=True)
    with Connection(server.address) as connection:
        body = connection.ask(request).body
    if f"sha256:{hashlib.sha256(body).hexdigest()}" != blob.digest:
        raise WrongAnswerError(f"GET {request.target} is not what was pushed")
