"""Distinguished names as text (RFC 4514): read, and written so that equal ones are equal text."""

from __future__ import annotations

import re
import unicodedata

Rdn = tuple[tuple[str, str], ...]
"""One component: pairs of attribute and value, mostly one."""

_LONGEST = 4096
_ATTRIBUTE = re.compile(r" *([A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*) *=")
_VALUE = re.compile(r"((?:\\[0-9A-Fa-f]{2}|\\[^0-9A-Fa-f]|[^\\,+])*)([,+]?)", re.DOTALL)
_PIECE = re.compile(r"\\([0-9A-Fa-f]{2})|\\(.)|([^\\]+)", re.DOTALL)
_SPECIAL = re.compile(r'[,+"\\<>;=\x00-\x1f\x7f]|^#')


def parse_dn(text: str) -> tuple[Rdn, ...]:
    """The components of a DN, the entry's own first, with values as they are written but for their escapes.

    Raises:
        ValueError: it is none.
    """
    if len(text) > _LONGEST:
        raise ValueError("a DN has at most 4096 characters")
    rdns: list[Rdn] = []
    pairs: list[tuple[str, str]] = []
    position, follows = 0, "," if text.strip() else ""
    while follows:
        attribute = _ATTRIBUTE.match(text, position)
        if attribute is None:
            raise ValueError("a DN is made of attribute=value, with commas between")
        value = _VALUE.match(text, attribute.end())
        if value is None or (not value[2] and value.end() != len(text)):
            raise ValueError("a backslash in a DN stands before a special character or two hexadecimal digits")
        pairs.append((attribute[1], _unescape(value[1])))
        position, follows = value.end(), value[2]
        if follows != "+":
            rdns.append(tuple(pairs))
            pairs = []
    return tuple(rdns)


def normalise_dn(text: str) -> str:
    """The DN in the one spelling that is compared: lower case, no needless spaces, the fewest escapes.

    Values are taken as directories take names: case and repeated spaces do not matter.

    Raises:
        ValueError: it is none.
    """
    return ",".join(_written(rdn) for rdn in parse_dn(text))


def dn_key(text: str) -> str:
    """``normalise_dn``, or for what is no DN its text in lower case."""
    try:
        return normalise_dn(text)
    except ValueError:
        return _plain(text)


def first_value(text: str) -> tuple[str, str]:
    """Attribute (in lower case) and value of an entry's own component; of what is no DN nothing and the text."""
    try:
        attribute, value = parse_dn(text)[0][0]
    except (ValueError, IndexError):
        return "", text.strip()
    return attribute.lower(), value


def is_within(text: str, parent: str, scope: str = "subtree") -> bool:
    """Whether a DN is ``parent`` (scope ``base``), directly below (``one``), or either or deeper (``subtree``)."""
    try:
        entry = [_written(rdn) for rdn in parse_dn(text)]
        above = [_written(rdn) for rdn in parse_dn(parent)]
    except ValueError:
        return False
    depth = len(entry) - len(above)
    fits = {"base": depth == 0, "one": depth == 1, "subtree": depth >= 0}[scope]
    return fits and entry[depth:] == above


def _unescape(value: str) -> str:
    """The value behind its escapes; a pair of hexadecimal digits is a byte of UTF-8."""
    content = bytearray()
    for digits, special, plain in _PIECE.findall(value.strip(" ")):
        content += bytes.fromhex(digits) if digits else (special or plain).encode("utf-8", "surrogatepass")
    return content.decode("utf-8", "replace")


def _written(rdn: Rdn) -> str:
    return "+".join(sorted(f"{attribute.lower()}={_escape(_plain(value))}" for attribute, value in rdn))


def _plain(value: str) -> str:
    return " ".join(part for part in unicodedata.normalize("NFC", value).lower().split(" ") if part)


def _escape(value: str) -> str:
    return _SPECIAL.sub(lambda found: f"\\{ord(found[0]):02x}" if found[0] < " " else "\\" + found[0], value)
