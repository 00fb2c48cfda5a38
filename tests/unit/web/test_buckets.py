"""Token buckets, with a clock that the tests move."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.web.buckets import Level, TokenBuckets
from entrepot.web.rates import Rate


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def let_in(buckets: TokenBuckets, key: object, times: int) -> int:
    return sum(buckets.take(key).wait == 0 for _ in range(times))


def test_a_full_bucket_lets_its_whole_budget_pass_at_once_and_then_nothing() -> None:
    clock = Clock()
    buckets = TokenBuckets(Rate(10, 60), now=clock)
    assert [buckets.take("a").remaining for _ in range(10)] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert buckets.take("a") == Level(0, 60, wait=6)
    assert let_in(buckets, "b", 20) == 10, "a bucket each"


def test_tokens_come_back_evenly() -> None:
    clock = Clock()
    buckets = TokenBuckets(Rate(10, 60), now=clock)
    let_in(buckets, "a", 10)
    clock.time += 5.9
    assert buckets.take("a").wait == 1
    clock.time += 0.1
    assert buckets.take("a") == Level(0, 60)
    clock.time += 30
    assert let_in(buckets, "a", 20) == 5
    clock.time += 3600
    assert let_in(buckets, "a", 20) == 10, "no more than it holds"


def test_who_waits_as_long_as_it_is_told_is_let_in() -> None:
    clock = Clock()
    buckets = TokenBuckets(Rate(7, 3), now=clock)
    let_in(buckets, "a", 7)
    for _ in range(50):
        level = buckets.take("a")
        if level.wait:
            clock.time += level.wait
            assert buckets.take("a").wait == 0


def test_a_refusal_takes_nothing() -> None:
    clock = Clock()
    buckets = TokenBuckets(Rate(1, 10), now=clock)
    let_in(buckets, "a", 1000)
    clock.time += 10
    assert buckets.take("a").wait == 0


@pytest.mark.parametrize(("shares", "requests"), [(1, 10), (2, 5), (4, 2), (10, 1), (100, 1)])
def test_processes_divide_the_budget_and_each_has_at_least_one_request(shares: int, requests: int) -> None:
    buckets = TokenBuckets(Rate(10, 60), shares=shares, now=Clock())
    assert buckets.requests == requests
    assert let_in(buckets, "a", 50) == requests


def test_what_does_not_divide_evenly_is_not_lost() -> None:
    clock = Clock()
    buckets = TokenBuckets(Rate(10, 60), shares=4, now=clock)
    passed = 0
    for _ in range(600):
        passed += let_in(buckets, "a", 5)
        clock.time += 1
    assert 24 <= passed <= 27, "2.5 a minute for ten minutes, and what it began with"


def test_idle_buckets_are_forgotten() -> None:
    clock = Clock()
    buckets = TokenBuckets(Rate(10, 60), now=clock)
    for key in range(5000):
        buckets.take(key)
    assert len(buckets) == 5000
    clock.time += 61
    buckets.take("a")
    assert len(buckets) == 1


def test_under_an_attack_from_100000_addresses_memory_stays_bounded_and_the_abuser_stays_known() -> None:
    clock = Clock()
    buckets = TokenBuckets(Rate(10, 60), most=1000, now=clock)
    let_in(buckets, "abuser", 50)
    for key in range(100_000):
        clock.time += 0.0001
        assert buckets.take(key).wait == 0, "a newcomer is never refused for what others do"
        assert len(buckets) <= 1000
    assert buckets.take("abuser").remaining == 0, "a new bucket would have nine"


def test_a_bucket_costs_little_memory() -> None:
    buckets = TokenBuckets(Rate(10, 60), most=32_768, now=Clock())
    for key in range(2**40, 2**40 + 100_000):
        buckets.take(key)
    held = sys.getsizeof(buckets._full_at) + sum(
        sys.getsizeof(key) + sys.getsizeof(value) for key, value in buckets._full_at.items()
    )
    assert held < 5_000_000


@given(
    st.integers(1, 1000),
    st.integers(1, 3600),
    st.integers(1, 16),
    st.lists(st.floats(0, 100, allow_nan=False), max_size=60),
)
def test_never_more_passes_than_a_full_bucket_and_what_came_back(
    requests: int, seconds: int, shares: int, pauses: list[float]
) -> None:
    clock = Clock()
    buckets = TokenBuckets(Rate(requests, seconds), shares=shares, now=clock)
    share = max(1.0, requests / shares)
    passed = 0
    for pause in pauses:
        clock.time += pause
        level = buckets.take("a")
        passed += level.wait == 0
        assert 0 <= level.remaining <= share
        assert 0 <= level.full_in <= seconds + 1
    assert passed <= share + sum(pauses) * share / seconds + 1e-3
