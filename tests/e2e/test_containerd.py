"""containerd, by its `ctr`: POST and PUT, the digest of every answer compared, mounts by label."""

from __future__ import annotations

import re

from tests.e2e.clients import Tool
from tests.e2e.images import Layout
from tests.e2e.registry import Registry

PLAIN = "--plain-http"


def credentials(registry: Registry) -> tuple[str, str]:
    return "--user", f"{registry.server.user}:{registry.server.password}"


def pushed_by_skopeo(skopeo: Tool, registry: Registry, repository: str, layout: Layout, tag: str = "1") -> str:
    """Have `layout` in the registry as it is; return the name that containerd pulls."""
    words = ["--all", "--preserve-digests", "--dest-tls-verify=false"]
    skopeo("copy", *words, layout.reference, registry.url(repository, tag))
    return registry.name(repository, tag)


def digest_in(ctr: Tool, name: str) -> str:
    line = ctr("images", "ls", f"name=={name}").splitlines()[1]
    found = re.search(r"sha256:[0-9a-f]{64}", line)
    assert found, line
    return found[0]


def test_an_image_is_pulled_pushed_elsewhere_and_is_the_same(
    ctr: Tool, skopeo: Tool, registry: Registry, project: str, tiny: Layout
) -> None:
    user = credentials(registry)
    name = pushed_by_skopeo(skopeo, registry, f"{project}/a", tiny)
    ctr("images", "pull", PLAIN, *user, name)
    assert digest_in(ctr, name) == tiny.root
    other = registry.name(f"{project}/b", "1")
    ctr("images", "tag", name, other)
    ctr("images", "push", PLAIN, *user, other)
    assert registry.check_whole(f"{project}/b", "1").raw == tiny.manifest


def test_an_index_goes_and_comes_with_all_platforms(
    ctr: Tool, skopeo: Tool, registry: Registry, project: str, multi: Layout
) -> None:
    user = credentials(registry)
    name = pushed_by_skopeo(skopeo, registry, f"{project}/multi", multi)
    ctr("images", "pull", PLAIN, *user, "--all-platforms", name)
    assert digest_in(ctr, name) == multi.root
    other = registry.name(f"{project}/again", "1")
    ctr("images", "push", PLAIN, *user, other, name)
    assert registry.check_whole(f"{project}/again", "1").raw == multi.manifest


def test_one_platform_is_pulled(ctr: Tool, skopeo: Tool, registry: Registry, project: str, multi: Layout) -> None:
    name = pushed_by_skopeo(skopeo, registry, f"{project}/multi", multi)
    ctr("images", "pull", PLAIN, *credentials(registry), "--platform", "linux/arm64", name)
    assert "linux/arm64" in ctr("images", "ls", f"name=={name}")


def test_an_image_made_by_containerd_is_pushed_and_pulled_by_digest(
    ctr: Tool, skopeo: Tool, registry: Registry, project: str, tiny: Layout
) -> None:
    user = credentials(registry)
    name = pushed_by_skopeo(skopeo, registry, f"{project}/a", tiny)
    by_digest = registry.name(f"{project}/a", tiny.root)
    ctr("images", "pull", PLAIN, *user, by_digest)
    assert digest_in(ctr, by_digest) == tiny.root
    ctr("images", "pull", PLAIN, *user, name)
    # pushed again under another tag: everything is there already
    ctr("images", "push", PLAIN, *user, registry.name(f"{project}/a", "2"), name)
    assert registry.manifest(f"{project}/a", "2").raw == tiny.manifest


def test_the_wrong_password_and_no_password_are_refused(
    ctr: Tool, skopeo: Tool, registry: Registry, project: str, tiny: Layout
) -> None:
    name = pushed_by_skopeo(skopeo, registry, f"{project}/a", tiny)
    refused = re.compile("401|403|authorization|Unauthorized|denied", re.IGNORECASE)
    wrong = ("--user", f"{registry.server.user}:wrong")
    assert refused.search(ctr.refused("images", "pull", PLAIN, *wrong, name))
    assert refused.search(ctr.refused("images", "pull", PLAIN, name))
