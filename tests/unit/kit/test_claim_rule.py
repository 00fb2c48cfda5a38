"""Rules on the claims of a token."""

from __future__ import annotations

import fnmatch
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import InvalidInput
from entrepot.kit.claim_rule import DEEPEST, LONGEST_RULE, parse_rule

CLAIMS: dict[str, Any] = {
    "repository": "acme/app",
    "ref": "refs/tags/v1.2",
    "kubernetes.io": {"namespace": "ci", "pod": {"name": "build-1"}},
    "https://example.com/teams": ["a", "b"],
    "job": {"name": "deploy", "run": 7},
    "groups": ["dev", "ops", 3],
    "run_attempt": 2,
    "share": 0.5,
    "protected": True,
    "nothing": None,
    "quoted": 'say "hi" \\ o\'clock',
}

HOLDING = [
    'repository == "acme/app"',
    "repository == 'acme/app'",
    'repository == "acme/app" and ref like "refs/tags/v*"',
    'repository == "other" or ref like "refs/tags/*"',
    'repository in ["other", "acme/app"]',
    'repository == "acme/app" and ref not in ["refs/heads/main"]',
    'repository == "acme/app" and ref not like "refs/pull/*"',
    'repository == "acme/app" and ref != "refs/heads/main"',
    'not (ref != "refs/tags/v1.2")',
    '["kubernetes.io"].namespace == "ci"',
    '["kubernetes.io"]["pod"].name like "build-*"',
    'job.name == "deploy" and job["run"] == 7',
    '"a" in ["https://example.com/teams"]',
    '"dev" in groups and not "admin" in groups',
    '3 in groups and "admin" not in groups',
    "run_attempt == 2",
    "run_attempt == 2.0",
    "share in [0.5, 1]",
    "protected == true",
    'not (repository != "acme/app" or ref == "x")',
    'repository == "x" or repository == "acme/app" and protected == true',
    r'quoted == "say \"hi\" \\ o\'clock"',
    '  repository\n==\t"acme/app"  ',
    'missing == "x" or repository == "acme/app"',
    'ref like "refs/tags/v1.2"',
    'ref like "*/tags/*.2"',
]

NOT_HOLDING = [
    'repository == "acme"',
    'repository == "acme/app" and ref == "refs/heads/main"',
    # what is missing makes nothing hold, whatever stands before it
    'missing == "x"',
    'repository == "acme/app" and missing != "x"',
    'repository == "acme/app" and not missing == "x"',
    'repository == "acme/app" and not (missing == "x" and missing == "y")',
    'repository == "acme/app" and missing not in ["x"]',
    'repository == "acme/app" and missing not like "x*"',
    'repository == "acme/app" and "x" not in missing',
    'repository == "acme/app" and nothing != "x"',
    'repository == "acme/app" and job.missing.deeper != "x"',
    'repository == "acme/app" and repository.deeper != "x"',
    # nor does what is of another kind
    'repository == "acme/app" and run_attempt != "2"',
    'run_attempt == "2"',
    "protected == 1",
    "run_attempt == true",
    'protected == "true"',
    'repository == "acme/app" and protected != "true"',
    'groups == "dev"',
    '"acme" in repository',
    'repository == "acme/app" and "x" not in repository',
    '"3" in groups',
    "true in groups",
    'ref like "refs/tags"',
    'ref like "tags/*"',
    'ref like "refs/tags/v1.2*.2"',
    "REPOSITORY == 'acme/app'",
]


@pytest.mark.parametrize("text", HOLDING)
def test_it_holds(text: str) -> None:
    assert parse_rule(text).holds(CLAIMS)


@pytest.mark.parametrize("text", NOT_HOLDING)
def test_it_does_not_hold(text: str) -> None:
    assert not parse_rule(text).holds(CLAIMS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "character 1"),
        ("repository", "==, !=, in or like"),
        ('repository = "x"', "nothing begins with '='"),
        ('repository == "x', "has no end"),
        (r'repository == "\n"', "backslash"),
        ("repository == x", "a text in quotes, a number, true or false"),
        ('"x" == repository', "in and a claim"),
        ("true", "in and a claim"),
        ('"a" == "a"', "in and a claim"),
        ('ref in ["a", 1]', "of one kind"),
        ("ref in []", "a text in quotes"),
        ('ref in ["a"', "], but ends"),
        ('(ref == "a"', "), but ends"),
        ('ref == "a")', "and, or, or the end, not ')'"),
        ('ref == "a" AND ref == "b"', "and, or, or the end, not 'AND'"),
        ('a..b == "x"', "the name of a claim"),
        ('and == "x"', "the name of a claim"),
        ("run == 1x", "nothing begins with '1'"),
        ('ref like "**"', "takes everything"),
        ("ref like 3", "a pattern in quotes"),
        ('ref == "a" # b', "nothing begins with '#'"),
        ("(" * (DEEPEST + 1) + 'ref == "a"' + ")" * (DEEPEST + 1), "within each other"),
        ("not " * (DEEPEST + 1) + 'ref == "a"', "within each other"),
        ("a" + ".a" * DEEPEST + ' == "x"', "within each other"),
        (f'ref == "{"a" * LONGEST_RULE}"', f"at most {LONGEST_RULE} characters"),
        # rules that open the door to everybody whom the issuer knows
        ('iss == "https://issuer.example.com"', "nothing of what it names"),
        ('aud == "registry" and exp == 1', "nothing of what it names"),
        ('ref != "refs/heads/main"', "nothing of what it names"),
        ('not ref == "refs/heads/main"', "nothing of what it names"),
        ('repository == "acme/app" or ref != "x"', "nothing of what it names"),
        ('not (repository == "acme/app" and ref == "x")', "nothing of what it names"),
        ('"x" not in groups', "nothing of what it names"),
    ],
)
def test_what_is_no_rule_is_refused_with_a_sentence(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(words)) as refused:
        parse_rule(text)
    assert refused.value.message.endswith(".")
    assert len(refused.value.message) < 250


def test_a_position_is_counted_from_one() -> None:
    with pytest.raises(InvalidInput, match="character 8 the rule needs"):
        parse_rule('ref == ref == "x"')


def test_no_pattern_makes_matching_slow() -> None:
    rule = parse_rule('ref like "' + "a*" * 500 + 'b"')
    began = time.perf_counter()
    assert not rule.holds({"ref": "a" * 16_000})
    assert time.perf_counter() - began < 0.5


@given(st.text(alphabet="ab/*", max_size=12), st.text(alphabet="ab/", max_size=20))
def test_a_pattern_is_a_glob_with_stars_only(pattern: str, text: str) -> None:
    if not pattern.strip("*"):
        return
    assert parse_rule(f'ref like "{pattern}"').holds({"ref": text}) == fnmatch.fnmatchcase(text, pattern)


@given(st.text(max_size=60) | st.text(alphabet="ab.[]\"'\\()=!,* 1andornotlike", max_size=60))
def test_any_text_is_a_rule_or_is_refused(text: str) -> None:
    try:
        rule = parse_rule(text)
    except InvalidInput:
        return
    assert not rule.holds({})


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)
_claims = st.dictionaries(st.sampled_from("abc"), _json, max_size=3)
_values = st.sampled_from(['"x"', "1", "true", "0.5"])
_atoms = st.one_of(
    st.builds("{} {} {}".format, st.sampled_from("abc"), st.sampled_from(["==", "!="]), _values),
    st.builds("{} in {}".format, _values, st.sampled_from(["a", "b.c"])),
    st.builds('{} like "{}"'.format, st.sampled_from("abc"), st.sampled_from(["x*", "*x", "*x*"])),
)
_rules = st.recursive(
    _atoms,
    lambda inner: (
        st.builds("({} and {})".format, inner, inner)
        | st.builds("({} or {})".format, inner, inner)
        | st.builds("not {}".format, inner)
    ),
    max_leaves=8,
)


@given(_rules, _claims)
def test_a_rule_judges_any_claims_and_never_raises(text: str, claims: dict[str, Any]) -> None:
    try:
        rule = parse_rule(text)
    except InvalidInput:
        return
    assert rule.holds(claims) in {True, False}
    assert not rule.holds({})


@given(_rules, _claims)
def test_a_rule_and_its_negation_never_hold_both(text: str, claims: dict[str, Any]) -> None:
    anchored = 'a == "anchor" and '
    try:
        rule, turned = parse_rule(f"{anchored}{text}"), parse_rule(f"{anchored}not ({text})")
    except InvalidInput:
        return
    claims = {**claims, "a": "anchor"}
    assert not (rule.holds(claims) and turned.holds(claims))
