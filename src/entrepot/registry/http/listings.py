"""Lists: tags (end-8), catalog, referrers (end-12)."""

from __future__ import annotations

import msgspec

from entrepot.auth.model import Caller
from entrepot.errors import InvalidInput
from entrepot.oci.manifest import IndexPage
from entrepot.oci.mediatype import OCI_INDEX
from entrepot.oci.name import parse_name
from entrepot.registry.http.headers import API_VERSION
from entrepot.registry.referrers import PAGE, Referrers
from entrepot.registry.repositories import Repositories
from entrepot.registry.tags import Tags
from entrepot.web import paging
from entrepot.web.exchange import JSON, Exchange, Headers

_encoder = msgspec.json.Encoder()


class ListingRoutes:
    """Decodes and encodes; each list costs what its page costs."""

    def __init__(self, repositories: Repositories, tags: Tags, referrers: Referrers) -> None:
        self._repositories = repositories
        self._tags = tags
        self._referrers = referrers

    async def tags(self, exchange: Exchange, caller: Caller, name: str, _last: str) -> None:
        """Tags in byte order."""
        exchange.operation = "tags.list"
        page = paging.parse(exchange.parameters())
        found = await self._tags.list(caller, parse_name(name), page.last, page.size + 1)
        await _answer(exchange, page, f"/v2/{name}/tags/list", found, {"name": name, "tags": found[: page.size]})

    async def catalog(self, exchange: Exchange, caller: Caller, _name: str, _last: str) -> None:
        """Repositories that the caller may pull from."""
        exchange.operation = "catalog"
        page = paging.parse(exchange.parameters())
        found = await self._repositories.catalog(caller, page.last, page.size + 1)
        await _answer(exchange, page, "/v2/_catalog", found, {"repositories": found[: page.size]})

    async def referrers(self, exchange: Exchange, caller: Caller, name: str, subject: str) -> None:
        """An index of what hangs on ``subject``."""
        exchange.operation = "referrers"
        parameters = exchange.parameters()
        artifact_type = parameters["artifactType"][-1] if "artifactType" in parameters else None
        last = parameters.get("last", ["0"])[-1]
        if not (last.isascii() and last.isdigit() and len(last) < 19):  # noqa: PLR2004 - fits 64 bits
            raise InvalidInput("last must be what the Link header gave.", code="PAGINATION_NUMBER_INVALID")
        page = await self._referrers.list(caller, parse_name(name), subject, artifact_type, int(last))
        headers: Headers = [(b"content-type", OCI_INDEX.encode()), API_VERSION]
        more = {}
        if artifact_type is not None:
            headers.append((b"oci-filters-applied", b"artifactType"))
            more["artifactType"] = artifact_type
        if page.next is not None:
            headers.append(paging.link(f"/v2/{name}/referrers/{subject}", str(page.next), PAGE, **more))
        await _respond(exchange, headers, _encoder.encode(IndexPage(manifests=page.descriptors)))


async def _answer(
    exchange: Exchange, page: paging.Page, path: str, found: list[str], document: dict[str, object]
) -> None:
    """A page; ``found`` holds one item more when the list goes on."""
    headers: Headers = [JSON, API_VERSION]
    if 0 < page.size < len(found):
        headers.append(paging.link(path, found[page.size - 1], page.size))
    await _respond(exchange, headers, _encoder.encode(document))


async def _respond(exchange: Exchange, headers: Headers, body: bytes) -> None:
    if exchange.method == "HEAD":
        headers.append((b"content-length", b"%d" % len(body)))
    await exchange.respond(200, headers, body)
