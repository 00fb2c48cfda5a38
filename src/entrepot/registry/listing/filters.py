"""Filters on artifacts that no column answers: ``tags``, ``labels``, ``base`` and parts of digests.

The words are Harbor's (harbor-api.md, 2.1): ``tags=*`` tagged, ``tags=nil`` untagged, ``tags=~x``, ``tags=x``,
``labels=(1 2)`` all of these labels, ``base=*`` also what only an index lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Text, bindparam, exists, func, literal_column, not_, select

from entrepot.database.tables import Digest
from entrepot.errors import InvalidInput
from entrepot.kit.listing import Condition, Listing
from entrepot.kit.selection import ESCAPE, Field, Selection, contains
from entrepot.oci import digest as digests
from entrepot.registry.store.parts import ONE
from entrepot.registry.tables import artifact_labels, manifests, tags

SPECIAL = frozenset({"tags", "labels", "base", "digest"})

Held = Callable[[ColumnElement[Any]], ColumnElement[bool]]
"""Given a column with a repository's id: whether the list looks there."""

_ANY = "*"
_NONE = "nil"
_LABEL = re.compile(r"[0-9]{1,18}")
_TAGGED = exists(select(ONE).where(tags.c.manifest_id == manifests.c.id))
_LISTED = manifests.c.is_listed == literal_column("1")


def digest(column: ColumnElement[Any]) -> Field:
    """A column of digests, to be ordered by; ``by_digest`` filters it."""
    return Field(column, digests.pack, "a digest", frozenset(), nullable=False)


def special(listing: Listing, held: Held) -> Selection:
    """What the special filters of ``listing`` ask for; without ``base`` only what lists show.

    Raises:
        InvalidInput: they ask for something that they do not know.
    """
    clauses: list[ColumnElement[bool]] = []
    values: dict[str, Any] = {}
    shape: list[tuple[str, str, int]] = []
    for condition in listing.about({"tags", "labels"}):
        before = len(values)
        if condition.key == "tags":
            clauses.append(_by_tag(condition, held, values))
            word = condition.value if condition.kind == "exact" and condition.value in {_ANY, _NONE} else ""
        else:
            clauses += _by_labels(condition, values)
            word = ""
        shape.append((condition.key, condition.kind + word, len(values) - before))
    with_children = _asks_for_children(listing)
    clauses.append(manifests.c.accessory_of.is_(None) if with_children else _LISTED)
    shape.append(("base", _ANY if with_children else "", 0))
    parts = by_digest(listing.about({"digest"}), manifests.c.digest)
    return Selection((*clauses, *parts.clauses), values | parts.values, (*shape, *parts.shape))


def by_digest(conditions: tuple[Condition, ...], column: ColumnElement[Any]) -> Selection:
    """Conditions on a column of digests; ``=~`` looks for a part of the hexadecimal hash.

    Raises:
        InvalidInput: a digest is malformed.
    """
    clauses: list[ColumnElement[bool]] = []
    values: dict[str, Any] = {}
    shape: list[tuple[str, str, int]] = []

    def bind(value: Any, kind: Any) -> Any:
        name = f"d{len(values)}"
        values[name] = value
        return bindparam(name, type_=kind)

    for condition in conditions:
        if condition.kind == "fuzzy":
            part = condition.value.lower()
            algorithm, colon, rest = part.partition(":")
            hexadecimal = func.hex(func.substr(column, literal_column("2")))
            pattern = contains(rest)[1:] if colon else contains(part)
            clauses.append(hexadecimal.ilike(bind(_storable(pattern), Text()), escape=ESCAPE))
            if colon and algorithm not in digests.ALGORITHMS:
                raise _refusal("digest=~ takes a part of a digest, such as sha256:0a1b or 0a1b.")
        elif condition.kind in {"exact", "any"} and condition.values:
            packed = [digests.pack(digests.parse(value or "")) for value in condition.values]
            clauses.append(column.in_([bind(value, Digest()) for value in packed]))
        else:
            raise _refusal("digest can be compared with whole digests, or with a part of one: digest=~0a1b.")
        shape.append(("digest", condition.kind, len(packed) if condition.kind != "fuzzy" else 1))
    return Selection(tuple(clauses), values, tuple(shape))


def _asks_for_children(listing: Listing) -> bool:
    conditions = listing.about({"base"})
    if any(condition.kind != "exact" or condition.value != _ANY for condition in conditions):
        raise _refusal("base takes one value: base=* lists also what only an index lists.")
    return bool(conditions)


def _by_tag(condition: Condition, held: Held, values: dict[str, Any]) -> ColumnElement[bool]:
    if condition.kind == "exact" and condition.value in {_ANY, _NONE}:
        return _TAGGED if condition.value == _ANY else not_(_TAGGED)
    if condition.kind not in {"exact", "fuzzy", "any"} or not condition.values:
        raise _refusal("tags takes a tag, a part of one (tags=~x), * for tagged or nil for untagged artifacts.")
    names = []
    for value in condition.values:
        names.append(f"t{len(values)}")
        values[names[-1]] = _storable(contains(value or "") if condition.kind == "fuzzy" else value or "")
    bound = [bindparam(name, type_=Text()) for name in names]
    named = tags.c.name.like(bound[0], escape=ESCAPE) if condition.kind == "fuzzy" else tags.c.name.in_(bound)
    # Not a look-up for each artifact: the tags that match are few, and an index finds them.
    return manifests.c.id.in_(select(tags.c.manifest_id).where(held(tags.c.repository_id), named))


def _by_labels(condition: Condition, values: dict[str, Any]) -> list[ColumnElement[bool]]:
    texts = [value or "" for value in condition.values]
    if condition.kind not in {"all", "exact", "any"} or not texts or not all(map(_LABEL.fullmatch, texts)):
        raise _refusal("labels takes the ids of labels: labels=(1 2) for artifacts that have all of them.")
    bound = []
    for value in texts:
        name = f"t{len(values)}"
        values[name] = int(value)
        bound.append(bindparam(name, type_=BigInteger()))
    groups = [bound] if condition.kind == "any" else [[one] for one in bound]
    return [
        manifests.c.id.in_(select(artifact_labels.c.manifest_id).where(artifact_labels.c.label_id.in_(group)))
        for group in groups
    ]


def _storable(value: str) -> str:
    if "\0" in value or (not value.isprintable() and any("\ud800" <= c <= "\udfff" for c in value)):
        raise _refusal("A filter holds characters that no name has.")
    return value


def _refusal(message: str) -> InvalidInput:
    return InvalidInput(message, code="BAD_REQUEST")
