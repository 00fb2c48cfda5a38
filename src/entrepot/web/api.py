"""One REST API: the FastAPI application behind the edge, its gate before every route, its error envelope.

The gate judges a route's rule before the body is read. Every failure is Harbor's envelope (harbor-api.md, 2.1).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from entrepot.errors import EntrepotError, InvalidInput
from entrepot.web.exchange import JSON, Exchange, Message
from entrepot.web.reference import render_reference
from entrepot.web.rest import Body, Route
from entrepot.web.rule import ANYONE, LOGIN, Gate, Rule

log = structlog.get_logger()

_FAILED = 500

BODY_LIMIT = 1024 * 1024
"""Bytes of the largest JSON body."""
_DEPTH_LIMIT = 32
_BRACKETS = re.compile(rb"[\[\]{}]")

_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    412: "PRECONDITION",
    413: "REQUEST_ENTITY_TOO_LARGE",
    422: "UNPROCESSABLE_ENTITY",
    429: "TOO_MANY_REQUEST",
}
_PROTECTED = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_PAGE = [
    (b"content-type", b"text/html; charset=utf-8"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]


class ErrorEntry(Body):
    """One thing that is wrong."""

    code: str
    message: str


class Errors(Body):
    """The error envelope."""

    errors: list[ErrorEntry]


class RestApi:
    """One REST API below a prefix such as ``/api/v2.0``."""

    def __init__(
        self,
        prefix: str,
        title: str,
        version: str,
        routes: Callable[[], Sequence[Route]],
        gate: Gate,
        *,
        documents_need_login: bool = False,
    ) -> None:
        self._prefix = prefix
        self._title = title
        self._version = version
        self._routes = routes
        self._gate = gate
        self._documents_rule = LOGIN if documents_need_login else ANYONE
        self._app: FastAPI | None = None

    def build(self) -> FastAPI:
        """The application, with every route; made once."""
        if self._app is not None:
            return self._app
        app = FastAPI(
            title=self._title,
            version=self._version,
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            responses={"default": {"model": Errors, "description": "The error envelope."}},
            redirect_slashes=False,
        )
        for route in self._routes():
            _add(app, self._prefix, route, self._gate)
        app.add_exception_handler(EntrepotError, _refuse)
        app.add_exception_handler(RequestValidationError, _refuse_invalid)
        app.add_exception_handler(HTTPException, _refuse_http)
        app.add_exception_handler(Exception, _fail)
        self._app = app
        return app

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        app = self.build()
        if exchange.method in {"GET", "HEAD"} and exchange.path in (
            f"{self._prefix}/openapi.json",
            f"{self._prefix}/docs",
            f"{self._prefix}/",
        ):
            await self._document(exchange, app)
            return
        exchange.operation = "rest.unknown"
        try:
            body = await exchange.read(BODY_LIMIT)
            _check_depth(body)
        except EntrepotError as error:
            response = refusal(error)
            await exchange.respond(response.status_code, [*response.raw_headers], bytes(response.body))
            return
        try:
            await app(_scope(exchange), _replay(body), _recording(exchange))
        except Exception:
            # Starlette answers first and raises then; the answer is whole.
            if exchange.status != _FAILED:
                raise
            log.exception("request failed", request_id=exchange.request_id, path=exchange.path)

    async def _document(self, exchange: Exchange, app: FastAPI) -> None:
        """The OpenAPI document, or the page that shows it."""
        exchange.operation = "rest.document"
        try:
            await self._gate.admit(exchange, self._documents_rule, {})
        except EntrepotError as error:
            response = refusal(error)
            await exchange.respond(response.status_code, [*response.raw_headers], bytes(response.body))
            return
        if exchange.path.endswith(".json"):
            await exchange.respond(200, [JSON, *_PROTECTED], msgspec.json.encode(app.openapi()))
            return
        page = render_reference(app.openapi(), self._title)
        await exchange.respond(200, [*_PAGE, *_PROTECTED], page)


class _GatedRoute(APIRoute):
    """Judges the rule before anything else is looked at."""

    rule: Rule
    gate: Gate

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        answer = super().get_route_handler()

        async def handler(request: Request) -> Response:
            exchange: Exchange = request.scope["exchange"]
            exchange.operation = f"rest.{self.name}"
            path = {name: unquote(value) for name, value in request.path_params.items()}
            request.state.caller = await self.gate.admit(exchange, self.rule, path)
            return await answer(request)

        return handler


def _add(app: FastAPI, prefix: str, route: Route, gate: Gate) -> None:
    summary, _, more_said = inspect.cleandoc(route.endpoint.__doc__ or "").partition("\n")
    kind = type("Gated", (_GatedRoute,), {"rule": route.rule, "gate": gate})
    more: dict[str, Any] = {}
    if route.answer:
        more["response_class"] = Response
        schema = {} if route.answer == "*/*" else {"type": "string"}
        more["responses"] = {route.status: {"content": {route.answer: {"schema": schema}}}}
    elif route.endpoint.__annotations__.get("return") in {"None", None}:
        more["response_class"] = Response  # an empty body, as Harbor answers where there is nothing to say
    for path in dict.fromkeys((route.path, route.path.rstrip("/"))):
        app.router.add_api_route(
            prefix + path,
            route.endpoint,
            methods=[route.method],
            status_code=route.status,
            name=_operation(route),
            operation_id=_operation(route),
            summary=summary,
            description=more_said.strip()
            or "\f",  # an empty one would be the docstring again; FastAPI cuts at a form feed
            tags=[route.tag] if route.tag else None,
            response_model_exclude_none=True,
            openapi_extra={"x-permission": str(route.rule)},
            include_in_schema=path == route.path,
            route_class_override=kind,
            **more,
        )


def _operation(route: Route) -> str:
    """A name for metrics and for the document, from method and path."""
    words = re.sub(r"[^a-z0-9]+", "_", re.sub(r":path\}", "}", route.path.lower())).strip("_")
    return f"{route.method.lower()}_{words}"


def _check_depth(body: bytes) -> None:
    """Refuse bodies that nest deeply, before anything recurses into them."""
    if body.count(b"[") + body.count(b"{") <= _DEPTH_LIMIT:
        return
    depth = 0
    for bracket in _BRACKETS.findall(body):
        depth += 1 if bracket in b"[{" else -1
        if depth > _DEPTH_LIMIT:
            raise InvalidInput(f"The body nests more than {_DEPTH_LIMIT} levels deep.", code="BAD_REQUEST")


def _scope(exchange: Exchange) -> dict[str, Any]:
    """What the application is told of a request: ``/quotas/`` is ``/quotas``, as Harbor's clients expect."""
    return {**exchange.scope, "path": exchange.path.rstrip("/"), "exchange": exchange}


def _replay(body: bytes) -> Callable[[], Awaitable[Message]]:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _recording(exchange: Exchange) -> Callable[[Message], Awaitable[None]]:
    """Send through the exchange, so that the access record knows status and bytes."""

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [pair for pair in message["headers"] if pair[0] != b"x-request-id"]
            await exchange.start(message["status"], [*headers, *_PROTECTED, *exchange.answer_headers])
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            await exchange.finish(message.get("body", b"") if exchange.method != "HEAD" else b"")

    return send


def envelope(status: int, code: str, message: str) -> Response:
    """An error as the API answers it."""
    text = msgspec.json.encode({"errors": [{"code": code, "message": message}]})
    return Response(text, status, media_type="application/json")


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, EntrepotError)  # noqa: S101 - registered for this class
    return refusal(error)


def refusal(error: EntrepotError) -> Response:
    """The answer to what may not or cannot be done."""
    status = error.rest_status or error.status
    response = envelope(status, error.rest_code or _CODES.get(status, "UNKNOWN"), error.message)
    for name, value in error.headers:
        response.headers[name.decode()] = value.decode("latin-1")
    if status == 401:  # noqa: PLR2004 - RFC 9110, 11.6.1 wants a challenge
        response.headers.setdefault("WWW-Authenticate", 'Basic realm="entrepot"')
    return response


async def _refuse_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    reasons = [f"{'.'.join(str(part) for part in e['loc'][1:]) or e['loc'][0]}: {e['msg']}" for e in error.errors()[:5]]
    return envelope(422, "UNPROCESSABLE_ENTITY", "; ".join(reasons)[:1000])


async def _fail(_request: Request, _error: Exception) -> Response:
    return envelope(_FAILED, "UNKNOWN", "internal server error")


async def _refuse_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    messages = {404: "There is no such operation.", 405: "This is not done here."}
    response = envelope(
        error.status_code, _CODES.get(error.status_code, "UNKNOWN"), messages.get(error.status_code, str(error.detail))
    )
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response
