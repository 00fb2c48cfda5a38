"""GET and HEAD of a manifest by tag: what every pull, and every check for news, begins with."""

from __future__ import annotations

from bench.content import BlobSource, Image, make_image
from bench.contest import Contest, compare, prepare
from bench.exchanges import ACCEPT, make_manifest_request, push_image
from bench.loop import measure_heads
from bench.rawclient import Connection, WrongAnswerError
from bench.row import Figures
from bench.servers import Server
from bench.wrk import measure_gets

CONNECTIONS = 32
_REPOSITORY = "bench/app"
_TAG = "latest"


def measure_manifest_gets(contest: Contest) -> Figures:
    """GET by tag with wrk; requests/s."""
    image = _prepare(contest)

    def measure(server: Server) -> float:
        fields = server.fields(_REPOSITORY)
        request = make_manifest_request(fields, _REPOSITORY, _TAG, image)
        _check(server, image)
        rate = measure_gets(server.address, request.target, fields + ACCEPT, CONNECTIONS, contest.sizes.seconds)
        _check(server, image)
        return rate

    return compare(contest, measure)


def measure_manifest_heads(contest: Contest) -> Figures:
    """HEAD by tag with the epoll loop (wrk cannot, see `measure_heads`); requests/s."""
    image = _prepare(contest)

    def measure(server: Server) -> float:
        fields = server.fields(_REPOSITORY)
        request = make_manifest_request(fields, _REPOSITORY, _TAG, image, method="HEAD")
        return measure_heads(server.address, request, image.digest.encode(), CONNECTIONS, contest.sizes.seconds)

    return compare(contest, measure)


def _prepare(contest: Contest) -> Image:
    """Push a small image with ten layers, so that its manifest has the size of a usual one."""
    image = make_image(BlobSource(1024), contest.sizes.layers)

    def push(server: Server) -> None:
        fields = server.fields(_REPOSITORY)
        with Connection(server.address) as connection:
            connection.run(push_image(fields, _REPOSITORY, _TAG, image))
        _check(server, image)

    prepare(contest.registries, push)
    return image


def _check(server: Server, image: Image) -> None:
    """Raise WrongAnswerError unless the server gives the manifest byte for byte."""
    request = make_manifest_request(server.fields(_REPOSITORY), _REPOSITORY, _TAG, image)
    with Connection(server.address) as connection:
        if connection.ask(request).body != image.manifest:
            raise WrongAnswerError(f"GET {request.target} is not what was pushed")
