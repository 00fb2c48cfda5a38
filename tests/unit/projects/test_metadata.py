"""Harbor's project metadata: what each key takes, and how it is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import InvalidInput
from entrepot.projects.metadata import KEYS, check, check_one


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("public", "True", "true"),
        ("auto_scan", "false", "false"),
        ("severity", "High", "high"),
        ("severity", "negligible", "none"),
        ("proxy_speed_kb", "-1", "-1"),
        ("proxy_speed_kb", "+007", "7"),
        ("max_upstream_conn", "-1", "-1"),
        ("max_upstream_conn", "30", "30"),
        ("proxy_cache_filter_kind", "regex", "regex"),
        ("proxy_cache_filter_pattern", "library/**", "library/**"),
    ],
)
def test_a_value_is_kept_as_harbor_writes_it(key: str, value: str, kept: str) -> None:
    assert check({key: value}) == {key: kept}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("public", "yes"),
        ("prevent_vul", "1 "),
        ("severity", "unknown"),
        ("proxy_speed_kb", "fast"),
        ("proxy_speed_kb", str(2**31)),
        ("proxy_speed_kb", "\u0661"),
        ("max_upstream_conn", "0"),
        ("max_upstream_conn", "-2"),
        ("proxy_cache_filter_kind", "glob"),
        ("proxy_cache_filter_pattern", "x" * 1025),
        ("retention_id", "1"),
    ],
)
def test_a_value_that_a_key_does_not_take_is_refused_by_the_keys_name(key: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=key):
        check({key: value})


def test_among_many_what_is_unknown_or_empty_is_left_out() -> None:
    assert check({"color": "red", "severity": "", "retention_id": "", "public": "true"}) == {"public": "true"}


def test_alone_what_is_unknown_or_empty_is_refused() -> None:
    for key, value in (("color", "red"), ("severity", ""), ("public", "")):
        with pytest.raises(InvalidInput):
            check_one(key, value)


@given(st.sampled_from(sorted(KEYS)), st.text())
def test_whatever_is_sent_is_kept_or_refused_and_what_is_kept_stays(key: str, value: str) -> None:
    try:
        kept = check({key: value})
    except InvalidInput:
        return
    assert check(kept) == kept
