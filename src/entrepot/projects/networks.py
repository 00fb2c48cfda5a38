"""From which networks a project may be used: reading and changing its address rules."""

from __future__ import annotations

from collections.abc import Sequence

from entrepot.auth.model import Caller
from entrepot.database import Database, Transaction
from entrepot.errors import InvalidInput, NotFound
from entrepot.journal import store as journal
from entrepot.kit.networks import EVERYWHERE, AddressRules, parse_rules
from entrepot.projects import store
from entrepot.projects.model import Project, ProjectAddressesChanged

MOST_NETWORKS = 100
"""Networks in one list: each request to the project is compared with all of them."""


class ProjectNetworks:
    """The verbs; whoever calls has been let in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, reference: str, *, by_name: bool) -> AddressRules:
        """The rules of the project that a path names.

        Raises:
            NotFound: there is none.
        """
        return _there(await store.find_by_reference(self._database, reference, by_name=by_name)).addresses or EVERYWHERE

    async def change(
        self, caller: Caller, reference: str, *, by_name: bool, allow: Sequence[str], deny: Sequence[str]
    ) -> None:
        """Replace the rules of the project that a path names; without any network it may be used from everywhere.

        Raises:
            InvalidInput: something is no network, there are too many, or the caller would be shut out by it and could
                not undo that: only an administrator of the system may.
            NotFound: there is no such project.
        """
        rules = _parse(allow, deny)
        if not caller.principal.is_admin and not rules.lets(caller.client_address):
            raise InvalidInput(
                f"With these rules you could not use the project from {caller.client_address} any more: let that "
                "address in, or ask an administrator of the system.",
                code="BAD_REQUEST",
            )
        allowed, denied = (tuple(str(network) for network in networks) for networks in (rules.allow, rules.deny))

        async def work(tx: Transaction) -> None:
            project = _there(await store.find_by_reference(tx, reference, by_name=by_name))
            if (project.addresses or EVERYWHERE) == rules:
                return
            await store.set_addresses(tx, project.id, allowed, denied)
            event = ProjectAddressesChanged(project=project.name, project_id=project.id, allow=allowed, deny=denied)
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)


def _parse(allow: Sequence[str], deny: Sequence[str]) -> AddressRules:
    if max(len(allow), len(deny)) > MOST_NETWORKS:
        raise InvalidInput(f"Give at most {MOST_NETWORKS} networks to allow and to deny.", code="BAD_REQUEST")
    try:
        return parse_rules(allow, deny)
    except ValueError as error:
        raise InvalidInput(f"{error}.", code="BAD_REQUEST") from None


def _there(project: Project | None) -> Project:
    if project is None:
        raise NotFound("There is no such project.")
    return project
