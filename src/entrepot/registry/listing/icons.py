"""Icons of the kinds of artifacts: drawn here, named by the digest of their bytes."""

from __future__ import annotations

import msgspec

from entrepot.errors import NotFound
from entrepot.oci import digest as digests

MEDIA_TYPE = "image/svg+xml"

_FRAME = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="48" height="48" fill="none" '
    'stroke="{color}" stroke-width="1.5" stroke-linejoin="round" stroke-linecap="round">{shape}</svg>'
)
_SHAPES = {
    "IMAGE": ("#0b6e99", '<path d="M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8"/>'),
    "CHART": ("#3d4fb0", '<circle cx="12" cy="12" r="5"/><path d="M12 3v4m0 10v4M3 12h4m10 0h4M6 6l3 3m6 6l3 3"/>'),
    "CNAB": ("#7a4fa3", '<rect x="4" y="6" width="16" height="13" rx="2"/><path d="M9 6V4h6v2M4 12h16"/>'),
    "WASM": ("#5b45c9", '<rect x="4" y="4" width="16" height="16" rx="2"/><path d="M7 9l2 7 2.5-6L14 16l2-7"/>'),
    "SBOM": ("#2e7d4f", '<path d="M6 3h9l4 4v14H6zM15 3v4h4M9 12h7M9 16h7"/>'),
    "CNAI": ("#a3561f", '<circle cx="6" cy="7" r="2"/><circle cx="6" cy="17" r="2"/><path d="M8 7l7 5-7 5"/>'),
    "SIGNATURE": ("#8a6d00", '<path d="M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2 2 4-4"/>'),
    "UNKNOWN": ("#666666", '<path d="M4 8l8-4 8 4v8l-8 4-8-4z"/><path d="M10 10a2 2 0 1 1 2 3v1m0 2v.1"/>'),
}


class Icon(msgspec.Struct, frozen=True):
    """A small picture."""

    digest: str
    content: bytes


def _drawn(color: str, shape: str) -> Icon:
    content = _FRAME.format(color=color, shape=shape).encode()
    return Icon(digests.of(content), content)


_BY_KIND = {kind: _drawn(*parts) for kind, parts in _SHAPES.items()}
_BY_DIGEST = {icon.digest: icon for icon in _BY_KIND.values()}


def icon_of(kind: str) -> str:
    """The digest of a kind's icon."""
    return _BY_KIND.get(kind, _BY_KIND["UNKNOWN"]).digest


def icon_of_accessory(kind: str) -> str:
    """The digest of the icon of what hangs on an artifact."""
    if kind.startswith("signature."):
        return icon_of("SIGNATURE")
    return icon_of("SBOM" if kind.startswith("sbom.") else "UNKNOWN")


def get_icon(digest: str) -> Icon:
    """The icon of a digest.

    Raises:
        NotFound: there is none.
    """
    icon = _BY_DIGEST.get(digest)
    if icon is None:
        raise NotFound("There is no such icon.")
    return icon
