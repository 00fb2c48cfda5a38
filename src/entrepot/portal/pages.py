"""Pages: templates made into answers, with the headers that keep a page to itself."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from entrepot.web.exchange import Exchange, Headers

if TYPE_CHECKING:
    from jinja2 import Environment

STYLE = "/account/style.css"

_HTML = (b"content-type", b"text/html; charset=utf-8")
_CSS = (b"content-type", b"text/css; charset=utf-8")
_POLICY = b"; ".join(
    (
        b"default-src 'none'",
        b"style-src 'self'",
        b"form-action 'self'",
        b"frame-ancestors 'none'",
        b"base-uri 'none'",
    )
)
_NOSNIFF = (b"x-content-type-options", b"nosniff")
_KEPT_TO_ITSELF: Headers = [
    (b"content-security-policy", _POLICY),
    _NOSNIFF,
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Pages:
    """The templates of this folder; nothing is read before the first page is asked for."""

    async def show(self, exchange: Exchange, status: int, template: str, headers: Headers, **values: Any) -> None:
        """Answer with a page."""
        page = self._environment.get_template(template).render(style=self._style_url, **values)
        await exchange.respond(status, [_HTML, *_KEPT_TO_ITSELF, *headers], page.encode("utf-8", "replace"))

    async def show_style(self, exchange: Exchange) -> None:
        """Answer with the style sheet, whose address changes with it."""
        body, tag = self._style
        headers = [_CSS, _NOSNIFF, (b"etag", tag), (b"cache-control", b"public, max-age=86400")]
        is_known = exchange.header(b"if-none-match") == tag
        await exchange.respond(304 if is_known else 200, headers, body)

    @cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - 40 ms that only pages need

        environment = Environment(
            loader=PackageLoader("entrepot.portal"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters["when"] = _when
        return environment

    @cached_property
    def _style(self) -> tuple[bytes, bytes]:
        body = files("entrepot.portal").joinpath("static/style.css").read_bytes()
        return body, b'"%s"' % hashlib.sha256(body).hexdigest()[:16].encode()

    @cached_property
    def _style_url(self) -> str:
        return f"{STYLE}?v={self._style[1].decode().strip(chr(34))}"


def _when(microseconds: int) -> str:
    """A stored time for people."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).strftime("%d %b %Y, %H:%M UTC").lstrip("0")
