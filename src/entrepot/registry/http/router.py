"""The routes of ``/v2/``, matched from the right.

A repository's path may hold ``blobs``, ``manifests`` or ``tags`` as components, so only the end of a path tells what
it is. Source: distribution-spec, "Endpoints".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from entrepot.access.challenge import challenge
from entrepot.access.service import Guardian
from entrepot.auth.model import Caller
from entrepot.errors import NotAllowed, NotAuthenticated, NotFound
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
        self._base_routes: dict[str, Route] = {"GET": self._base, "HEAD": self._base}
        self._catalog: dict[str, Route] = {"GET": listings.catalog, "HEAD": listings.catalog}
        self._manifest: dict[str, Route] = {
            "GET": manifests.get,
            "HEAD": manifests.get,
            "PUT": manifests.put,
            "DELETE": manifests.delete,
        }
        self._blob: dict[str, Route] = {"GET": blobs.get, "HEAD": blobs.head, "DELETE": blobs.delete}
        self._tags: dict[str, Route] = {"GET": listings.tags, "HEAD": listings.tags}
        self._referrers: dict[str, Route] = {"GET": listings.referrers, "HEAD": listings.referrers}
        self._uploads: dict[str, Route] = {"POST": uploads.start}
        self._upload: dict[str, Route] = {
            "GET": uploads.status,
            "HEAD": uploads.status,
            "PATCH": uploads.append,
            "PUT": uploads.finish,
            "DELETE": uploads.cancel,
        }

    async def __call__(self, exchange: Exchange) -> None:
        """Identify the caller, then route; refusals carry the challenge."""
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
            )
            exchange.principal = caller.principal.name
            await route(exchange, caller, name, last)
        except NotAuthenticated as error:
            error.headers = (API_VERSION, challenge(exchange, error))
            await render(exchange, error)

    def _match(self, path: str) -> tuple[dict[str, Route], str, str]:
        """The routes by method, the repository's name, and the last part of the path."""
        rest = path[len(PREFIX) :]
        head, _, last = rest.rpartition("/")
        if last:
            if head.endswith("/manifests"):
                return self._manifest, head[:-10], last
            if head.endswith("/blobs/uploads"):
                return self._upload, head[:-14], last
            if rest.endswith("/blobs/uploads"):
                return self._uploads, rest[:-14], ""
            if head.endswith("/blobs"):
                return self._blob, head[:-6], last
            if head.endswith("/tags") and last == "list":
                return self._tags, head[:-5], last
            if head.endswith("/referrers"):
                return self._referrers, head[:-10], last
        elif head.endswith("/blobs/uploads"):
            return self._uploads, head[:-14], ""
        if not rest:
            return self._base_routes, "", ""
        if rest == "_catalog":
            return self._catalog, "", ""
        raise NotFound("There is no such endpoint below /v2/: see the OCI distribution-spec.")

    async def _base(self, exchange: Exchange, caller: Caller, _name: str, _last: str) -> None:
        """``end-1``: 200 only for a credential that holds, since clients take their challenge from here."""
        exchange.operation = "base"
        if caller.credential == "":
            raise NotAuthenticated("Log in, or fetch a token.")
        if caller.credential == "expired":
            raise NotAuthenticated("The token has expired: fetch a new one.")
        await exchange.respond(200, [API_VERSION, JSON], b"{}")
