"""Health in Harbor's words, and the version that its clients look at."""

from __future__ import annotations

from pathlib import Path

from entrepot.system.health import Health
from entrepot.system.info import Component, SystemFacts, components_of


def test_components_are_named_as_harbor_does_and_sorted() -> None:
    health = Health("unhealthy", {"storage": "the disk is gone", "database": "ok", "cache": "ok"})
    assert components_of(health) == [
        Component("cache", "healthy"),
        Component("core", "healthy"),
        Component("database", "healthy"),
        Component("registry", "unhealthy", "the disk is gone"),
    ]


def test_a_process_that_is_about_to_stop_is_not_well() -> None:
    assert [(c.name, c.status) for c in components_of(Health("draining", {}))] == [("core", "unhealthy")]


def test_the_version_is_one_of_harbors_with_ours_behind_it() -> None:
    facts = SystemFacts(version="1.2.3", data=Path("/data"), driver="filesystem")
    assert facts.harbor_version == "v2.14.0-entrepot-1.2.3"
