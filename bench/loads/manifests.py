"""GET and HEAD of a manifest by tag: what every pull, and every check for news, begins with."""

from __future__ import annotations

import base64

from bench import directory
from bench.access import Login
from bench.content import BlobSource, Image, make_image
from bench.contest import Contest, compare, prepare
from bench.exchanges import ACCEPT, make_manifest_request, push_image
from bench.loop import measure_heads
from bench.rawclient import Connection, WrongAnswerError, make_request
from bench.row import Figures
from bench.servers import Entrepot, Server
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


def measure_basic_gets(contest: Contest) -> Figures:
    """GET by tag with wrk, with the name and the password of somebody in a directory, and with a token; requests/s.

    Both by Entrepôt, the password being known from the request before; the ratio is of the two.
    """
    image = _prepare(contest)
    server = contest.entrepot
    _let_pull(server)
    basic = base64.b64encode(f"{directory.USER}:{directory.PASSWORD}".encode())

    def measure(line: bytes) -> float:
        fields = server.host() + line
        request = make_manifest_request(fields, _REPOSITORY, _TAG, image)
        with Connection(server.address) as connection:
            if connection.ask(request).body != image.manifest:
                raise WrongAnswerError(f"GET {request.target} is not what was pushed")
        return measure_gets(server.address, request.target, fields + ACCEPT, CONNECTIONS, contest.sizes.seconds)

    by_password = by_token = 0.0
    for _ in range(contest.sizes.rounds):
        by_password = max(by_password, measure(b"Authorization: Basic %b\r\n" % basic))
        token = Login(directory.USER, directory.PASSWORD).field(server.address, _REPOSITORY)
        by_token = max(by_token, measure(token))
    return Figures(entrepot=by_password, ratio=by_password / by_token)


def _let_pull(server: Entrepot) -> None:
    """Make the project public, so that whoever is known pulls from it."""
    project = _REPOSITORY.partition("/")[0]
    body = b'{"metadata":{"public":"true"}}'
    fields = server.host() + server.administrator() + b"Content-Type: application/json\r\n"
    with Connection(server.address) as connection:
        connection.ask(make_request("PUT", f"/api/v2.0/projects/{project}", fields, body=(body,), expect=(200,)))


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
