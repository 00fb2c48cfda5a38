"""What a list costs must be what its page costs: the plans of the statements, on tables that are not empty."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from entrepot.auth import store as auth_store
from entrepot.database import Query
from entrepot.database.connection import connect
from entrepot.oci import digest as digests
from entrepot.projects import store as projects_store
from entrepot.registry import store
from tests.integration.rig import Bench, Rig, child, index

DIGEST = digests.pack(digests.of(b"layer"))
HERE = {"repository_id": 1}

PLANS: dict[str, tuple[Query, dict[str, Any]]] = {
    "find_place": (store._FIND_PLACE, {"project": "team", "path": "app"}),
    "find repository": (store._FIND_REPOSITORY, {"project_id": 1, "path": "app"}),
    "catalog": (store._CATALOG_ALL, {"key": "a/", "after": "", "count": 100}),
    "catalog of public projects": (store._CATALOG_PUBLIC, {"key": "a/", "after": "", "count": 100}),
    "repositories of a project": (store._REPOSITORIES_OF, {"project_id": 1, "path": "x", "count": 100}),
    "find_blob": (store._FIND_BLOB, {**HERE, "digest": DIGEST}),
    "find_holder": (store._HOLDER, {"digest": DIGEST}),
    "find_holder in public projects": (store._PUBLIC_HOLDER, {"digest": DIGEST}),
    "unlink_blob": (store._UNLINK_BLOB, {**HERE, "digest": DIGEST}),
    "find_naming": (store._NAMING_BLOB, {**HERE, "digest": DIGEST}),
    "find_parent": (store._PARENT, {**HERE, "digest": DIGEST}),
    "find_manifest by digest": (store._BY_DIGEST, {**HERE, "digest": DIGEST}),
    "find_manifest by tag": (store._BY_TAG, {**HERE, "tag": "v1"}),
    "find_manifest_id": (store._HAS_MANIFEST, {**HERE, "digest": DIGEST}),
    "has_blob": (store._HAS_BLOB, {**HERE, "digest": DIGEST}),
    "set_media_type": (store._SET_MEDIA_TYPE, {"manifest_id": 1, "new_media_type": "a/b", "new_referrer": None}),
    "delete_manifest": (store._DELETE_MANIFEST, {"manifest_id": 1}),
    "list_referrers": (store._REFERRERS, {**HERE, "subject": DIGEST, "last": 0, "count": 1000}),
    "find_tagged": (store._TAGGED, {**HERE, "tag": "v1"}),
    "list_tags": (store._LIST_TAGS, {**HERE, "last": "v1", "count": 100}),
    "tags_of": (store._TAGS_OF, {"manifest_id": 1}),
    "delete_tag": (store._DELETE_TAG, {**HERE, "tag": "v1"}),
    "find_upload": (store._FIND_UPLOAD, {"id": "x"}),
    "delete_upload": (store._DELETE_UPLOAD, {"id": "x"}),
    "list_uploads_before": (store._OLD_UPLOADS, {"before": 1, "count": 100}),
    "find_by_name": (auth_store._FIND_BY_NAME, {"name": "admin"}),
    "find_by_id": (auth_store._FIND_BY_ID, {"id": 1}),
    "find project": (projects_store._FIND, {"name": "team"}),
}

SORTED_BY_DESIGN = {"tags_of"}
"""A manifest's tags are few, and found through the index on the manifest."""

SMALL_BY_NATURE = {"uploads"}
"""Sessions end or expire: reading all of them costs little."""


@pytest.fixture(scope="module")
def connection(prepared: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    run = prepared.copy_to(tmp_path_factory.mktemp("plans") / "data")

    async def fill(rig: Rig) -> None:
        for number in range(12):
            name = f"team-{number % 4}/app-{number}"
            digest, payload = await rig.push_image(name, "v1", str(number))
            await rig.push(name, digest, payload, tags=[f"t{n}" for n in range(20)])
            await rig.push(name, "all", index([child(payload)]))
            for n in range(5):
                await rig.push(name, f"r{n}", index([], subject=child(payload), annotations={"n": str(n)}))

    run(fill)
    opened = connect(run.database_file)
    yield opened
    opened.close()


def plan_of(connection: sqlite3.Connection, statement: Query, values: dict[str, Any]) -> list[str]:
    text, bound = statement.bind("sqlite", values)
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", bound)]


@pytest.mark.parametrize("analyzed", [False, True], ids=["as it comes", "after ANALYZE"])
@pytest.mark.parametrize("name", PLANS)
def test_a_statement_reads_no_whole_table_and_sorts_nothing(
    connection: sqlite3.Connection, name: str, analyzed: bool
) -> None:
    if analyzed:
        connection.execute("ANALYZE")
    plan = plan_of(connection, *PLANS[name])
    assert plan
    for step in plan:
        assert not step.startswith("SCAN") or step == "SCAN CONSTANT ROW", plan
        assert "AUTOMATIC" not in step, plan
        if name not in SORTED_BY_DESIGN:
            assert "TEMP B-TREE" not in step, plan


def test_every_statement_that_finds_something_has_its_plan_here() -> None:
    known = {id(statement) for statement, _ in PLANS.values()}
    missing = [
        f"{module.__name__}.{name}"
        for module in (store, auth_store, projects_store)
        for name, value in vars(module).items()
        if isinstance(value, Query)
        and id(value) not in known
        and not value.bind("sqlite", {})[0].startswith("INSERT")
        and name not in {"_LIST", "_COUNT_UPLOADS", "_SET_PASSWORD", "_SET_PUBLIC"}
    ]
    assert missing == []


@pytest.mark.parametrize("table", ["manifests", "blobs", "repositories", "projects"])
def test_deleting_a_row_that_others_refer_to_finds_them_by_an_index(connection: sqlite3.Connection, table: str) -> None:
    """A foreign key without an index makes every delete of its parent read the whole child table."""
    children = [
        (row[0], key)
        for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for key in connection.execute(f"PRAGMA foreign_key_list({row[0]})")
        if key[2] == table and row[0] not in SMALL_BY_NATURE
    ]
    for child_table, key in children:
        plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT 1 FROM {child_table} WHERE {key[3]} = 1").fetchall()
        assert all("SEARCH" in step[3] for step in plan), (child_table, key[3], plan)
