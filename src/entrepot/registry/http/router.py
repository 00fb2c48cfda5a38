"""The routes of ``/v2/``, matched from the right.

A repository's path may hold ``blobs``, ``manifests`` or ``tags`` as components, so only the end of a path tells what
it is. Source: distribution-spec, "Endpoints".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from entrepot.access.challenge import challenge
from entrepot.access.service import Guardian
from entrepot.auth.model import Caller
from entrepot.errors import EntrepotError, NotAllowed, NotAuthenticated, NotFound
from entrepot.registry.http.blobs import BlobRoutes
from entrepot.registry.http.headers import API_VERSION
from entrepot.registry.http.listings import ListingRoutes
from entrepot.registry.http.manifests import ManifestRoutes
from entrepot.registry.http.uploads import UploadRoutes
from entrepot.web.exchange import JSON, Exchange
from entrepot.web.render import render

PREFIX = "/v2/"

Route = Callable[[Exchange, Caller, str, str], Awaitable[None]]
"""Takes the exchange, the caller, the repository's name as asked for, and the last part of the path."""

Routes = dict[str, Route]
"""Routes by method."""


class RegistryRoutes:
    """Answers everything below ``/v2/``."""

    def __init__(
        self,
        guardian: Guardian,
        manifests: ManifestRoutes,
        blobs: BlobRoutes,
        uploads: UploadRoutes,
        listings: ListingRoutes,
    ) -> None:
        self._guardian = guardian
        self._whole: dict[str, Routes] = {
            "": {"GET": self._base, "HEAD": self._base},
            "_catalog": {"GET": listings.catalog, "HEAD": listings.catalog},
        }
        self._by_kind: dict[str, Routes] = {
            "manifests": {
                "GET": manifests.get,
                "HEAD": manifests.get,
                "PUT": manifests.put,
                "DELETE": manifests.delete,
            },
            "blobs": {"GET": blobs.get, "HEAD": blobs.head, "DELETE": blobs.delete},
            "tags": {"GET": listings.tags, "HEAD": listings.tags},
            "referrers": {"GET": listings.referrers, "HEAD": listings.referrers},
        }
        self._uploads: Routes = {"POST": uploads.start}
        self._upload: Routes = {
            "GET": uploads.status,
            "HEAD": uploads.status,
            "PATCH": uploads.append,
            "PUT": uploads.finish,
            "DELETE": uploads.cancel,
        }

    async def __call__(self, exchange: Exchange) -> None:
        """Identify the caller, then route; refusals carry the challenge."""
        name = ""
        try:
            routes, name, last = self._match(exchange.path)
            route = routes.get(exchange.method)
            if route is None:
                allow = ", ".join(routes)
                raise NotAllowed(
                    f"{exchange.method} is not done here: use {allow}.", headers=((b"allow", allow.encode()),)
                )
            caller = await self._guardian.identify(
                exchange.text(b"authorization"),
                client_address=exchange.client_address,
                user_agent=exchange.text(b"user-agent"),
                request_id=exchange.request_id,
                certificate=self._guardian.certified(exchange) if exchange.behind_proxy else "",
            )
            exchange.principal = caller.principal.name
            if exchange.budget is not None and caller.principal.id is not None:
                exchange.budget.charge(exchange, caller.principal.key)
            await route(exchange, caller, name, last)
        except NotAuthenticated as error:
            error.headers = (API_VERSION, challenge(exchange, error, name))
            await render(exchange, error)
        except EntrepotError as error:
            if API_VERSION not in error.headers:
                error.headers = (*error.headers, API_VERSION)
            raise

    def _match(self, path: str) -> tuple[Routes, str, str]:
        """The routes by method, the repository's name, and the last part of the path."""
        rest = path[len(PREFIX) :]
        if rest.endswith("/blobs/uploads/"):
            return self._uploads, rest[:-15], ""
        head, _, last = rest.rpartition("/")
        name, _, kind = head.rpartition("/")
        if last:
            if kind == "uploads" and name.endswith("/blobs"):
                return self._upload, name[:-6], last
            if kind == "blobs" and last == "uploads":
                return self._uploads, name, ""
            routes = self._by_kind.get(kind)
            if routes is not None and (kind != "tags" or last == "list"):
                return routes, name, last
        if rest in self._whole:
            return self._whole[rest], "", ""
        raise NotFound("There is no such endpoint below /v2/: see the OCI distribution-spec.")

    async def _base(self, exchange: Exchange, caller: Caller, _name: str, _last: str) -> None:
        """``end-1``: 200 only for a credential that holds, since clients take their challenge from here."""
        exchange.operation = "base"
        if caller.credential == "":
            raise NotAuthenticated("Log in, or fetch a token.")
        if caller.credential == "expired":
            raise NotAuthenticated("The token has expired: fetch a new one.")
        await exchange.respond(200, [API_VERSION, JSON], b"{}")
