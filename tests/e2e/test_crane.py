"""crane (go-containerregistry, as in ko, syft and trivy): streamed uploads, mounts, raw manifests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.clients import Tool, client
from tests.e2e.images import Layout
from tests.e2e.registry import Registry
from tests.serving import Server


@pytest.fixture(scope="module")
def crane(environment: dict[str, str], server: Server) -> Tool:
    tool = Tool(client("crane"), environment)
    login = ["auth", "login", "-u", server.user, "--password-stdin", server.address]
    tool(*login, stdin=server.password)
    return tool


def test_the_wrong_password_and_no_password_are_refused(
    crane: Tool, registry: Registry, project: str, tiny: Layout, stranger: dict[str, str]
) -> None:
    name = registry.name(f"{project}/a", "1")
    crane("push", tiny.folder, name)
    other = crane.having(**stranger)
    assert "UNAUTHORIZED" in other.refused("manifest", name)
    other("auth", "login", "-u", "admin", "-p", "wrong", registry.address)
    assert "UNAUTHORIZED" in other.refused("manifest", name)


def test_an_image_survives_the_round_trip_byte_for_byte(
    crane: Tool, registry: Registry, project: str, tiny: Layout, tmp_path: Path
) -> None:
    name = registry.name(f"{project}/a", "1")
    assert crane("push", tiny.folder, name).strip().endswith(tiny.root)
    assert registry.check_whole(f"{project}/a", "1").raw == tiny.manifest
    assert crane("digest", name).strip() == tiny.root
    assert crane("manifest", name).encode() == tiny.manifest
    config = tiny.document["config"]["digest"]
    assert crane("config", name).strip() == tiny.blob(config).decode().strip()
    crane("validate", "--remote", name)
    crane("pull", "--format=oci", name, tmp_path / "back")
    entry = json.loads((tmp_path / "back" / "index.json").read_text())["manifests"][0]
    assert entry["digest"] == tiny.root


def test_an_index_goes_and_comes_with_all_platforms(
    crane: Tool, registry: Registry, project: str, multi: Layout, tmp_path: Path
) -> None:
    name = registry.name(f"{project}/multi", "1")
    crane("push", "--index", multi.folder, name)
    # the layout's own index.json is what crane pushes: our index is its only child
    outer = registry.check_whole(f"{project}/multi", "1").document
    assert [child["digest"] for child in outer["manifests"]] == [multi.root]
    by_digest = registry.name(f"{project}/multi", multi.root)
    crane("tag", by_digest, "2")
    assert registry.check_whole(f"{project}/multi", "2").raw == multi.manifest
    for architecture in ("amd64", "arm64"):
        name = registry.name(f"{project}/multi", "2")
        config = json.loads(crane("config", "--platform", f"linux/{architecture}", name))
        assert config["architecture"] == architecture


def test_a_copy_between_repositories_mounts_the_blobs(
    crane: Tool, registry: Registry, project: str, debian: Layout
) -> None:
    source, target = registry.name(f"{project}/from", "1"), registry.name(f"{project}/to", "1")
    crane("push", debian.folder, source)
    words = crane.words("copy", "--verbose", source, target)
    assert "mount=sha256" in words
    assert "--> PATCH" not in words, "bytes were sent though the blobs could be mounted"
    assert registry.check_whole(f"{project}/to", "1").digest == debian.root


def test_what_is_there_is_listed_and_what_was_deleted_is_gone(
    crane: Tool, registry: Registry, project: str, tiny: Layout
) -> None:
    for tag in ("b", "a"):
        crane("push", tiny.folder, registry.name(f"{project}/x", tag))
    assert crane("ls", registry.name(f"{project}/x")).split() == ["a", "b"]
    assert f"{project}/x" in crane("catalog", registry.address).split()

    crane("delete", registry.name(f"{project}/x", "a"))
    assert registry.tags(f"{project}/x") == ["b"]
    assert registry.status(f"{project}/x", tiny.root) == 200
    crane("delete", registry.name(f"{project}/x", tiny.root))
    assert registry.status(f"{project}/x", "b") == 404
    assert "MANIFEST_UNKNOWN" in crane.refused("manifest", registry.name(f"{project}/x", "b"))


def test_a_layer_is_appended_to_what_is_there(
    crane: Tool, registry: Registry, project: str, tiny: Layout, hello: Path, tmp_path: Path
) -> None:
    base, grown = registry.name(f"{project}/base", "1"), registry.name(f"{project}/grown", "1")
    crane("push", tiny.folder, base)
    (tmp_path / "more.tar").write_bytes(b"\0" * 10_240)
    crane("append", "-b", base, "-f", tmp_path / "more.tar", "-t", grown)
    layers = registry.check_whole(f"{project}/grown", "1").document["layers"]
    assert len(layers) == len(tiny.document["layers"]) + 1
