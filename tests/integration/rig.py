"""The registry put together as a worker process does it, on a real database and a real store in a folder."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select

from entrepot.access.issue import TokenService
from entrepot.access.service import Guardian
from entrepot.access.tokens import TokenIssuer
from entrepot.app import App
from entrepot.auth.model import ANONYMOUS, Caller, Principal, User
from entrepot.auth.service import Users
from entrepot.auth.store import users
from entrepot.config import Config, load
from entrepot.database import Database, query
from entrepot.journal.model import SYSTEM
from entrepot.journal.store import journal
from entrepot.oci import digest as digests
from entrepot.oci.mediatype import OCI_INDEX, OCI_MANIFEST
from entrepot.oci.name import RepositoryName, parse_name
from entrepot.projects import service as projects
from entrepot.registry.manifests import Manifests
from entrepot.registry.referrers import Referrers
from entrepot.registry.repositories import Repositories
from entrepot.registry.tags import Tags
from entrepot.registry.uploads import Uploads
from entrepot.serve.prepare import prepare
from entrepot.storage.blobstore import BlobStore

T = TypeVar("T")

PASSWORD = "correct-horse-battery-staple-9"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

ENGINES: dict[str, dict[str, str]] = {"sqlite": {}}
"""The databases that every test runs on, each by the settings that choose it."""

_FIRST_START = ["UserCreated", "ProjectCreated"]
"""What ``prepare`` does: it makes ``admin`` and ``library``."""

_JOURNAL = query(select(journal.c.kind, journal.c.principal, journal.c.body).order_by(journal.c.id))


class Rig:
    """One process's share of the registry, its pieces within reach."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.app = App(config, None)
        self.database: Database = self.app.database
        self.store: BlobStore = self.app.content.inner
        self.guardian: Guardian = self.app.guardian
        self.users: Users = self.app.users
        self.issuer: TokenIssuer = self.app.issuer
        self.tokens: TokenService = self.app.tokens
        self.repositories: Repositories = self.app.repositories
        self.blobs = self.app.blobs
        self.uploads: Uploads = self.app.uploads
        self.manifests: Manifests = self.app.manifests
        self.tags: Tags = self.app.tags
        self.referrers: Referrers = self.app.referrers
        self.admin = caller(Principal(1, "admin", is_admin=True))
        self.anonymous = caller(ANONYMOUS)

    # shorthand for what tests do all the time

    async def push_blob(self, name: str, content: bytes, algorithm: str = "sha256") -> str:
        digest = digests.of(content, algorithm)
        await self.uploads.push(self.admin, parse_name(name), digest, body(content))
        return digest

    async def push(
        self, name: str, reference: str, payload: bytes, *, as_: Caller | None = None, tags: Iterable[str] = ()
    ) -> str:
        pushed = await self.manifests.push(
            as_ or self.admin, parse_name(name), reference, payload, content_type=None, more_tags=list(tags)
        )
        return pushed.digest

    async def push_image(self, name: str, tag: str, text: str = "", **more: Any) -> tuple[str, bytes]:
        """Digest and bytes of an image whose config and layer are pushed first."""
        config, layer = f"config {text}".encode(), f"layer {text}".encode()
        await self.push_blob(name, config)
        await self.push_blob(name, layer)
        payload = image(config, [layer], **more)
        return await self.push(name, tag, payload), payload

    async def events(self, since: int = 0) -> list[dict[str, Any]]:
        """The journal after the first start: kind, principal and fields of every fact, from number ``since`` on."""
        rows = await self.database.all(_JOURNAL)
        if [row[0] for row in rows[:2]] == _FIRST_START:
            del rows[:2]
        return [{"kind": row[0], "principal": row[1], **json.loads(row[2])} for row in rows[since:]]

    async def kinds(self, since: int = 0) -> list[str]:
        return [event["kind"] for event in await self.events(since)]

    async def make_project(self, name: str, *, is_public: bool) -> None:
        await projects.create(self.database, SYSTEM, name, is_public=is_public)

    async def user(self, name: str = "admin") -> User:
        found = await self.users.find_by_name(name)
        assert found is not None
        return found

    async def add_user(self, name: str, password_hash: str = "x") -> User:
        """An account without rights; without the verb, which hashes its password for a while."""
        await self.database.write(lambda tx: users.add(tx, name, password_hash, 0, is_admin=False))
        return await self.user(name)


def caller(principal: Principal, **more: Any) -> Caller:
    return Caller(principal=principal, client_address="192.0.2.1", user_agent="test", request_id="r-1", **more)


async def body(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def descriptor(content: bytes, media_type: str = LAYER_TYPE, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digests.of(content), "size": len(content), **more}


def image(config: bytes | dict[str, Any], layers: Sequence[bytes | dict[str, Any]], **more: Any) -> bytes:
    """An image manifest; config and layers are their bytes or their descriptors."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, CONFIG_TYPE) if isinstance(config, bytes) else config,
        "layers": [descriptor(layer) if isinstance(layer, bytes) else layer for layer in layers],
        **more,
    }
    return json.dumps(document).encode()


def index(children: list[dict[str, Any]], **more: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children, **more}).encode()


def child(payload: bytes, media_type: str = OCI_MANIFEST) -> dict[str, Any]:
    return descriptor(payload, media_type)


def name_of(text: str) -> RepositoryName:
    return parse_name(text)


Work = Callable[[Rig], Awaitable[T]]


class Bench:
    """Where rigs stand: one folder, prepared as the supervisor does before the first worker starts."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self._settings = settings

    def config(self, **more: str) -> Config:
        variables = {"ENTREPOT_ADMIN_PASSWORD": PASSWORD, **self._settings, **more}
        return load(None, variables, {"data": self.folder})

    def prepare(self) -> None:
        asyncio.run(prepare(self.config()))

    def copy_to(self, folder: Path) -> Bench:
        shutil.copytree(self.folder, folder)
        return Bench(folder, self._settings)

    async def using(self, work: Work[T], **more: str) -> T:
        """Open a rig, hand it to ``work``, close it."""
        rig = Rig(self.config(**more))
        rig.database.open()
        try:
            return await work(rig)
        finally:
            await rig.database.close()

    def __call__(self, work: Work[T], **more: str) -> T:
        """Run ``work`` on an event loop of its own; ``more`` are settings as variables."""
        return asyncio.run(self.using(work, **more))

    def both(self, work: Callable[[Rig, Rig], Awaitable[T]], **more: str) -> T:
        """Run ``work`` with two rigs on one folder, as two worker processes are."""

        async def outer(one: Rig) -> T:
            async def inner(two: Rig) -> T:
                return await work(one, two)

            return await self.using(inner, **more)

        return self(outer, **more)

    @property
    def database_file(self) -> Path:
        return self.folder / "entrepot.db"


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
