"""Content digests: their grammar, their compact form, hashing.

A digest is text at the edges (``sha256:…``) and bytes in the database: one byte for the algorithm, then
the raw hash (33 bytes for sha256, 65 for sha512). Source: OCI image-spec, descriptor.md, "Digests".
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from entrepot.errors import InvalidInput

if TYPE_CHECKING:
    from hashlib import _Hash

DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
ALGORITHMS = {"sha256": 64, "sha512": 128}
"""Supported algorithms, and the length of the hexadecimal hash of each."""

_CODES = {"sha256": b"\x01", "sha512": b"\x02"}
_NAMES = {1: "sha256:", 2: "sha512:"}
_VALID = {name: re.compile(f"[a-f0-9]{{{length}}}") for name, length in ALGORITHMS.items()}


def parse(text: str) -> str:
    """``text`` if it is a digest of a supported algorithm.

    Raises:
        InvalidInput: ``DIGEST_INVALID``, saying what is wrong with it.
    """
    algorithm, _, encoded = text.partition(":")
    valid = _VALID.get(algorithm)
    if valid is not None and valid.fullmatch(encoded):
        return text
    if not DIGEST.fullmatch(text):
        reason = "write it as algorithm:hex, for example sha256:<64 hexadecimal digits>"
    elif valid is None:
        reason = f"the algorithm {algorithm} is not supported; use sha256 or sha512"
    else:
        reason = f"a {algorithm} digest has {ALGORITHMS[algorithm]} lower-case hexadecimal digits"
    raise InvalidInput(f"The digest is not valid: {reason}.", code="DIGEST_INVALID", detail={"digest": text[:256]})


def is_digest(reference: str) -> bool:
    """Whether a reference is a digest rather than a tag (a tag holds no colon)."""
    return ":" in reference


def pack(digest: str) -> bytes:
    """The compact form of a parsed digest."""
    algorithm, _, encoded = digest.partition(":")
    return _CODES[algorithm] + bytes.fromhex(encoded)


def unpack(packed: bytes) -> str:
    """The text of a compact digest."""
    return _NAMES[packed[0]] + packed[1:].hex()


def hasher(algorithm: str) -> _Hash:
    """A new hash state.

    Raises:
        InvalidInput: ``DIGEST_INVALID`` for an algorithm that is not supported.
    """
    if algorithm not in ALGORITHMS:
        raise InvalidInput(
            f"The digest algorithm {algorithm[:32]} is not supported; use sha256 or sha512.",
            code="DIGEST_INVALID",
        )
    return hashlib.new(algorithm)


def of(content: bytes, algorithm: str = "sha256") -> str:
    """The digest of ``content``."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def algorithm_of(digest: str) -> str:
    """The algorithm of a parsed digest."""
    return digest.partition(":")[0]
