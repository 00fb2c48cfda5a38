"""buildah builds with layers and pushes either format; an index goes with all its images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.clients import Tool
from tests.e2e.images import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.e2e.registry import Registry
from tests.serving import Server

PLAIN = "--tls-verify=false"


def test_login_takes_the_right_password_only(buildah: Tool, server: Server, stranger: dict[str, str]) -> None:
    other = buildah.having(**stranger)
    login = ["login", PLAIN, "-u", server.user, "--password-stdin", server.address]
    assert "invalid username/password" in other.refused(*login, stdin="wrong")
    assert "Login Succeeded" in other(*login, stdin=server.password)


@pytest.mark.parametrize(
    ("form", "media_type"), [("v2s2", DOCKER_MANIFEST), ("oci", OCI_MANIFEST)], ids=["v2s2", "oci"]
)
def test_an_image_is_pushed_and_pulled_in_either_format(
    buildah: Tool,
    registry: Registry,
    project: str,
    hello: Path,
    form: str,
    media_type: str,
    tmp_path: Path,
) -> None:
    name = registry.name(f"{project}/hello", form)
    buildah("bud", "-q", "-f", "Dockerfile", "-t", name, hello)
    buildah("push", "-q", PLAIN, "--format", form, "--digestfile", tmp_path / "digest", name)
    stored = registry.check_whole(f"{project}/hello", form)
    assert stored.digest == (tmp_path / "digest").read_text()
    assert stored.media_type == media_type
    buildah("rmi", name)
    assert buildah("pull", "-q", PLAIN, name).strip()


def test_a_pushed_image_is_the_base_of_the_next_one(
    buildah: Tool, registry: Registry, project: str, hello: Path, tmp_path: Path
) -> None:
    base, grown = registry.name(f"{project}/base", "1"), registry.name(f"{project}/grown", "1")
    buildah("bud", "-q", "-f", "Dockerfile", "-t", base, hello)
    buildah("push", "-q", PLAIN, base)
    buildah("rmi", base)
    (tmp_path / "more").write_text("one layer more")
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nCOPY more /more\n")
    buildah("bud", "-q", PLAIN, "--layers", "-f", "Dockerfile", "-t", grown, tmp_path)
    buildah("push", "-q", PLAIN, grown)
    below = registry.check_whole(f"{project}/base", "1").document["layers"]
    above = registry.check_whole(f"{project}/grown", "1").document["layers"]
    assert len(above) == len(below) + 1
    assert above[: len(below)] == below


@pytest.mark.parametrize(("form", "media_type"), [("v2s2", DOCKER_LIST), ("oci", OCI_INDEX)], ids=["v2s2", "oci"])
def test_an_index_is_pushed_with_all_its_images(
    buildah: Tool, registry: Registry, project: str, hello: Path, form: str, media_type: str
) -> None:
    repository, many = f"{project}/multi", f"{project}-{form}"
    buildah("manifest", "create", many)
    for architecture in ("amd64", "arm64"):
        name = registry.name(repository, architecture)
        buildah("bud", "-q", "-f", "Dockerfile", "--arch", architecture, "-t", name, hello)
        buildah("manifest", "add", "--arch", architecture, many, f"containers-storage:{name}")
    buildah("manifest", "push", "-q", "--all", PLAIN, "--format", form, many, registry.url(repository, "1"))
    buildah("manifest", "rm", many)
    stored = registry.check_whole(repository, "1")
    assert stored.media_type == media_type
    assert len(stored.document["manifests"]) == 2
