"""The list: every check of what is built, in the order of docs/assessment.md."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import select

from entrepot.auth.options import Options, parse_options
from entrepot.auth.tables import identity_providers
from entrepot.database import Database, query
from entrepot.errors import InvalidInput
from entrepot.kit.finding import Check
from entrepot.settings.service import Settings
from entrepot.system.assessment import accounts, certificate, files, machine, openness, records, robots, room, transport
from entrepot.system.assessment.accounts import Providers
from entrepot.system.assessment.certificate import Certificates
from entrepot.system.assessment.installation import Installation
from entrepot.system.assessment.observer import Observer
from entrepot.system.assessment.openness import AddressRules
from entrepot.system.assessment.service import Assessor

_PROVIDERS = query(
    select(identity_providers.c.name, identity_providers.c.kind, identity_providers.c.options).order_by(
        identity_providers.c.id
    )
)


def assessor(
    installation: Installation,
    database: Database,
    settings: Settings,
    providers: Providers,
    *,
    address_rules: AddressRules | None = None,
    more: Sequence[Check] = (),
) -> Assessor:
    """What assesses ``installation``; ``more`` are the checks of other features.

    ``address_rules`` says whether addresses are limited that may administer; none: there are no such rules.
    """
    observer = Observer(installation)
    certificates = Certificates(installation, observer)
    checks = [
        *transport.checks(installation, certificates, observer),
        *certificate.checks(installation, certificates),
        *accounts.checks(database, settings, providers),
        *openness.checks(installation, database, settings, observer, address_rules),
        *robots.checks(database, settings),
        *room.checks(installation, database, settings),
        *files.checks(installation, database),
        *machine.checks(installation, providers),
        *records.checks(installation, settings),
        *more,
    ]
    return Assessor(checks, installation.version, lambda: transport.tls_report(installation, certificates, observer))


def providers_of(database: Database, fixed: Sequence[Options]) -> Providers:
    """The identity providers of the configuration (``fixed``) and of the database, without their secrets."""

    async def read() -> list[Options]:
        found = {options.name: options for options in fixed}
        for name, kind, stored in await database.survey(_PROVIDERS):
            try:
                values = msgspec.json.decode(stored, type=dict[str, object])
                found.setdefault(name, parse_options(kind, values | {"name": name}))
            except (InvalidInput, msgspec.DecodeError):
                continue  # logins skip it too, and say so in the log
        return list(found.values())

    return read
