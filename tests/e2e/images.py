"""Real images as OCI layouts, made without any client: what is pushed has digests known beforehand."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.clients import client, root_only, skip_or_fail

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

GREETING = "hello from scratch"
HELLO_C = f"""
#include <stdio.h>
int main(void) {{ puts("{GREETING}"); return 0; }}
"""


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def descriptor(media_type: str, content: bytes, **more: Any) -> dict[str, Any]:
    return {
        "mediaType": media_type,
        "digest": digest_of(content),
        "size": len(content),
        **more,
    }


def encoded(document: Mapping[str, Any]) -> bytes:
    """JSON laid out as no encoder would by default: whoever re-encodes it changes the digest."""
    return json.dumps(document, indent=3, separators=(" ,", " : ")).encode() + b"\n"


def tarred(files: Mapping[str, bytes]) -> bytes:
    """A tar of `files`, the same bytes every time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@dataclass(frozen=True)
class Layout:
    """An OCI image layout on disk; `root` is the digest of what its tag `1` names."""

    folder: Path
    root: str

    @property
    def reference(self) -> str:
        """What skopeo, podman and buildah call it."""
        return f"oci:{self.folder}:1"

    def blob(self, digest: str) -> bytes:
        return (self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()

    @property
    def manifest(self) -> bytes:
        return self.blob(self.root)

    @property
    def document(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.manifest)
        return parsed

    @property
    def children(self) -> list[str]:
        """Digests of the manifests that an index lists."""
        return [child["digest"] for child in self.document.get("manifests", [])]


class _Writer:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = folder / "blobs" / "sha256"
        self.blobs.mkdir(parents=True)

    def add(self, content: bytes) -> None:
        (self.blobs / digest_of(content).removeprefix("sha256:")).write_bytes(content)

    def image(self, tar: bytes, architecture: str, command: Iterable[str]) -> bytes:
        """Add a one-layer image; return its manifest."""
        layer = gzip.compress(tar, compresslevel=1, mtime=0)
        config = encoded(
            {
                "created": "2024-01-01T00:00:00Z",
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": list(command)},
                "rootfs": {"type": "layers", "diff_ids": [digest_of(tar)]},
                "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "entrepot tests"}],
            }
        )
        manifest = encoded(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": descriptor(OCI_CONFIG, config),
                "layers": [descriptor(OCI_LAYER, layer)],
                "annotations": {"org.opencontainers.image.title": "entrepôt"},
            }
        )
        for content in (layer, config, manifest):
            self.add(content)
        return manifest

    def finish(self, media_type: str, root: bytes) -> Layout:
        named = {"org.opencontainers.image.ref.name": "1"}
        index = {
            "schemaVersion": 2,
            "manifests": [descriptor(media_type, root, annotations=named)],
        }
        (self.folder / "index.json").write_text(json.dumps(index))
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return Layout(self.folder, digest_of(root))


def compiled_hello(folder: Path) -> Path:
    """A folder with the static program `hello` and the Dockerfile that puts it into an image."""
    source = folder / "hello.c"
    source.write_text(HELLO_C)
    subprocess.run(
        [client("gcc"), "-static", "-Os", "-s", "-o", folder / "hello", source],
        check=True,
        capture_output=True,
    )
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n')
    return folder


def scratch_layout(folder: Path, files: Mapping[str, bytes]) -> Layout:
    """One image, one layer, from nothing."""
    writer = _Writer(folder)
    return writer.finish(OCI_MANIFEST, writer.image(tarred(files), "amd64", ["/hello"]))


def multi_arch_layout(folder: Path, architectures: Iterable[str] = ("amd64", "arm64")) -> Layout:
    """An index with one image an architecture, each with a layer of its own."""
    writer = _Writer(folder)
    children = []
    for architecture in architectures:
        tar = tarred({"architecture": architecture.encode(), "padding": architecture.encode() * 999})
        manifest = writer.image(tar, architecture, ["/architecture"])
        platform = {"architecture": architecture, "os": "linux"}
        children.append(descriptor(OCI_MANIFEST, manifest, platform=platform))
    index = encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children})
    writer.add(index)
    return writer.finish(OCI_INDEX, index)


def debian_layout(folder: Path, rootfs: Path) -> Layout:
    """The debootstrap root as an image of one layer of tens of megabytes."""
    writer = _Writer(folder)
    return writer.finish(OCI_MANIFEST, writer.image(rootfs.read_bytes(), "amd64", ["/bin/sh"]))


def debian_rootfs(cache: Path) -> Path:
    """A tar of a minimal Debian; made once (half a minute), then kept in `cache`."""
    rootfs = cache / "debian-rootfs.tar"
    if rootfs.exists():
        return rootfs
    root_only("debootstrap")
    debootstrap = client("debootstrap")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        root = Path(scratch, "root")
        done = subprocess.run(
            [debootstrap, "--variant=minbase", "bookworm", root],
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        if done.returncode != 0:
            skip_or_fail(f"debootstrap failed: {done.stdout[-600:]}{done.stderr[-600:]}")
        for needless in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(root / needless, ignore_errors=True)
        fresh = Path(scratch, "rootfs.tar")
        subprocess.run(
            ["tar", "-C", root, "--exclude=./dev/*", "-cf", fresh, "."],
            check=True,
            capture_output=True,
        )
        fresh.rename(rootfs)
    return rootfs
