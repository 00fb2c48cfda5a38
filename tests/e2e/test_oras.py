"""oras, twice: the Python library, which reuses one token for all it does, and the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import oras_library
from tests.e2e.clients import Tool, client
from tests.e2e.images import Layout
from tests.e2e.registry import Registry
from tests.serving import Server

PLAIN = "--plain-http"
NOTE = "application/vnd.example.note"


class Library:
    """The program on oras-py; a process of its own, since the library sleeps minutes over any error.

    (Over a wrong password too: 131 s, whatever the server says, so no test waits for that.)
    """

    def __init__(self, registry: Registry, environment: dict[str, str]) -> None:
        self._tool = Tool(sys.executable, environment, leading=(str(oras_library.__file__),))
        self._who = {
            "address": registry.address,
            "user": registry.server.user,
            "password": registry.server.password,
        }

    def __call__(self, verb: str, **arguments: Any) -> Any:
        request = json.dumps({**self._who, "arguments": arguments})
        return json.loads(self._tool(verb, stdin=request, within=40))


@pytest.fixture
def library(registry: Registry, environment: dict[str, str], tmp_path: Path) -> Library:
    """oras-py, logged in; its home is the test's."""
    return Library(registry, {**environment, "HOME": str(tmp_path)})


@pytest.fixture(scope="module")
def oras(environment: dict[str, str], server: Server) -> Tool:
    tool = Tool(client("oras"), environment)
    login = ["login", PLAIN, "-u", server.user, "--password-stdin", server.address]
    tool(*login, stdin=server.password)
    return tool


@pytest.fixture
def note(tmp_path: Path) -> Path:
    file = tmp_path / "note.txt"
    file.write_text("beware of the tide\n")
    return file


# --- the Python library ---------------------------------------------------------------------------


def test_the_library_pushes_with_the_token_that_it_asked_for_a_pull(
    library: Library, registry: Registry, project: str, note: Path, tmp_path: Path
) -> None:
    name = registry.name(f"{project}/notes", "1")
    assert library("push", target=name, files=[f"{note}:text/plain"]) == 201
    stored = registry.check_whole(f"{project}/notes", "1")
    assert [layer["mediaType"] for layer in stored.document["layers"]] == ["text/plain"]

    pulled = library("pull", target=name, outdir=str(tmp_path / "back"))
    assert [Path(file).read_text() for file in pulled] == [note.read_text()]
    assert library("tags", container=registry.name(f"{project}/notes")) == ["1"]


def test_the_library_pushes_in_chunks(library: Library, registry: Registry, project: str, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(range(256)) * 2_000)
    name = registry.name(f"{project}/big", "1")
    library("push", target=name, files=[str(big)], do_chunked=True, chunk_size=100_000)
    layer = registry.check_whole(f"{project}/big", "1").document["layers"][0]
    assert registry.blob(f"{project}/big", layer["digest"]) == big.read_bytes()


def test_the_library_hangs_an_artifact_on_a_subject(
    library: Library, registry: Registry, project: str, note: Path
) -> None:
    repository = f"{project}/notes"
    library("push", target=registry.name(repository, "1"), files=[str(note)])
    subject = registry.manifest(repository, "1")
    named = {"mediaType": subject.media_type, "digest": subject.digest, "size": len(subject.raw)}
    library("push", target=registry.name(repository, "about"), files=[str(note)], subject=named)
    listed = registry.http.get(f"/v2/{repository}/referrers/{subject.digest}").json()
    about = registry.manifest(repository, "about")
    assert [found["digest"] for found in listed["manifests"]] == [about.digest]


# --- the command line -----------------------------------------------------------------------------


def test_login_takes_the_right_password_only(oras: Tool, server: Server, stranger: dict[str, str]) -> None:
    other = oras.having(**stranger)
    login = ["login", PLAIN, "-u", server.user, "--password-stdin", server.address]
    assert "unauthorized" in other.refused(*login, stdin="wrong").lower()
    assert "Login Succeeded" in other(*login, stdin=server.password)


def test_a_file_is_pushed_and_pulled(oras: Tool, registry: Registry, project: str, note: Path, tmp_path: Path) -> None:
    name = registry.name(f"{project}/notes", "1")
    here = oras.within(note.parent)
    here("push", PLAIN, "--artifact-type", NOTE, name, f"{note.name}:text/plain")
    stored = registry.check_whole(f"{project}/notes", "1")
    assert stored.document["artifactType"] == NOTE
    assert oras("manifest", "fetch", PLAIN, name).encode() == stored.raw
    oras("pull", PLAIN, "-o", tmp_path / "back", name)
    assert (tmp_path / "back" / note.name).read_text() == note.read_text()
    assert oras("repo", "tags", PLAIN, registry.name(f"{project}/notes")).split() == ["1"]
    assert "notes" in oras("repo", "ls", PLAIN, registry.name(f"{project}/")).split()


def test_what_is_attached_is_discovered_copied_along_and_deleted(
    oras: Tool, registry: Registry, project: str, tiny: Layout, note: Path
) -> None:
    name = registry.name(f"{project}/a", "1")
    oras("copy", "--from-oci-layout", f"{tiny.folder}:1", "--to-plain-http", name)
    here = oras.within(note.parent)
    for kind in (NOTE, "application/vnd.example.other"):
        here("attach", PLAIN, "--artifact-type", kind, name, f"{note.name}:text/plain")

    def attached(to: str, *more: str) -> list[str]:
        found = json.loads(oras("discover", PLAIN, "--format", "json", *more, to))
        return sorted(entry["artifactType"] for entry in found["manifests"])

    assert attached(name) == [NOTE, "application/vnd.example.other"]
    assert attached(name, "--artifact-type", NOTE) == [NOTE]

    copied = registry.name(f"{project}/b", "1")
    oras("copy", "-r", "--from-plain-http", "--to-plain-http", name, copied)
    assert attached(copied) == attached(name)
    assert registry.manifest(f"{project}/b", "1").raw == tiny.manifest

    for entry in json.loads(oras("discover", PLAIN, "--format", "json", copied))["manifests"]:
        reference = registry.name(f"{project}/b", entry["digest"])
        oras("manifest", "delete", PLAIN, "--force", reference)
    assert attached(copied) == []


def test_a_blob_is_pushed_fetched_and_deleted(oras: Tool, registry: Registry, project: str, note: Path) -> None:
    repository = registry.name(f"{project}/blobs")
    oras("blob", "push", PLAIN, repository, note)
    told = json.loads(oras("blob", "push", PLAIN, "--descriptor", repository, note))
    name = registry.name(f"{project}/blobs", told["digest"])
    assert oras("blob", "fetch", PLAIN, "--output", "-", name) == note.read_text()
    oras("blob", "delete", PLAIN, "--force", name)
    answer = registry.http.head(f"/v2/{project}/blobs/blobs/{told['digest']}")
    assert answer.status_code == 404
