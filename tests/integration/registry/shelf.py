"""A registry for tests of REST lists: a rig, the lists, and their routes behind a gate that lets everybody in."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
from sqlalchemy import insert

from entrepot.access.permissions import GUEST, PROJECT_ADMIN
from entrepot.access.tokens import load_key
from entrepot.app import database_path, key_path
from entrepot.auth.model import Caller, Principal, ScopeEntry
from entrepot.database import Query, query
from entrepot.database.migrate import upgrade
from entrepot.oci import digest as digests
from entrepot.projects.tables import labels, projects
from entrepot.registry.listing.additions import Additions
from entrepot.registry.listing.artifacts import Artifacts
from entrepot.registry.listing.attributes import AttributeReader
from entrepot.registry.listing.contents import ProjectContents
from entrepot.registry.listing.labels import ArtifactLabels
from entrepot.registry.listing.repositories import RepositoryLists
from entrepot.registry.listing.search import Search
from entrepot.registry.rest.additions import AdditionRoutes
from entrepot.registry.rest.artifacts import ArtifactRoutes
from entrepot.registry.rest.repositories import RepositoryRoutes
from entrepot.registry.rest.search import SearchRoutes
from entrepot.registry.rest.tags import TagRoutes
from entrepot.serve.prepare import make_data_folder
from entrepot.web.api import RestApi
from entrepot.web.exchange import Exchange, Message
from entrepot.web.rest import Route
from entrepot.web.rule import Rule
from tests.integration.rig import Bench, Rig, caller

T = TypeVar("T")

CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
NOW = 1_700_000_000_000_000


class Gate:
    """Lets everybody in as ``caller``, and remembers which rules it was asked to judge."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def admit(self, _exchange: Exchange, rule: Rule, path: Mapping[str, str]) -> Caller:
        self.asked.append((str(rule), dict(path)))
        return self.caller

    async def require_system(self, _caller: Any, _permission: Any) -> None:
        return

    async def require_in_project(self, _caller: Any, _permission: Any, _project_id: int) -> None:
        return


class Shelf:
    """A rig with everything that REST shows of its content."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.database = rig.database
        self.statements = 0
        self.attributes = AttributeReader(rig.database, rig.app.content)
        self.artifacts = Artifacts(rig.database, rig.guardian, rig.repositories, self.attributes)
        self.lists = RepositoryLists(rig.database, rig.guardian, rig.repositories)
        self.contents = ProjectContents(rig.database)
        self.search = Search(rig.database, rig.guardian, self.contents)
        self.labels = ArtifactLabels(rig.database, rig.repositories)
        self.additions = Additions(rig.database, rig.app.content, self.artifacts, self.attributes)
        self.gate = Gate(rig.admin)

    def routes(self) -> list[Route]:
        rig = self.rig
        return [
            *AdditionRoutes(self.additions).routes(),
            *TagRoutes(self.artifacts, rig.tags, self.labels).routes(),
            *ArtifactRoutes(rig.database, self.artifacts, rig.manifests).routes(),
            *RepositoryRoutes(self.lists, rig.repositories).routes(),
            *SearchRoutes(self.search).routes(),
        ]

    def client(self) -> httpx.AsyncClient:
        api = RestApi("/api/v2.0", "test", "0", self.routes, self.gate).build()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            exchange = Exchange(scope, receive, send, process="t", idle_timeout=5)

            async def watch(message: Message) -> None:
                await send(message)

            await api({**scope, "exchange": exchange}, receive, watch)

        return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test/api/v2.0")

    async def project(self, name: str, *, is_public: bool = False) -> int:
        """A project's id; made by hand, so that these tests need no other slice."""
        values = {
            "name": name,
            "is_public": int(is_public),
            "created_at": NOW,
            "updated_at": NOW,
            "owner_name": "admin",
        }
        statement = query(insert(projects).values({**values, "metadata": b"{}", "quota": -1}).returning(projects.c.id))
        row = await self.database.write(lambda tx: tx.one(statement))
        assert row is not None
        return int(row[0])

    async def label(self, name: str, project_id: int | None = None) -> int:
        values = {"name": name, "description": "", "color": "#ffffff", "created_at": NOW, "updated_at": NOW}
        if project_id is not None:
            values["project_id"] = project_id
        statement = query(insert(labels).values(values).returning(labels.c.id))
        row = await self.database.write(lambda tx: tx.one(statement))
        assert row is not None
        return int(row[0])

    async def image(
        self, name: str, tag: str, text: str = "", config: dict[str, Any] | None = None, **more: Any
    ) -> str:
        """The digest of an image with a true config."""
        facts = config if config is not None else {"architecture": "amd64", "os": "linux", "variant": text}
        return await self.artifact(name, tag, json.dumps(facts).encode(), f"layer {text}".encode(), **more)

    async def artifact(
        self,
        name: str,
        tag: str,
        config: bytes,
        layer: bytes,
        *,
        config_type: str = "application/vnd.oci.image.config.v1+json",
        layer_type: str = "application/vnd.oci.image.layer.v1.tar+gzip",
        **more: Any,
    ) -> str:
        await self.rig.push_blob(name, config)
        await self.rig.push_blob(name, layer)
        document = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": config_type, "digest": digests.of(config), "size": len(config)},
            "layers": [{"mediaType": layer_type, "digest": digests.of(layer), "size": len(layer)}],
            **more,
        }
        payload = json.dumps(document).encode()
        return await self.rig.push(name, tag or digests.of(payload), payload)

    def count_statements(self) -> None:
        """From now on ``statements`` counts what is read from the database."""
        database: Any = self.database

        def counted(run: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def counting(statement: Query, **values: Any) -> Any:
                self.statements += 1
                return await run(statement, **values)

            return counting

        for name in ("survey", "one", "all"):
            setattr(database, name, counted(getattr(database, name)))

    def watch_statements(self) -> list[tuple[str, dict[str, Any]]]:
        """A list into which every statement of a list goes from now on, with its values."""
        asked: list[tuple[str, dict[str, Any]]] = []
        database: Any = self.database
        survey = database.survey

        async def watching(statement: Query, **values: Any) -> Any:
            asked.append(statement.bind("sqlite", values))
            return await survey(statement, **values)

        database.survey = watching
        return asked

    def explain(self, text: str, values: dict[str, Any]) -> list[str]:
        """How SQLite answers a statement."""
        connection = sqlite3.connect(self.rig.config.data / "entrepot.db")
        try:
            return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]
        finally:
            connection.close()


def robot(project_id: int, *patterns: str, permissions: Any = GUEST.permissions) -> Caller:
    """Somebody who may see the repositories of a project that ``patterns`` let through."""
    entry = ScopeEntry("project", tuple(sorted(permissions)), project_id, tuple(patterns))
    return caller(Principal(7, "robot$ci", kind="robot", scope=(entry,)))


def owner(project_id: int) -> Caller:
    """Somebody who may do everything in a project."""
    return robot(project_id, permissions=PROJECT_ADMIN.permissions)


class Shelves:
    """Runs a coroutine function with a shelf, on a fresh registry in a folder."""

    def __init__(self, folder: Path) -> None:
        self._bench = Bench(folder / "data", {})
        config = self._bench.config()
        make_data_folder(config.data)
        upgrade(database_path(config))
        load_key(key_path(config))

    def __call__(self, work: Callable[[Shelf], Awaitable[T]]) -> T:
        async def inner(rig: Rig) -> T:
            return await work(Shelf(rig))

        return asyncio.run(self._bench.using(inner))
