"""Identity providers that administrators make at run time, beside those of the configuration, which are fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from entrepot.auth.events import IdentityProviderCreated, IdentityProviderDeleted, IdentityProviderUpdated
from entrepot.auth.options import KINDS, Options, parse_options
from entrepot.auth.settings_providers import LDAP, OIDC
from entrepot.auth.store import identity_providers as store
from entrepot.auth.store.identity_providers import StoredProvider
from entrepot.database import Database, Transaction
from entrepot.errors import Conflict, InvalidInput, NotFound
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.kit.secretbox import SecretBox

MOST = 50
"""Providers; everybody who logs in with a password is looked for at all of them."""

_OF_SETTINGS = frozenset({LDAP, OIDC})
_SENT_TO = {
    "ldap": ("url", "start_tls", "verify_certificate", "ca_file"),
    "oidc": ("endpoint", "verify_certificate", "ca_file"),
    "workload": (),
}
"""What decides who gets to see a provider's secret."""


class KnownProvider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as it is shown; times in microseconds since the epoch."""

    kind: str
    options: dict[str, Any]
    """By name, the provider's own name among them; never the secret."""
    has_secret: bool
    is_fixed: bool
    """Whether the configuration describes it, so that it cannot be changed here."""
    created_at: int | None = None
    updated_at: int | None = None

    @property
    def name(self) -> str:
        """What the operator calls it."""
        return str(self.options["name"])


class IdentityProviders:
    """The providers of one installation."""

    def __init__(self, database: Database, box: SecretBox, fixed: Sequence[Options]) -> None:
        """``fixed`` are the configuration's."""
        self._database = database
        self._box = box
        self._fixed = {options.name: options for options in fixed}

    async def list(self) -> list[KnownProvider]:
        """All of them, those of the configuration first."""
        fixed = [_shown(options) for options in self._fixed.values()]
        return fixed + [_stored(row) for row in await store.list_all(self._database) if row.name not in self._fixed]

    async def get(self, name: str) -> KnownProvider:
        """The provider called ``name``.

        Raises:
            NotFound: there is none.
        """
        if name in self._fixed:
            return _shown(self._fixed[name])
        return _stored(_there(await store.find(self._database, name), name))

    async def create(self, origin: Origin, kind: str, values: Mapping[str, Any]) -> str:
        """Make a provider of what was said of it; its name.

        Raises:
            InvalidInput: it cannot be so.
            Conflict: the name is taken, or there are too many.
        """
        options = parse_options(kind, values)
        self._require_free(options.name)
        kept = _without_secret(options)
        sealed = self._box.seal(options.secret) if options.secret else None
        now = clock.now_us()

        async def work(tx: Transaction) -> None:
            if len(await store.list_all(tx)) >= MOST:
                raise Conflict(f"There are {MOST} identity providers already: delete one that is not used.")
            if await store.add(tx, options.name, kind, msgspec.json.encode(kept), sealed, now) is None:
                raise _taken(options.name)
            event = IdentityProviderCreated(provider=options.name, kind=kind, options=kept)
            await journal.append(tx, origin, event)

        await self._database.write(work)
        return options.name

    async def update(self, origin: Origin, name: str, kind: str, values: Mapping[str, Any]) -> None:
        """Replace what is said of a provider; without its secret among ``values`` the present one stays.

        Raises:
            InvalidInput: it cannot be so, has another kind, or its secret would go to another place than it was given
                for.
            Conflict: the configuration describes it.
            NotFound: there is none.
        """
        self._require_free(name)
        options = parse_options(kind, {**values, "name": name})
        field = options.secret_field
        keeps_secret = bool(field) and values.get(field) is None
        new_secret = self._box.seal(options.secret) if options.secret else None
        kept = _without_secret(options)

        async def work(tx: Transaction) -> None:
            row = _there(await store.find(tx, name), name)
            if row.kind != kind:
                raise InvalidInput(
                    f"{name} is of kind {row.kind}, which cannot change: make another provider.", code="BAD_REQUEST"
                )
            before = _stored(row).options
            if keeps_secret and row.secret is not None:
                _require_same_place(options, before)
            secret = row.secret if keeps_secret else new_secret
            changes = {key: value for key, value in kept.items() if before.get(key) != value}
            if not keeps_secret and (new_secret or row.secret):
                changes[field] = "…"
            if not changes:
                return
            await store.update_one(tx, row.id, msgspec.json.encode(kept), secret, clock.now_us())
            await journal.append(tx, origin, IdentityProviderUpdated(provider=name, kind=kind, changes=changes))

        await self._database.write(work)

    async def delete(self, origin: Origin, name: str) -> None:
        """Ask a provider no more; its accounts stay, but nobody vouches for their passwords then.

        Raises:
            Conflict: the configuration describes it.
            NotFound: there is none.
        """
        self._require_free(name)

        async def work(tx: Transaction) -> None:
            row = _there(await store.find(tx, name), name)
            await store.remove(tx, row.id)
            await journal.append(tx, origin, IdentityProviderDeleted(provider=name, kind=row.kind))

        await self._database.write(work)

    def _require_free(self, name: str) -> None:
        if name in self._fixed:
            raise Conflict(f"{name} is described in the operator's configuration: change it there.")
        if name in _OF_SETTINGS:
            raise Conflict(f"{name} is the provider of the settings {name}_…: change it at /configurations.")


def _there(row: StoredProvider | None, name: str) -> StoredProvider:
    if row is None:
        raise NotFound(f"There is no identity provider {name[:64]}.")
    return row


def _taken(name: str) -> Conflict:
    return Conflict(f"There is an identity provider {name} already: choose another name.")


def _without_secret(options: Options) -> dict[str, Any]:
    """Options as they are kept and told: without the name, which has a column, and without the secret."""
    values: dict[str, Any] = msgspec.to_builtins(options)
    return {key: value for key, value in values.items() if key not in {"name", options.secret_field}}


def _shown(options: Options) -> KnownProvider:
    return KnownProvider(
        kind=options.kind,
        options={"name": options.name, **_without_secret(options)},
        has_secret=bool(options.secret),
        is_fixed=True,
    )


def _stored(row: StoredProvider) -> KnownProvider:
    return KnownProvider(
        kind=row.kind,
        options={"name": row.name, **msgspec.json.decode(row.options, type=dict[str, Any])},
        has_secret=row.secret is not None,
        is_fixed=False,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _require_same_place(options: Options, before: Mapping[str, Any]) -> None:
    """A secret that is kept must not be sent to whoever is named now."""
    moved = [key for key in _SENT_TO[options.kind] if before.get(key, _default(options, key)) != getattr(options, key)]
    if moved:
        raise InvalidInput(
            f"{' and '.join(moved)} cannot change without {options.secret_field}: send it again, so that it goes to "
            "nobody else.",
            code="BAD_REQUEST",
        )


def _default(options: Options, key: str) -> Any:
    fields = {field.name: field.default for field in msgspec.structs.fields(KINDS[options.kind])}
    return fields[key]
