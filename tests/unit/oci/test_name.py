"""Repository names and tags, against the spec's regular expressions."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import InvalidInput
from entrepot.oci.name import RepositoryName, is_project_name, is_tag, parse_name, parse_tag

# distribution-spec, "Pulling manifests", word for word.
SPEC_NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
SPEC_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")

near_names = st.text("az09._-/A", max_size=24)
near_tags = st.text("aZ9._-+:/ ", max_size=140)


def refusal_of(parse: Callable[[str], object], text: str) -> str | None:
    try:
        parse(text)
    except InvalidInput as refused:
        return refused.error_code
    return None


@given(near_names)
def test_a_name_is_accepted_exactly_when_the_spec_accepts_it(text: str) -> None:
    expected = None if SPEC_NAME.fullmatch(text) else "NAME_INVALID"
    assert refusal_of(parse_name, text) == expected
    if expected is None:
        assert parse_name(text).full in {text, f"library/{text}"}


@given(near_tags)
def test_a_tag_is_accepted_exactly_when_the_spec_accepts_it(text: str) -> None:
    assert is_tag(text) == (SPEC_TAG.fullmatch(text) is not None)


@given(st.text(max_size=40))
def test_any_text_is_either_a_tag_or_refused_as_tag_invalid(text: str) -> None:
    assert refusal_of(parse_tag, text) == (None if is_tag(text) else "TAG_INVALID")


def test_a_name_of_one_component_lives_in_library() -> None:
    assert parse_name("my-ubuntu") == parse_name("library/my-ubuntu") == RepositoryName("library", "my-ubuntu")
    assert parse_name("my-ubuntu").full == "library/my-ubuntu"


def test_the_first_component_is_the_project_and_the_rest_the_path() -> None:
    assert parse_name("team/backend/api") == RepositoryName("team", "backend/api")


def test_words_of_the_api_may_be_components() -> None:
    assert parse_name("a/blobs/manifests/tags/list").path == "blobs/manifests/tags/list"


def test_a_name_has_at_most_255_characters() -> None:
    assert parse_name("a/" + "b" * 253).full
    with pytest.raises(InvalidInput):
        parse_name("a/" + "b" * 254)


def test_a_name_that_the_default_project_makes_too_long_is_refused() -> None:
    """Else the catalog would show a name that no request can use."""
    name = "b" * 255
    try:
        full = parse_name(name).full
    except InvalidInput:
        return
    assert parse_name(full) == parse_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "A",
        "a___b",
        "a..b",
        "-a",
        "a-",
        "a._b",
        ".",
        "..",
        "a/../b",
        "a\n",
        "a b",
        "é",
        "a:b",
        "a@b",
    ],
)
def test_a_name_outside_the_grammar_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_name(name)
    assert refused.value.error_code == "NAME_INVALID"


@pytest.mark.parametrize("name", ["a__b", "a---b", "0", "a.b_c-d", "a" * 255])
def test_a_component_of_the_grammar_may_name_a_project(name: str) -> None:
    assert is_project_name(name)


@pytest.mark.parametrize("name", ["", "a/b", "A", "a_", "a" * 256, "a\n"])
def test_anything_else_may_not_name_a_project(name: str) -> None:
    assert not is_project_name(name)


@pytest.mark.parametrize("tag", ["", ".a", "-a", "a" * 129, "a/b", "a:b", "ä", "a\n", "a b"])
def test_a_tag_outside_the_grammar_is_refused(tag: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_tag(tag)
    assert refused.value.error_code == "TAG_INVALID"


def test_the_refusal_of_an_endless_name_or_tag_is_short() -> None:
    for parse in (parse_name, parse_tag):
        with pytest.raises(InvalidInput) as refused:
            parse("x/" * 100_000)
        assert len(repr(refused.value.detail)) < 400
