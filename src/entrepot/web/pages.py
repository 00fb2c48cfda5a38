"""Pages of REST lists: ``page``, ``page_size``, and the Link to the pages before and after."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from entrepot.errors import InvalidInput
from entrepot.kit.listing import Listing
from entrepot.web.filters import parse_filters, parse_sort

DEFAULT_SIZE = 10
MAX_SIZE = 100
"""Rows on the largest page, as in Harbor."""

WHOLE_SIZE = 1000
"""Rows of an answer to ``page_size=0``, with which Harbor's own command line asks for everything; a link leads on."""

_LAST_ROW = 2**63 - 1
# What may stand in a header and, between "<" and ">", cannot be taken for the end of the link or of the header.
_UNSAFE = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+/:=?@%]")


def page_of(page: int = 1, page_size: int = DEFAULT_SIZE) -> Listing:
    """The listing of a page, counted from 1, without conditions.

    A page before the first is the first, since clients written in Go send 0 for what nobody set.

    Raises:
        InvalidInput: ``BAD_REQUEST``.
    """
    if page_size > MAX_SIZE:
        raise InvalidInput(f"page_size must be at most {MAX_SIZE}.", code="BAD_REQUEST")
    page = max(page, 1)
    if page_size < 1:
        page_size = WHOLE_SIZE
    if page * page_size > _LAST_ROW:
        raise InvalidInput("page is too large: no list is that long.", code="BAD_REQUEST")
    return Listing(page, page_size)


def listing_of(q: str = "", sort: str = "", page: int = 1, page_size: int = DEFAULT_SIZE) -> Listing:
    """What the four parameters of a REST list ask for.

    Raises:
        InvalidInput: ``BAD_REQUEST``.
    """
    plain = page_of(page, page_size)
    return Listing(plain.page, plain.page_size, parse_filters(q), parse_sort(sort))


def link_header(path: str, query: str, page: int, page_size: int, total: int) -> str:
    """The value of ``Link``; empty where there is no other page.

    ``path`` and ``query`` are those of the request, still encoded. As in Harbor the parameters are ordered by name
    and the previous page comes first. Harbor writes the query decoded, which cuts a link short at a comma or at an
    ampersand inside of a value; here the client's own encoding is kept.
    """
    links = []
    if page > 1 and (page - 1) * page_size < total:
        links.append(f'<{_target(path, query, page - 1, page_size)}>; rel="prev"')
    if page * page_size < total:
        links.append(f'<{_target(path, query, page + 1, page_size)}>; rel="next"')
    return " , ".join(links)


def _target(path: str, query: str, page: int, page_size: int) -> str:
    kept = [
        (name, part)
        for part in query.split("&")
        if part and (name := unquote_plus(part.partition("=")[0])) not in {"page", "page_size"}
    ]
    size = 0 if page_size == WHOLE_SIZE else page_size
    parts = [*kept, ("page", f"page={page}"), ("page_size", f"page_size={size}")]
    return (
        _safe(path).replace("?", "%3F") + "?" + _safe("&".join(part for _, part in sorted(parts, key=lambda p: p[0])))
    )


def _safe(text: str) -> str:
    """``text`` with everything percent-encoded that a link in a header cannot hold; what is encoded stays so."""
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")), text)
