"""Pages: ``n``, ``last`` and the Link header."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import InvalidInput
from entrepot.web import paging
from entrepot.web.paging import PAGE_LIMIT, Page


def test_without_parameters_the_page_is_the_largest() -> None:
    assert paging.parse({}) == Page(PAGE_LIMIT, "")


def test_n_and_last_are_read_and_the_last_of_several_counts() -> None:
    assert paging.parse({"n": ["3"], "last": ["a"]}) == Page(3, "a")
    assert paging.parse({"n": ["3", "4"], "last": ["a", "b"]}) == Page(4, "b")


def test_an_empty_n_is_none_and_zero_is_zero() -> None:
    assert paging.parse({"n": [""]}).size == PAGE_LIMIT
    assert paging.parse({"n": ["0"]}).size == 0


def test_a_page_larger_than_the_largest_is_cut() -> None:
    assert paging.parse({"n": [str(PAGE_LIMIT + 1)]}).size == PAGE_LIMIT
    assert paging.parse({"n": ["9" * 18]}).size == PAGE_LIMIT


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "1e3", " 1", "٣", "²", "9" * 19, "9" * 5000, "+1", "0x1"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        paging.parse({"n": [text]})
    assert refused.value.error_code == "PAGINATION_NUMBER_INVALID"
    assert refused.value.status == 400


@given(st.text(max_size=30), st.integers(1, PAGE_LIMIT), st.text(max_size=10))
def test_the_link_leads_back_to_the_same_page(last: str, size: int, artifact_type: str) -> None:
    name, value = paging.link("/v2/a/b/tags/list", last, size, artifactType=artifact_type)
    assert name == b"link"
    target, _, relation = value.decode("ascii").partition(">")
    assert relation == '; rel="next"'
    url = urlsplit(target.removeprefix("<"))
    assert url.path == "/v2/a/b/tags/list"
    parameters = parse_qs(url.query, keep_blank_values=True)
    assert paging.parse(parameters) == Page(size, last)
    assert parameters["artifactType"] == [artifact_type]
