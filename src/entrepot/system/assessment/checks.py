"""The list: every check of what is built, in the order of docs/assessment.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import select

from entrepot.auth.options import Options, parse_options
from entrepot.auth.settings_providers import settings_providers
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
    open_sealed: Callable[[bytes], object] | None,
    more: Sequence[Check] = (),
) -> Assessor:
    """What assesses ``installation``; ``more`` are the checks of other features.

    ``open_sealed`` opens what is kept sealed in the database, or raises ``Unreadable``; none: there is no key.
    """
    observer = Observer(installation)
    certificates = Certificates(installation, observer)
    checks = [
        *transport.checks(installation, certificates, observer),
        *certificate.checks(installation, certificates),
        *accounts.checks(database, settings, providers),
        *openness.checks(installation, database, settings, observer),
        *robots.checks(database, settings),
        *room.checks(installation, database, settings),
        *files.checks(installation, database, open_sealed),
        *machine.checks(installation, providers),
        *records.checks(installation, settings),
        *more,
    ]
    return Assessor(checks, installation.version, lambda: transport.tls_report(installation, certificates, observer))


def providers_of(database: Database, settings: Settings, fixed: Sequence[Options]) -> Providers:
    """The identity providers of the configuration (``fixed``), of the database and of the settings.

    Secrets need not be there: nobody is logged in.
    """

    async def read() -> list[Options]:
        found = {options.name: options for options in fixed}
        for name, kind, stored in await database.survey(_PROVIDERS):
            try:
                values = msgspec.json.decode(stored, type=dict[str, object])
                found.setdefault(name, parse_options(kind, values | {"name": name}))
            except (InvalidInput, msgspec.DecodeError):
                continue  # logins skip it too, and say so in the log
        values = {key: "" if value is None else value for key, value in (await settings.snapshot()).items()}
        for options in settings_providers(values):
            found.setdefault(options.name, options)
        return list(found.values())

    return read
