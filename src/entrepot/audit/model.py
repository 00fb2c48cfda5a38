"""Audit records, the names of their types, and how the journal is walked to find them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from entrepot.kit.listing import Condition
from entrepot.kit.selection import microseconds

HARBOR_EVENT_TYPES = (
    "create_artifact",
    "delete_artifact",
    "pull_artifact",
    "create_project",
    "delete_project",
    "delete_repository",
    "login_user",
    "logout_user",
    "create_user",
    "delete_user",
    "update_user",
    "create_robot",
    "delete_robot",
    "update_configuration",
    "create_member",
    "delete_member",
    "update_member",
    "update_project",
)

EVENT_TYPES = (
    *HARBOR_EVENT_TYPES,
    "access_address",
    "create_artifact-label",
    "create_blob",
    "create_identity-provider",
    "create_label",
    "create_personal-token",
    "create_role",
    "create_tag",
    "create_user-group",
    "delete_artifact-label",
    "delete_blob",
    "delete_identity-provider",
    "delete_label",
    "delete_personal-token",
    "delete_role",
    "delete_tag",
    "delete_user-group",
    "push_quota",
    "token_scope",
    "update_identity-provider",
    "update_label",
    "update_quota",
    "update_repository",
    "update_robot",
    "update_role",
    "update_secrets",
    "update_user-group",
    "warn_quota",
)
"""Operation and resource type of every audit record; Harbor's come first, in its order."""

WINDOW = 200_000
"""How many rows of the journal one statement looks at: some tenths of a second at worst."""

_SLACK = 3600 * 1_000_000  # a clock may have been wrong, and buffered pulls are written a little late
_TIMES = frozenset({"op_time", "time"})
_LAST = 2**63 - 1


class Record(msgspec.Struct, frozen=True):
    """One audit record; ``occurred_at`` in microseconds since the epoch."""

    id: int
    kind: str
    occurred_at: int
    principal: str
    client_address: str
    user_agent: str
    request_id: str
    operation: str
    resource_type: str
    resource: str
    project_id: int | None
    is_refused: bool
    body: bytes
    """The event's own fields: a JSON object."""

    @property
    def description(self) -> str:
        """What was done, in words."""
        return f"{self.operation} {self.resource_type} {self.resource}".strip()


class Page(msgspec.Struct, frozen=True):
    """Records of one page; ``total`` is how many there are in all, or at least."""

    records: list[Record]
    total: int


class Period(msgspec.Struct, frozen=True):
    """The time that conditions leave, in microseconds since the epoch; both ends belong to it."""

    begin: int = -_LAST
    end: int = _LAST

    def misses(self, first: int, last: int) -> bool:
        """Whether rows between two that occurred then are surely outside."""
        return max(first, last) < self.begin - _SLACK or min(first, last) > self.end + _SLACK

    @property
    def is_bounded(self) -> bool:
        """Whether anything is left out."""
        return self != Period()


def period_of(conditions: Iterable[Condition]) -> Period:
    """The time in which everything happened that meets ``conditions``, which have been checked before."""
    begin, end = -_LAST, _LAST
    for condition in conditions:
        if condition.key in _TIMES and condition.kind in {"exact", "range"}:
            least, greatest = condition.values[0], condition.values[-1]
            begin = max(begin, microseconds(least)) if least is not None else begin
            end = min(end, microseconds(greatest)) if greatest is not None else end
    return Period(begin, end)


def windows(least: int, greatest: int, *, newest_first: bool, width: int) -> Iterator[tuple[int, int]]:
    """The ids from ``least`` to ``greatest`` in pieces: the first and the last id of each."""
    if newest_first:
        for last in range(greatest, least - 1, -width):
            yield max(least, last - width + 1), last
    else:
        for first in range(least, greatest + 1, width):
            yield first, min(greatest, first + width - 1)


def hidden_types(setting: str) -> tuple[str, ...]:
    """The event types that a comma-separated setting names; what is no event type hides nothing."""
    named = {part.strip() for part in setting.split(",")}
    return tuple(event_type for event_type in EVENT_TYPES if event_type in named)
