"""What the routes of a REST API are made of.

A route is data (``Route``): method, path, endpoint and the rule that it asks for; ``api.py`` makes applications of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

import msgspec
from fastapi import Depends, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict

from entrepot.web.exchange import Exchange
from entrepot.web.pages import link_header, listing_of
from entrepot.web.rule import Rule

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Body(BaseModel):
    """A JSON object that is sent or answered; fields that it does not know are ignored, as Harbor does."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)


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
