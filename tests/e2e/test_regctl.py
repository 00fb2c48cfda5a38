"""regctl (regclient): uploads in chunks, referrers, tags deleted without their manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.clients import Tool, client
from tests.e2e.images import Layout
from tests.e2e.registry import Registry
from tests.serving import Server


@pytest.fixture(scope="module")
def regctl(environment: dict[str, str], server: Server, scratch: Path) -> Tool:
    """A regctl that sends every blob in chunks of 64 KiB."""
    own = {"REGCTL_CONFIG": str(scratch / "regctl.json")}
    tool = Tool(client("regctl"), {**environment, **own})
    tool("registry", "set", "--tls", "disabled", "--skip-check", server.address)
    tool("registry", "set", "--blob-chunk", "65536", "--blob-max", "1", "--skip-check", server.address)
    login = ["registry", "login", "-u", server.user, "--pass-stdin", server.address]
    tool(*login, stdin=server.password)
    return tool


def test_login_takes_the_right_password_only(regctl: Tool, server: Server, tmp_path: Path) -> None:
    other = regctl.having(REGCTL_CONFIG=str(tmp_path / "regctl.json"))
    other("registry", "set", "--tls", "disabled", "--skip-check", server.address)
    login = ["registry", "login", "-u", server.user, "--pass-stdin", server.address]
    assert "unauthorized" in other.refused(*login, stdin="wrong")
    other(*login, stdin=server.password)


def test_an_image_sent_in_chunks_is_the_same(
    regctl: Tool, registry: Registry, project: str, debian: Layout, tmp_path: Path
) -> None:
    name = registry.name(f"{project}/debian", "1")
    regctl("image", "copy", f"ocidir://{debian.folder}:1", name)
    assert registry.check_whole(f"{project}/debian", "1").raw == debian.manifest
    assert regctl("image", "digest", name).strip() == debian.root
    regctl("image", "copy", name, f"ocidir://{tmp_path}/back:1")
    assert debian.root in (tmp_path / "back" / "index.json").read_text()


def test_an_index_goes_with_all_platforms_and_is_copied_by_mount(
    regctl: Tool, registry: Registry, project: str, multi: Layout
) -> None:
    source, target = registry.name(f"{project}/from", "1"), registry.name(f"{project}/to", "1")
    regctl("image", "copy", f"ocidir://{multi.folder}:1", source)
    regctl("image", "copy", source, target)
    for repository in ("from", "to"):
        assert registry.check_whole(f"{project}/{repository}", "1").raw == multi.manifest


def test_an_artifact_hangs_on_its_subject_and_goes_along_with_it(
    regctl: Tool, registry: Registry, project: str, tiny: Layout
) -> None:
    name, kind = registry.name(f"{project}/a", "1"), "application/vnd.example.note"
    regctl("image", "copy", f"ocidir://{tiny.folder}:1", name)
    put = ["artifact", "put", "--artifact-type", kind, "--subject", name]
    regctl(*put, "--format", "{{ .Manifest.GetDescriptor.Digest }}", stdin="a note")
    listed = json.loads(regctl("artifact", "list", name, "--format", "{{ jsonPretty .Manifest }}"))
    assert [found["artifactType"] for found in listed["manifests"]] == [kind]
    assert regctl("artifact", "get", "--subject", name, "--filter-artifact-type", kind) == "a note"
    # the registry answers OCI-Subject, so no client writes the fallback tag
    assert registry.tags(f"{project}/a") == ["1"]

    copied = registry.name(f"{project}/b", "1")
    regctl("image", "copy", "--referrers", name, copied)
    assert regctl("artifact", "get", "--subject", copied, "--filter-artifact-type", kind) == "a note"


def test_a_tag_is_deleted_and_its_manifest_stays(regctl: Tool, registry: Registry, project: str, tiny: Layout) -> None:
    for tag in ("a", "b"):
        regctl("image", "copy", f"ocidir://{tiny.folder}:1", registry.name(f"{project}/x", tag))
    regctl("tag", "delete", registry.name(f"{project}/x", "a"))
    assert regctl("tag", "ls", registry.name(f"{project}/x")).split() == ["b"]
    assert registry.manifest(f"{project}/x", "b").raw == tiny.manifest
    regctl("manifest", "delete", registry.name(f"{project}/x", tiny.root))
    assert registry.status(f"{project}/x", "b") == 404


def test_repositories_are_listed(regctl: Tool, registry: Registry, project: str, tiny: Layout) -> None:
    regctl("image", "copy", f"ocidir://{tiny.folder}:1", registry.name(f"{project}/x", "1"))
    assert f"{project}/x" in regctl("repo", "ls", registry.address).split()
