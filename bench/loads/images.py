"""Whole images: ten layers, a config and a manifest, pushed and pulled by ten clients at once."""

from __future__ import annotations

import hashlib
import itertools

from bench.content import BlobSource, Image, make_image
from bench.contest import Contest, compare, prepare
from bench.exchanges import make_blob_request, make_manifest_request, pull_image, push_image
from bench.loop import drive, measure_rate
from bench.rawclient import Connection, Exchange, WrongAnswerError
from bench.row import Figures
from bench.servers import Server

CLIENTS = 10
_REPOSITORY = "bench/images"
_PULLED = "bench/pulled"


def measure_image_pushes(contest: Contest) -> Figures:
    """Each client pushes images that are new in every layer, one after the other; images/s."""
    source = BlobSource(contest.sizes.layer)
    numbers = itertools.count()

    def measure(server: Server) -> float:
        fields = server.fields(_REPOSITORY)

        def push_new() -> Exchange[None]:
            image = make_image(source, contest.sizes.layers)
            return push_image(fields, _REPOSITORY, f"push-{next(numbers)}", image)

        try:
            return measure_rate(server.address, CLIENTS, contest.sizes.seconds, push_new)
        finally:
            server.drop_content(source.size)

    return compare(contest, measure)


def measure_image_pulls(contest: Contest) -> Figures:
    """Each client pulls an image of its own again and again; images/s."""
    source = BlobSource(contest.sizes.layer)
    images = [make_image(source, contest.sizes.layers) for _ in range(CLIENTS)]

    def push_all(server: Server) -> None:
        fields = server.fields(_PULLED)
        drive(
            server.address,
            [push_image(fields, _PULLED, f"image-{n}", image) for n, image in enumerate(images)],
        )
        _check(server, "image-0", images[0])

    def measure(server: Server) -> float:
        fields = server.fields(_PULLED)
        turns = itertools.cycle(enumerate(images))

        def pull_next() -> Exchange[None]:
            number, image = next(turns)
            return pull_image(fields, _PULLED, f"image-{number}", image)

        return measure_rate(server.address, CLIENTS, contest.sizes.seconds, pull_next)

    prepare(contest.registries, push_all)
    figures = compare(contest, measure)
    for server in contest.registries:
        server.drop_content(source.size)
    return figures


def _check(server: Server, tag: str, image: Image) -> None:
    """Raise WrongAnswerError unless the server gives the image back, byte for byte."""
    fields = server.fields(_PULLED)
    with Connection(server.address) as connection:
        manifest = connection.ask(make_manifest_request(fields, _PULLED, tag, image)).body
        right = manifest == image.manifest
        for blob in image.blobs:
            body = connection.ask(make_blob_request(fields, _PULLED, blob, keep=True)).body
            right = right and f"sha256:{hashlib.sha256(body).hexdigest()}" == blob.digest
    if not right:
        raise WrongAnswerError(f"{_PULLED}:{tag} is not what was pushed")
