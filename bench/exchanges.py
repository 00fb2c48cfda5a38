"""What clients say to a registry: push and pull of blobs, manifests and whole images.

`fields` is always what `Registry.fields(repository)` returned: ready header lines.
"""

from __future__ import annotations

from bench.content import MANIFEST_TYPE, Blob, Image
from bench.rawclient import Exchange, Request, WrongAnswerError, make_request, target_of

_OCTETS = b"Content-Type: application/octet-stream\r\n"
_MANIFEST = b"Content-Type: %b\r\n" % MANIFEST_TYPE.encode()
ACCEPT = b"Accept: %b\r\n" % MANIFEST_TYPE.encode()
"""The header line of a client that wants an image manifest."""


def push_blob(fields: bytes, repository: str, blob: Blob, *, patch: bool) -> Exchange[None]:
    """POST, then PATCH with the whole body and an empty PUT (`patch`), or PUT with the body."""
    answer = yield make_request("POST", f"/v2/{repository}/blobs/uploads/", fields, expect=(202,))
    target = target_of(answer.get(b"location"))
    body = blob.parts
    if patch:
        answer = yield make_request("PATCH", target, fields + _OCTETS, body=body, expect=(202,))
        target = target_of(answer.get(b"location"))
        body = ()
    target += f"{'&' if '?' in target else '?'}digest={blob.digest}"
    answer = yield make_request("PUT", target, fields + _OCTETS, body=body, expect=(201,))
    _check_digest(answer.find(b"docker-content-digest"), blob.digest, target)


def push_manifest(fields: bytes, repository: str, tag: str, image: Image) -> Exchange[None]:
    """PUT the manifest under a tag; its blobs must be there."""
    target = f"/v2/{repository}/manifests/{tag}"
    answer = yield make_request("PUT", target, fields + _MANIFEST, body=(image.manifest,), expect=(201,))
    _check_digest(answer.find(b"docker-content-digest"), image.digest, target)


def push_image(fields: bytes, repository: str, tag: str, image: Image) -> Exchange[None]:
    """Push as container tools do: for each blob HEAD (404), POST, PATCH, PUT; then the manifest."""
    for blob in image.blobs:
        yield make_request("HEAD", _blob_target(repository, blob), fields, expect=(404,))
        yield from push_blob(fields, repository, blob, patch=True)
    yield from push_manifest(fields, repository, tag, image)


def pull_image(fields: bytes, repository: str, tag: str, image: Image) -> Exchange[None]:
    """GET the manifest by tag, then the config and every layer, one after the other."""
    yield make_manifest_request(fields, repository, tag, image)
    for blob in (image.config, *image.layers):
        yield make_blob_request(fields, repository, blob)


def make_tags_request(
    fields: bytes, repository: str, image: Image, tags: list[str], expect: tuple[int, ...] = (201,)
) -> Request:
    """PUT the manifest by digest with `?tag=` for each tag, or by tag when there is only one."""
    if len(tags) == 1:
        target = f"/v2/{repository}/manifests/{tags[0]}"
    else:
        query = "&".join(f"tag={tag}" for tag in tags)
        target = f"/v2/{repository}/manifests/{image.digest}?{query}"
    return make_request("PUT", target, fields + _MANIFEST, body=(image.manifest,), expect=expect)


def make_manifest_request(fields: bytes, repository: str, tag: str, image: Image, *, method: str = "GET") -> Request:
    """GET (or HEAD) the manifest under a tag; a GET's answer is kept."""
    target = f"/v2/{repository}/manifests/{tag}"
    size = len(image.manifest) if method == "GET" else None
    return make_request(method, target, fields + ACCEPT, size=size, keep=True)


def make_blob_request(fields: bytes, repository: str, blob: Blob, *, keep: bool = False) -> Request:
    """GET a blob."""
    return make_request("GET", _blob_target(repository, blob), fields, size=blob.size, keep=keep)


def _blob_target(repository: str, blob: Blob) -> str:
    return f"/v2/{repository}/blobs/{blob.digest}"


def _check_digest(got: bytes | None, digest: str, target: str) -> None:
    if got != digest.encode():
        raise WrongAnswerError(f"PUT {target[:120]}: Docker-Content-Digest is {got!r}, not {digest}")
