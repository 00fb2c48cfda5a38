"""Checks of what is open to whoever has not logged in, and from where."""

from __future__ import annotations

from sqlalchemy import literal_column, select

from entrepot.access.model import may_list
from entrepot.auth.model import ANONYMOUS
from entrepot.database import Database
from entrepot.kit.finding import Check, Finding, Weakness, one
from entrepot.projects.tables import projects
from entrepot.settings.service import Settings
from entrepot.system.assessment.installation import Installation
from entrepot.system.assessment.model import is_loopback
from entrepot.system.assessment.observer import Observer
from entrepot.system.assessment.rows import bounded, first_rows

_OK = 200
_ADDRESS_RULES = ("entrepot_addresses_allow", "entrepot_admin_addresses_allow")
"""Each of them leaves administration to some networks."""

PUBLIC_PROJECTS = Weakness(
    id="projects-public",
    severity="low",
    title="Projects are public",
    reason="Whoever reaches the registry pulls from them without a login.",
    remedy='Where that is not meant: PUT /api/v2.0/projects/NAME {"metadata": {"public": "false"}}',
)
SELF_REGISTRATION = Weakness(
    id="self-registration",
    severity="medium",
    title="People make accounts for themselves",
    reason="Whoever reaches the registry gets a login, and with project_creation_restriction = everyone room for "
    "content too.",
    remedy='PUT /api/v2.0/configurations {"self_registration": false}',
)
OPEN_CATALOG = Weakness(
    id="catalog-open",
    severity="medium",
    title="The catalog is shown without a login",
    reason="The names of repositories tell what is built here, and where to look for more.",
    remedy="The registry asks for a login at /v2/_catalog: remove what answers in its place or adds credentials, at "
    "the proxy.",
)
OPEN_METRICS = Weakness(
    id="metrics-open",
    severity="low",
    title="/metrics is open to everybody who reaches the listener",
    reason="It tells how the registry is used, and by how much.",
    remedy="Set metrics.listen = 127.0.0.1:9090, or metrics.login = true.",
)
OPEN_DOCUMENTS = Weakness(
    id="documents-open",
    severity="info",
    title="The API documents are shown without a login",
    reason="They hold no data, but tell what is running here.",
    remedy="Set api.documents_login = true.",
)
NO_RATE_LIMITS = Weakness(
    id="rate-limits-missing",
    severity="low",
    title="Rates are not limited",
    reason="One client that asks without end takes what all the others need.",
    remedy="Set rate_limits.pulls, rate_limits.pushes, rate_limits.rest and rate_limits.logins, such as 600/m.",
)
NO_ADDRESS_RULES = Weakness(
    id="administration-from-everywhere",
    severity="low",
    title="Administration is open to every address",
    reason="A stolen administrator's password works from wherever the listener is reached.",
    remedy='PUT /api/v2.0/configurations {"entrepot_admin_addresses_allow": "10.0.0.0/8"}, with your own networks.',
)


def checks(
    installation: Installation,
    database: Database,
    settings: Settings,
    observer: Observer,
) -> list[Check]:
    """The checks of what is open."""

    async def public() -> list[Finding]:
        rows, total = await first_rows(database, _PUBLIC)
        return one(PUBLIC_PROJECTS.found([row[0] for row in rows], total) if total else None)

    async def registration() -> list[Finding]:
        return one(SELF_REGISTRATION.found() if await settings.boolean("self_registration") else None)

    async def catalog() -> list[Finding]:
        seen = await observer.observe()
        return one(open_catalog(by_rule=may_list(ANONYMOUS), status=seen.catalog_status if seen else None))

    async def metrics() -> list[Finding]:
        return one(open_metrics(installation))

    async def documents() -> list[Finding]:
        return one(None if installation.documents_login else OPEN_DOCUMENTS.found())

    async def rates() -> list[Finding]:
        return one(unlimited(installation))

    async def rules() -> list[Finding] | None:
        if not installation.is_public:
            return None
        texts = [await settings.text(key) for key in _ADDRESS_RULES]
        return one(None if any(text.strip() for text in texts) else NO_ADDRESS_RULES.found())

    return [
        Check(PUBLIC_PROJECTS, public),
        Check(SELF_REGISTRATION, registration),
        Check(OPEN_CATALOG, catalog),
        Check(OPEN_METRICS, metrics),
        Check(OPEN_DOCUMENTS, documents),
        Check(NO_RATE_LIMITS, rates),
        Check(NO_ADDRESS_RULES, rules),
    ]


_PUBLIC = bounded(select(projects.c.name).where(projects.c.is_public == literal_column("1")).order_by(projects.c.id))


def open_catalog(*, by_rule: bool, status: int | None) -> Finding | None:
    """Whether the catalog is shown, by the program's own rule or as a client saw."""
    if by_rule or status == _OK:
        return OPEN_CATALOG.found()
    return None


def open_metrics(installation: Installation) -> Finding | None:
    """Whether other machines read metrics without a login."""
    host = (installation.metrics_listen or installation.listen)[0]
    return None if installation.metrics_login or is_loopback(host) else OPEN_METRICS.found()


def unlimited(installation: Installation) -> Finding | None:
    """Which rates are not limited, where other machines ask."""
    if not installation.is_public or not installation.unlimited:
        return None
    return NO_RATE_LIMITS.found(installation.unlimited)
