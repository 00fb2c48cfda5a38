"""What a manifest is to a user: an image, a chart, or something that hangs on another.

Sources: the config media types of Helm (HIP 6), CNAB, WebAssembly, SPDX and CycloneDX; cosign's tag scheme
(SIGNATURE_SPEC.md of sigstore/cosign); Harbor's accessory types (harbor-api.md, 1.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from entrepot.oci import mediatype
from entrepot.oci.manifest import Manifest

IMAGE = "IMAGE"
CHART = "CHART"
UNKNOWN = "UNKNOWN"

_KINDS = {
    "application/vnd.oci.image.config.v1+json": IMAGE,
    "application/vnd.docker.container.image.v1+json": IMAGE,
    "application/vnd.docker.container.image.rootfs.diff+x-gtar": IMAGE,
    "application/vnd.cncf.helm.config.v1+json": CHART,
    "application/vnd.cnab.config.v1+json": "CNAB",
    "application/vnd.cnab.bundle.config.v1+json": "CNAB",
    "application/vnd.wasm.config.v1+json": "WASM",
    "application/vnd.wasm.config.v0+json": "WASM",
    "application/vnd.goharbor.harbor.sbom.v1": "SBOM",
    "application/vnd.cncf.model.config.v1+json": "CNAI",
}
_NAMED = re.compile(r"application/vnd\.(?:[^.+]+\.)*([^.+]+)\.config(?:\.|\+|$)")
"""A config type that names its kind, as in ``application/vnd.acme.rocket.config.v1+json``."""

_COSIGN_TAG = re.compile(r"(sha256)-([0-9a-f]{64})\.(sig|att|sbom)")

COSIGN_SIGNATURE = "signature.cosign"
NOTATION_SIGNATURE = "signature.notation"
SUBJECT_ACCESSORY = "subject.accessory"

_ACCESSORIES = {
    "application/vnd.dev.cosign.artifact.sig.v1+json": COSIGN_SIGNATURE,
    "application/vnd.dev.sigstore.bundle.v0.3+json": COSIGN_SIGNATURE,
    "application/vnd.cncf.notary.signature": NOTATION_SIGNATURE,
    "application/vnd.goharbor.harbor.sbom.v1": "sbom.harbor",
}


class Accessory(msgspec.Struct, frozen=True):
    """That a manifest exists because of ``subject`` (a digest), and as what."""

    subject: str
    kind: str


def kind_of(manifest: Manifest) -> str:
    """The kind that lists show; an index of the two known types is an image."""
    if manifest.media_type in mediatype.INDEXES:
        return IMAGE
    for media_type in (manifest.config_type, manifest.artifact_type):
        if media_type in _KINDS:
            return _KINDS[media_type]
    for media_type in (manifest.artifact_type, manifest.config_type):
        named = _NAMED.match(media_type or "")
        if named:
            return named[1].upper()
    return UNKNOWN


def accessory_of(manifest: Manifest, tags: Iterable[str]) -> Accessory | None:
    """What a manifest hangs on: its subject, or what a tag of cosign's scheme names."""
    if manifest.subject:
        kinds = (manifest.artifact_type, manifest.config_type)
        return Accessory(
            manifest.subject, next((_ACCESSORIES[k] for k in kinds if k in _ACCESSORIES), SUBJECT_ACCESSORY)
        )
    return accessory_by_tag(tags)


def accessory_by_tag(tags: Iterable[str]) -> Accessory | None:
    """What the tag of cosign's scheme names that is among ``tags``."""
    for tag in tags:
        found = _COSIGN_TAG.fullmatch(tag)
        if found:
            kind = COSIGN_SIGNATURE if found[3] == "sig" else SUBJECT_ACCESSORY
            return Accessory(f"{found[1]}:{found[2]}", kind)
    return None


def is_accessory_tag(tag: str) -> bool:
    """Whether a tag is of cosign's scheme."""
    return _COSIGN_TAG.fullmatch(tag) is not None
