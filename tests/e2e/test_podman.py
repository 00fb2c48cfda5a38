"""podman builds, pushes, pulls, runs and searches; its own format is OCI."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.e2e.clients import Tool
from tests.e2e.images import DOCKER_MANIFEST, GREETING, OCI_INDEX, OCI_MANIFEST, Layout
from tests.e2e.registry import Registry
from tests.serving import Server

PLAIN = "--tls-verify=false"


def test_login_takes_the_right_password_only(podman: Tool, server: Server, stranger: dict[str, str]) -> None:
    other = podman.having(**stranger)
    login = ["login", PLAIN, "-u", server.user, "--password-stdin", server.address]
    assert "invalid username/password" in other.refused(*login, stdin="wrong")
    assert "Login Succeeded" in other(*login, stdin=server.password)
    assert other("login", PLAIN, "--get-login", server.address).strip() == server.user
    other("logout", server.address)
    other.refused("login", PLAIN, "--get-login", server.address)


def test_an_image_built_from_scratch_is_pushed_pulled_again_and_runs(
    podman: Tool, registry: Registry, project: str, hello: Path, tmp_path: Path
) -> None:
    name = registry.name(f"{project}/hello", "1")
    podman("build", "-q", "-t", name, hello)
    podman("push", "-q", PLAIN, "--digestfile", tmp_path / "digest", name)
    stored = registry.check_whole(f"{project}/hello", "1")
    assert stored.digest == (tmp_path / "digest").read_text()
    assert stored.media_type == OCI_MANIFEST

    podman("rmi", name)
    podman("pull", "-q", PLAIN, name)
    assert json.loads(podman("inspect", name))[0]["Digest"] == stored.digest
    assert podman("run", "--rm", name).strip() == GREETING

    podman("rmi", name)
    by_digest = registry.name(f"{project}/hello", stored.digest)
    podman("pull", "-q", PLAIN, by_digest)
    assert podman("run", "--rm", by_digest).strip() == GREETING


@pytest.mark.parametrize(
    ("form", "media_type"), [("v2s2", DOCKER_MANIFEST), ("oci", OCI_MANIFEST)], ids=["v2s2", "oci"]
)
def test_a_debian_goes_and_comes_in_either_format(
    podman: Tool, registry: Registry, project: str, rootfs: Path, form: str, media_type: str
) -> None:
    name = registry.name(f"{project}/my-ubuntu", form)
    podman("import", "-q", rootfs, name)
    podman("push", "-q", PLAIN, "--format", form, name)
    stored = registry.check_whole(f"{project}/my-ubuntu", form)
    assert stored.media_type == media_type
    podman("rmi", name)
    podman("pull", "-q", PLAIN, name)
    assert "ID=debian" in podman("run", "--rm", name, "cat", "/etc/os-release")


def test_an_index_is_pushed_with_all_its_images_and_pulled_by_platform(
    podman: Tool, registry: Registry, project: str, hello: Path
) -> None:
    repository, many = f"{project}/multi", f"{project}-multi"
    podman("manifest", "create", many)
    for architecture in ("amd64", "arm64"):
        name = registry.name(repository, architecture)
        # podman's build cache does not look at the architecture
        podman("build", "-q", "--no-cache", "--arch", architecture, "-t", name, hello)
        podman("manifest", "add", "--arch", architecture, many, f"containers-storage:{name}")
    podman("manifest", "push", "--all", PLAIN, many, registry.url(repository, "1"))
    stored = registry.check_whole(repository, "1")
    assert stored.media_type == OCI_INDEX
    assert [c["platform"]["architecture"] for c in stored.document["manifests"]] == ["amd64", "arm64"]

    podman("manifest", "rm", many)
    name = registry.name(repository, "1")
    for architecture in ("arm64", "amd64"):
        podman("pull", "-q", PLAIN, "--arch", architecture, name)
        assert json.loads(podman("inspect", name))[0]["Architecture"] == architecture


def test_search_finds_repositories_and_lists_tags(podman: Tool, registry: Registry, project: str, hello: Path) -> None:
    for tag in ("1", "2"):
        name = registry.name(f"{project}/hello", tag)
        podman("build", "-q", "-t", name, hello)
        podman("push", "-q", PLAIN, name)
    found = podman("search", PLAIN, "--format", "{{.Name}}", registry.name(project)).split()
    assert found == [registry.name(f"{project}/hello")]
    _, *rows = podman("search", PLAIN, "--list-tags", found[0]).splitlines()
    assert [row.split() for row in rows] == [[found[0], "1"], [found[0], "2"]]


def test_a_stranger_can_neither_pull_nor_push(
    podman: Tool, registry: Registry, project: str, hello: Path, stranger: dict[str, str]
) -> None:
    name = registry.name(f"{project}/hello", "1")
    podman("build", "-q", "-t", name, hello)
    other = podman.having(**stranger)
    refused = re.compile("unauthorized|authentication required|denied")
    assert refused.search(other.refused("push", PLAIN, name))
    podman("push", "-q", PLAIN, name)
    podman("rmi", name)
    assert refused.search(other.refused("pull", PLAIN, name))


def test_podman_pulls_what_skopeo_pushed(
    podman: Tool, skopeo: Tool, registry: Registry, project: str, tiny: Layout
) -> None:
    skopeo(
        "copy",
        "--dest-tls-verify=false",
        "--preserve-digests",
        tiny.reference,
        registry.url(f"{project}/tiny", "1"),
    )
    name = registry.name(f"{project}/tiny", "1")
    podman("pull", "-q", PLAIN, name)
    assert json.loads(podman("inspect", name))[0]["Digest"] == tiny.root
