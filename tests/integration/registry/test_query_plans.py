"""What a list costs must be what its page costs: the plans of all statements, on tables that are not empty."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sqlite3
from collections.abc import Iterator

import pytest

import entrepot
from entrepot.database import Query
from entrepot.database.connection import connect
from tests.integration.rig import Bench, Rig, child, index

_ROLES = "roles are a dozen"
_SURVEY = "an answer about the whole registry or a whole project; asked by few, read in the surveyor's thread"

_PROVIDERS = "identity providers are a handful"
_ROTATION = "the operator's command that seals every secret anew"
_ASSESSMENT = "the self-assessment looks at everything, once a minute at most, in the surveyor's thread"

READS_MANY = {
    "access.store.members._GROUP_BY_DN": "groups are few, and one is found by its DN when a member is added",
    "access.store.reach._ALL_PROJECTS": "the catalog of an administrator's limited token goes through all projects",
    "access.store.reach._PUBLIC_PROJECTS": "who has no rights sees the public projects: all of them are looked at",
    "access.store.reach._PROJECTS_OF_USER": "as above, and the user's own",
    "access.store.roles._COUNT_ROLES": _ROLES,
    "access.store.roles._ROLES": _ROLES,
    "access.store.roles._ROLE_BY_NAME": _ROLES,
    "auth.store.failures._COUNT": "bounded by _TRIM",
    "auth.store.pending_logins._COUNT": "bounded by _TRIM",
    "auth.store.identity_providers._LIST": _PROVIDERS,
    "auth.store.links._BY_EMAIL": "by the index of addresses, but for a table of few; at a person's first login only",
    "auth.store.links._CREDENTIALS": _ROTATION,
    "auth.store.sealed._CREDENTIALS": _ROTATION,
    "auth.store.sealed._ID_TOKENS": _ROTATION,
    "auth.store.sealed._PENDING": _ROTATION,
    "auth.store.failures._TRIM": "reads in the index's order, with a limit",
    "auth.store.pending_logins._TRIM": "reads in the index's order, with a limit",
    "auth.store.users._OTHER_ADMIN": "only when an administrator is to be one no longer",
    "projects.store._LIST": "the command line lists all projects",
    "registry.listing.contents._RECLAIMABLE": _SURVEY,
    "registry.listing.search._STORAGE": _SURVEY,
    "registry.store.uploads._COUNT_UPLOADS": "sessions end or expire; for the metrics only",
    "settings.store._LIST": "settings are a few dozen",
    "system.assessment.accounts._ADMINISTRATORS": _ASSESSMENT,
    "system.assessment.accounts._PASSWORDS": _ASSESSMENT,
    "system.assessment.accounts._TOKENS": _ASSESSMENT,
    "system.assessment.checks._PROVIDERS": _PROVIDERS,
    "system.assessment.files._SEALED": _ASSESSMENT,
    "system.assessment.files._SEALED_OF_PEOPLE": _ASSESSMENT,
    "system.assessment.openness._PUBLIC": _ASSESSMENT,
    "system.assessment.robots._FOREVER": _ASSESSMENT,
    "system.assessment.robots._UNUSED": _ASSESSMENT,
    "system.assessment.room._WITHOUT_QUOTA": _ASSESSMENT,
}
"""Statements that may read a whole table, and why."""

SORTS = {
    "access.store.members._COUNT_NAMED": "the members of one project",
    "access.store.members._LIST": "the members of one project",
    "access.store.members._LIST_NAMED": "the members of one project",
    "access.store.reach._MEMBER_COUNTS": "the members of the projects on one page",
    "auth.store.identities._GROUPS_OF": "the groups of one person",
    "auth.store.sessions._TRIM": "the sessions of one user, which it bounds",
    "auth.store.trusts._LIST_OF_ROBOT": "the trusts of one robot account",
    "projects.ledger._OLDEST_COMPLETE": "only when a project is full: its blobs that no manifest names yet",
    "projects.store._LIST_FORMER": "the former names of one project",
    "registry.listing.contents._RECLAIMABLE": _SURVEY,
    "registry.store.content._COUNT_NAMED": "what one manifest names, each once",
    "registry.store.content._UNCOUNT_REPOSITORY": "what one repository names is counted by digest; then it is gone",
    "registry.store.tags._TAGS_OF": "the tags of one manifest",
    "system.assessment.accounts._ADMINISTRATORS": _ASSESSMENT,
    "system.assessment.accounts._PASSWORDS": _ASSESSMENT,
    "system.assessment.accounts._TOKENS": _ASSESSMENT,
    "system.assessment.files._SEALED": _ASSESSMENT,
    "system.assessment.files._SEALED_OF_PEOPLE": _ASSESSMENT,
    "system.assessment.openness._PUBLIC": _ASSESSMENT,
    "system.assessment.robots._FOREVER": _ASSESSMENT,
    "system.assessment.robots._UNUSED": _ASSESSMENT,
    "system.assessment.room._WITHOUT_QUOTA": _ASSESSMENT,
}
"""Statements that may sort, and why."""

SMALL_BY_NATURE = {"uploads"}
"""Sessions end or expire: reading all of them costs little."""


def statements() -> dict[str, Query]:
    """Every statement that a module of the program names, so that a new one is judged without being listed here."""
    found: dict[str, Query] = {}
    for module in pkgutil.walk_packages(entrepot.__path__, "entrepot."):
        if "__main__" in module.name or "migrations" in module.name:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Query):
                found[f"{module.name.removeprefix('entrepot.')}.{name}"] = value
    return found


ALL = statements()

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
_MORE_ROWS = f"""
    {_NUMBERS} INSERT OR IGNORE INTO
        users (id, name, password_hash, is_admin, is_disabled, credential_version, created_at)
        SELECT i, 'user-' || i, '', 0, 0, 1, i FROM n;
    {_NUMBERS} INSERT OR IGNORE INTO user_groups (id, name, kind, ldap_dn, created_at)
        SELECT i, 'group-' || i, 3, '', i FROM n;
    {_NUMBERS} INSERT OR IGNORE INTO projects (id, name, is_public, created_at)
        SELECT i, 'project-' || i, i % 9 = 0, i FROM n;
    {_NUMBERS} INSERT OR IGNORE INTO repositories (id, project_id, path, created_at)
        SELECT i, 100 + i % 700, 'r' || i, i FROM n;
    {_NUMBERS} INSERT OR IGNORE INTO blobs (digest, size, location, created_at) SELECT randomblob(33), i, '', i FROM n;
    {_NUMBERS} INSERT OR IGNORE INTO group_users (group_id, user_id) SELECT i, 1000 - i % 50 FROM n;
    {_NUMBERS} INSERT OR IGNORE INTO grants (project_id, user_id, role_id, repositories, tags, created_at)
        SELECT 100 + i % 700, i, 1 + i % 4, '[]', '[]', i FROM n;
    {_NUMBERS} INSERT OR IGNORE INTO grants (project_id, group_id, role_id, repositories, tags, created_at)
        SELECT 100 + i % 600, i, 1 + i % 4, '[]', '[]', i FROM n;
    {_NUMBERS} INSERT OR IGNORE INTO sessions (id, user_id, credential_version, created_at, used_at)
        SELECT randomblob(32), 100 + i % 500, 1, i, i FROM n;
    {_NUMBERS} INSERT OR IGNORE INTO reservations (id, project_id, digest, size, expires_at)
        SELECT 'r' || i, 100 + i % 700, randomblob(33), 1, i FROM n;
    INSERT OR IGNORE INTO project_content (project_id, digest, size, uses) SELECT 100, digest, size, 1 FROM blobs;
    {_NUMBERS} INSERT OR IGNORE INTO manifests (id, repository_id, digest, media_type, size, created_at)
        SELECT i, 100 + i % 90, randomblob(33), 'm', 1, i FROM n;
    {_NUMBERS} INSERT OR IGNORE INTO manifest_blobs (manifest_id, digest, repository_id)
        SELECT i, randomblob(33), 100 + i % 90 FROM n;
    INSERT OR IGNORE INTO repository_blobs (repository_id, digest, created_at)
        SELECT 100 + rowid % 90, digest, 1 FROM blobs;
"""


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
    # Tables so small that reading them whole is the best plan would prove nothing.
    opened.executescript(_MORE_ROWS)
    yield opened
    opened.close()


def plan_of(connection: sqlite3.Connection, statement: Query) -> list[str]:
    """The steps of a statement; they do not depend on the values that it is given."""
    text, constants = statement.bind("sqlite", {})
    values = dict.fromkeys(re.findall(r"(?<!:):([a-z_0-9]+)", text)) | constants
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]


def reads_all(connection: sqlite3.Connection, plan: list[str]) -> bool:
    """Whether some step goes through a whole table; what a statement has gathered itself is none."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    scanned = {step.split()[1] for step in plan if step.startswith("SCAN ")}
    return bool(tables & scanned) or any("AUTOMATIC" in step for step in plan)


def sorts(plan: list[str]) -> bool:
    return any("TEMP B-TREE" in step for step in plan)


@pytest.mark.parametrize("analyzed", [False, True], ids=["as it comes", "after ANALYZE"])
@pytest.mark.parametrize("name", ALL)
def test_a_statement_reads_no_whole_table_and_sorts_nothing(
    connection: sqlite3.Connection, name: str, analyzed: bool
) -> None:
    if analyzed:
        connection.execute("ANALYZE")
    plan = plan_of(connection, ALL[name])
    assert not reads_all(connection, plan) or name in READS_MANY, plan
    assert not sorts(plan) or name in SORTS, plan


@pytest.mark.parametrize("name", ["_SIZES_BEFORE", "_UNCOUNT_NAMED", "_TAKE_RESERVED", "_COUNT_LATE"])
def test_what_a_manifest_costs_the_ledger_is_what_it_names(connection: sqlite3.Connection, name: str) -> None:
    """Not what its project holds: each name is a seek."""
    plan = plan_of(connection, ALL[f"registry.store.content.{name}"])
    first = next(step for step in plan if "project_content" in step or "reservations" in step)
    assert "(project_id=? AND digest=?)" in first, plan


def test_the_statements_are_found() -> None:
    assert len(ALL) > 120
    for part in ("registry.store", "projects.ledger", "projects.store", "access.store", "auth.store"):
        assert any(name.startswith(part) for name in ALL), part


def test_an_exemption_is_of_a_statement_that_is_there() -> None:
    assert READS_MANY.keys() | SORTS.keys() <= ALL.keys()


@pytest.mark.parametrize(
    "table", ["manifests", "blobs", "repositories", "projects", "users", "user_groups", "robots", "roles", "labels"]
)
def test_deleting_a_row_that_others_refer_to_finds_them_by_an_index(connection: sqlite3.Connection, table: str) -> None:
    """A foreign key without an index makes every delete of its parent read the whole child table."""
    children = [
        (row[0], key)
        for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for key in connection.execute(f"PRAGMA foreign_key_list({row[0]})").fetchall()
        if key[2] == table and row[0] not in SMALL_BY_NATURE
    ]
    for child_table, key in children:
        plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT 1 FROM {child_table} WHERE {key[3]} = 1").fetchall()
        assert all("SEARCH" in step[3] for step in plan), (child_table, key[3], plan)
