"""What the operational log must not hold."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FAILS = """
import structlog
from entrepot.config import Log
from entrepot.serve import logs

logs.configure(Log(format=%r))

def log_in(name, password):
    raise RuntimeError("an unforeseen failure")

try:
    log_in("alice", "-".join(("correct", "horse", "battery")))
except RuntimeError:
    structlog.get_logger().exception("request failed")
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_an_unforeseen_failure_is_told_without_the_values_that_were_at_hand(form: str) -> None:
    done = subprocess.run([sys.executable, "-c", _FAILS % form], capture_output=True, text=True, timeout=60, check=True)
    assert "an unforeseen failure" in done.stderr
    assert "correct-horse-battery" not in done.stderr
