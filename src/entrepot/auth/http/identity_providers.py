"""Routes for identity providers, several of each kind: our own, since Harbor's settings know one of each."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from fastapi import Body as InBody
from fastapi import Path, Request, Response
from pydantic import TypeAdapter

from entrepot.auth.http.fields import moment
from entrepot.auth.http.provider_bodies import Change, New, Shown, values_of
from entrepot.auth.identity_providers import IdentityProviders, KnownProvider
from entrepot.auth.model import Caller
from entrepot.auth.provider import Provider, ProviderUnreachable
from entrepot.errors import Denied, Precondition
from entrepot.web.rest import Asking, Body, Route, delete, get, located, post, put
from entrepot.web.rule import system

_Name = Annotated[str, Path(max_length=32, pattern="^[a-z][a-z0-9-]*$")]
_READ = system("configuration", "read")
_UPDATE = system("configuration", "update")
_shown: TypeAdapter[Any] = TypeAdapter(Shown)


class Finding(Protocol):
    """Finds the provider itself, to try it."""

    async def find(self, name: str) -> Provider | None:
        """The provider called ``name``; ``None`` if it is not one that people log in at."""


class Ping(Body):
    """Whether a provider answers; else why not."""

    is_reachable: bool
    message: str = ""


class IdentityProviderRoutes:
    """Reading, changing and trying identity providers; for administrators of the system."""

    def __init__(self, providers: IdentityProviders, finding: Finding) -> None:
        self._providers = providers
        self._finding = finding

    def own_routes(self) -> list[Route]:
        """Below ``/api/entrepot/v1``."""
        all_of_them, one = "/identity-providers", "/identity-providers/{name}"
        return [
            get(all_of_them, self.list_all, _READ, tag="identity-provider"),
            post(all_of_them, self.create, _UPDATE, tag="identity-provider"),
            get(one, self.read, _READ, tag="identity-provider"),
            put(one, self.update, _UPDATE, tag="identity-provider"),
            delete(one, self.remove, _UPDATE, tag="identity-provider"),
            post(f"{one}/ping", self.ping, _UPDATE, tag="identity-provider", status=200),
        ]

    async def list_all(self) -> list[Shown]:
        """List the providers, those of the configuration too; not those of the settings."""
        return [_response(known) for known in await self._providers.list()]

    async def create(
        self,
        caller: Annotated[Caller, Asking],
        request: Request,
        response: Response,
        body: Annotated[New, InBody(discriminator="kind")],
    ) -> None:
        """Add a provider."""
        _require_admin(caller)
        values = values_of(body.options) | {"name": body.name}
        name = await self._providers.create(caller.origin, body.kind, values)
        located(response, f"{request.url.path.rstrip('/')}/{name}")

    async def read(self, name: _Name) -> Shown:
        """Read a provider; its secret is never told."""
        return _response(await self._providers.get(name))

    async def update(
        self,
        caller: Annotated[Caller, Asking],
        name: _Name,
        body: Annotated[Change, InBody(discriminator="kind")],
    ) -> None:
        """Replace what is said of a provider. A secret that is left out stays, unless another place would get it."""
        _require_admin(caller)
        await self._providers.update(caller.origin, name, body.kind, values_of(body.options))

    async def remove(self, caller: Annotated[Caller, Asking], name: _Name) -> None:
        """Delete a provider; its accounts stay, and cannot log in with its passwords any more."""
        _require_admin(caller)
        await self._providers.delete(caller.origin, name)

    async def ping(self, name: _Name) -> Ping:
        """Try whether a provider answers, with its own credentials."""
        await self._providers.get(name)
        provider = await self._finding.find(name)
        if provider is None:
            raise Precondition(f"{name} is not asked when people log in, so there is nothing to try.")
        try:
            await provider.probe()
        except ProviderUnreachable as error:
            return Ping(is_reachable=False, message=error.message)
        return Ping(is_reachable=True)


def _require_admin(caller: Caller) -> None:
    """Whoever names the providers can log in as anybody: the right to change settings is not enough."""
    if not caller.principal.is_admin or caller.principal.scope is not None:
        raise Denied("Only an administrator changes identity providers.", code="FORBIDDEN")


def _response(known: KnownProvider) -> Shown:
    shown: Shown = _shown.validate_python(
        {
            "name": known.name,
            "kind": known.kind,
            "is_fixed": known.is_fixed,
            "has_secret": known.has_secret,
            "creation_time": None if known.created_at is None else moment(known.created_at),
            "update_time": None if known.updated_at is None else moment(known.updated_at),
            "options": known.options,
        }
    )
    return shown
