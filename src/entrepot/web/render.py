"""An error as the answer that clients of the registry read."""

from __future__ import annotations

from typing import Any

import msgspec

from entrepot.errors import EntrepotError
from entrepot.web.exchange import JSON, Exchange


def entries(error: EntrepotError) -> list[dict[str, Any]]:
    """The ``errors`` of the envelope (distribution-spec, "Error Codes"): one a thing that is wrong."""
    details = error.detail if isinstance(error.detail, list) else [error.detail]
    return [
        {"code": error.error_code, "message": error.message, **({} if detail is None else {"detail": detail})}
        for detail in details or [None]
    ]


async def render(exchange: Exchange, error: EntrepotError) -> None:
    """Answer with the error envelope."""
    headers = [JSON, (b"cache-control", b"no-store"), *error.headers]
    await exchange.respond(error.status, headers, msgspec.json.encode({"errors": entries(error)}))
