"""Reading and changing settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from entrepot.database import Database, Transaction
from entrepot.database.cache import VersionedCache
from entrepot.errors import Denied, InvalidInput, Unreadable
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.kit.secretbox import SecretBox
from entrepot.settings import store
from entrepot.settings.model import (
    DEFAULTS,
    SETTINGS,
    SettingsChanged,
    Value,
    as_text,
    check_overrides,
    check_secrets,
    check_together,
    parse,
)

_ALL = "all"

log = structlog.get_logger()

Guard = Callable[[Origin, Mapping[str, Any], frozenset[str]], None]
"""Says no to a change, by raising: who asks, all values as they would be, and the keys that would change.

It is asked within the transaction, so that nothing slips between its answer and the change."""


class Settings:
    """The settings of one database: what the operator fixed, over what was set, over the defaults."""

    def __init__(self, database: Database, overrides: Mapping[str, object], box: SecretBox | None = None) -> None:
        """``overrides`` are the operator's; nobody can change them at run time. Without ``box`` no secret can be set.

        Raises:
            ConfigError: an override is wrong.
        """
        self._database = database
        self._box = box
        self._overrides = check_overrides(overrides)
        self._cache: VersionedCache[dict[str, Any]] = VersionedCache(database, 1)
        self._stored: store.Stored = []
        self._values: dict[str, Any] = DEFAULTS | self._overrides
        self._guards: list[Guard] = []

    def add_guard(self, guard: Guard) -> None:
        """Let a floor above say no to changes."""
        self._guards.append(guard)

    async def snapshot(self) -> Mapping[str, Any]:
        """All values, by key: the same object as long as nothing changes, for who derives something of them."""
        values, version = self._cache.lookup(_ALL)
        return values if values is not None else await self._fill(version)

    async def read(self, key: str) -> Any:
        """What ``key`` is set to; never older than the last commit, of whichever process.

        Raises:
            KeyError: there is no such setting.
            Unreadable: it is a secret that was sealed with a key which is not here.
        """
        value = (await self.snapshot())[key]
        if value is None:
            raise _unreadable(key)
        return value

    async def text(self, key: str) -> str:
        """What a setting of kind ``text`` or ``secret`` is set to."""
        value: str = await self.read(key)
        return value

    async def number(self, key: str) -> int:
        """What a setting of kind ``number`` is set to, in the unit that its rule names."""
        value: int = await self.read(key)
        return value

    async def boolean(self, key: str) -> bool:
        """What a setting of kind ``boolean`` is set to."""
        value: bool = await self.read(key)
        return value

    async def all(self) -> dict[str, Value]:
        """Every setting but the secrets, and whether ``update`` may change it."""
        values = await self.snapshot()
        return {
            key: Value(values[key], editable=setting.is_editable and key not in self._overrides)
            for key, setting in SETTINGS.items()
            if setting.kind != "secret"
        }

    async def update(self, origin: Origin, values: Mapping[str, object]) -> None:
        """Set ``values``, all of them or none.

        As in Harbor, unknown keys and ``null`` are ignored. A key that cannot be changed may be sent with the value
        that it has, so that a client can send back what it was answered.

        Raises:
            InvalidInput: a value does not fit its setting, the feature behind it is not built, or a secret would go to
                another place than it was given for.
            Denied: the operator's configuration fixes the setting.
        """
        wanted = {
            key: parse(key, value)
            for key, value in values.items()
            if key in SETTINGS and value is not None and self._is_free(key, value)
        }
        sent = {key for key, value in values.items() if value is not None}

        async def work(tx: Transaction) -> None:
            current = self._merge(await store.list_all(tx))
            changes = {key: value for key, value in wanted.items() if current[key] != value}
            if not changes:
                return
            check_together(current | changes, _refuse)
            check_secrets(current, changes, sent)
            for guard in self._guards:
                guard(origin, current | changes, frozenset(changes))
            await store.put(tx, {key: self._kept(key, value) for key, value in changes.items()}, clock.now_us())
            texts = {key: as_text(SETTINGS[key], value) for key, value in changes.items()}
            await journal.append(tx, origin, SettingsChanged(changes=texts))

        if wanted:
            await self._database.write(work)

    def _is_free(self, key: str, value: object) -> bool:
        """Whether ``key`` may be set; ``False`` if it may not but has this value anyhow."""
        if key in self._overrides:
            if value == self._overrides[key]:
                return False
            raise Denied(f"{key} is fixed by the operator's configuration: change it there.", code="FORBIDDEN")
        setting = SETTINGS[key]
        if not setting.is_editable and value != setting.default:
            raise _refuse(f"{key} cannot be changed, since its feature is not built: leave it out.")
        return setting.is_editable

    async def _fill(self, version: bytes) -> dict[str, Any]:
        stored = await store.list_all(self._database)
        # The version moves with every commit, the settings hardly ever; a lost key may come back without one.
        if stored != self._stored or None in self._values.values():
            self._values = self._merge(stored)
            self._stored = stored
        self._cache.fill(_ALL, self._values, version)
        return self._values

    def _merge(self, stored: store.Stored) -> dict[str, Any]:
        values = dict(DEFAULTS)
        for key, text in stored:
            setting = SETTINGS.get(key)
            if setting is None or not setting.is_editable:
                continue  # another version of the program knows it
            sealed = store.sealed_in(text) if setting.kind == "secret" else None
            try:
                values[key] = parse(key, msgspec.json.decode(text)) if sealed is None else self._opened(key, sealed)
            except (InvalidInput, msgspec.DecodeError):
                continue  # another version allowed it, this one does not: the default is safer than no answer
        return values | self._overrides

    def _kept(self, key: str, value: Any) -> Any:
        """A value as the table has it."""
        if SETTINGS[key].kind != "secret" or not value:
            return value
        if self._box is None:
            raise _refuse(f"{key} cannot be set here, since there is no key to seal it with: set it at the server.")
        return store.Sealed(self._box.seal(value).decode())

    def _opened(self, key: str, sealed: bytes) -> Any:
        try:
            if self._box is not None:
                return parse(key, self._box.open(sealed))
        except Unreadable:
            log.warning("secret cannot be opened", setting=key)
        return None


def _unreadable(key: str) -> Unreadable:
    return Unreadable(f"{key} was sealed with a key that is not here: bring back the key, or set it anew.")


def _refuse(message: str) -> InvalidInput:
    return InvalidInput(message, code="BAD_REQUEST")
