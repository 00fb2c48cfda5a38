"""wrk, the load generator: run it once, read its report, refuse a report with failures."""

from __future__ import annotations

import re
import subprocess

from bench.rawclient import Address, WrongAnswerError

PROGRAM = "/usr/bin/wrk"

_RATE = re.compile(r"^Requests/sec:\s+([0-9.]+)", re.MULTILINE)
_TOTAL = re.compile(r"(\d+) requests in ([0-9.]+)(ms|s|m)")
_FAILURES = re.compile(r"^\s*(Non-2xx or 3xx responses: .*|Socket errors: .*)$", re.MULTILINE)


def parse_report(report: str) -> float:
    """Return the requests/s of a wrk report; raise WrongAnswerError when one of them failed."""
    failures = _FAILURES.search(report)
    if failures:
        raise WrongAnswerError(f"wrk saw {failures.group(1)}")
    rate = _RATE.search(report)
    total = _TOTAL.search(report)
    if rate is None or total is None:
        raise WrongAnswerError(f"wrk's report was not understood: {report[-200:]!r}")
    return float(rate.group(1))


def measure_gets(address: Address, target: str, fields: bytes, connections: int, seconds: float) -> float:
    """GET one target on so many connections for so many seconds; return requests/s.

    `fields` are ready header lines as for `make_request`; wrk gets all of them but Host.
    """
    command = [
        PROGRAM,
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "30s",
    ]
    for line in fields.decode().split("\r\n"):
        if line and not line.lower().startswith("host:"):
            command += ["-H", line]
    command.append(address.origin + target)
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode:
        raise WrongAnswerError(f"wrk ended with {done.returncode}: {done.stderr.strip()[:200]}")
    return parse_report(done.stdout)
