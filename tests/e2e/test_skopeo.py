"""skopeo copies, inspects, lists and deletes; nothing changes a byte on the way."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from tests.e2e.clients import Tool
from tests.e2e.images import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Layout, digest_of
from tests.e2e.registry import Registry
from tests.serving import Server

PLAIN = "--tls-verify=false"
TO = "--dest-tls-verify=false"
FROM = "--src-tls-verify=false"


def test_login_takes_the_right_password_only(skopeo: Tool, server: Server, stranger: dict[str, str]) -> None:
    other = skopeo.having(**stranger)
    login = ["login", PLAIN, "-u", server.user, "--password-stdin", server.address]
    assert "invalid username/password" in other.refused(*login, stdin="wrong")
    assert "Login Succeeded" in other(*login, stdin=server.password)


def test_an_image_survives_the_round_trip_byte_for_byte(
    skopeo: Tool, registry: Registry, project: str, tiny: Layout, tmp_path: Path
) -> None:
    skopeo("copy", TO, "--preserve-digests", tiny.reference, registry.url(f"{project}/a", "1"))
    stored = registry.check_whole(f"{project}/a", "1")
    assert (stored.raw, stored.media_type) == (tiny.manifest, OCI_MANIFEST)

    skopeo("copy", FROM, registry.url(f"{project}/a", "1"), f"dir:{tmp_path}/back")
    assert (tmp_path / "back" / "manifest.json").read_bytes() == tiny.manifest
    for part in [tiny.document["config"], *tiny.document["layers"]]:
        file = tmp_path / "back" / part["digest"].removeprefix("sha256:")
        assert file.read_bytes() == tiny.blob(part["digest"])


def test_a_debian_of_tens_of_megabytes_survives_the_round_trip(
    skopeo: Tool, registry: Registry, project: str, debian: Layout, tmp_path: Path
) -> None:
    name = registry.url(f"{project}/my-ubuntu", "22.04")
    skopeo("copy", TO, "--preserve-digests", debian.reference, name)
    assert registry.manifest(f"{project}/my-ubuntu", "22.04").raw == debian.manifest
    skopeo("copy", FROM, name, f"oci:{tmp_path}/back:1")
    back = json.loads((tmp_path / "back" / "index.json").read_text())["manifests"][0]
    assert back["digest"] == debian.root
    layer = debian.document["layers"][0]["digest"].removeprefix("sha256:")
    assert digest_of((tmp_path / "back/blobs/sha256" / layer).read_bytes()) == f"sha256:{layer}"


def test_an_index_goes_and_comes_back_with_all_its_platforms(
    skopeo: Tool, registry: Registry, project: str, multi: Layout, tmp_path: Path
) -> None:
    name = registry.url(f"{project}/multi", "1")
    skopeo("copy", "--all", TO, "--preserve-digests", multi.reference, name)
    stored = registry.check_whole(f"{project}/multi", "1")
    assert (stored.raw, stored.media_type) == (multi.manifest, OCI_INDEX)

    assert skopeo("inspect", PLAIN, "--raw", name).encode() == multi.manifest
    skopeo("copy", "--all", FROM, name, f"dir:{tmp_path}/back")
    assert (tmp_path / "back" / "manifest.json").read_bytes() == multi.manifest
    for child in multi.children:
        file = tmp_path / "back" / f"{child.removeprefix('sha256:')}.manifest.json"
        assert file.read_bytes() == multi.blob(child)


def test_one_platform_of_an_index_is_chosen(skopeo: Tool, registry: Registry, project: str, multi: Layout) -> None:
    name = registry.url(f"{project}/multi", "1")
    skopeo("copy", "--all", TO, multi.reference, name)
    for architecture in ("amd64", "arm64"):
        told = json.loads(skopeo("--override-arch", architecture, "inspect", PLAIN, name))
        assert told["Architecture"] == architecture


def test_a_copy_between_repositories_mounts_the_blobs(
    skopeo: Tool, registry: Registry, project: str, tiny: Layout
) -> None:
    source, target = registry.url(f"{project}/from", "1"), registry.url(f"{project}/to", "1")
    skopeo("copy", TO, "--preserve-digests", tiny.reference, source)
    words = skopeo.words("--debug", "copy", FROM, TO, "--preserve-digests", source, target)
    for layer in tiny.document["layers"]:
        assert f"mount={quote(layer['digest'], safe='')}" in words
    # skopeo always sends the config itself
    assert words.count("PATCH http") == 1, "bytes were sent though the layer could be mounted"
    assert registry.check_whole(f"{project}/to", "1").digest == tiny.root


def test_tags_are_listed(skopeo: Tool, registry: Registry, project: str, tiny: Layout) -> None:
    for tag in ("b", "a", "A", "1.0"):
        skopeo("copy", TO, tiny.reference, registry.url(f"{project}/a", tag))
    told = json.loads(skopeo("list-tags", PLAIN, registry.url(f"{project}/a")))
    assert told["Tags"] == ["1.0", "A", "a", "b"]


def test_what_was_deleted_is_gone_at_once(skopeo: Tool, registry: Registry, project: str, tiny: Layout) -> None:
    name = registry.url(f"{project}/a", "1")
    skopeo("copy", TO, "--preserve-digests", tiny.reference, name)
    assert registry.status(f"{project}/a", "1") == 200
    skopeo("delete", PLAIN, name)
    assert registry.status(f"{project}/a", "1") == 404
    assert registry.status(f"{project}/a", tiny.root) == 404
    assert "manifest unknown" in skopeo.refused("inspect", PLAIN, name)


def test_docker_schema_2_is_first_class(
    skopeo: Tool, registry: Registry, project: str, tiny: Layout, tmp_path: Path
) -> None:
    name = registry.url(f"{project}/v2s2", "1")
    skopeo("copy", TO, "--format", "v2s2", tiny.reference, name)
    stored = registry.check_whole(f"{project}/v2s2", "1")
    assert stored.media_type == DOCKER_MANIFEST
    skopeo("copy", FROM, name, f"dir:{tmp_path}/back")
    assert (tmp_path / "back" / "manifest.json").read_bytes() == stored.raw


def test_docker_schema_1_is_refused_and_its_error_names_it(
    skopeo: Tool, registry: Registry, project: str, tiny: Layout
) -> None:
    name = registry.url(f"{project}/v2s1", "1")
    words = skopeo.refused("copy", TO, "--format", "v2s1", tiny.reference, name)
    assert "schema" in words.lower()


def test_a_folder_is_synchronised_to_the_registry_and_back(
    skopeo: Tool, registry: Registry, project: str, tiny: Layout, tmp_path: Path
) -> None:
    for tag in ("1", "2"):
        skopeo("copy", TO, tiny.reference, registry.url(f"{project}/a", tag))
    skopeo("sync", FROM, "--src", "docker", "--dest", "dir", registry.name(f"{project}/a"), tmp_path)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a:1", "a:2"]
    skopeo("sync", TO, "--src", "dir", "--dest", "docker", tmp_path, registry.name(f"{project}/mirror"))
    assert registry.tags(f"{project}/mirror/a") == ["1", "2"]


def test_a_private_project_tells_a_stranger_nothing(
    skopeo: Tool, registry: Registry, project: str, tiny: Layout, stranger: dict[str, str]
) -> None:
    name = registry.url(f"{project}/a", "1")
    skopeo("copy", TO, tiny.reference, name)
    words = skopeo.having(**stranger).refused("inspect", PLAIN, name)
    assert "unauthorized" in words or "denied" in words


def test_wrong_credentials_on_a_copy_are_refused(skopeo: Tool, registry: Registry, project: str, tiny: Layout) -> None:
    name = registry.url(f"{project}/a", "1")
    words = skopeo.refused("copy", TO, "--dest-creds", "admin:wrong", tiny.reference, name)
    assert "invalid username/password" in words or "unauthorized" in words
