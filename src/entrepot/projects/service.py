"""Creating projects and choosing who may see them."""

from __future__ import annotations

from entrepot.database import Database, Transaction
from entrepot.errors import Conflict, InvalidInput, NotFound
from entrepot.journal import store as journal
from entrepot.journal.model import SYSTEM, Origin
from entrepot.kit import clock
from entrepot.oci.name import DEFAULT_PROJECT, is_project_name
from entrepot.projects import store
from entrepot.projects.model import Project, ProjectCreated, ProjectUpdated


async def ensure(tx: Transaction, origin: Origin, name: str) -> Project:
    """The project called ``name``, created private if there is none, as part of ``tx``."""
    found = await store.find(tx, name)
    if found is None:
        if await store.add(tx, name, clock.now_us(), is_public=False):
            await journal.append(tx, origin, ProjectCreated(project=name, is_public=False))
        found = await store.find(tx, name)
    assert found is not None  # noqa: S101 - inserted above in the same transaction
    return found


async def ensure_library(database: Database) -> None:
    """Make the project of names without one, private as every other, unless it is there."""
    if await store.find(database, DEFAULT_PROJECT) is None:
        await database.write(lambda tx: ensure(tx, SYSTEM, DEFAULT_PROJECT))


async def create(database: Database, origin: Origin, name: str, *, is_public: bool) -> None:
    """Create a project.

    Raises:
        InvalidInput: the name is not valid.
        Conflict: there is one of that name.
    """
    if not is_project_name(name):
        raise InvalidInput(
            f"{name!r} cannot name a project: use lower-case letters and digits with single . _ or dashes between.",
            code="NAME_INVALID",
        )

    async def work(tx: Transaction) -> bool:
        added = await store.add(tx, name, clock.now_us(), is_public=is_public)
        if added:
            await journal.append(tx, origin, ProjectCreated(project=name, is_public=is_public))
        return added

    if not await database.write(work):
        raise Conflict(f"There is a project {name} already.")


async def set_public(database: Database, origin: Origin, name: str, *, is_public: bool) -> None:
    """Let everybody pull from a project, or only who has rights on it.

    Raises:
        NotFound: there is no such project.
    """

    async def work(tx: Transaction) -> bool:
        changed = await store.set_public(tx, name, is_public=is_public)
        if changed:
            await journal.append(tx, origin, ProjectUpdated(project=name, changes={"public": str(is_public).lower()}))
        return changed

    if not await database.write(work):
        raise NotFound(f"There is no project {name}.")
