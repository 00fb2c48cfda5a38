"""The providers of this installation: of the configuration, of our own API, of Harbor's settings; in this order.

They are built when they are needed and again when somebody changes them. A name and a password are asked of all that
take passwords, at once; what one said counts for its ``cache_seconds``, so that Basic on every request costs no round
trip. One that does not answer is left alone for some seconds, so that it slows nobody else.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog

from entrepot.auth.options import KINDS, Options, parse_options
from entrepot.auth.provider import Provider, ProviderUnreachable, ProviderUser, unreachable
from entrepot.auth.settings_providers import settings_providers
from entrepot.auth.store import identity_providers as store
from entrepot.database import Database
from entrepot.database.cache import VersionedCache
from entrepot.errors import EntrepotError
from entrepot.kit import clock
from entrepot.kit.expiring import ExpiringMap
from entrepot.kit.secretbox import SecretBox
from entrepot.settings.service import Settings

_REMEMBERED = 16_384
_REFUSED_SECONDS = 10.0
_DOWN_SECONDS = 10.0
_MOST_ASKING = 64
"""Logins that wait for one provider at once; what hangs must not gather a crowd."""
_TAKING_PASSWORDS = frozenset({"ldap"})

Build = Callable[[Options], Provider]
"""Makes a provider of its options."""

log = structlog.get_logger()


class Vouched(msgspec.Struct, frozen=True):
    """A person, and the provider that vouched for them."""

    person: ProviderUser
    provider: Provider


class Directory:
    """Finds providers, and asks them."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        box: SecretBox,
        fixed: Sequence[Options],
        build: Mapping[str, Build],
    ) -> None:
        """``fixed`` are the configuration's; ``build`` says how each kind is made."""
        self._database = database
        self._settings = settings
        self._box = box
        self._fixed = tuple(fixed)
        self._build = build
        self._options: VersionedCache[tuple[Options, ...]] = VersionedCache(database, 1)
        self._built: dict[str, tuple[Options, Provider]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._key = secrets.token_bytes(32)
        self._right: ExpiringMap[bytes, Vouched] = ExpiringMap(_REMEMBERED, clock.monotonic)
        self._wrong: ExpiringMap[bytes, bool] = ExpiringMap(_REMEMBERED, clock.monotonic)
        self._down: dict[str, tuple[float, ProviderUnreachable]] = {}
        self._asking: Counter[str] = Counter()

    # which are there

    async def options(self, kind: str = "") -> list[Options]:
        """The options of all providers, or of those of a kind, the first to be asked first."""
        found, version = self._options.lookup("all")
        if found is None:
            found = await self._read()
            self._options.fill("all", found, version)
        return [options for options in found if not kind or options.kind == kind]

    async def providers(self) -> list[Provider]:
        """All that people come from, the first to be asked first."""
        return [self._provider(options) for options in await self.options() if options.kind in self._build]

    async def find(self, name: str) -> Provider | None:
        """The provider called ``name``."""
        for options in await self.options():
            if options.name == name and options.kind in self._build:
                return self._provider(options)
        return None

    async def is_sole(self, kind: str) -> bool:
        """Whether there is just one provider of a kind."""
        return len(await self.options(kind)) == 1

    async def close(self) -> None:
        """End all connections."""
        built, self._built = list(self._built.values()), {}
        await asyncio.gather(*(provider.close() for _, provider in built), *self._closing, return_exceptions=True)

    # asking

    async def takes_passwords(self) -> bool:
        """Whether there is anybody to ask for a name and a password."""
        return any(options.kind in _TAKING_PASSWORDS for options in await self.options())

    async def recall(self, name: str, password: str) -> Vouched | None:
        """Who these were a moment ago, if whoever said so is still asked in the same way."""
        vouched = self._right.get(self._fingerprint(name, password))
        if vouched is None or await self.find(vouched.provider.name) is not vouched.provider:
            return None
        return vouched

    def was_refused(self, name: str, password: str) -> bool:
        """Whether nobody vouched for these a moment ago."""
        return self._wrong.get(self._fingerprint(name, password)) is not None

    async def log_in(self, name: str, password: str) -> Vouched | None:
        """Who is behind a name (``alice``, or ``alice@provider``) and a password; ``None``: nobody says so.

        Raises:
            ProviderUnreachable: somebody who might know did not answer.
            PersonRefused: they are known, and may not be let in.
        """
        described = await self.options()
        asked = [(self._provider(options), name) for options in described if options.kind in _TAKING_PASSWORDS]
        plain, at, suffix = name.rpartition("@")
        one = [provider for provider, _ in asked if at and provider.name == suffix]
        if one:
            asked = [(one[0], plain)]
        answers = await asyncio.gather(
            *(self._ask(provider, called, password) for provider, called in asked), return_exceptions=True
        )
        refusals: list[BaseException] = []
        for (provider, _), answer in zip(asked, answers, strict=True):
            if isinstance(answer, ProviderUser):
                vouched = Vouched(answer, provider)
                until = clock.monotonic() + provider.policy.cache_seconds
                self._right.put(self._fingerprint(name, password), vouched, until)
                return vouched
            if isinstance(answer, BaseException):
                refusals.append(answer)
        refusals.sort(key=lambda refusal: isinstance(refusal, ProviderUnreachable))
        for refusal in refusals:
            raise refusal
        self._wrong.put(self._fingerprint(name, password), True, clock.monotonic() + _REFUSED_SECONDS)
        return None

    async def _ask(self, provider: Provider, name: str, password: str) -> ProviderUser | None:
        down = self._down.get(provider.name)
        if down is not None and down[0] > clock.monotonic():
            raise ProviderUnreachable(down[1].message)
        if self._asking[provider.name] >= _MOST_ASKING:
            raise ProviderUnreachable(f"Too many logins wait for {provider.name}: try again in some seconds.")
        self._asking[provider.name] += 1
        try:
            return await provider.log_in(name, password)
        except ProviderUnreachable as error:
            log.warning("identity provider unreachable", provider=provider.name, error=error.message)
            told = unreachable(provider.name)
            self._down[provider.name] = (clock.monotonic() + _DOWN_SECONDS, told)
            raise told from error
        except EntrepotError:
            raise
        except Exception:
            log.exception("identity provider failed", provider=provider.name)
            raise ProviderUnreachable(
                f"The identity provider {provider.name} could not be asked: the registry's log says why."
            ) from None
        finally:
            self._asking[provider.name] -= 1

    def _fingerprint(self, name: str, password: str) -> bytes:
        text = f"{len(name)}\0{name}\0{password}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=16).digest()

    # building

    def _provider(self, options: Options) -> Provider:
        known = self._built.get(options.name)
        if known is not None:
            if known[0] == options:
                return known[1]
            self._retire(known[1])
        provider = self._build[options.kind](options)
        self._built[options.name] = (options, provider)
        self._down.pop(options.name, None)
        return provider

    def _retire(self, provider: Provider) -> None:
        task = asyncio.ensure_future(provider.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _read(self) -> tuple[Options, ...]:
        found = {options.name: options for options in self._fixed}
        for stored in await store.list_all(self._database):
            try:
                values = msgspec.json.decode(stored.options, type=dict[str, object])
                options = parse_options(stored.kind, values | {"name": stored.name} | self._secret(stored))
            except (EntrepotError, msgspec.DecodeError) as error:
                # One that cannot be used must not keep the others from working.
                log.warning("identity provider skipped", provider=stored.name, error=str(error))
                continue
            found.setdefault(options.name, options)
        for options in settings_providers(await self._settings.snapshot()):
            found.setdefault(options.name, options)
        for name in self._built.keys() - found.keys():
            self._retire(self._built.pop(name)[1])
        return tuple(found.values())

    def _secret(self, stored: store.StoredProvider) -> dict[str, object]:
        field = KINDS[stored.kind].secret_field if stored.kind in KINDS else ""
        return {field: self._box.open(stored.secret)} if field and stored.secret else {}
