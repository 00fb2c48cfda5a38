"""Byte ranges (RFC 9110, section 14), against a model that is slow and plain."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import RangeNotSatisfiable
from entrepot.web import ranges

Spec = tuple[int | None, int | None]

specs = st.one_of(
    st.tuples(st.integers(0, 40), st.none()),
    st.tuples(st.none(), st.integers(0, 40)),
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
)


def header_of(wanted: list[Spec], space: str = "") -> str:
    texts = [f"{'' if a is None else a}-{'' if b is None else b}" for a, b in wanted]
    return "bytes=" + f",{space}".join(texts)


def positions(spec: Spec, size: int) -> list[int]:
    """The bytes that one spec names, counted one by one."""
    first, last = spec
    if first is None:
        assert last is not None
        return [p for p in range(size) if p >= size - last]
    return [p for p in range(size) if p >= first and (last is None or p <= last)]


@given(st.lists(specs, min_size=1, max_size=5), st.integers(0, 30), st.sampled_from(["", " ", "  "]))
def test_the_spans_are_the_bytes_that_the_header_names(wanted: list[Spec], size: int, space: str) -> None:
    expected = [found for spec in wanted if (found := positions(spec, size))]
    backwards = any(a is not None and b is not None and b < a for a, b in wanted)
    try:
        spans = ranges.parse(header_of(wanted, space), size)
    except RangeNotSatisfiable:
        assert backwards or not expected
        return
    assert not backwards
    if spans is None:
        assert sum(map(len, expected)) > size
    else:
        assert [list(range(*span)) for span in spans] == expected


@given(specs, st.integers(1, 30))
def test_a_single_range_is_never_ignored(spec: Spec, size: int) -> None:
    try:
        spans = ranges.parse(header_of([spec]), size)
    except RangeNotSatisfiable:
        return
    assert spans is not None
    assert len(spans) == 1


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        ("bytes=0-0", 10, [(0, 1)]),
        ("bytes=0-1", 10, [(0, 2)]),
        ("bytes=5-", 10, [(5, 10)]),
        ("bytes=-3", 10, [(7, 10)]),
        ("bytes=-30", 10, [(0, 10)]),
        ("bytes=2-900", 10, [(2, 10)]),
        ("bytes=9-9", 10, [(9, 10)]),
        ("bytes=0-1,3-4, -1", 10, [(0, 2), (3, 5), (9, 10)]),
        ("bytes=0-1,50-60", 10, [(0, 2)]),
        ("bytes=007-008", 10, [(7, 9)]),
    ],
)
def test_known_headers(header: str, size: int, expected: list[ranges.Span]) -> None:
    assert ranges.parse(header, size) == expected


@pytest.mark.parametrize("header", ["", "items=0-1", "Bites=0-1", "none", "0-1"])
def test_another_unit_is_ignored(header: str) -> None:
    assert ranges.parse(header, 10) is None


@pytest.mark.parametrize(
    "header",
    [
        "bytes=10-",
        "bytes=10-20",
        "bytes=-0",
        "bytes=500-0",
        "bytes=5-4",
        "bytes=",
        "bytes=x",
        "bytes=-",
        "bytes=1",
    ],
)
def test_what_cannot_be_satisfied_is_416_and_names_the_size(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        ranges.parse(header, 10)
    assert refused.value.status == 416
    assert (b"content-range", b"bytes */10") in refused.value.headers


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"])
def test_no_range_of_nothing_can_be_satisfied(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        ranges.parse(header, 0)


def test_overlapping_ranges_that_add_up_to_more_than_the_content_are_ignored() -> None:
    assert ranges.parse("bytes=0-9,0-9", 10) is None


def test_absurdly_many_ranges_are_ignored() -> None:
    assert ranges.parse("bytes=" + ",".join(f"{n}-{n}" for n in range(2000)), 10_000) is None


@pytest.mark.parametrize("digits", [20, 5000])
def test_a_number_of_any_length_is_no_failure_of_ours(digits: int) -> None:
    with pytest.raises(RangeNotSatisfiable):
        ranges.parse("bytes=" + "9" * digits + "-", 10)
    assert ranges.parse("bytes=-" + "9" * digits, 10) == [(0, 10)]
    assert ranges.parse("bytes=0-" + "9" * digits, 10) == [(0, 10)]


@pytest.mark.parametrize(
    "header", ["bytes=" + "11-" * 300 + "x", "bytes=" + "1- " * 300 + "x", "bytes=" + "1-1," * 3000 + "x"]
)
def test_no_header_takes_long_to_read(header: str) -> None:
    """In a process of its own, since an endless regular expression cannot be interrupted."""
    program = f"from entrepot.web import ranges\ntry: ranges.parse({header!r}, 10)\nexcept Exception: pass"
    try:
        subprocess.run([sys.executable, "-c", program], timeout=2, check=True)
    except subprocess.TimeoutExpired:
        pytest.fail(f"more than two seconds for a header of {len(header)} characters")


@given(st.text("0123456789-, \tbytes=x", max_size=20).map("bytes={}".format), st.integers(0, 20))
def test_any_header_yields_spans_inside_the_content_or_is_refused(header: str, size: int) -> None:
    try:
        spans = ranges.parse(header, size)
    except RangeNotSatisfiable:
        return
    for start, end in spans or []:
        assert 0 <= start < end <= size
