"""The quota ledger's figures worked out anew from the tables that it does not own."""

from __future__ import annotations

from sqlalchemy import text, update

from entrepot.database import query
from entrepot.database.query import Query
from entrepot.projects import ledger
from entrepot.projects.model import Usage
from entrepot.projects.store import find
from entrepot.projects.tables import projects
from tests.integration.rig import Rig

_NAMED = """
    SELECT m.digest AS digest, m.size AS size
      FROM manifests m JOIN repositories r ON r.id = m.repository_id WHERE r.project_id = :project
    UNION
    SELECT n.digest, b.size
      FROM (SELECT manifest_id, digest FROM manifest_blobs UNION SELECT manifest_id, digest FROM manifest_children) n
      JOIN manifests m ON m.id = n.manifest_id JOIN repositories r ON r.id = m.repository_id
      JOIN blobs b ON b.digest = n.digest
     WHERE r.project_id = :project AND EXISTS (
           SELECT 1 FROM repository_blobs h JOIN repositories o ON o.id = h.repository_id
            WHERE h.digest = n.digest AND o.project_id = :project)
"""


def _query(statement: str) -> Query:
    return query(text(statement))


_USED = _query(f"SELECT coalesce(sum(size), 0), count(*) FROM ({_NAMED})")
_KEPT = _query("SELECT coalesce(sum(size), 0), coalesce(min(uses), 1) FROM project_content WHERE project_id = :project")
_RESERVED = _query("SELECT coalesce(sum(size), 0) FROM reservations WHERE project_id = :project")
_TWICE = _query(
    "SELECT count(*) FROM reservations r JOIN project_content c ON c.project_id = r.project_id AND c.digest = r.digest"
    " WHERE r.project_id = :project"
)
_DOUBLE = _query(
    "SELECT count(*) FROM (SELECT digest FROM reservations WHERE project_id = :project AND digest IS NOT NULL"
    " GROUP BY digest HAVING count(*) > 1)"
)
_SET_LIMIT = query(update(projects).where(projects.c.name == text(":project")).values(quota=text(":bytes")))


async def project_id(rig: Rig, name: str) -> int:
    found = await find(rig.database, name)
    assert found is not None
    return found.id


async def limit(rig: Rig, name: str, size: int) -> None:
    """Let a project (made if there is none) hold ``size`` bytes."""
    if await find(rig.database, name) is None:
        await rig.make_project(name, is_public=False)
    await rig.database.write(lambda tx: tx.run(_SET_LIMIT, project=name, bytes=size))


async def usage(rig: Rig, name: str = "team", *, is_whole: bool = True) -> Usage:
    """What the ledger says, once that has been found to be true.

    Unless ``is_whole``, manifests may name what was there once (sparse registries): that goes on counting.
    """
    project = await project_id(rig, name)
    said = await ledger.usage(rig.database, project)
    (used, _), (kept, uses) = await _row(rig, _USED, project), await _row(rig, _KEPT, project)
    (reserved,) = await _row(rig, _RESERVED, project)
    assert (said.used, said.reserved) == (kept, reserved), "the ledger's sums are those of its rows"
    assert kept == used if is_whole else kept >= used, "what the tables hold"
    assert uses > 0
    assert await _row(rig, _TWICE, project) == (0,), "what counts as used is not reserved as well"
    assert await _row(rig, _DOUBLE, project) == (0,), "a blob is reserved once"
    assert said.limit < 0 or said.total <= said.limit
    return said


async def _row(rig: Rig, statement: Query, project: int) -> tuple[int, ...]:
    row = await rig.database.one(statement, project=project)
    assert row is not None
    return row
