"""A robot account as it is asked for and shown, and what may be asked for."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from entrepot.access.model import PROJECT_SCOPE, SYSTEM_SCOPE
from entrepot.access.scopes import Entry, describe, refusal
from entrepot.auth.model import Robot
from entrepot.kit.listing import Condition, Listing

NEVER = -1
"""The duration of what has no end."""
LONGEST_DURATION = 999_999
"""Days."""
MOST_NETWORKS = 100

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_LONGEST_NAME = 255
_DAY = 86_400_000_000
"""Microseconds."""


class RobotRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A robot account as somebody wants it."""

    name: str
    level: str
    entries: Sequence[Entry]
    """Permissions; see ``Scopes``."""
    description: str = ""
    duration: int | None = None
    """Days, -1 for no end; 0 or nothing: what the setting says, or what it was."""
    is_disabled: bool = False


class RobotView(msgspec.Struct, frozen=True):
    """A robot account with the names that its ids stand for."""

    robot: Robot
    full_name: str
    """What it logs in with."""
    entries: list[dict[str, Any]]

    @property
    def level(self) -> str:
        """``system``, or ``project`` where it belongs to one."""
        return SYSTEM_SCOPE if self.robot.project_id is None else PROJECT_SCOPE


def check_name(name: str) -> None:
    """Refuse what cannot name a robot account.

    Raises:
        InvalidInput: it has other characters, or too many.
    """
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise refusal(
            "A robot account's name has lower-case letters and digits with single dots, underscores or dashes "
            f"between, at most {_LONGEST_NAME} characters."
        )


def check_duration(days: int) -> int:
    """``days`` if they are a duration.

    Raises:
        InvalidInput: they are neither -1 nor some days.
    """
    if days != NEVER and not 0 < days <= LONGEST_DURATION:
        raise refusal(f"A duration is from 1 to {LONGEST_DURATION} days, or -1 for no end.")
    return days


def check_networks(networks: Sequence[str]) -> tuple[str, ...]:
    """Networks as they are stored: in CIDR notation, each once.

    Raises:
        InvalidInput: one is no network, or they are too many.
    """
    if len(networks) > MOST_NETWORKS:
        raise refusal(f"At most {MOST_NETWORKS} networks are accepted.")
    found: dict[str, None] = {}
    for network in networks:
        try:
            found[str(ipaddress.ip_network(network.strip(), strict=False))] = None
        except ValueError:
            raise refusal(f"{network[:64]!r} is no network: write 192.0.2.0/24, 2001:db8::/32 or an address.") from None
    return tuple(found)


def end_of(start: int, days: int) -> int | None:
    """When what began at ``start`` (microseconds) ends; ``None``: never."""
    return None if days == NEVER else start + days * _DAY


def differences(before: Robot, after: Robot) -> dict[str, str]:
    """What differs, with the new values, for the journal."""
    found = {}
    if before.description != after.description:
        found["description"] = after.description
    if before.is_disabled != after.is_disabled:
        found["disable"] = str(after.is_disabled).lower()
    if before.duration != after.duration:
        found["duration"] = str(after.duration)
    if before.networks != after.networks:
        found["networks"] = " ".join(after.networks)
    if before.scope != after.scope:
        found["permissions"] = " ".join(describe(after.scope))
    return found


def project_of(listing: Listing) -> int | None:
    """The project whose robot accounts a list is about; ``None``: the system's.

    Raises:
        InvalidInput: the conditions do not say.
    """
    level = _only(listing, "Level") or _only(listing, "level") or SYSTEM_SCOPE
    if level not in {SYSTEM_SCOPE, PROJECT_SCOPE}:
        raise refusal("Level is system or project.")
    if level == SYSTEM_SCOPE:
        return None
    given = _only(listing, "ProjectID")
    if not re.fullmatch(r"[1-9][0-9]{0,14}", given, re.ASCII):
        raise refusal("Level=project goes with ProjectID, the number of the project.")
    return int(given)


def _only(listing: Listing, key: str) -> str:
    conditions = listing.about({key})
    if any(condition.kind != "exact" for condition in conditions):
        raise refusal(f"{key} can only be compared with one whole value: write {key}=value.")
    return conditions[0].value if conditions else ""


def short_named(condition: Condition, prefix: str) -> Condition:
    """A condition on names for the column, which holds them without prefix and project."""
    if condition.key != "name" or condition.kind == "range":
        return condition
    values = tuple((value or "").removeprefix(prefix).rpartition("+")[2] for value in condition.values)
    return msgspec.structs.replace(condition, values=values)
