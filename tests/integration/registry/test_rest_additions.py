"""Additions over REST: an image's history, the documents of a chart, and archives that mean harm."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from pathlib import Path

import httpx
import pytest

from entrepot.errors import InvalidInput
from entrepot.registry.listing import chart
from tests.integration.registry.shelf import CHART_CONFIG, CHART_LAYER, Shelf, Shelves

CHART_YAML = b"""
apiVersion: v2
name: web
version: 1.0.0
dependencies:
  - name: postgresql
    version: 1.2
    repository: https://example.com/charts
    condition: postgresql.enabled
    tags: [database]
  - name: cache
    version: "~1"
  - just text
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelves:
    return Shelves(tmp_path)


def packed(files: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.type = kind
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


async def push_chart(shelf: Shelf, archive: bytes, tag: str = "v1") -> str:
    config = json.dumps({"name": "web", "version": "1.0.0", "apiVersion": "v2"}).encode()
    return await shelf.artifact("team/web", tag, config, archive, config_type=CHART_CONFIG, layer_type=CHART_LAYER)


async def ask(client: httpx.AsyncClient, addition: str, tag: str = "v1") -> httpx.Response:
    return await client.get(f"/projects/team/repositories/web/artifacts/{tag}/additions/{addition}")


def test_a_chart_shows_its_documents(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        files = {
            "web/Chart.yaml": CHART_YAML,
            "web/charts/sub/README.md": b"of another chart",
            "web/README.md": b"# Read me",
            "web/values.yaml": b"replicas: 1\n",
        }
        digest = await push_chart(shelf, packed(files))
        async with shelf.client() as client:
            found = (await client.get("/projects/team/repositories/web/artifacts/v1")).json()
            assert found["type"] == "CHART"
            assert found["extra_attrs"] == {"name": "web", "version": "1.0.0", "apiVersion": "v2"}
            assert set(found["addition_links"]) == {"values.yaml", "readme.md", "dependencies"}
            for link in found["addition_links"].values():
                assert digest in link["href"]
                assert (await client.get(f"http://test{link['href']}")).status_code == 200
            values = await ask(client, "values.yaml")
            assert (values.text, values.headers["content-type"]) == ("replicas: 1\n", "text/plain; charset=utf-8")
            readme = await ask(client, "README.MD")
            assert (readme.text, readme.headers["content-type"]) == ("# Read me", "text/markdown; charset=utf-8")
            assert "sandbox" in readme.headers["content-security-policy"]
            dependencies = await ask(client, "dependencies")
            assert dependencies.headers["content-type"] == "application/json; charset=utf-8"
            assert dependencies.json() == [
                {
                    "name": "postgresql",
                    "version": "1.2",
                    "repository": "https://example.com/charts",
                    "condition": "postgresql.enabled",
                    "tags": ["database"],
                },
                {"name": "cache", "version": "~1", "repository": ""},
            ]
            assert (await ask(client, "build_history")).status_code == 400
            assert (await ask(client, "files")).status_code == 400
            assert (await ask(client, "vulnerabilities")).status_code == 404
            assert (await ask(client, "nothing")).status_code == 404
            assert (await ask(client, "readme.md", "v2")).status_code == 404

    shelf(work)


def test_old_charts_keep_their_dependencies_in_a_file_of_its_own(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        files = {
            "web/Chart.yaml": b"apiVersion: v1\n",
            "web/requirements.yaml": b"dependencies: [{name: x, version: '1'}]",
        }
        await push_chart(shelf, packed(files))
        await push_chart(shelf, packed({"web/Chart.yaml": b"apiVersion: v2\n"}), "v2")
        async with shelf.client() as client:
            assert [item["name"] for item in (await ask(client, "dependencies")).json()] == ["x"]
            assert (await ask(client, "dependencies", "v2")).json() == []
            assert (await ask(client, "readme.md", "v2")).content == b""

    shelf(work)


def test_an_image_shows_how_it_was_built(shelf: Shelves) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        history = [{"created": "2026-01-01T00:00:00Z", "created_by": "RUN true", "empty_layer": True}]
        await shelf.image("team/web", "v1", config={"architecture": "amd64", "history": history})
        await shelf.image("team/web", "v2", config={})
        async with shelf.client() as client:
            assert (await ask(client, "build_history")).json() == history
            assert (await ask(client, "build_history", "v2")).json() == []
            assert (await ask(client, "values.yaml")).status_code == 400

    shelf(work)


def bomb() -> bytes:
    """A megabyte or so that unpacks to far more than is read."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as packed_:
        member = tarfile.TarInfo("web/filling")
        member.size = 4 * chart.READ_LIMIT
        packed_.write(member.tobuf())
        for _ in range(80):
            packed_.write(b"\0" * 1024 * 1024)
    return out.getvalue()


def header_bomb() -> bytes:
    """A header that says that it is as large as a disk."""
    member = tarfile.TarInfo("web/x")
    member.type = tarfile.XHDTYPE
    member.size = 8**11
    return gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)


HOSTILE = {
    "no archive": b"hello",
    "empty": b"",
    "gzip of nothing": gzip.compress(b""),
    "gzip of noise": gzip.compress(random.Random(1).randbytes(5000)),
    "cut short": packed({"web/values.yaml": b"a" * 5000})[:60],
    "bomb": bomb(),
    "header bomb": header_bomb(),
    "a large file": packed({"web/values.yaml": b"a" * (chart.FILE_LIMIT + 1), "web/Chart.yaml": b"a" * 3_000_000}),
    "many files": packed({f"web/{number}": b"" for number in range(10_100)}),
    "bad yaml": packed({"web/Chart.yaml": b"{[}"}),
    "deep yaml": packed({"web/Chart.yaml": b"a: " + b"[" * 5000}),
    "long yaml": packed({"web/Chart.yaml": b"a: b\n" * 50_000}),
    "yaml tags": packed({"web/Chart.yaml": b"a: !!python/object/apply:os.system ['true']"}),
    "bad bytes": packed({"web/Chart.yaml": b"a: \xc3\x28"}),
    "bad date": packed({"web/Chart.yaml": b"a: 2026-99-99"}),
    "unhashable": packed({"web/Chart.yaml": b"? [a]\n: b\n? {a: b}\n: c"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_charts_are_refused_and_cost_little(shelf: Shelves, name: str) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.project("team")
        await push_chart(shelf, HOSTILE[name])
        async with shelf.client() as client:
            statuses = [(await ask(client, addition)).status_code for addition in ("values.yaml", "dependencies")]
            assert set(statuses) <= {200, 400}, statuses
            assert 400 in statuses or name in {"gzip of nothing", "empty"}
            assert (await client.get("/projects/team/repositories/web/artifacts")).status_code == 200

    shelf(work)


def test_links_and_devices_in_a_chart_are_no_files() -> None:
    files = {"web/values.yaml": b""}
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
        assert chart.read_files(packed(files, kind), frozenset({"values.yaml"})) == {}


@pytest.mark.parametrize("link", [b"[*a%d, *a%d]", b"{<<: [*a%d, *a%d]}"])
def test_aliases_in_yaml_do_not_multiply_what_is_read(link: bytes) -> None:
    lines = [b"a0: &a0 {k: 1}"] + [b"a%d: &a%d " % (n, n) + link % (n - 1, n - 1) for n in range(1, 60)]
    with pytest.raises(InvalidInput):
        chart.dependencies({"chart.yaml": b"\n".join(lines)})
