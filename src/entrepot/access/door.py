"""The porter: which addresses may come to the server at all, and which to its administration.

The rules are settings, so they hold in every worker from the next request on. Who changes them at run time cannot shut
himself out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entrepot.access.refusals import ADMINISTRATION, SERVER, Refusals
from entrepot.errors import InvalidInput
from entrepot.journal.model import Origin
from entrepot.kit.networks import EVERYWHERE, AddressRules, parse_rules, split_networks
from entrepot.settings.service import Settings
from entrepot.web.door import address_refusal, is_administration
from entrepot.web.exchange import Exchange

_SERVER_KEYS = ("entrepot_addresses_allow", "entrepot_addresses_deny")
_ADMIN_KEYS = ("entrepot_admin_addresses_allow", "entrepot_admin_addresses_deny")
_KEYS = frozenset({*_SERVER_KEYS, *_ADMIN_KEYS})


class Door:
    """See ``web.door.Porter``."""

    def __init__(self, settings: Settings, refusals: Refusals) -> None:
        self._settings = settings
        self._refusals = refusals
        self._read: Mapping[str, Any] = {}
        self._server: AddressRules = EVERYWHERE
        self._admin: AddressRules = EVERYWHERE
        self._is_open = True
        settings.add_guard(refuse_lock_out)

    async def let_in(self, exchange: Exchange) -> None:
        """Let a request in by its address, or note that it was refused.

        Raises:
            Denied: its address may not come there.
        """
        values = await self._settings.snapshot()
        if values is not self._read:
            self._server, self._admin = _rules(values, _SERVER_KEYS), _rules(values, _ADMIN_KEYS)
            self._is_open = not self._server and not self._admin
            self._read = values
        if self._is_open:
            return
        address, path = exchange.client_address, exchange.path
        if not self._server.lets(address):
            area = SERVER
        elif is_administration(path) and not self._admin.lets(address):
            area = ADMINISTRATION
        else:
            return
        exchange.operation = f"refused.{area}"
        self._refusals.note(Origin("anonymous", address, exchange.text(b"user-agent"), exchange.request_id), area)
        raise address_refusal(path, address)


def refuse_lock_out(origin: Origin, values: Mapping[str, Any], changed: frozenset[str]) -> None:
    """A guard of settings: refuse rules under which whoever sets them could not change them again.

    Raises:
        InvalidInput: they would.
    """
    address = origin.client_address
    if not address or not changed & _KEYS:
        return  # the registry itself, and the command line, come from no address
    if not (_rules(values, _SERVER_KEYS).lets(address) and _rules(values, _ADMIN_KEYS).lets(address)):
        raise InvalidInput(
            f"With these rules you could not administer the registry from {address} any more: let that address in, "
            "or set them in the section [settings] of the configuration file.",
            code="BAD_REQUEST",
        )


def _rules(values: Mapping[str, Any], keys: tuple[str, str]) -> AddressRules:
    allow, deny = (split_networks(values[key]) for key in keys)
    return parse_rules(allow, deny)
