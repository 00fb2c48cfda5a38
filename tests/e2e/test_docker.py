"""The Docker Engine logs in, pushes, pulls and runs; its classic store speaks docker schema 2."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from tests.e2e.clients import Tool
from tests.e2e.images import DOCKER_LIST, DOCKER_MANIFEST, GREETING, Layout, tarred
from tests.e2e.proxy import CuttingProxy, cutting_proxy
from tests.e2e.registry import Registry
from tests.serving import Server


def build(docker: Tool, hello: Path, *names: str) -> None:
    """Build the image of the static program under `names`."""
    tags = [word for name in names for word in ("-t", name)]
    docker("build", "-q", *tags, hello)


def pushed_digest(words: str) -> str:
    """The digest that `docker push` prints last."""
    found = re.findall(r"digest: (sha256:[0-9a-f]{64}) size: \d+", words)
    assert found, words
    return str(found[-1])


def test_login_takes_the_right_password_only(docker: Tool, server: Server, stranger: dict[str, str]) -> None:
    other = docker.having(**stranger)
    login = ["login", "-u", server.user, "--password-stdin", server.address]
    assert "unauthorized" in other.refused(*login, stdin="wrong").lower()
    assert "Login Succeeded" in other(*login, stdin=server.password)


def test_login_keeps_an_identity_token_instead_of_the_password(
    docker: Tool, server: Server, stranger: dict[str, str]
) -> None:
    other = docker.having(**stranger)
    other("login", "-u", server.user, "--password-stdin", server.address, stdin=server.password)
    config = json.loads(Path(stranger["DOCKER_CONFIG"], "config.json").read_text())
    assert config["auths"][server.address]["identitytoken"]
    assert server.password not in json.dumps(config)
    other("logout", server.address)
    config = json.loads(Path(stranger["DOCKER_CONFIG"], "config.json").read_text())
    assert server.address not in config.get("auths", {})


def test_an_image_built_from_scratch_is_pushed_pulled_again_and_runs(
    docker: Tool, registry: Registry, project: str, hello: Path
) -> None:
    name = registry.name(f"{project}/hello", "1")
    build(docker, hello, name)
    digest = pushed_digest(docker("push", name))
    stored = registry.check_whole(f"{project}/hello", "1")
    assert (stored.digest, stored.media_type) == (digest, DOCKER_MANIFEST)

    docker("rmi", name)
    assert "No such" in docker.refused("inspect", name)
    assert digest in docker("pull", name)
    assert docker("run", "--rm", "--network=none", name).strip() == GREETING
    by_digest = registry.name(f"{project}/hello", digest)
    assert by_digest in json.loads(docker("inspect", name))[0]["RepoDigests"]

    docker("rmi", name)
    docker("pull", by_digest)
    assert docker("run", "--rm", "--network=none", by_digest).strip() == GREETING


def test_my_ubuntu_and_library_my_ubuntu_are_one_repository(docker: Tool, registry: Registry, rootfs: Path) -> None:
    name = registry.name("my-ubuntu")
    docker("import", rootfs, name)
    digest = pushed_digest(docker("push", name))
    for repository in ("my-ubuntu", "library/my-ubuntu"):
        assert registry.check_whole(repository, "latest").digest == digest
        answer = registry.http.get(f"/v2/{repository}/tags/list")
        assert answer.json() == {"name": repository, "tags": ["latest"]}
    catalog = registry.http.get("/v2/_catalog", params={"n": 1000}).json()["repositories"]
    assert "library/my-ubuntu" in catalog
    assert "my-ubuntu" not in catalog

    docker("rmi", name)
    for asked in (name, registry.name("library/my-ubuntu", "latest")):
        assert digest in docker("pull", asked)
        release = docker("run", "--rm", "--network=none", asked, "cat", "/etc/os-release")
        assert "ID=debian" in release


def test_layers_are_mounted_from_the_repository_that_has_them(
    docker: Tool, registry: Registry, project: str, hello: Path
) -> None:
    source, target = registry.name(f"{project}/from", "1"), registry.name(f"{project}/to", "1")
    build(docker, hello, source, target)
    digest = pushed_digest(docker("push", source))
    words = docker("push", target)
    assert f"Mounted from {project}/from" in words
    assert pushed_digest(words) == digest
    assert registry.check_whole(f"{project}/to", "1").digest == digest


def test_a_second_push_finds_everything_there(docker: Tool, registry: Registry, project: str, hello: Path) -> None:
    name = registry.name(f"{project}/hello", "1")
    build(docker, hello, name)
    first = docker("push", name)
    again = docker("push", name)
    assert "Layer already exists" in again
    assert pushed_digest(again) == pushed_digest(first)


def test_all_tags_go_and_come_at_once(docker: Tool, registry: Registry, project: str, hello: Path) -> None:
    names = [registry.name(f"{project}/hello", tag) for tag in ("1", "2", "three")]
    build(docker, hello, *names)
    docker("push", "--all-tags", registry.name(f"{project}/hello"))
    assert registry.tags(f"{project}/hello") == ["1", "2", "three"]
    docker("rmi", *names)
    docker("pull", "--all-tags", registry.name(f"{project}/hello"))
    for name in names:
        docker("inspect", name)


def test_a_manifest_list_is_created_pushed_and_pulled_by_platform(
    docker: Tool, registry: Registry, project: str, hello: Path
) -> None:
    repository = f"{project}/multi"
    children = []
    for architecture in ("amd64", "arm64"):
        name = registry.name(repository, architecture)
        # the classic builder's cache does not look at the platform
        docker("build", "-q", "--no-cache", "--platform", f"linux/{architecture}", "-t", name, hello)
        children.append((architecture, name, pushed_digest(docker("push", name))))
    many = registry.name(repository, "1")
    docker("manifest", "create", "--insecure", many, *[name for _, name, _ in children])
    for architecture, name, _ in children:
        docker("manifest", "annotate", "--os", "linux", "--arch", architecture, many, name)
    digest = docker("manifest", "push", "--insecure", "--purge", many).split()[-1]

    stored = registry.check_whole(repository, "1")
    assert (stored.digest, stored.media_type) == (digest, DOCKER_LIST)
    listed = {child["platform"]["architecture"]: child["digest"] for child in stored.document["manifests"]}
    assert listed == {architecture: pushed for architecture, _, pushed in children}
    seen = json.loads(docker("manifest", "inspect", "--insecure", many))
    assert seen["manifests"] == stored.document["manifests"]

    for architecture, _, _ in children:
        docker("pull", "--platform", f"linux/{architecture}", many)
        assert json.loads(docker("inspect", many))[0]["Architecture"] == architecture


def test_one_platform_of_an_oci_index_is_pulled(
    docker: Tool, skopeo: Tool, registry: Registry, project: str, multi: Layout
) -> None:
    repository = f"{project}/multi"
    name = registry.name(repository, "1")
    skopeo("copy", "--all", "--dest-tls-verify=false", multi.reference, registry.url(repository, "1"))
    for architecture in ("amd64", "arm64"):
        assert multi.root in docker("pull", "--platform", f"linux/{architecture}", name)
        assert json.loads(docker("inspect", name))[0]["Architecture"] == architecture


def test_a_stranger_can_neither_pull_nor_push(
    docker: Tool, registry: Registry, project: str, hello: Path, stranger: dict[str, str]
) -> None:
    name = registry.name(f"{project}/hello", "1")
    build(docker, hello, name)
    other = docker.having(**stranger)
    words = other.refused("push", name)
    assert re.search("no basic auth credentials|unauthorized|denied", words), words
    docker("push", name)
    words = other.refused("pull", name)
    assert re.search("no basic auth credentials|unauthorized|denied", words), words


def test_a_pull_goes_on_where_a_cut_connection_left_it(
    docker: Tool, registry: Registry, project: str, tmp_path: Path
) -> None:
    name = registry.name(f"{project}/noise", "1")
    docker("import", noise(tmp_path), name)
    digest = pushed_digest(docker("push", name))
    docker("rmi", name)
    with cutting_proxy(registry.server.port, cut_after=3_000_000, towards="client") as proxy:
        login(docker, registry.server, proxy)
        through = f"{proxy.address}/{project}/noise:1"
        assert digest in docker("pull", through)
        assert proxy.cuts == 1
        docker("logout", proxy.address)


def test_a_push_survives_a_cut_connection(docker: Tool, registry: Registry, project: str, tmp_path: Path) -> None:
    with cutting_proxy(registry.server.port, cut_after=3_000_000, towards="server") as proxy:
        login(docker, registry.server, proxy)
        through = f"{proxy.address}/{project}/noise:1"
        docker("import", noise(tmp_path), through)
        digest = pushed_digest(docker("push", through))
        assert proxy.cuts == 1
        docker("logout", proxy.address)
    assert registry.check_whole(f"{project}/noise", "1").digest == digest


def noise(folder: Path) -> Path:
    """A root file system of 8 MB that nobody has and nothing compresses."""
    archive = folder / "noise.tar"
    archive.write_bytes(tarred({"noise": os.urandom(8_000_000)}))
    return archive


def login(docker: Tool, server: Server, proxy: CuttingProxy) -> None:
    """Log in under the proxy's address: tokens come from the address that was asked."""
    docker("login", "-u", server.user, "--password-stdin", proxy.address, stdin=server.password)
