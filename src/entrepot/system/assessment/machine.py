"""Checks of the machine: its clock, the version of the program, of its schema and of Python."""

from __future__ import annotations

import asyncio
import email.utils
import http.client
import os
import re
import ssl
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import urlsplit

from entrepot.auth.options import OidcOptions, Options
from entrepot.database.migrate import HEAD, current
from entrepot.kit import clock
from entrepot.kit.finding import Check, Finding, Severity, Weakness, one
from entrepot.system.assessment.accounts import Providers
from entrepot.system.assessment.installation import Installation

SKEW_SECONDS = 10
_BAD_SKEW_SECONDS = 60
_ASK_SECONDS = 3.0
_WARNING_DAYS = 180
_DISCOVERY = "/.well-known/openid-configuration"
PYTHON_ENDS = {
    (3, 11): date(2027, 10, 31),
    (3, 12): date(2028, 10, 31),
    (3, 13): date(2029, 10, 31),
    (3, 14): date(2030, 10, 31),
}
"""When each version gets no more security fixes (peps.python.org: 664, 693, 719, 745)."""

SKEW = Weakness(
    id="clock-skew",
    severity="high",
    title="The clock differs from that of another machine",
    reason=f"Tokens are good for seconds to minutes: with clocks more than {SKEW_SECONDS} s apart they are refused, or "
    "good for too long. Over a minute it is high, else medium.",
    remedy="timedatectl set-ntp true (or chronyc makestep), here and where the reason says.",
)
SCHEMA = Weakness(
    id="schema-version",
    severity="high",
    title="Program and database are of different versions",
    reason="A database of a newer version than the program is refused at the next start (high); one of an older "
    "version is migrated then (low).",
    remedy="Newer database: install the version of Entrepôt that it belongs to, or a newer one. Older database: "
    "back it up and restart the server.",
)
OUTDATED = Weakness(
    id="version-outdated",
    severity="medium",
    title="There is a newer version of Entrepôt",
    reason="Newer versions mend what has been found in older ones.",
    remedy="Install the newest version. Entrepôt asks nobody for it: entrepot doctor --latest X.Y.Z says what it is.",
)
OLD_PYTHON = Weakness(
    id="python-version",
    severity="medium",
    title="Python gets no more security fixes, or soon none",
    reason=f"It is told {_WARNING_DAYS} days ahead (info); after the end it is medium.",
    remedy="Run Entrepôt with a newer Python.",
)


def checks(installation: Installation, providers: Providers) -> list[Check]:
    """The checks of the machine."""

    async def skew() -> list[Finding]:
        measured = {"the file system of data": await asyncio.to_thread(file_system_skew, installation.data)}
        if installation.is_outside:
            for url in outside(installation, await providers()):
                found = await asyncio.to_thread(header_skew, url)
                if found is not None:
                    measured[url] = found
        return one(skewed(measured))

    async def schema() -> list[Finding]:
        return one(mismatched(await asyncio.to_thread(current, installation.database), HEAD))

    async def outdated() -> list[Finding] | None:
        if not installation.latest:
            return None
        return one(older(installation.version, installation.latest))

    async def python() -> list[Finding] | None:
        return ending_python(sys.version_info[:2], datetime.fromtimestamp(clock.now(), UTC).date())

    return [Check(SKEW, skew), Check(SCHEMA, schema), Check(OUTDATED, outdated), Check(OLD_PYTHON, python)]


# decisions


def skewed(measured: dict[str, float]) -> Finding | None:
    """What clocks tell that are so many seconds ahead of ours."""
    far = {what: seconds for what, seconds in measured.items() if abs(seconds) > SKEW_SECONDS}
    if not far:
        return None
    is_bad = max(abs(seconds) for seconds in far.values()) > _BAD_SKEW_SECONDS
    return SKEW.found(
        [f"{what}: {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}" for what, seconds in far.items()],
        severity="high" if is_bad else "medium",
    )


def mismatched(stored: str | None, expected: str) -> Finding | None:
    """What it means that the database has the revision ``stored``."""
    if stored is None or stored == expected:
        return None
    is_newer = stored > expected
    return SCHEMA.found(
        [f"database {stored}, program {expected}"],
        severity="high" if is_newer else "low",
        title="The database is of a newer version than the program"
        if is_newer
        else "The database is of an older version than the program",
    )


def older(version: str, latest: str) -> Finding | None:
    """Whether ``version`` comes before ``latest``."""
    if parse_version(version) >= parse_version(latest):
        return None
    return OUTDATED.found([f"this is {version}, the newest is {latest}"])


def parse_version(text: str) -> tuple[int, ...]:
    """The numbers of ``1.2.3``, a leading v and what follows them left out.

    Raises:
        ValueError: there are none.
    """
    matched = re.match(r"v?(\d{1,9}(?:\.\d{1,9}){0,3})", text.strip())
    if matched is None:
        raise ValueError(f"{text[:32]!r} is not a version: write X.Y.Z")
    numbers = [int(part) for part in matched[1].split(".")]
    return tuple(numbers + [0] * (4 - len(numbers)))


def ending_python(version: Sequence[int], today: date) -> list[Finding] | None:
    """Whether a version of Python is at its end; ``None``: it is newer than this program."""
    end = PYTHON_ENDS.get((version[0], version[1]))
    if end is None:
        return None
    if (end - today).days > _WARNING_DAYS:
        return []
    severity: Severity = "medium" if today > end else "info"
    return [
        OLD_PYTHON.found(
            severity=severity, title=f"Python {version[0]}.{version[1]} gets security fixes until {end.isoformat()}"
        )
    ]


def outside(installation: Installation, options: Sequence[Options]) -> list[str]:
    """Whose clocks are asked for: the OpenID providers', and the proxy's."""
    urls = [f"{o.endpoint.rstrip('/')}{_DISCOVERY}" for o in options if isinstance(o, OidcOptions)]
    if installation.cert_file is None and installation.external_url:
        urls.append(f"{installation.external_url}/livez")
    return urls


# asking


def file_system_skew(folder: Path) -> float:
    """Seconds that the file system's clock is ahead: on a network file system it is the server's.

    Raises:
        OSError: nothing can be written there.
    """
    before = clock.now()
    with tempfile.TemporaryFile(dir=folder) as file:  # without a name, where the system can do that
        file.write(b"?")
        file.flush()
        changed = os.fstat(file.fileno()).st_mtime
    after = clock.now()
    if changed < before:
        return changed - before
    return max(0.0, changed - after)


def header_skew(url: str) -> float | None:
    """Seconds that a web server's clock is ahead; ``None``: it does not answer, or tells no time."""
    parts = urlsplit(url)
    host, path = parts.hostname or "", parts.path or "/"
    try:
        if parts.scheme == "https":
            # A Date needs no trust: nothing is sent, and nothing is believed but a warning.
            context = ssl._create_unverified_context()  # noqa: S323, SLF001 - see above
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, parts.port, timeout=_ASK_SECONDS, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=_ASK_SECONDS)
        try:
            connection.request("GET", path)
            told = connection.getresponse().getheader("Date")
            received = clock.now()
        finally:
            connection.close()
        moment = email.utils.parsedate_to_datetime(told or "")
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return None
    return moment.timestamp() - received
