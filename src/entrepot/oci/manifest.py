"""What a manifest names: parsed leniently, judged strictly where content would be lost.

Sources: OCI image-spec (manifest.md, image-index.md), Docker image manifest v2 schema 2.
Unknown fields, media types and annotations are kept, since the bytes are never re-encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from entrepot.errors import InvalidInput
from entrepot.oci import digest as digests
from entrepot.oci import mediatype

SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes of the largest manifest that is accepted (distribution-spec, "Pushing Manifests")."""


class Descriptor(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A reference to content (image-spec, descriptor.md)."""

    media_type: str
    digest: str
    size: int
    artifact_type: str | None = None
    annotations: dict[str, str] | None = None
    urls: list[str] | None = None
    platform: Any = None
    data: str | None = None


class _Document(msgspec.Struct, rename="camel"):
    schema_version: int | None = None
    media_type: str | None = None
    artifact_type: str | None = None
    config: Descriptor | None = None
    layers: list[Descriptor] | None = None
    blobs: list[Descriptor] | None = None
    manifests: list[Descriptor] | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None
    signatures: Any = None
    fs_layers: Any = msgspec.field(name="fsLayers", default=None)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed manifest: what it is, and which content it names (digests as text)."""

    media_type: str
    artifact_type: str | None
    config_type: str | None
    subject: str | None
    annotations: dict[str, str] | None
    blobs: tuple[str, ...]
    """Config and layers that must have been pushed, without repetitions."""
    children: tuple[Descriptor, ...]
    """What an index lists: manifests, or layers for a BuildKit cache."""
    named_size: int
    """Bytes of config and layers, as their descriptors say."""
    elsewhere: int
    """How many layers are fetched from elsewhere and need not be pushed."""

    @property
    def is_index(self) -> bool:
        """Whether this lists other manifests."""
        return self.media_type in mediatype.INDEXES

    @property
    def referrer_type(self) -> str | None:
        """The ``artifactType`` that the referrers list shows (distribution-spec, "Listing Referrers")."""
        return self.artifact_type or (None if self.is_index else self.config_type)


class IndexPage(msgspec.Struct, rename="camel", kw_only=True):
    """An image index as the registry itself writes it: the answer of the referrers list."""

    schema_version: int = 2
    media_type: str = mediatype.OCI_INDEX
    manifests: Sequence[msgspec.Raw]


_decoder = msgspec.json.Decoder(_Document)


def parse(payload: bytes, content_type: str | None) -> Manifest:
    """Read a pushed manifest.

    Args:
        payload: the document, byte for byte.
        content_type: the request's Content-Type; it is authoritative, the document's ``mediaType`` stands
            in for a missing one.

    Raises:
        InvalidInput: ``MANIFEST_INVALID``, saying which field to mend.
    """
    try:
        document = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _invalid(f"The manifest is not valid: {error}.") from None
    except RecursionError:
        raise _invalid("The manifest is not valid: it is nested too deeply.") from None
    media_type = _media_type(document, content_type)
    _refuse_schema1(document, media_type)
    if document.schema_version != 2:  # noqa: PLR2004 - the only version that exists in both specs
        raise _invalid("The manifest is not valid: schemaVersion must be 2.")
    if media_type in mediatype.INDEXES:
        _refuse_mixture(document, index=True)
        children = tuple(document.manifests or ())
        named: tuple[Descriptor, ...] = ()
    elif media_type in mediatype.IMAGES:
        _refuse_mixture(document, index=False)
        if document.config is None:
            raise _invalid("The manifest is not valid: an image manifest needs a config descriptor.")
        children = ()
        named = (document.config, *(document.layers or ()))
    else:
        # An unknown type is kept; what it names in the known fields is protected all the same.
        children = tuple(document.manifests or ())
        named = tuple(filter(None, (document.config, *(document.layers or ()), *(document.blobs or ()))))
    for descriptor in (*named, *children, *filter(None, (document.subject,))):
        _check(descriptor)
    return Manifest(
        media_type=media_type,
        artifact_type=document.artifact_type or None,
        config_type=document.config.media_type if document.config else None,
        subject=document.subject.digest if document.subject else None,
        annotations=document.annotations,
        blobs=tuple(dict.fromkeys(d.digest for d in named if not _is_elsewhere(d))),
        children=children,
        named_size=sum({d.digest: d.size for d in named}.values()),
        elsewhere=sum(map(_is_elsewhere, named)),
    )


def referrer_descriptor(manifest: Manifest, digest: str, size: int) -> bytes:
    """The descriptor of ``manifest`` as the referrers list of its subject shows it, encoded."""
    return msgspec.json.encode(
        Descriptor(
            media_type=manifest.media_type,
            digest=digest,
            size=size,
            artifact_type=manifest.referrer_type,
            annotations=manifest.annotations,
        )
    )


def fallback_tag(subject: str) -> str:
    """The tag under which older clients list the referrers of ``subject`` ("Referrers Tag Schema")."""
    algorithm, _, encoded = subject.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


def _media_type(document: _Document, content_type: str | None) -> str:
    given = mediatype.bare(content_type) if content_type else ""
    if given and document.media_type and given != document.media_type.lower():
        raise _invalid(
            f"The Content-Type {given} differs from the manifest's mediaType {document.media_type}: send them alike."
        )
    media_type = given or document.media_type
    if not media_type:
        # A document without either is an index if it lists manifests (image-spec: mediaType is only a SHOULD).
        media_type = mediatype.OCI_MANIFEST if document.manifests is None else mediatype.OCI_INDEX
    if not mediatype.is_media_type(media_type):
        raise _invalid("The manifest is not valid: its media type is malformed.")
    return media_type


def _refuse_schema1(document: _Document, media_type: str) -> None:
    if media_type in mediatype.SCHEMA1 or document.schema_version == 1 or document.fs_layers is not None:
        raise _invalid(
            "Docker image manifests of schema 1 are not accepted: push the image with a current client, "
            "which writes schema 2 or OCI."
        )


def _refuse_mixture(document: _Document, *, index: bool) -> None:
    """A document that is an image to one client and an index to another hides content from checks.

    Source: CVE-2021-41190 and the image-spec's advice on it.
    """
    if index and (document.config is not None or document.layers is not None):
        raise _invalid("The manifest is not valid: an index has no config and no layers.")
    if not index and document.manifests is not None:
        raise _invalid("The manifest is not valid: an image manifest has no manifests field.")


def _check(descriptor: Descriptor) -> None:
    if descriptor.size < 0:
        raise _invalid("The manifest is not valid: a descriptor's size is negative.")
    try:
        digests.parse(descriptor.digest)
    except InvalidInput as error:
        raise _invalid(f"The manifest names a digest that is not valid: {descriptor.digest[:256]}.") from error


def _is_elsewhere(descriptor: Descriptor) -> bool:
    return bool(descriptor.urls) or mediatype.is_non_distributable(descriptor.media_type)


def _invalid(message: str) -> InvalidInput:
    return InvalidInput(message, code="MANIFEST_INVALID")
