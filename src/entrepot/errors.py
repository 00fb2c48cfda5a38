"""The kinds of failure that a user can be told about.

::

    EntrepotError                 status  default code
    ├── InvalidInput                400   UNSUPPORTED        what was sent cannot be understood
    │   ├── LengthRequired          411
    │   ├── TooLarge                413
    │   ├── TooMany                 414
    │   └── RangeNotSatisfiable     416   RANGE_INVALID
    ├── NotAuthenticated            401   UNAUTHORIZED       who are you? (carries the challenge)
    ├── Denied                      403   DENIED             you may not, and no other token helps
    ├── NotFound                    404   NAME_UNKNOWN
    ├── NotAllowed                  405   UNSUPPORTED        it may not be done to this thing
    ├── Conflict                    409   DENIED             it would break something that is there
    │   └── InUse                   409   DENIED             something else still needs it (412 in the REST API)
    ├── Precondition                412   PRECONDITION       what it takes for this is not so
    ├── RequestTimeout              408                      the client went quiet in the middle
    ├── Unreadable                  500   UNKNOWN            stored content that fails its digest
    └── Unavailable                 503   UNAVAILABLE        try again later
        ├── TooManyRequests         429   TOOMANYREQUESTS
        └── StorageFull             507

The kind decides the status, the class the code, the instance the detail.
"""

from __future__ import annotations

from typing import ClassVar


class EntrepotError(Exception):
    """A failure with a status, a code for programs and one sentence for people."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "UNKNOWN"
    rest_status: ClassVar[int | None] = None
    """The status in the REST API, where Harbor's differs."""
    rest_code: ClassVar[str | None] = None
    """The code in the REST API, where it is not the one that goes with the status."""

    def __init__(
        self,
        message: str,
        *,
        detail: object = None,
        code: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        """``code`` replaces the class's own; ``headers`` travel with the answer."""
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.error_code = code or self.code
        self.headers = headers


class InvalidInput(EntrepotError):
    """What was sent cannot be understood or contradicts itself."""

    status = 400
    code = "UNSUPPORTED"


class LengthRequired(InvalidInput):
    """The request must say how long its body is."""

    status = 411


class TooLarge(InvalidInput):
    """The body is larger than the registry accepts."""

    status = 413


class TooMany(InvalidInput):
    """More items than one request may name."""

    status = 414


class RangeNotSatisfiable(InvalidInput):
    """The bytes asked for are not there, or a chunk does not continue the upload."""

    status = 416
    code = "RANGE_INVALID"


class NotAuthenticated(EntrepotError):
    """Nobody was named, or the credential does not hold."""

    status = 401
    code = "UNAUTHORIZED"


class Denied(EntrepotError):
    """The principal may not do this, whatever token it brings."""

    status = 403
    code = "DENIED"


class NotFound(EntrepotError):
    """There is no such thing, or the caller may not know of it."""

    status = 404
    code = "NAME_UNKNOWN"


class NotAllowed(EntrepotError):
    """The thing exists but this may not be done to it."""

    status = 405
    code = "UNSUPPORTED"


class RequestTimeout(EntrepotError):
    """The client stopped sending in the middle of a body."""

    status = 408


class Conflict(EntrepotError):
    """Doing it would break something else that is there."""

    status = 409
    code = "DENIED"


class InUse(Conflict):
    """Something else that is there still needs it."""

    rest_status = 412


class Precondition(EntrepotError):
    """What it takes for this is not so, or not so any more."""

    status = 412
    code = "PRECONDITION"


class Unreadable(EntrepotError):
    """Stored content is missing or no longer matches its digest."""

    status = 500


class Unavailable(EntrepotError):
    """It cannot be done now; the same request may succeed later."""

    status = 503
    code = "UNAVAILABLE"


class TooManyRequests(Unavailable):
    """The caller, or everybody together, asks faster than can be served."""

    status = 429
    code = "TOOMANYREQUESTS"


class StorageFull(Unavailable):
    """There is no room left for the bytes or for the metadata."""

    status = 507


class ConfigError(Exception):
    """The configuration, or what it points to, cannot be used; the message says what to change."""
