"""From an empty file to the schema that the stores describe."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from entrepot import app
from entrepot.database import metadata, migrate
from entrepot.errors import ConfigError

assert app, "importing the application brings every slice's tables"


def normal(text: str | None) -> str:
    return " ".join((text or "").replace('"', "").replace("( ", "(").replace(" )", ")").split())


def table_parts(sql: str) -> tuple[str, ...]:
    """The columns and constraints of a CREATE TABLE, in no order."""
    inside = sql[sql.index("(") + 1 : sql.rindex(")")]
    parts, depth, begin = [], 0, 0
    for position, character in enumerate(inside):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(inside[begin:position].strip())
            begin = position + 1
    return tuple(sorted([*parts, inside[begin:].strip()]))


def schema(path: Path) -> dict[str, Any]:
    connection = sqlite3.connect(path)
    found: dict[str, Any] = {}
    for kind, name, table, sql in connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"):
        if table == "alembic_version":
            continue
        if kind == "table":
            found[f"table {name}"] = {
                "parts": table_parts(normal(sql)) if not name.startswith("sqlite_") else (),
                "columns": connection.execute(f"PRAGMA table_xinfo({name})").fetchall(),
                "foreign keys": sorted(row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({name})")),
            }
        else:
            columns = connection.execute(f"PRAGMA index_xinfo({name})").fetchall()
            found[f"{kind} {name}"] = (table, normal(sql), columns)
    connection.close()
    return found


def test_migrating_an_empty_file_gives_the_schema_of_the_metadata(tmp_path: Path) -> None:
    migrate.upgrade(tmp_path / "migrated.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    metadata.create_all(engine)
    engine.dispose()
    migrated, created = schema(tmp_path / "migrated.db"), schema(tmp_path / "created.db")
    assert len(created) > 20
    assert sorted(migrated) == sorted(created)
    for name, described in created.items():
        assert migrated[name] == described


def test_a_migrated_file_is_at_head_and_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "entrepot.db"
    assert migrate.current(path) is None
    migrate.upgrade(path)
    assert migrate.current(path) == migrate.HEAD
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "entrepot.db"
    migrate.upgrade(path)
    before = schema(path)
    migrate.upgrade(path)
    assert schema(path) == before


def test_two_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    path = tmp_path / "entrepot.db"
    failures: list[BaseException] = []

    def start() -> None:
        try:
            migrate.upgrade(path)
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert migrate.current(path) == migrate.HEAD


def test_a_path_with_percent_signs_and_spaces_can_be_migrated(tmp_path: Path) -> None:
    folder = tmp_path / "100% of it"
    folder.mkdir()
    migrate.upgrade(folder / "entrepot.db")
    assert migrate.current(folder / "entrepot.db") == migrate.HEAD


def test_the_file_of_a_newer_version_is_refused_telling_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "entrepot.db"
    migrate.upgrade(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(ConfigError, match="install that version or newer"):
        migrate.upgrade(path)


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "entrepot.db"
    path.write_bytes(b"this is no database at all, however long one looks at it" * 100)
    with pytest.raises(ConfigError, match=r"entrepot\.db"):
        migrate.upgrade(path)


def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        migrate.upgrade(tmp_path / "nowhere" / "entrepot.db")


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "entrepot.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE tags (name TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(Exception, match="tags"):
        migrate.upgrade(path)
    left = sqlite3.connect(path)
    tables = {row[0] for row in left.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    left.close()
    assert tables <= {"tags", "alembic_version"}
    assert migrate.current(path) is None
