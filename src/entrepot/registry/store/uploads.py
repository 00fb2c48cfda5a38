"""Statements on upload sessions."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, insert, literal_column, select

from entrepot.database import Database, Transaction, query
from entrepot.kit import clock
from entrepot.registry.model import UploadSession
from entrepot.registry.store.parts import Reader
from entrepot.registry.tables import (
    uploads,
)

_ADD_UPLOAD = query(insert(uploads).values({c.name: bindparam(c.name) for c in uploads.columns}))
_FIND_UPLOAD = query(
    select(uploads.c.id, uploads.c.repository_id, uploads.c.principal, uploads.c.algorithm).where(
        uploads.c.id == bindparam("id")
    )
)
_DELETE_UPLOAD = query(delete(uploads).where(uploads.c.id == bindparam("id")))
_OLD_UPLOADS = query(
    select(uploads.c.id)
    .where(uploads.c.started_at < bindparam("before"))
    .order_by(uploads.c.started_at)
    .limit(bindparam("count"))
)


async def add_upload(tx: Transaction, session: UploadSession) -> None:
    """Record a new upload session."""
    await tx.run(
        _ADD_UPLOAD,
        id=session.id,
        repository_id=session.repository_id,
        principal=session.principal,
        algorithm=session.algorithm,
        started_at=clock.now_us(),
    )


async def find_upload(reader: Reader, session_id: str) -> UploadSession | None:
    """An upload session by id."""
    row = await reader.one(_FIND_UPLOAD, id=session_id)
    return UploadSession(*row) if row else None


async def delete_upload(tx: Transaction, session_id: str) -> bool:
    """End an upload session; ``False`` if it has ended already."""
    return await tx.run(_DELETE_UPLOAD, id=session_id) > 0


async def list_uploads_before(database: Database, before: int, count: int) -> list[str]:
    """Sessions that began before a time (microseconds), oldest first."""
    return [row[0] for row in await database.all(_OLD_UPLOADS, before=before, count=count)]


_COUNT_UPLOADS = query(select(literal_column("count(*)")).select_from(uploads))


async def count_uploads(database: Database) -> int:
    """How many upload sessions are open."""
    row = await database.one(_COUNT_UPLOADS)
    return int(row[0]) if row else 0


_OF_REPOSITORY = query(select(uploads.c.id).where(uploads.c.repository_id == bindparam("repository_id")))


async def list_uploads_of(reader: Reader, repository_id: int) -> list[str]:
    """The sessions that are open in a repository."""
    return [row[0] for row in await reader.all(_OF_REPOSITORY, repository_id=repository_id)]
