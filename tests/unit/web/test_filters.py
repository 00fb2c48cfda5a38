"""The language of ``q=`` and ``sort=``."""

from __future__ import annotations

import contextlib
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import InvalidInput
from entrepot.kit.listing import Condition, SortKey
from entrepot.web.filters import (
    MAX_CONDITIONS,
    MAX_LENGTH,
    MAX_SORT_KEYS,
    MAX_VALUES,
    parse_filters,
    parse_sort,
)


def one(text: str) -> Condition:
    (condition,) = parse_filters(text)
    return condition


def refusal(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse_filters(text)
    assert caught.value.error_code == "BAD_REQUEST"
    assert caught.value.status == 400
    return caught.value.message


def test_nothing_asks_for_nothing() -> None:
    assert parse_filters("") == ()
    assert parse_sort("") == ()


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ("k=v", "exact", ("v",)),
        ("k=a b", "exact", ("a b",)),
        ("k==v=", "exact", ("=v=",)),
        ("k=*", "exact", ("*",)),
        (r"k=\~v", "exact", ("~v",)),
        (r"k=\{a b}", "exact", ("{a b}",)),
        (r"k=\\v", "exact", (r"\v",)),
        (r'k=\"v"', "exact", ('"v"',)),
        ('k="a,b"', "exact", ("a,b",)),
        ("k='a,b'", "exact", ("a,b",)),
        (r'k="\v"', "exact", (r"\v",)),
        ("k='tis", "exact", ("'tis",)),
        ('k=""', "exact", ("",)),
        ("k=~v", "fuzzy", ("v",)),
        ("k=~~", "fuzzy", ("~",)),
        ('k=~"', "fuzzy", ('"',)),
        ("k=~\\", "fuzzy", ("\\",)),
        ('k=~"a, b"', "fuzzy", ("a, b",)),
        ("k=[1~2]", "range", ("1", "2")),
        ("k=[1~]", "range", ("1", None)),
        ("k=[~2]", "range", (None, "2")),
        ("k=[ 1 ~ 2 ]", "range", ("1", "2")),
        ("k=[2020-04-09T02:36:00~2020-05-01 00:00:00]", "range", ("2020-04-09T02:36:00", "2020-05-01 00:00:00")),
        ("k=[\"a~b\"~ 'c]' ]", "range", ("a~b", "c]")),
        ("k={1}", "any", ("1",)),
        ("k={a b  c}", "any", ("a", "b", "c")),
        ("k={ 'a b' \"c,}\" d }", "any", ("a b", "c,}", "d")),
        ("k={a}b c}", "any", ("a}b", "c")),
        ("k={}", "any", ()),
        ("k=(1 2)", "all", ("1", "2")),
        ("k=('a)' b)", "all", ("a)", "b")),
    ],
)
def test_each_form_is_read(text: str, kind: str, values: tuple[str | None, ...]) -> None:
    condition = one(text)
    assert (condition.key, condition.kind, condition.values) == ("k", kind, values)


def test_conditions_stand_between_commas() -> None:
    assert parse_filters("Level=project, ProjectID=1,name=~web,used.storage=[1~],tags={a b}") == (
        Condition("Level", "exact", ("project",)),
        Condition("ProjectID", "exact", ("1",)),
        Condition("name", "fuzzy", ("web",)),
        Condition("used.storage", "range", ("1", None)),
        Condition("tags", "any", ("a", "b")),
    )


def test_two_conditions_on_one_field_are_both_kept() -> None:
    assert len(parse_filters("t=[1~],t=[~2]")) == 2


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("k", "field=value"),
        ("k=v,", "field=value"),
        (",k=v", "field=value"),
        ("k=a,b", 'quote a value that holds ","'),
        ("=v", "name of a field"),
        ("k k=v", "name of a field"),
        ("k;drop=v", "name of a field"),
        ("k=", "missing"),
        ("k=,l=v", "missing"),
        ("k=~", "contain"),
        ("k=~,l=v", "contain"),
        ("k=[1]", "[from~to]"),
        ("k=[1~2", "[from~to]"),
        ("k=[1~2~3]", "[from~to]"),
        ("k=[1~2]3", "[from~to]"),
        ("k=[~]", "open on both sides"),
        ("k={a,b}", "blanks between"),
        ("k={a b", "blanks between"),
        ("k={a b)", "{one two}"),
        ("k=(a b}", "(one two)"),
        ("k=a\x00", "NUL"),
        ("k=%00", "NUL"),
        ("k=\ud800", "surrogate"),
        ("k=%FF", "UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_hint(text: str, hint: str) -> None:
    assert hint in refusal(text)


def test_a_refusal_shows_only_the_beginning_of_a_long_text() -> None:
    assert len(refusal("x" * 4000)) < 200


def test_what_harbor_s_portal_encodes_twice_is_decoded_twice() -> None:
    assert one("tags%3Dnil") == Condition("tags", "exact", ("nil",))
    assert one("name%3D~a%20b").value == "a b"
    assert parse_filters("k%3D%7Bv1+v2%7D") == (Condition("k", "any", ("v1", "v2")),)


def test_a_plus_and_a_percent_sign_survive_a_single_encoding() -> None:
    assert one("k=~c++").value == "c++"
    assert one("k=~100%").value == "100%"
    assert one(quote("k=~c++ 100%")).value == "c++ 100%"


def test_the_bounds_hold() -> None:
    assert len(parse_filters(",".join(["k=v"] * MAX_CONDITIONS))) == MAX_CONDITIONS
    assert str(MAX_CONDITIONS) in refusal(",".join(["k=v"] * (MAX_CONDITIONS + 1)))
    assert len(one("k={" + " ".join(["v"] * MAX_VALUES) + "}").values) == MAX_VALUES
    assert str(MAX_VALUES) in refusal("k=(" + " ".join(["v"] * (MAX_VALUES + 1)) + ")")
    assert one("k=" + "v" * (MAX_LENGTH - 2)).kind == "exact"
    assert str(MAX_LENGTH) in refusal("k=" + "v" * (MAX_LENGTH - 1))


@pytest.mark.parametrize("text", ["k=[", "k={", "k=(", "k=[x", "k={x", 'k={"', "k=~", "k=['", "k={'a' ", "k=[a~b"])
@pytest.mark.parametrize("filler", [" ", "a", "a ", "'", '"', "\"'", "~", "]", "} ", "'' ", "\\"])
def test_hostile_text_costs_no_more_than_its_length(text: str, filler: str) -> None:
    hostile = (text + filler * MAX_LENGTH)[:MAX_LENGTH]
    before = time.process_time()
    with contextlib.suppress(InvalidInput):
        parse_filters(hostile)
    assert time.process_time() - before < 1


@given(st.text() | st.text(alphabet="k=~[]{}()\\\"', ,%20+\x00\ud800é", max_size=40))
def test_nothing_but_invalid_input_is_ever_raised(text: str) -> None:
    for parse in (parse_filters, parse_sort):
        with contextlib.suppress(InvalidInput):
            parse(text)


plain = st.text(st.characters(exclude_characters="\x00\"'", exclude_categories=["Cs"]), max_size=20)


@given(st.lists(plain, max_size=8), st.sampled_from([("{", "}", "any"), ("(", ")", "all")]))
def test_a_quoted_list_comes_back_as_it_was(values: list[str], form: tuple[str, str, str]) -> None:
    opening, closing, kind = form
    text = "k=" + opening + " ".join(f'"{value}"' for value in values) + closing + ",l=1"
    for encoded in (quote(text), quote_plus(text)):
        assert parse_filters(encoded) == (Condition("k", kind, tuple(values)), Condition("l", "exact", ("1",)))  # type: ignore[arg-type]


@given(plain, plain)
def test_a_quoted_value_and_a_quoted_range_come_back_as_they_were(least: str, greatest: str) -> None:
    assert one(quote(f"k='{least}'")).values == (least,)
    assert one(quote(f'k=["{least}"~"{greatest}"]')).values == (least, greatest)


@given(st.text(st.characters(exclude_characters="\x00,", exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_a_backslash_before_anything_makes_it_exact(value: str) -> None:
    assert one(quote("k=\\" + value)) == Condition("k", "exact", (value,))


def test_sort_keys_are_read_in_their_order() -> None:
    assert parse_sort("name, -creation_time,used.storage") == (
        SortKey("name"),
        SortKey("creation_time", descending=True),
        SortKey("used.storage"),
    )


@pytest.mark.parametrize(
    "text", [",", "a,", "-", "--a", "a b", "a desc", "a;b", ",".join(["a"] * (MAX_SORT_KEYS + 1)), "a\x00"]
)
def test_a_sort_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_sort(text)
    assert caught.value.error_code == "BAD_REQUEST"
