"""A page of 100 tags in a repository of very many, and in one of 100."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bench.content import BlobSource, Image, make_image
from bench.contest import Contest, blame, compare, prepare
from bench.exchanges import make_manifest_request, make_tags_request, push_image
from bench.loop import drive
from bench.rawclient import Connection, Exchange, WrongAnswerError, make_request
from bench.row import Figures
from bench.servers import DockerRegistry, Server
from bench.wrk import measure_gets

PAGE = 100
"""Tags of a page, and of the small repository."""
_MANY = "bench/many"
_FEW = "bench/few"
_LANES = 8
_CHUNK = 10_000
"""Tags made between two renewals of the token."""


class _Page(msgspec.Struct):
    name: str
    tags: list[str]


def measure_first_page(contest: Contest) -> Figures:
    """The first page, one connection; pages/s."""
    _prepare(contest)
    return compare(contest, lambda server: _measure_page(contest, server, _MANY, 0))


def measure_middle_page(contest: Contest) -> Figures:
    """The page after the middle tag (`last`), one connection; pages/s."""
    _prepare(contest)
    middle = contest.sizes.tags // 2
    return compare(contest, lambda server: _measure_page(contest, server, _MANY, middle))


def measure_page_growth(contest: Contest) -> Figures:
    """Entrepôt's page in the large repository by its page in one of 100 tags; pages/s, ratio."""
    _prepare(contest)
    rounds, ours = contest.sizes.rounds, contest.entrepot
    middle = contest.sizes.tags // 2
    rates = {_MANY: 0.0, _FEW: 0.0}
    for _ in range(rounds):
        for repository, start in ((_MANY, middle), (_FEW, 0)):
            with blame(ours):
                rate = _measure_page(contest, ours, repository, start)
            rates[repository] = max(rates[repository], rate)
    return Figures(entrepot=rates[_MANY], ratio=rates[_MANY] / rates[_FEW])


def _measure_page(contest: Contest, server: Server, repository: str, start: int) -> float:
    fields = server.fields(repository)
    target = f"/v2/{repository}/tags/list?n={PAGE}"
    if start:
        target += f"&last={_name_tag(start - 1)}"
    _check_page(server, fields, repository, target, start)
    return measure_gets(server.address, target, fields, 1, contest.sizes.seconds)


def _check_page(server: Server, fields: bytes, repository: str, target: str, start: int) -> None:
    """Raise WrongAnswerError unless the page is right.

    docker-registry 2.8 knows neither `n` nor `last` and answers with all tags: that is its page.
    """
    with Connection(server.address) as connection:
        answer = connection.ask(make_request("GET", target, fields, keep=True))
    page = msgspec.json.decode(answer.body, type=_Page)
    expected = [_name_tag(number) for number in range(start, start + PAGE)]
    right = page.tags == expected
    if isinstance(server, DockerRegistry):
        right = right or set(expected) <= set(page.tags)
    elif repository == _MANY:
        right = right and answer.find(b"link") is not None
    if not right or page.name != repository:
        raise WrongAnswerError(f"GET {target} is not the page that was asked for")


def _name_tag(number: int) -> str:
    return f"tag-{number:06d}"


def _prepare(contest: Contest) -> None:
    """Make the repositories, once a stage."""
    if contest.prepared:
        return
    image = make_image(BlobSource(1024), 1)

    def fill(server: Server) -> None:
        for repository, count in ((_MANY, contest.sizes.tags), (_FEW, PAGE)):
            with Connection(server.address) as connection:
                fields = server.fields(repository)
                connection.run(push_image(fields, repository, _name_tag(0), image))
            if isinstance(server, DockerRegistry):
                _write_tags(server, repository, image, count)
            else:
                _push_tags(server, repository, image, count)
            _check_tag(server, repository, image, _name_tag(count - 1))

    prepare(contest.registries, fill)
    contest.prepared = True


def _write_tags(server: DockerRegistry, repository: str, image: Image, count: int) -> None:
    """Write docker-registry's folder layout straight to the disk: a tag is a file with a digest."""
    repositories = server.data / "docker/registry/v2/repositories"
    tags = repositories / repository / "_manifests/tags"
    for number in range(count):
        current = tags / _name_tag(number) / "current"
        current.mkdir(parents=True, exist_ok=True)
        (current / "link").write_text(image.digest)


def _push_tags(server: Server, repository: str, image: Image, count: int) -> None:
    """Push the tags: as many a request (`?tag=`) as the server takes, over eight connections."""
    per_request = _find_tags_per_request(server, repository, image)
    for first in range(0, count, _CHUNK):
        names = [_name_tag(number) for number in range(first, min(first + _CHUNK, count))]
        groups = iter([names[at : at + per_request] for at in range(0, len(names), per_request)])
        fields = server.fields(repository)
        drive(
            server.address,
            [_push_groups(fields, repository, image, group, groups) for group in _take(groups)],
        )


def _take(groups: Iterator[list[str]]) -> list[list[str]]:
    """Take the first group of each lane: a lane needs one to begin with."""
    return [group for _, group in zip(range(_LANES), groups, strict=False)]


def _push_groups(
    fields: bytes, repository: str, image: Image, group: list[str], rest: Iterator[list[str]]
) -> Exchange[None]:
    yield make_tags_request(fields, repository, image, group)
    for following in rest:
        yield make_tags_request(fields, repository, image, following)


def _find_tags_per_request(server: Server, repository: str, image: Image) -> int:
    """Return how many `?tag=` parameters a push by digest may have here: 100, 10 or one."""
    fields = server.fields(repository)
    with Connection(server.address) as connection:
        for many in (100, 10):
            names = [_name_tag(number) for number in range(many)]
            request = make_tags_request(fields, repository, image, names, expect=())
            if connection.ask(request).status != 201:
                continue
            # A server that does not know the parameter answers 201 all the same.
            last = make_request("HEAD", f"/v2/{repository}/manifests/{names[-1]}", fields, expect=(200, 404))
            if connection.ask(last).status == 200:
                return many
    return 1


def _check_tag(server: Server, repository: str, image: Image, tag: str) -> None:
    request = make_manifest_request(server.fields(repository), repository, tag, image)
    with Connection(server.address) as connection:
        if connection.ask(request).body != image.manifest:
            raise WrongAnswerError(f"GET {request.target} is not what was pushed")
