r"""The language of ``q=`` and ``sort=`` in REST lists.

::

    q     = condition *("," condition)          every condition must hold
    k=v         exact         k=\~v      exact: the backslash takes the next character's meaning away
    k=~v        contains v
    k=[a~b]     from a to b, both included; one side may be empty
    k={a b}     one of these
    k=(a b)     each of these
    sort  = key *("," key)                      "-key": the greatest first

Any value may stand in ``"`` or ``'``; it then may hold blanks, commas and brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

from entrepot.errors import InvalidInput
from entrepot.kit.listing import Condition, SortKey

MAX_LENGTH = 4096
"""Characters of ``q`` and of ``sort``."""
MAX_CONDITIONS = 20
MAX_VALUES = 50
"""Values of one list."""
MAX_SORT_KEYS = 10

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}")
_QUOTED = r"(?:\"[^\"]*\"|'[^']*')"
# Possessive repeats ("*+") keep hostile text from costing more than its length.
_WHOLE = re.compile(rf"({_QUOTED})(?=,|\Z)")
_PLAIN = re.compile(r"[^,]*")
# A bracket ends where nothing but the next condition follows.
_SIDE = rf"{_QUOTED}\s*+|[^~,\"']*"
_RANGE = re.compile(rf"\[\s*+(?P<least>{_SIDE}+)~\s*+(?P<greatest>{_SIDE}?)\](?=,|\Z)")
_END = {end: re.compile(rf"\s*+\{end}(?=,|\Z)") for end in "})"}
_ITEM = {end: re.compile(rf"\s*+(?:({_QUOTED})(?=[\s{end}])|([^\s,]+?)(?=\s|\{end}(?:,|\Z)))") for end in "})"}
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# NUL cannot be kept by PostgreSQL, and half of a surrogate pair not by any database.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def parse_filters(text: str) -> tuple[Condition, ...]:
    """Read ``q``, as it is after the query string was decoded.

    Raises:
        InvalidInput: ``BAD_REQUEST``.
    """
    _check(text, "q")
    text = _unescape(text)
    conditions: list[Condition] = []
    at = 0
    while text and at <= len(text):
        if len(conditions) == MAX_CONDITIONS:
            raise _refusal(f"q may hold at most {MAX_CONDITIONS} conditions.")
        condition, at = _condition(text, at)
        conditions.append(condition)
        at += 1
    return tuple(conditions)


def parse_sort(text: str) -> tuple[SortKey, ...]:
    """Read ``sort``.

    Raises:
        InvalidInput: ``BAD_REQUEST``.
    """
    _check(text, "sort")
    if not text.strip():
        return ()
    keys = [part.strip() for part in text.split(",")]
    if len(keys) > MAX_SORT_KEYS:
        raise _refusal(f"sort may name at most {MAX_SORT_KEYS} fields.")
    return tuple(SortKey(_key(key.removeprefix("-"), "sort=f1,-f2"), key.startswith("-")) for key in keys)


def _condition(text: str, at: int) -> tuple[Condition, int]:
    """The condition that starts at ``at``, and where it ends: at a comma or the end of ``text``."""
    equals = text.find("=", at)
    comma = text.find(",", at)
    if equals < 0 or -1 < comma < equals:
        part = text[at : comma if comma >= 0 else None]
        raise _refusal(f'{_shown(part)} is no condition: write it as field=value, and quote a value that holds ",".')
    key = _key(text[at:equals].strip(), "q=name=~web")
    start = equals + 1
    match text[start : start + 1]:
        case "[":
            return _range(key, text, start)
        case "{":
            return _list(key, text, start, "}")
        case "(":
            return _list(key, text, start, ")")
        case "~":
            value, end = _single(text, start + 1)
            if not value:
                raise _refusal(f"Put what {key} should contain after {key}=~.")
            return Condition(key, "fuzzy", (value,)), end
        case "" | ",":
            raise _refusal(f'The value of {key} is missing: write {key}="" if you mean the empty text.')
        case _:
            value, end = _single(text, start)
            return Condition(key, "exact", (value.removeprefix("\\") if text[start] == "\\" else value,)), end


def _single(text: str, start: int) -> tuple[str, int]:
    """A value that nothing but a comma ends; a quote that is not closed there is a character like any other."""
    if quoted := _WHOLE.match(text, start):
        return quoted[1][1:-1], quoted.end()
    plain = _PLAIN.match(text, start)
    assert plain is not None  # noqa: S101 - it matches the empty text
    return plain[0], plain.end()


def _range(key: str, text: str, start: int) -> tuple[Condition, int]:
    found = _RANGE.match(text, start)
    if found is None:
        raise _refusal(
            f"The range of {key} cannot be read: write {key}=[from~to], and quote a side that holds ~ or a comma."
        )
    least, greatest = (_bare(side.strip()) if side.strip() else None for side in found.groups())
    if least is None and greatest is None:
        raise _refusal(f"The range of {key} is open on both sides: give one of them.")
    return Condition(key, "range", (least, greatest)), found.end()


def _list(key: str, text: str, start: int, end: str) -> tuple[Condition, int]:
    values: list[str | None] = []
    for value, after in _items(text, start + 1, end):
        if value is None:
            return Condition(key, "any" if end == "}" else "all", tuple(values)), after
        if len(values) == MAX_VALUES:
            raise _refusal(f"The list of {key} may hold at most {MAX_VALUES} values.")
        values.append(value)
    example = f"{key}={{one two}}" if end == "}" else f"{key}=(one two)"
    raise _refusal(f"The list of {key} cannot be read: write {example}, with blanks between the values.")


def _items(text: str, at: int, end: str) -> Iterator[tuple[str | None, int]]:
    """The values up to the closing bracket, told by ``None``; it stops early where nothing can be read."""
    while True:
        if closing := _END[end].match(text, at):
            yield None, closing.end()
            return
        item = _ITEM[end].match(text, at)
        if item is None:
            return
        at = item.end()
        yield _bare(item[1]) if item[1] else item[2], at


def _bare(text: str) -> str:
    return text[1:-1] if text[:1] in {'"', "'"} else text


def _key(text: str, example: str) -> str:
    if not _KEY.fullmatch(text):
        raise _refusal(f"{_shown(text)} is not the name of a field: write for example {example}.")
    return text


def _unescape(text: str) -> str:
    """Undo a second URL-encoding; text that is not wholly encoded is left as it is.

    Clients of Harbor encode ``q`` once or twice. A ``+`` is a blank only in what is encoded: ``q=name=~c%2B%2B``
    asks for ``c++``.
    """
    if "%" not in text or _BAD_ESCAPE.search(text):
        return text
    try:
        unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _refusal("q holds percent-encoded bytes that are not UTF-8.") from None
    text = unquote_plus(text)
    _check(text, "q")
    return text


def _check(text: str, name: str) -> None:
    if len(text) > MAX_LENGTH:
        raise _refusal(f"{name} may be at most {MAX_LENGTH} characters long.")
    if _UNSTORABLE.search(text):
        raise _refusal(f"{name} holds a character that no field can hold (NUL or half of a surrogate pair).")


def _shown(text: str) -> str:
    return f'"{text[:40]}…"' if len(text) > 40 else f'"{text}"'  # noqa: PLR2004 - enough to find it by


def _refusal(message: str) -> InvalidInput:
    return InvalidInput(message, code="BAD_REQUEST")
