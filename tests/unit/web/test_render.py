"""Errors as clients of the registry read them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from entrepot import errors
from entrepot.errors import EntrepotError
from entrepot.registry.errors import ContentMissing
from entrepot.web.exchange import Exchange
from entrepot.web.render import entries, render

STATUSES = {
    errors.InvalidInput: 400,
    errors.LengthRequired: 411,
    errors.TooLarge: 413,
    errors.TooMany: 414,
    errors.RangeNotSatisfiable: 416,
    errors.NotAuthenticated: 401,
    errors.Denied: 403,
    errors.NotFound: 404,
    errors.NotAllowed: 405,
    errors.RequestTimeout: 408,
    errors.Conflict: 409,
    errors.InUse: 409,
    errors.Precondition: 412,
    errors.Unreadable: 500,
    errors.Unavailable: 503,
    errors.TooManyRequests: 429,
    errors.StorageFull: 507,
}


def answer(error: EntrepotError, method: str = "GET") -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("rendering reads nothing")

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": "/v2/",
        "raw_path": b"/v2/",
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 5000),
    }
    exchange = Exchange(scope, receive, send, process="p", idle_timeout=1, external_url="")
    asyncio.run(render(exchange, error))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(m.get("body", b"") for m in sent[1:])


@pytest.mark.parametrize(("kind", "status"), STATUSES.items())
def test_the_kind_decides_the_status(kind: type[EntrepotError], status: int) -> None:
    assert kind("why").status == status


def test_every_kind_of_the_tree_is_in_this_table() -> None:
    kinds: list[type[EntrepotError]] = []
    todo = [EntrepotError]
    while todo:
        below = todo.pop().__subclasses__()
        todo += below
        kinds += [kind for kind in below if kind.__module__ == errors.__name__]
    assert set(kinds) == set(STATUSES)


def test_the_envelope_holds_code_and_message_and_the_detail_only_if_there_is_one() -> None:
    assert entries(errors.NotFound("gone")) == [{"code": "NAME_UNKNOWN", "message": "gone"}]
    with_detail = errors.Conflict("no", code="X", detail={"a": 1})
    assert entries(with_detail) == [{"code": "X", "message": "no", "detail": {"a": 1}}]


def test_several_details_are_several_entries() -> None:
    found = entries(ContentMissing("a/b", ["sha256:1", "sha256:2"]))
    assert [entry["detail"]["digest"] for entry in found] == ["sha256:1", "sha256:2"]
    assert {entry["code"] for entry in found} == {"MANIFEST_BLOB_UNKNOWN"}


def test_an_empty_list_of_details_still_is_one_entry() -> None:
    assert len(entries(errors.InvalidInput("no", detail=[]))) == 1


def test_the_answer_is_json_that_nobody_keeps() -> None:
    error = errors.TooManyRequests("later", headers=((b"retry-after", b"3"),))
    status, headers, body = answer(error)
    assert status == 429
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"retry-after"] == b"3"
    assert int(headers[b"content-length"]) == len(body)
    assert json.loads(body) == {"errors": [{"code": "TOOMANYREQUESTS", "message": "later"}]}


def test_the_answer_to_head_has_no_body() -> None:
    _, _, body = answer(errors.NotFound("gone"), "HEAD")
    assert body == b""
