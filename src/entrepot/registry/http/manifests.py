"""``/v2/<name>/manifests/<reference>``: end-3, end-7, end-9."""

from __future__ import annotations

from entrepot.auth.model import Caller
from entrepot.oci import digest as digests
from entrepot.oci.manifest import SIZE_LIMIT
from entrepot.oci.name import parse_name
from entrepot.registry.http.headers import API_VERSION, content_headers, is_not_modified, warning_headers
from entrepot.registry.manifests import Manifests
from entrepot.registry.tags import Tags
from entrepot.web.exchange import Exchange, join_values


class ManifestRoutes:
    """Decodes and encodes; the verbs are in ``registry.manifests`` and ``registry.tags``."""

    def __init__(self, manifests: Manifests, tags: Tags) -> None:
        self._manifests = manifests
        self._tags = tags

    async def get(self, exchange: Exchange, caller: Caller, name: str, reference: str) -> None:
        """The bytes as they were pushed, whatever the Accept header says: a digest must match its bytes."""
        exchange.operation = "manifest.head" if exchange.method == "HEAD" else "manifest.get"
        manifest = await self._manifests.get(caller, parse_name(name), reference, is_pull=exchange.method == "GET")
        headers = content_headers(manifest.digest, manifest.media_type.encode())
        if is_not_modified(exchange, manifest.digest):
            await exchange.respond(304, headers)
            return
        if exchange.method == "HEAD":
            headers.append((b"content-length", b"%d" % len(manifest.payload)))
        await exchange.respond(200, headers, manifest.payload)

    async def put(self, exchange: Exchange, caller: Caller, name: str, reference: str) -> None:
        """Push by tag, or by digest with any number of ``tag`` parameters."""
        exchange.operation = "manifest.put"
        parsed = parse_name(name)
        tags = exchange.parameters().get("tag", [])
        await self._manifests.admit(caller, parsed, reference, tags)
        payload = await exchange.read(SIZE_LIMIT)
        pushed = await self._manifests.push(
            caller,
            parsed,
            reference,
            payload,
            content_type=exchange.text(b"content-type") or None,
            more_tags=tags,
        )
        headers = [
            API_VERSION,
            (b"location", f"/v2/{name}/manifests/{pushed.digest}".encode()),
            (b"docker-content-digest", pushed.digest.encode()),
        ]
        if pushed.subject:
            headers.append((b"oci-subject", pushed.subject.encode()))
        if tags:
            headers.append((b"oci-tag", join_values(pushed.tags)))
        headers += warning_headers(pushed.warnings)
        await exchange.respond(201, headers)

    async def delete(self, exchange: Exchange, caller: Caller, name: str, reference: str) -> None:
        """A tag alone, or a manifest with its tags."""
        if digests.is_digest(reference):
            exchange.operation = "manifest.delete"
            await self._manifests.delete(caller, parse_name(name), reference)
        else:
            exchange.operation = "tag.delete"
            await self._tags.delete(caller, parse_name(name), reference)
        await exchange.respond(202, [API_VERSION])
