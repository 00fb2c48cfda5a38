"""Labels: coloured words for artifacts, global or of one project."""

from __future__ import annotations

import re

import msgspec

from entrepot.database import Database, Transaction
from entrepot.errors import Conflict, InvalidInput, NotFound
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.kit.listing import Listing
from entrepot.projects import label_store as store
from entrepot.projects.model import Label, LabelCreated, LabelDeleted, LabelUpdated
from entrepot.projects.store import find_by_id

LONGEST_NAME = 128

_COLOR = re.compile(r"(?:#(?:[0-9A-Fa-f]{3}){1,2})?")
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Labels:
    """The labels of one database. Rights are judged before: a label's scope tells where they must be held."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, label_id: int) -> Label:
        """The label with this id.

        Raises:
            NotFound: there is none.
        """
        return _there(await store.find(self._database, label_id), label_id)

    async def list(self, project_id: int | None, listing: Listing) -> tuple[list[Label], int]:
        """A page of a project's labels or, without one, of the global ones, by name; and how many there are."""
        return await store.list_page(self._database, project_id, listing)

    async def create(
        self, origin: Origin, name: str, description: str = "", color: str = "", *, project_id: int | None = None
    ) -> int:
        """Make a label of a project, or a global one; its id.

        Raises:
            InvalidInput: the name, the description or the colour is no good.
            NotFound: there is no such project.
            Conflict: the name is taken in its scope.
        """
        _check(name, description, color)

        async def work(tx: Transaction) -> int:
            if project_id is not None and await find_by_id(tx, project_id) is None:
                raise NotFound(f"There is no project {project_id}.")
            label_id = await store.add(tx, name, description, color, project_id=project_id, now=clock.now_us())
            if label_id is None:
                raise _taken(name)
            await journal.append(tx, origin, LabelCreated(project_id=project_id, label=name))
            return label_id

        return await self._database.write(work)

    async def update(self, origin: Origin, label_id: int, name: str, description: str, color: str) -> None:
        """Replace what a label shows; its scope stays.

        Raises:
            InvalidInput: the name, the description or the colour is no good.
            NotFound: there is no such label.
            Conflict: the name is taken in its scope.
        """
        _check(name, description, color)

        async def work(tx: Transaction) -> None:
            before = _there(await store.find(tx, label_id), label_id)
            after = msgspec.structs.replace(before, name=name, description=description, color=color)
            if after == before:
                return
            if await store.find_named(tx, name, before.project_id) not in {None, label_id}:
                raise _taken(name)
            await store.save(tx, msgspec.structs.replace(after, updated_at=clock.now_us()))
            await journal.append(tx, origin, LabelUpdated(project_id=before.project_id, label=name))

        await self._database.write(work)

    async def delete(self, origin: Origin, label_id: int) -> None:
        """Delete a label, also from the artifacts that have it.

        Raises:
            NotFound: there is no such label.
        """

        async def work(tx: Transaction) -> None:
            label = _there(await store.find(tx, label_id), label_id)
            await store.remove(tx, label_id)
            await journal.append(tx, origin, LabelDeleted(project_id=label.project_id, label=label.name))

        await self._database.write(work)


def _check(name: str, description: str, color: str) -> None:
    if not name.strip() or len(name) > LONGEST_NAME or _CONTROL.search(name):
        raise InvalidInput(
            f"A label's name has 1 to {LONGEST_NAME} characters, none of them a control character.", code="BAD_REQUEST"
        )
    if _UNSTORABLE.search(description):
        raise InvalidInput("A description cannot hold NUL or halves of surrogate pairs.", code="BAD_REQUEST")
    if not _COLOR.fullmatch(color):
        raise InvalidInput("Write the colour of a label as #RRGGBB or #RGB, or leave it empty.", code="BAD_REQUEST")


def _there(label: Label | None, label_id: int) -> Label:
    if label is None:
        raise NotFound(f"There is no label {label_id}.")
    return label


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a label {name} already: choose another name.")
