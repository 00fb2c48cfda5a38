"""A rule on the claims of a token: ``repository == "acme/app" and ref like "refs/tags/v*"``.

::

    rule        = all *("or" all)
    all         = term *("and" term)
    term        = "not" term | "(" rule ")" | comparison
    comparison  = claim ("==" | "!=") value | claim ["not"] "like" text
                | claim ["not"] "in" "[" value *("," value) "]" | value ["not"] "in" claim
    claim       = (name | "[" text "]") *("." name | "[" text "]")
    value       = text | number | "true" | "false"

A comparison is true, false or open. It is open when the claim is missing, or of another kind than what it is compared
with (the text "1" and the number 1); ``not`` leaves it open, and a rule holds only if it is true. So no claim that is
missing ever makes a rule hold, whatever stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from entrepot.errors import InvalidInput

LONGEST_RULE = 2000
"""Characters."""
DEEPEST = 20
"""Parentheses and ``not`` within each other, and names of one claim."""
IN_EVERY_TOKEN = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti"})
"""Claims that say nothing about who shows the token."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\["'\\])*"|'(?:[^'\\]|\\["'\\])*')"""
    r"""|(?P<number>-?[0-9]{1,18}(?:\.[0-9]{1,18})?)(?![\w.])"""
    r"""|(?P<word>[A-Za-z_][A-Za-z0-9_-]*)"""
    r"""|(?P<sign>==|!=|[()\[\],.]))""",
    re.ASCII,
)
_WORDS = frozenset({"and", "or", "not", "in", "like", "true", "false"})
_EXAMPLE = 'such as repository == "acme/app"'

Value = str | bool | int | float
Test = Literal["equal", "like", "has"]


class Comparison(msgspec.Struct, frozen=True):
    """A claim and what it must be."""

    claim: tuple[str, ...]
    test: Test
    values: tuple[Value, ...]
    """One of them will do; all of one kind."""


class Negation(msgspec.Struct, frozen=True):
    """What must not be so."""

    term: Comparison | Negation | Group


class Group(msgspec.Struct, frozen=True):
    """Several terms."""

    every: bool
    """Whether all must be so; else one will do."""
    terms: tuple[Comparison | Negation | Group, ...]


Term = Comparison | Negation | Group


class ClaimRule(msgspec.Struct, frozen=True):
    """A rule that was parsed."""

    text: str
    term: Term

    def holds(self, claims: Mapping[str, Any]) -> bool:
        """Whether ``claims`` are as the rule wants them; never raises."""
        return _truth(self.term, lambda comparison: _compare(comparison, claims)) is True


def parse_rule(text: str) -> ClaimRule:
    """The rule that ``text`` spells.

    Raises:
        InvalidInput: it spells none, or one that nearly every token of an issuer would fulfil.
    """
    if len(text) > LONGEST_RULE:
        raise InvalidInput(
            f"A rule has at most {LONGEST_RULE} characters; this one has {len(text)}.", code="BAD_REQUEST"
        )
    term = _Parser(text).parse()
    if _is_open(term, turned=False):
        raise InvalidInput(
            "This rule would hold for tokens that have nothing of what it names: "
            f"compare a claim that says who shows the token, {_EXAMPLE}.",
            code="BAD_REQUEST",
        )
    return ClaimRule(text, term)


def _truth(term: Term, judge: Callable[[Comparison], bool | None]) -> bool | None:
    """What Kleene's logic makes of ``term``; ``None`` is open."""
    if isinstance(term, Comparison):
        return judge(term)
    if isinstance(term, Negation):
        inner = _truth(term.term, judge)
        return None if inner is None else not inner
    found = [_truth(each, judge) for each in term.terms]
    if (not term.every) in found:
        return not term.every
    return None if None in found else term.every


def _compare(comparison: Comparison, claims: Mapping[str, Any]) -> bool | None:
    value: Any = claims
    for name in comparison.claim:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    if comparison.test == "has":
        return any(_same(each, comparison.values[0]) for each in value) if isinstance(value, list | tuple) else None
    if _kind(value) != _kind(comparison.values[0]):
        return None
    if comparison.test == "like":
        return _is_like(value, str(comparison.values[0]))
    return value in comparison.values


def _kind(value: object) -> str:
    """``bool`` is no number here, and whole numbers are numbers like others."""
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else ""


def _same(left: object, right: Value) -> bool:
    return _kind(left) == _kind(right) and left == right


def _is_like(text: str, pattern: str) -> bool:
    """Whether ``text`` is what ``pattern`` shows, each ``*`` being any run of characters; nothing is retried."""
    first, *parts = pattern.split("*")
    if not parts:
        return text == pattern
    last = parts.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in parts:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def _is_open(term: Term, *, turned: bool) -> bool:
    """Whether ``term`` can be fulfilled by a token that has none of the named values but those that every token has."""
    if isinstance(term, Negation):
        return _is_open(term.term, turned=not turned)
    if isinstance(term, Group):
        found = (_is_open(each, turned=turned) for each in term.terms)
        return all(found) if term.every != turned else any(found)
    return turned or term.claim[0] in IN_EVERY_TOKEN


class _Token(msgspec.Struct, frozen=True):
    kind: str
    """``text``, ``number``, ``word``, ``sign`` or ``end``."""
    text: str
    at: int
    """Its first character, counted from 1."""


class _Parser:
    """Reads a rule from left to right, one token ahead."""

    def __init__(self, text: str) -> None:
        self._tokens = _read_tokens(text)
        self._next = 0
        self._depth = 0

    def parse(self) -> Term:
        term = self._any()
        if self._here.kind != "end":
            raise self._wrong("and, or, or the end")
        return term

    @property
    def _here(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._here
        self._next += 1
        return token

    def _skip(self, *words: str) -> str:
        """The word or sign that is next, if it is one of ``words``, which is then behind us."""
        if self._here.kind in {"word", "sign"} and self._here.text in words:
            return self._take().text
        return ""

    def _need(self, sign: str) -> None:
        if not self._skip(sign):
            raise self._wrong(sign)

    def _any(self) -> Term:
        terms = [self._every()]
        while self._skip("or"):
            terms.append(self._every())
        return terms[0] if len(terms) == 1 else Group(every=False, terms=tuple(terms))

    def _every(self) -> Term:
        terms = [self._term()]
        while self._skip("and"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else Group(every=True, terms=tuple(terms))

    def _term(self) -> Term:
        opened = self._skip("not", "(")
        if not opened:
            return self._comparison()
        self._depth += 1
        if self._depth > DEEPEST:
            raise InvalidInput(
                f"A rule has at most {DEEPEST} parentheses and not within each other.", code="BAD_REQUEST"
            )
        if opened == "not":
            term: Term = Negation(self._term())
        else:
            term = self._any()
            self._need(")")
        self._depth -= 1
        return term

    def _comparison(self) -> Term:
        if self._is_value():
            value = self._value()
            turned = bool(self._skip("not"))
            if not self._skip("in"):
                raise self._wrong("in and a claim (which stands on the left of ==, != and like)")
            return _turn(Comparison(self._claim(), "has", (value,)), turned)
        claim = self._claim()
        sign = self._skip("==", "!=")
        if sign:
            return _turn(Comparison(claim, "equal", (self._value(),)), sign == "!=")
        turned = bool(self._skip("not"))
        if self._skip("like"):
            return _turn(Comparison(claim, "like", (self._pattern(),)), turned)
        if not self._skip("in"):
            raise self._wrong("==, !=, in or like")
        return _turn(Comparison(claim, "equal", self._values()), turned)

    def _claim(self) -> tuple[str, ...]:
        names = [self._bracketed() if self._skip("[") else self._name()]
        while sign := self._skip(".", "["):
            names.append(self._bracketed() if sign == "[" else self._name())
        if len(names) > DEEPEST:
            raise InvalidInput(f"A claim has at most {DEEPEST} names within each other.", code="BAD_REQUEST")
        return tuple(names)

    def _name(self) -> str:
        if self._here.kind != "word" or self._here.text in _WORDS:
            raise self._wrong("the name of a claim")
        return self._take().text

    def _bracketed(self) -> str:
        name = self._string("a claim's name in quotes")
        self._need("]")
        return name

    def _string(self, expected: str) -> str:
        if self._here.kind != "text":
            raise self._wrong(expected)
        return self._take().text

    def _pattern(self) -> str:
        at = self._here.at
        pattern = self._string('a pattern in quotes, such as "refs/tags/v*"')
        if not pattern.strip("*"):
            raise InvalidInput(f"The pattern at character {at} takes everything: say more than *.", code="BAD_REQUEST")
        return pattern

    def _values(self) -> tuple[Value, ...]:
        self._need("[")
        at, values = self._here.at, [self._value()]
        while self._skip(","):
            values.append(self._value())
        self._need("]")
        if len({_kind(value) for value in values}) > 1:
            raise InvalidInput(f"The values of the list at character {at} are not of one kind.", code="BAD_REQUEST")
        return tuple(values)

    def _is_value(self) -> bool:
        return self._here.kind in {"text", "number"} or (
            self._here.kind == "word" and self._here.text in {"true", "false"}
        )

    def _value(self) -> Value:
        if not self._is_value():
            raise self._wrong("a text in quotes, a number, true or false")
        token = self._take()
        if token.kind == "number":
            return float(token.text) if "." in token.text else int(token.text)
        return token.text == "true" if token.kind == "word" else token.text

    def _wrong(self, expected: str) -> InvalidInput:
        found = f"not {self._here.text[:32]!r}" if self._here.kind != "end" else "but ends"
        return InvalidInput(f"At character {self._here.at} the rule needs {expected}, {found}.", code="BAD_REQUEST")


def _turn(term: Comparison, turned: bool) -> Term:
    return Negation(term) if turned else term


def _read_tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position, end)
        if match is None:
            rest = text[position:].lstrip()
            at = len(text) - len(rest) + 1
            reason = (
                "this text has no end, or a backslash before something else than a quote" if rest[0] in "\"'" else ""
            )
            raise InvalidInput(
                f"The rule cannot be read at character {at}: {reason or f'nothing begins with {rest[0]!r}'}.",
                code="BAD_REQUEST",
            )
        kind = match.lastgroup or ""
        found = match.group(kind)
        if kind == "text":
            found = re.sub(r"\\(.)", r"\1", found[1:-1], flags=re.DOTALL)
        tokens.append(_Token(kind, found, match.start(kind) + 1))
        position = match.end()
    tokens.append(_Token("end", "", len(text) + 1))
    return tokens
