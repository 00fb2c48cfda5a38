"""The REST APIs: FastAPI behind the edge, built when it is first needed.

A route is data (``Route``): method, path, endpoint and the rule that it asks for. The gate judges the rule before the
body is read. Every failure is Harbor's error envelope (harbor-api.md, 2.1).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

import msgspec
import structlog
from fastapi import Depends, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from entrepot.errors import EntrepotError, InvalidInput
from entrepot.web.exchange import JSON, Exchange, Message
from entrepot.web.pages import link_header, listing_of
from entrepot.web.reference import render_reference
from entrepot.web.rule import ANYONE, LOGIN, Gate, Rule

T = TypeVar("T")

log = structlog.get_logger()

_FAILED = 500

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

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


class Body(BaseModel):
    """A JSON object that is sent or answered; fields that it does not know are ignored, as Harbor does."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)


class ErrorEntry(Body):
    """One thing that is wrong."""

    code: str
    message: str


class Errors(Body):
    """The error envelope."""

    errors: list[ErrorEntry]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a REST API."""

    method: str
    path: str
    endpoint: Callable[..., Awaitable[Any]]
    rule: Rule
    status: int = 200
    tag: str = ""
    answer: Any = None
    """The media type of an answer that is not JSON (``text/plain``), for the document."""


def get(path: str, endpoint: Callable[..., Awaitable[Any]], rule: Rule, **more: Any) -> Route:
    """A GET."""
    return Route(method="GET", path=path, endpoint=endpoint, rule=rule, **more)


def head(path: str, endpoint: Callable[..., Awaitable[Any]], rule: Rule, **more: Any) -> Route:
    """A HEAD."""
    return Route(method="HEAD", path=path, endpoint=endpoint, rule=rule, **more)


def post(path: str, endpoint: Callable[..., Awaitable[Any]], rule: Rule, **more: Any) -> Route:
    """A POST; it answers 201 unless told otherwise."""
    return Route(method="POST", path=path, endpoint=endpoint, rule=rule, **{"status": 201, **more})


def put(path: str, endpoint: Callable[..., Awaitable[Any]], rule: Rule, **more: Any) -> Route:
    """A PUT."""
    return Route(method="PUT", path=path, endpoint=endpoint, rule=rule, **more)


def patch(path: str, endpoint: Callable[..., Awaitable[Any]], rule: Rule, **more: Any) -> Route:
    """A PATCH."""
    return Route(method="PATCH", path=path, endpoint=endpoint, rule=rule, **more)


def delete(path: str, endpoint: Callable[..., Awaitable[Any]], rule: Rule, **more: Any) -> Route:
    """A DELETE; it answers 200, as Harbor's do."""
    return Route(method="DELETE", path=path, endpoint=endpoint, rule=rule, **more)


# what endpoints take


def _caller(request: Request) -> Any:
    return request.state.caller


Asking = Depends(_caller)
"""For ``caller: Annotated[Caller, Asking]``: who calls, already let in by the route's rule."""


def _no_control(text: str) -> str:
    if any(character < " " or "\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("control characters are not allowed")
    return text


def _repository_path(text: str) -> str:
    return _no_control(unquote(text))


PathText = Annotated[str, Path(max_length=512), AfterValidator(_no_control)]
"""One component of a path."""
RepositoryPath = Annotated[str, Path(max_length=1024), AfterValidator(_repository_path)]
"""A repository's path inside its project; clients encode its slashes twice."""
Identifier = Annotated[int, Path(ge=0, le=2**53)]


class Reference:
    """The project that a path names, read just as the gate reads it."""

    def __init__(self, request: Request, project_name_or_id: PathText) -> None:
        self.text = project_name_or_id
        self.by_name = names_project(request.scope["exchange"])


InProject = Annotated[Reference, Depends(Reference)]


def names_project(exchange: Exchange) -> bool:
    """Whether ``{project_name_or_id}`` is a name even if it looks like an id."""
    return exchange.text(b"x-is-resource-name").lower() == "true"


def moment(microseconds: int) -> datetime:
    """A stored time (microseconds since the epoch) as it is answered."""
    return _EPOCH + timedelta(microseconds=microseconds)


class Lister:
    """What a list was asked for, and the headers of its answer."""

    def __init__(
        self,
        request: Request,
        response: Response,
        q: Annotated[
            str, Query(max_length=4096, description="Filters, such as name=~core,creation_time=[2026-01-01T00:00:00~].")
        ] = "",
        sort: Annotated[str, Query(max_length=256, description="Fields, the descending ones with a minus.")] = "",
        page: Annotated[int, Query(description="The page, from 1.")] = 1,
        page_size: Annotated[
            int, Query(description="Items on a page, at most 100; 0: all that one answer holds.")
        ] = 10,
    ) -> None:
        self.listing = listing_of(q, sort, page, page_size)
        self._request = request
        self._response = response

    def of(self, items: Sequence[T], total: int) -> list[T]:
        """The answer: ``items`` of this page, of ``total`` in all."""
        self._response.headers["X-Total-Count"] = str(total)
        scope = self._request.scope
        path = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
        query = scope["query_string"].decode("latin-1")
        link = link_header(path, query, self.listing.page, self.listing.page_size, total)
        if link:
            self._response.headers["Link"] = link
        return list(items)


Listed = Annotated[Lister, Depends(Lister)]


def located(response: Response, path: str) -> None:
    """Say where what was created is."""
    response.headers["Location"] = path


# the application


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
    summary = (route.endpoint.__doc__ or "").strip().partition("\n")[0]
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
            description=str(route.rule),
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
