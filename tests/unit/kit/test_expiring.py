"""The map whose entries end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from entrepot.kit.expiring import ExpiringMap


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_a_value_is_there_until_its_deadline_and_not_at_it() -> None:
    clock = Clock()
    entries: ExpiringMap[str, int] = ExpiringMap(10, clock)
    entries.put("a", 1, 5.0)
    clock.time = 4.999
    assert entries.get("a") == 1
    clock.time = 5.0
    assert entries.get("a") is None
    assert len(entries) == 0


def test_the_least_recently_added_makes_room() -> None:
    entries: ExpiringMap[int, int] = ExpiringMap(2, Clock())
    for key in range(3):
        entries.put(key, key, 1.0)
    assert [entries.get(key) for key in range(3)] == [None, 1, 2]


def test_putting_again_renews_value_deadline_and_place() -> None:
    clock = Clock()
    entries: ExpiringMap[str, int] = ExpiringMap(2, clock)
    entries.put("a", 1, 1.0)
    entries.put("b", 2, 9.0)
    entries.put("a", 3, 9.0)
    entries.put("c", 4, 9.0)
    clock.time = 2.0
    assert (entries.get("a"), entries.get("b"), entries.get("c")) == (3, None, 4)


def test_discarding_forgets_and_may_be_done_twice() -> None:
    entries: ExpiringMap[str, int] = ExpiringMap(2, Clock())
    entries.put("a", 1, 1.0)
    entries.discard("a")
    entries.discard("a")
    assert entries.get("a") is None


def test_a_false_value_is_a_value() -> None:
    entries: ExpiringMap[str, bool] = ExpiringMap(2, Clock())
    entries.put("a", False, 1.0)
    assert entries.get("a") is False


steps = st.lists(st.tuples(st.sampled_from(["put", "get", "discard", "tick"]), st.integers(0, 5), st.integers(1, 4)))


@given(steps, st.integers(1, 4))
def test_it_behaves_as_a_list_of_entries_in_order_would(actions: list[tuple[str, int, int]], capacity: int) -> None:
    clock = Clock()
    entries: ExpiringMap[int, int] = ExpiringMap(capacity, clock)
    model: list[tuple[int, int, float]] = []
    for number, (action, key, amount) in enumerate(actions):
        if action == "put":
            model = [entry for entry in model if entry[0] != key]
            model = [*model[max(0, len(model) - capacity + 1) :], (key, number, clock.time + amount)]
            entries.put(key, number, clock.time + amount)
        elif action == "get":
            expected = [value for k, value, deadline in model if k == key and deadline > clock.time]
            assert entries.get(key) == (expected[0] if expected else None)
            model = [entry for entry in model if entry[0] != key or entry[2] > clock.time]
        elif action == "discard":
            entries.discard(key)
            model = [entry for entry in model if entry[0] != key]
        else:
            clock.time += amount
        assert len(entries) <= capacity
