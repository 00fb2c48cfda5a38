"""Pages of REST lists and the links between them."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import InvalidInput
from entrepot.kit.listing import Condition, Listing, SortKey
from entrepot.web.pages import WHOLE_SIZE, link_header, listing_of, page_of

PATH = "/api/v2.0/projects"


def test_the_first_page_has_ten_rows() -> None:
    assert page_of() == Listing(1, 10)
    assert (page_of().offset, page_of().limit) == (0, 10)
    assert (page_of(3, 100).offset, page_of(3, 100).limit) == (200, 100)


@pytest.mark.parametrize(("page", "size"), [(1, 101), (0, 101), (2**63, 10), (2**62, 2), (2**62, 0)])
def test_a_page_that_cannot_be_is_refused(page: int, size: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        page_of(page, size)
    assert caught.value.error_code == "BAD_REQUEST"


@pytest.mark.parametrize(("page", "size"), [(0, 10), (-1, 10), (-(2**63), 10)])
def test_a_page_before_the_first_is_the_first(page: int, size: int) -> None:
    assert page_of(page, size) == listing_of("", "", page, size) == Listing(1, 10)


@pytest.mark.parametrize("size", [0, -1, -(2**63)])
def test_a_page_of_nothing_is_all_that_one_answer_holds(size: int) -> None:
    assert page_of(0, size) == listing_of("", "", 0, size) == Listing(1, WHOLE_SIZE)


def test_what_one_answer_does_not_hold_is_behind_a_link() -> None:
    asked = "page=0&page_size=0"
    assert link_header(PATH, asked, 1, WHOLE_SIZE, WHOLE_SIZE) == ""
    assert link_header(PATH, asked, 1, WHOLE_SIZE, WHOLE_SIZE + 1) == f'<{PATH}?page=2&page_size=0>; rel="next"'


def test_the_last_page_that_can_be_counted_is_accepted() -> None:
    assert page_of((2**63 - 1) // 100, 100).offset < 2**63


def test_a_listing_holds_all_four_parameters() -> None:
    assert listing_of("name=~a,tags=nil", "-name", 2, 20) == Listing(
        2, 20, (Condition("name", "fuzzy", ("a",)), Condition("tags", "exact", ("nil",))), (SortKey("name", True),)
    )
    assert listing_of("name=~a,tags=nil").about({"tags"}) == (Condition("tags", "exact", ("nil",)),)


def test_a_middle_page_is_linked_to_both_sides_as_harbor_writes_it() -> None:
    assert link_header(PATH, "page=2&page_size=10", 2, 10, 21) == (
        '</api/v2.0/projects?page=1&page_size=10>; rel="prev" , </api/v2.0/projects?page=3&page_size=10>; rel="next"'
    )


def test_the_first_and_the_last_page_are_linked_to_one_side() -> None:
    assert link_header(PATH, "", 1, 10, 11) == '</api/v2.0/projects?page=2&page_size=10>; rel="next"'
    assert link_header(PATH, "", 2, 10, 11) == '</api/v2.0/projects?page=1&page_size=10>; rel="prev"'


@pytest.mark.parametrize(("page", "total"), [(1, 0), (1, 10), (3, 10), (9, 0)])
def test_a_page_alone_or_beyond_the_end_has_no_link(page: int, total: int) -> None:
    assert link_header(PATH, "", page, 10, total) == ""


def test_the_page_just_after_the_end_leads_back_only_if_it_touches_rows() -> None:
    assert link_header(PATH, "", 2, 10, 10) == ""
    assert "prev" in link_header(PATH, "", 2, 10, 11)


def test_other_parameters_are_kept_and_ordered_by_name() -> None:
    query = "sort=-name&q=name%3D~a&page_size=5&page=1&with_tag=true&with_tag=false&empty="
    assert link_header(PATH, query, 1, 5, 6) == (
        f'<{PATH}?empty=&page=2&page_size=5&q=name%3D~a&sort=-name&with_tag=true&with_tag=false>; rel="next"'
    )


def test_a_page_written_in_another_way_is_replaced_too() -> None:
    assert "p%61ge" not in link_header(PATH, "p%61ge=1", 1, 5, 6)


def test_a_repository_encoded_twice_stays_so() -> None:
    assert "/repositories/a%252Fb/artifacts?" in link_header(
        "/api/v2.0/projects/p/repositories/a%252Fb/artifacts", "", 1, 1, 2
    )


def test_nothing_can_break_out_of_the_link_or_the_header() -> None:
    link = link_header("/p>, <x", 'q=">; rel="next"\r\nSet-Cookie: a=b, {é}\ud800', 1, 1, 2)
    assert link.endswith('>; rel="next"')
    assert link.count("<") == link.count(">") == 1
    assert re.fullmatch(r"[\x21-\x7e ]*", link)
    assert "," not in link


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(text, text, st.integers(1, 50), st.integers(1, 100), st.integers(0, 6000))
def test_links_are_safe_and_lead_one_page_on(path: str, query: str, page: int, size: int, total: int) -> None:
    header = link_header("/" + path, query, page, size, total)
    assert header.isascii()
    assert header.isprintable()
    found = {rel: url for url, rel in re.findall(r'<([^<>]*)>; rel="(prev|next)"', header)}
    assert ("next" in found) == (page * size < total)
    for rel, url in found.items():
        asked = dict(parse_qsl(urlsplit("http://host" + url).query))
        assert asked["page"] == str(page + (1 if rel == "next" else -1))
        assert asked["page_size"] == str(size)


@given(st.dictionaries(st.sampled_from(["q", "sort", "name"]), text.filter(bool)))
def test_what_the_client_asked_comes_back_when_the_link_is_followed(parameters: dict[str, str]) -> None:
    header = link_header(PATH, urlencode(parameters), 1, 1, 2)
    url = header[1 : header.index(">")]
    assert dict(parse_qsl(urlsplit(url).query)) == parameters | {"page": "2", "page_size": "1"}
