"""Every event of this slice is an audit record in Harbor's words."""

from __future__ import annotations

import inspect

import pytest

from entrepot.auth import model
from entrepot.journal.model import Event

EVENTS = [
    kind
    for _, kind in inspect.getmembers(model, inspect.isclass)
    if issubclass(kind, Event) and kind is not Event and not kind.__name__.endswith("Event")
]


@pytest.mark.parametrize("kind", EVENTS)
def test_it_has_an_operation_and_says_to_what(kind: type[Event]) -> None:
    assert kind.operation in {"create", "update", "delete", "login", "logout"}
    assert kind.resource_type in {"user", "user-group", "personal-token"}
    assert kind.is_refused == (kind is model.LoginFailed)


def test_there_are_as_many_as_there_are_things_that_happen() -> None:
    assert len(EVENTS) == 19
