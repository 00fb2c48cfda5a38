"""A company's registry, made through the service layer: projects, repositories and artifacts by the hundred thousand.

    python -m bench.company FOLDER     # fills a new data folder; admin's password is printed

One repository holds half of the artifacts, the others share the rest; every artifact of a repository names the same
config and layer, as builds that change little do.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec

from entrepot.app import App
from entrepot.auth.model import Caller, Principal
from entrepot.config import Config
from entrepot.journal.model import SYSTEM
from entrepot.oci import digest as digests
from entrepot.oci.mediatype import OCI_MANIFEST
from entrepot.oci.name import RepositoryName
from entrepot.projects import service as projects
from entrepot.registry.model import StoredBlob
from entrepot.serve.prepare import prepare

PASSWORD = "bench-Password-1"

_LANES = 64
_CONFIG = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Cmd": ["/app"]},
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [{"created_by": "COPY app /"}],
    }
).encode()
_LAYER = b"layer" * 200


class CompanySizes(msgspec.Struct, frozen=True):
    """How much a company has."""

    projects: int = 1_000
    repositories: int = 10_000
    artifacts: int = 200_000


LARGEST = RepositoryName("team-0", "app-0")
"""The repository that holds half of the artifacts."""


async def fill(folder: Path, sizes: CompanySizes) -> None:
    """Prepare a new data folder and fill it."""
    config = Config(data=folder, admin_password=PASSWORD, workers=1)
    await asyncio.to_thread(lambda: asyncio.run(prepare(config)))
    app = App(config, None)
    app.database.open()
    try:
        await _fill(app, sizes)
    finally:
        await app.database.close()


async def _fill(app: App, sizes: CompanySizes) -> None:
    caller = Caller(principal=Principal(1, "admin", is_admin=True), client_address="127.0.0.1", request_id="bench")
    await _in_lanes(
        projects.create(app.database, SYSTEM, f"team-{number}", is_public=number % 2 == 0)
        for number in range(sizes.projects)
    )
    names = [
        RepositoryName(f"team-{n % sizes.projects}", f"app-{n // sizes.projects}") for n in range(sizes.repositories)
    ]
    await _push_blobs(app, caller, names[0])
    await _in_lanes(_mount(app, caller, name, names[0]) for name in names[1:])
    half = sizes.artifacts // 2
    others = names[1:]
    await _in_lanes(_push(app, caller, names[0], number) for number in range(half))
    await _in_lanes(
        _push(app, caller, others[number % len(others)], number) for number in range(sizes.artifacts - half)
    )


async def _push_blobs(app: App, caller: Caller, name: RepositoryName) -> None:
    for content in (_CONFIG, _LAYER):

        async def body(content: bytes = content) -> Any:
            yield content

        pushed = await app.uploads.push(caller, name, digests.of(content), body(), len(content))
        assert isinstance(pushed, StoredBlob)


async def _mount(app: App, caller: Caller, name: RepositoryName, source: RepositoryName) -> None:
    for content in (_CONFIG, _LAYER):
        await app.blobs.mount(caller, name, digests.of(content), source)


async def _push(app: App, caller: Caller, name: RepositoryName, number: int) -> None:
    payload = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(_CONFIG, "application/vnd.oci.image.config.v1+json"),
            "layers": [_descriptor(_LAYER, "application/vnd.oci.image.layer.v1.tar+gzip")],
            "annotations": {"org.opencontainers.image.revision": f"{number:040x}"},
        }
    ).encode()
    await app.manifests.push(caller, name, f"v{number}", payload, content_type=None, more_tags=[])


def _descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digests.of(content), "size": len(content)}


async def _in_lanes(work: Any) -> None:
    """Await every coroutine of ``work``, so many at a time."""
    waiting = iter(work)

    async def lane() -> None:
        for coroutine in waiting:
            step: Coroutine[Any, Any, Any] = coroutine
            await step

    await asyncio.gather(*(lane() for _ in range(_LANES)))


if __name__ == "__main__":
    asyncio.run(fill(Path(sys.argv[1]), CompanySizes()))
    sys.stdout.write(f"admin / {PASSWORD}\n")
