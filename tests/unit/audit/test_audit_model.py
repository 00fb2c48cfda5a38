"""How the journal is cut into windows, and which event types there are."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import entrepot
from entrepot.audit.model import EVENT_TYPES, HARBOR_EVENT_TYPES, Period, hidden_types, period_of, windows
from entrepot.journal.model import Event
from entrepot.kit.listing import Condition


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 20), st.booleans())
def test_windows_hold_every_id_once_and_in_order(least: int, greatest: int, width: int, newest_first: bool) -> None:
    seen: list[int] = []
    for first, last in windows(least, greatest, newest_first=newest_first, width=width):
        assert least <= first <= last <= greatest
        assert last - first < width
        ids = range(first, last + 1)
        seen += reversed(ids) if newest_first else ids
    assert seen == sorted(range(least, greatest + 1), reverse=newest_first)


def test_the_time_asked_for_is_where_all_conditions_meet() -> None:
    assert not period_of([]).is_bounded
    assert not period_of([Condition("username", "exact", ("x",))]).is_bounded
    both = [
        Condition("op_time", "range", ("1970-01-01T00:00:10", None)),
        Condition("op_time", "range", ("1970-01-01T00:00:05", "1970-01-01T00:00:20")),
    ]
    assert period_of(both) == Period(10_000_000, 20_000_000)
    assert period_of([Condition("time", "exact", ("1970-01-01T00:00:07",))]) == Period(7_000_000, 7_000_000)


def test_rows_are_passed_over_only_if_both_edges_are_far_outside_on_one_side() -> None:
    hour = 3600 * 1_000_000
    period = Period(10 * hour, 20 * hour)
    assert period.misses(1 * hour, 8 * hour)
    assert period.misses(22 * hour, 30 * hour)
    assert not period.misses(1 * hour, 30 * hour)
    assert not period.misses(30 * hour, 1 * hour)
    assert not period.misses(1 * hour, 9 * hour + 1)


@pytest.mark.parametrize(
    ("setting", "hidden"),
    [("", ()), (" , ", ()), ("pull_artifact", ("pull_artifact",)), ("x, pull_artifact ,x", ("pull_artifact",))],
)
def test_only_event_types_can_be_hidden(setting: str, hidden: tuple[str, ...]) -> None:
    assert hidden_types(setting) == hidden


def test_every_event_that_is_an_audit_record_has_its_type_in_the_list() -> None:
    for module in pkgutil.walk_packages(entrepot.__path__, "entrepot."):
        if module.name.endswith((".model", ".events")) or ".events" in module.name:
            importlib.import_module(module.name)
    known = {f"{event.operation}_{event.resource_type}" for event in _all(Event) if event.operation}
    assert known <= set(EVENT_TYPES), sorted(known - set(EVENT_TYPES))
    assert len(set(EVENT_TYPES)) == len(EVENT_TYPES)
    assert EVENT_TYPES[: len(HARBOR_EVENT_TYPES)] == HARBOR_EVENT_TYPES


def _all(kind: type[Event]) -> list[type[Event]]:
    return [kind, *(event for child in kind.__subclasses__() for event in _all(child))]
