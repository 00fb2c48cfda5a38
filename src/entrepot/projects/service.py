"""The verbs on projects: create, change, rename, delete, and the lists of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction
from entrepot.errors import Conflict, InvalidInput, NotFound, Precondition
from entrepot.journal import store as journal
from entrepot.journal.model import SYSTEM, Origin
from entrepot.kit import clock
from entrepot.kit.listing import Listing
from entrepot.oci.name import DEFAULT_PROJECT, is_project_name
from entrepot.projects import ledger, metadata, store
from entrepot.projects.model import (
    Project,
    ProjectCreated,
    ProjectDeleted,
    ProjectDetails,
    ProjectRenamed,
    ProjectUpdated,
)
from entrepot.settings.service import Settings

_DAY = 86_400_000_000
LARGEST_QUOTA = 1024 * 1024**4
"""Bytes: 1024 TiB, as in Harbor."""
MOST_FORMER_NAMES = 20
"""Names that lead to one project beside its own: who renames again and again must not keep every name for itself."""


class Contents(Protocol):
    """What projects ask of the registry."""

    async def repository_counts(self, ids: Sequence[int]) -> dict[int, int]:
        """How many repositories hold something, by the project's id."""

    async def is_empty(self, tx: Transaction, project_id: int) -> bool:
        """Whether a project has no repository that holds anything."""


class Admins(Protocol):
    """Who administers a project; rights stand on the floor above."""

    async def add_admin(self, tx: Transaction, project_id: int, user_id: int) -> None:
        """Make a user an administrator of a new project."""


async def ensure(tx: Transaction, origin: Origin, name: str, *, quota: int = -1) -> Project:
    """The project called ``name``, created private if there is none, as part of ``tx``.

    ``quota`` is for a new one (``default_quota`` gives it, before the transaction); bytes, -1 for no limit.
    """
    found = await store.find(tx, name)
    if found is None:
        await store.add(tx, name, clock.now_us(), is_public=False, quota=quota)
        found = await store.find(tx, name)
        assert found is not None  # noqa: S101 - inserted above in the same transaction
        await ledger.open_account(tx, found.id)
        await journal.append(tx, origin, ProjectCreated(project=name, is_public=False, project_id=found.id))
    return found


async def ensure_library(database: Database, settings: Settings) -> None:
    """Make the project of names without one, private as every other and with their quota, unless it is there."""
    if await store.find(database, DEFAULT_PROJECT) is None:
        quota = await default_quota(settings)
        await database.write(lambda tx: ensure(tx, SYSTEM, DEFAULT_PROJECT, quota=quota))


async def create(database: Database, origin: Origin, name: str, *, is_public: bool) -> None:
    """Create a project without an owner, as the command line does.

    Raises:
        InvalidInput: the name is not valid.
        Conflict: there is one of that name.
    """
    _check_name(name)
    await database.write(lambda tx: _create(tx, origin, name, is_public=is_public))


async def set_public(database: Database, origin: Origin, name: str, *, is_public: bool) -> None:
    """Let everybody pull from a project, or only who has rights on it.

    Raises:
        NotFound: there is no such project.
    """

    async def work(tx: Transaction) -> None:
        project = await store.find(tx, name)
        if project is None:
            raise NotFound(f"There is no project {name}.")
        await _change(tx, origin, project.id, is_public=is_public)

    await database.write(work)


async def default_quota(settings: Settings) -> int:
    """What a new project may hold unless somebody says otherwise; bytes, -1 for no limit."""
    if not await settings.boolean("quota_per_project_enable"):
        return -1
    return await settings.number("storage_per_project")


class Projects:
    """The verbs of the REST API; whoever calls has been let in."""

    def __init__(self, database: Database, settings: Settings, contents: Contents, admins: Admins) -> None:
        self._database = database
        self._settings = settings
        self._contents = contents
        self._admins = admins

    async def find(self, reference: str, *, by_name: bool) -> ProjectDetails:
        """The project that a path names.

        Raises:
            NotFound: there is none.
        """
        project = await store.find_by_reference(self._database, reference, by_name=by_name)
        details = await store.find_details(self._database, project.id) if project else None
        if details is None:
            raise NotFound(f"There is no project {reference[:255]}.")
        return details

    async def list_page(
        self, listing: Listing, visible: Sequence[int] | None, hidden: Sequence[int] = ()
    ) -> tuple[list[ProjectDetails], int]:
        """A page of the projects that are public or ``visible`` (``None``: of all) and not ``hidden``; how many."""
        return await store.list_page(self._database, listing, visible, hidden)

    async def repository_counts(self, ids: Sequence[int]) -> dict[int, int]:
        """How many repositories hold something, by the project's id."""
        return await self._contents.repository_counts(ids)

    async def create(self, caller: Caller, name: str, values: Mapping[str, str], quota: int | None) -> int:
        """Create a project that the caller owns and administers; its id.

        Args:
            caller: who asks; a robot account gets no rights on it.
            name: its name.
            values: Harbor's metadata.
            quota: bytes, -1 for no limit; ``None``: what the settings say.

        Raises:
            InvalidInput: the name, a value or the quota is not valid.
            Conflict: there is, or a while ago was, a project of that name.
        """
        _check_name(name)
        known = metadata.check(values)
        is_public = known.pop(metadata.PUBLIC, "false") == "true"
        limit = check_quota(quota) if quota is not None else await default_quota(self._settings)
        principal = caller.principal
        is_user = principal.id is not None and not principal.is_robot
        owner = (principal.id if is_user else None, principal.name)

        async def work(tx: Transaction) -> int:
            project = await _create(
                tx,
                caller.origin,
                name,
                is_public=is_public,
                owner=owner,
                values=known,
                quota=limit,
            )
            if is_user and principal.id is not None:
                await self._admins.add_admin(tx, project.id, principal.id)
            return project.id

        return await self._database.write(work)

    async def update(self, caller: Caller, project_id: int, values: Mapping[str, str]) -> None:
        """Change metadata, visibility among it.

        Raises:
            InvalidInput: a value is not valid.
            NotFound: there is no such project.
        """
        known = metadata.check(values)
        public = known.pop(metadata.PUBLIC, None)

        async def work(tx: Transaction) -> None:
            is_public = None if public is None else public == "true"
            await _change(tx, caller.origin, project_id, is_public=is_public, values=known)

        await self._database.write(work)

    async def set_metadata(
        self, caller: Caller, project_id: int, key: str, value: str, *, is_new: bool = False
    ) -> None:
        """Give one key a value; ``is_new``: unless it has one.

        Raises:
            InvalidInput: Harbor has no such key, or it does not take this value.
            NotFound: there is no such project.
            Conflict: the key has a value already.
        """
        known = {key: metadata.check_one(key, value)}
        public = known.pop(metadata.PUBLIC, None)

        async def work(tx: Transaction) -> None:
            details = _there(await store.find_details(tx, project_id))
            if is_new and (public is not None or key in details.metadata):
                raise Conflict(f"The project has the metadata {key} already: change it instead.")
            is_public = None if public is None else public == "true"
            await _change(tx, caller.origin, project_id, is_public=is_public, values=known)

        await self._database.write(work)

    async def drop_metadata(self, caller: Caller, project_id: int, key: str) -> None:
        """Take a key away; without ``public`` a project is private.

        Raises:
            NotFound: it is not there.
        """

        async def work(tx: Transaction) -> None:
            details = _there(await store.find_details(tx, project_id))
            if key == metadata.PUBLIC:
                await _change(tx, caller.origin, project_id, is_public=False)
                return
            if key not in details.metadata:
                raise NotFound(f"The project has no metadata {key[:64]}.")
            kept = {name: value for name, value in details.metadata.items() if name != key}
            await store.save(tx, msgspec.structs.replace(details, metadata=kept))
            event = ProjectUpdated(project=details.name, project_id=project_id, changes={key: ""})
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)

    async def rename(self, caller: Caller, project_id: int, name: str) -> None:
        """Give a project another name; the present one leads to it for a while.

        Raises:
            InvalidInput: the name is not valid.
            Conflict: it is taken, or was another project's a while ago; or the project has had too many names.
            Precondition: names without a project lead to this one.
        """
        _check_name(name)
        days = await self._settings.number("entrepot_rename_alias_days")

        async def work(tx: Transaction) -> None:
            details = _there(await store.find_details(tx, project_id))
            if details.name == name:
                return
            if details.name == DEFAULT_PROJECT:
                raise Precondition(f"{DEFAULT_PROJECT} keeps its name: names without a project lead to it.")
            await _claim(tx, name, project_id)
            await store.save(tx, msgspec.structs.replace(details, name=name))
            if days:
                await self._require_few_names(tx, details)
                await store.add_former(tx, details.name, project_id, clock.now_us() + days * _DAY)
            event = ProjectRenamed(project=name, project_id=project_id, previous=details.name)
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)

    async def _require_few_names(self, tx: Transaction, details: ProjectDetails) -> None:
        if len(await store.list_former(tx, details.id)) >= MOST_FORMER_NAMES:
            raise Conflict(
                f"{MOST_FORMER_NAMES} former names lead to {details.name} already: drop some of them, or wait until "
                "they have ended."
            )

    async def former_names(self, project_id: int) -> list[tuple[str, int]]:
        """Former names, and until when they lead to the project (microseconds since the epoch)."""
        return await store.list_former(self._database, project_id)

    async def drop_former_name(self, caller: Caller, project_id: int, name: str) -> None:
        """Let a former name lead nowhere.

        Raises:
            NotFound: it did not lead to this project.
        """

        async def work(tx: Transaction) -> None:
            details = _there(await store.find_details(tx, project_id))
            if name not in {former for former, _ in await store.list_former(tx, project_id)}:
                raise NotFound(f"{name[:255]} is no former name of {details.name}.")
            await store.drop_former(tx, name)
            event = ProjectUpdated(project=details.name, project_id=project_id, changes={"former_name": f"-{name}"})
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)

    async def why_not_deletable(self, project_id: int) -> str:
        """What stands against deleting a project; empty if nothing does."""
        counts = await self._contents.repository_counts([project_id])
        return _HOLDS_SOMETHING if counts.get(project_id) else ""

    async def delete(self, caller: Caller, project_id: int) -> None:
        """Delete an empty project.

        Raises:
            NotFound: there is none.
            Precondition: it holds repositories.
        """

        async def work(tx: Transaction) -> None:
            details = _there(await store.find_details(tx, project_id))
            if not await self._contents.is_empty(tx, project_id):
                raise Precondition(_HOLDS_SOMETHING)
            await store.delete_project(tx, project_id)
            await journal.append(tx, caller.origin, ProjectDeleted(project=details.name, project_id=project_id))

        await self._database.write(work)


_HOLDS_SOMETHING = "The project contains repositories: delete them first."


def check_quota(size: int) -> int:
    """A quota in bytes.

    Raises:
        InvalidInput: it is neither -1 nor within what a project may have.
    """
    if size != -1 and not 0 < size <= LARGEST_QUOTA:
        raise InvalidInput(f"A quota is -1 for no limit, or 1 to {LARGEST_QUOTA} bytes.", code="BAD_REQUEST")
    return size


def _check_name(name: str) -> None:
    if not is_project_name(name):
        raise InvalidInput(
            f"{name[:255]!r} cannot name a project: use lower-case letters and digits with single . _ or dashes "
            "between.",
            code="NAME_INVALID",
        )


async def _claim(tx: Transaction, name: str, project_id: int | None) -> None:
    """Make sure that a name is free for a project, whose own former name it may be."""
    taken = await store.find(tx, name)
    if taken is not None and taken.name == name:
        raise Conflict(f"There is a project {name} already.")
    if taken is not None and taken.id != project_id:
        raise Conflict(
            f"{name} is a former name of the project {taken.name} and still leads there: wait until that has ended, "
            "or let an administrator of that project drop it."
        )
    await store.drop_former(tx, name)


async def _create(
    tx: Transaction,
    origin: Origin,
    name: str,
    *,
    is_public: bool,
    owner: tuple[int | None, str] = (None, ""),
    values: dict[str, str] | None = None,
    quota: int = -1,
) -> Project:
    await _claim(tx, name, None)
    await store.add(tx, name, clock.now_us(), is_public=is_public, owner=owner, metadata=values, quota=quota)
    project = await store.find(tx, name)
    assert project is not None  # noqa: S101 - inserted above in the same transaction
    await ledger.open_account(tx, project.id)
    await journal.append(tx, origin, ProjectCreated(project=name, is_public=is_public, project_id=project.id))
    return project


async def _change(
    tx: Transaction,
    origin: Origin,
    project_id: int,
    *,
    is_public: bool | None = None,
    values: Mapping[str, str] | None = None,
) -> None:
    details = _there(await store.find_details(tx, project_id))
    changes = {key: value for key, value in (values or {}).items() if details.metadata.get(key) != value}
    changed = msgspec.structs.replace(
        details,
        is_public=details.is_public if is_public is None else is_public,
        metadata=details.metadata | changes,
    )
    if changed.is_public != details.is_public:
        changes[metadata.PUBLIC] = "true" if changed.is_public else "false"
    if changes:
        await store.save(tx, changed)
        event = ProjectUpdated(project=details.name, project_id=project_id, changes=changes)
        await journal.append(tx, origin, event)


def _there(details: ProjectDetails | None) -> ProjectDetails:
    if details is None:
        raise NotFound("There is no such project.")
    return details
