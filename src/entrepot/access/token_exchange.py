"""What a token exchange asks for, and how it is refused (RFC 8693; errors as RFC 6749, 5.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from entrepot.access.tokens import SERVICE
from entrepot.errors import EntrepotError, InvalidInput, Unavailable

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type's name
SUBJECT_TYPES = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")

_RETRY_SECONDS = 5
_FAILED = 500

Headers = list[tuple[bytes, bytes]]


class ExchangeRequest(msgspec.Struct, frozen=True):
    """A workload's own token, and for whom it wants one of ours."""

    token: str
    account: str
    """A robot account's full name; empty: the only one that trusts the token."""


class ExchangeError(msgspec.Struct, frozen=True):
    """What is answered to one that cannot be."""

    error: str
    error_description: str


class InvalidTarget(InvalidInput):
    """A token for another place than this registry is asked for."""


def read_request(form: Mapping[str, Sequence[str]]) -> ExchangeRequest:
    """What ``form`` asks for.

    Raises:
        InvalidInput: it asks for what there is not, or leaves out what it takes.
    """
    said = {name: values[-1] for name, values in form.items() if values}
    if said.get("actor_token") or said.get("actor_token_type"):
        raise InvalidInput("A token for somebody acting for another is not issued: leave actor_token out.")
    if said.get("subject_token_type") not in SUBJECT_TYPES:
        raise InvalidInput(f"The subject_token_type is {' or '.join(SUBJECT_TYPES)}.")
    if said.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise InvalidInput(f"Only an access token is issued: leave requested_token_type out, or send {ACCESS_TOKEN}.")
    if said.get("resource") or any(audience != SERVICE for audience in form.get("audience", ())):
        raise InvalidTarget(
            f"Tokens are issued for this registry only: leave resource and audience out, or send {SERVICE}."
        )
    if not said.get("subject_token"):
        raise InvalidInput("Send the workload's token as subject_token.")
    return ExchangeRequest(said["subject_token"], said.get("account", ""))


def refusal(error: EntrepotError) -> tuple[int, Headers, ExchangeError]:
    """Status, headers and body for what went wrong.

    A token that does not hold is a request that is not valid (RFC 8693, 2.2.2); what may work later is a 429, since the
    endpoint answers nothing above.
    """
    headers = list(error.headers)
    if isinstance(error, Unavailable):
        if not any(name == b"retry-after" for name, _ in headers):
            headers.append((b"retry-after", b"%d" % _RETRY_SECONDS))
        return 429, headers, ExchangeError("temporarily_unavailable", error.message)
    if error.status >= _FAILED:
        raise error
    return (
        400,
        headers,
        ExchangeError("invalid_target" if isinstance(error, InvalidTarget) else "invalid_request", error.message),
    )
