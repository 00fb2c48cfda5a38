"""Content to push: distinct blobs whose digests cost next to nothing, and images made of them.

A blob is a long random head, shared by all blobs of its size, and a short random tail of its own.
The head is hashed once; a copy of that hash state takes the tail. So each push brings content that
the server has never seen, and the client spends no core on hashing while the server works.
"""

from __future__ import annotations

import hashlib
import os

import msgspec

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
TAIL = 32
"""Bytes of a blob that are its own."""


class Blob(msgspec.Struct, frozen=True):
    """Content and its digest (`sha256:…`); `size` in bytes."""

    parts: tuple[bytes | memoryview, ...]
    digest: str
    size: int


class BlobSource:
    """Makes distinct blobs of one size."""

    def __init__(self, size: int) -> None:
        """`size` in bytes, more than TAIL."""
        self.size = size
        self._head = memoryview(os.urandom(size - TAIL))
        self._state = hashlib.sha256(self._head)

    def make_blob(self) -> Blob:
        """Return a blob that has never been before."""
        tail = os.urandom(TAIL)
        state = self._state.copy()
        state.update(tail)
        return Blob((self._head, tail), f"sha256:{state.hexdigest()}", self.size)


class Image(msgspec.Struct, frozen=True):
    """An image: config, layers, and the manifest that names them, byte for byte."""

    config: Blob
    layers: tuple[Blob, ...]
    manifest: bytes
    digest: str

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Layers first and the config last, in the order in which clients push them."""
        return (*self.layers, self.config)


def make_image(source: BlobSource, layers: int) -> Image:
    """Return an image of so many distinct layers, with a config of its own."""
    made = tuple(source.make_blob() for _ in range(layers))
    config = _blob_of(
        msgspec.json.encode(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in made]},
                "author": os.urandom(8).hex(),
            }
        )
    )
    manifest = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, config),
            "layers": [_descriptor(LAYER_TYPE, layer) for layer in made],
        }
    )
    return Image(config, made, manifest, f"sha256:{hashlib.sha256(manifest).hexdigest()}")


def _blob_of(data: bytes) -> Blob:
    return Blob((data,), f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


def _descriptor(media_type: str, blob: Blob) -> dict[str, str | int]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}
