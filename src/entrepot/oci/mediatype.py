"""Media types of manifests and layers, and the parsing of a Content-Type."""

from __future__ import annotations

import re

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"

INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
IMAGES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
MANIFESTS = INDEXES | IMAGES
SCHEMA1 = frozenset({DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED})

_FOREIGN = re.compile(
    r"application/vnd\.oci\.image\.layer\.nondistributable\..*"
    r"|application/vnd\.docker\.image\.rootfs\.foreign\..*"
)
_TYPE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,126}/[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,126}")


def bare(content_type: str) -> str:
    """The media type of a Content-Type header, without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_media_type(text: str) -> bool:
    """Whether ``text`` has the form of a media type (RFC 6838, 4.2)."""
    return _TYPE.fullmatch(text) is not None


def is_non_distributable(media_type: str) -> bool:
    """Whether layers of this type are fetched from elsewhere and need not be pushed."""
    return _FOREIGN.fullmatch(media_type) is not None
