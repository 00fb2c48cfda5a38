"""``/v2/<name>/blobs/uploads/``: end-4, end-5, end-6, end-11, end-13, end-14."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from entrepot.auth.model import Caller
from entrepot.errors import InvalidInput, RangeNotSatisfiable
from entrepot.oci import digest as digests
from entrepot.oci.name import RepositoryName, parse_name
from entrepot.registry.blobs import Blobs
from entrepot.registry.http.headers import API_VERSION
from entrepot.registry.uploads import Chunk, Uploads
from entrepot.web.exchange import Exchange, Headers

# The spec writes 0-1023; some clients write it as HTTP does, with a unit and a total.
_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?\s*(\d{1,18})-(\d{1,18})(?:/(?:\d+|\*))?")


class UploadRoutes:
    """Decodes and encodes; the verbs are in ``registry.uploads`` and ``registry.blobs``."""

    def __init__(self, uploads: Uploads, blobs: Blobs) -> None:
        self._uploads = uploads
        self._blobs = blobs

    async def start(self, exchange: Exchange, caller: Caller, name: str, _last: str) -> None:
        """Begin an upload, mount a blob, or push one whole."""
        exchange.operation = "upload.start"
        parsed = parse_name(name)
        parameters = exchange.parameters()
        mount = parameters.get("mount", [""])[-1]
        digest = parameters.get("digest", [""])[-1]
        if mount:
            exchange.operation = "blob.mount"
            if await self._mount(exchange, caller, parsed, name, mount, parameters.get("from", [""])[-1]):
                return
        elif digest and (exchange.content_length() != 0 or digest in _EMPTY):
            exchange.operation = "blob.push"
            await self._uploads.push(caller, parsed, digest, exchange.body(), exchange.content_length())
            await exchange.respond(201, _created(name, digest))
            return
        algorithm = parameters.get("digest-algorithm", ["sha256"])[-1]
        session_id = await self._uploads.start(caller, parsed, algorithm)
        await exchange.respond(202, self._progress(name, session_id, 0))

    async def _mount(
        self, exchange: Exchange, caller: Caller, parsed: RepositoryName, name: str, digest: str, source: str
    ) -> bool:
        try:
            found = parse_name(source) if source else None
            blob = await self._blobs.mount(caller, parsed, digest, found)
        except InvalidInput:
            # A mount that cannot be is not an error: the client is told to push.
            return False
        if blob is None:
            return False
        await exchange.respond(201, _created(name, digest))
        return True

    async def status(self, exchange: Exchange, caller: Caller, name: str, session_id: str) -> None:
        """How far the upload is."""
        exchange.operation = "upload.status"
        offset = await self._uploads.offset(caller, parse_name(name), session_id)
        await exchange.respond(204, self._progress(name, session_id, offset))

    async def append(self, exchange: Exchange, caller: Caller, name: str, session_id: str) -> None:
        """A chunk, or a stream of unknown length."""
        exchange.operation = "upload.append"
        chunk = _chunk(exchange)
        with self._telling_where(name, session_id):
            offset = await self._uploads.append(
                caller, parse_name(name), session_id, _body(exchange, chunk), chunk, exchange.content_length()
            )
        await exchange.respond(202, self._progress(name, session_id, offset))

    async def finish(self, exchange: Exchange, caller: Caller, name: str, session_id: str) -> None:
        """The last bytes, if any, and the digest of all."""
        exchange.operation = "upload.finish"
        digest = exchange.parameters().get("digest", [""])[-1]
        chunk = _chunk(exchange)
        with self._telling_where(name, session_id):
            await self._uploads.finish(
                caller,
                parse_name(name),
                session_id,
                digests.parse(digest),
                _body(exchange, chunk),
                chunk,
                exchange.content_length(),
            )
        await exchange.respond(201, _created(name, digest))

    async def cancel(self, exchange: Exchange, caller: Caller, name: str, session_id: str) -> None:
        """Drop the upload."""
        exchange.operation = "upload.cancel"
        await self._uploads.cancel(caller, parse_name(name), session_id)
        await exchange.respond(204, [API_VERSION])

    @contextmanager
    def _telling_where(self, name: str, session_id: str) -> Iterator[None]:
        """Let a refused chunk's answer say where to go on."""
        try:
            yield
        except RangeNotSatisfiable as error:
            offset = error.detail["offset"] if isinstance(error.detail, dict) else 0
            error.headers = (*error.headers, *self._progress(name, session_id, offset))
            raise

    def _progress(self, name: str, session_id: str, offset: int) -> Headers:
        headers = [
            API_VERSION,
            # The state is in the path: some clients drop a query.
            (b"location", f"/v2/{name}/blobs/uploads/{session_id}".encode()),
            # Docker needs two numbers even when there is nothing yet.
            (b"range", b"0-%d" % max(0, offset - 1)),
            (b"docker-upload-uuid", session_id.encode()),
        ]
        if self._uploads.chunk_min_length:
            headers.append((b"oci-chunk-min-length", b"%d" % self._uploads.chunk_min_length))
        return headers


_EMPTY = frozenset(digests.of(b"", algorithm) for algorithm in digests.ALGORITHMS)


def _created(name: str, digest: str) -> Headers:
    return [
        API_VERSION,
        (b"location", f"/v2/{name}/blobs/{digest}".encode()),
        (b"docker-content-digest", digest.encode()),
    ]


async def _body(exchange: Exchange, chunk: Chunk | None) -> AsyncIterator[bytes]:
    """The body; with a range, exactly as many bytes as that names.

    Raises:
        InvalidInput: the body is longer or shorter.
    """
    left = chunk.last - chunk.first + 1 if chunk else None
    async for part in exchange.body():
        if left is not None:
            if len(part) > left:
                yield part[:left]
                raise InvalidInput("The body is longer than its Content-Range.", code="SIZE_INVALID")
            left -= len(part)
        yield part
    if left:
        raise InvalidInput("The body is shorter than its Content-Range.", code="SIZE_INVALID")


def _chunk(exchange: Exchange) -> Chunk | None:
    """Where the body belongs, if the request says so.

    Raises:
        InvalidInput: the range cannot be read, or differs from the Content-Length.
    """
    header = exchange.text(b"content-range")
    if not header:
        return None
    matched = _CONTENT_RANGE.fullmatch(header.strip())
    if matched is None or int(matched[2]) < int(matched[1]):
        raise InvalidInput(
            "Content-Range must be <first byte>-<last byte>, for example 0-1048575.",
            code="BLOB_UPLOAD_INVALID",
        )
    chunk = Chunk(int(matched[1]), int(matched[2]))
    length = exchange.content_length()
    if length is not None and length != chunk.last - chunk.first + 1:
        raise InvalidInput(
            f"Content-Range names {chunk.last - chunk.first + 1} bytes, Content-Length {length}: send them alike.",
            code="SIZE_INVALID",
        )
    return chunk
