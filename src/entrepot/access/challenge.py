"""The ``WWW-Authenticate`` that tells a client where to fetch a token.

Source: RFC 6750 section 3; distribution's token specification, "How to authenticate".
"""

from __future__ import annotations

from entrepot.access.errors import TokenNeeded
from entrepot.access.tokens import SERVICE
from entrepot.errors import NotAuthenticated
from entrepot.web.exchange import Exchange

TOKEN_PATH = "/service/token"  # noqa: S105 - a path


def challenge(exchange: Exchange, error: NotAuthenticated, asked: str) -> tuple[bytes, bytes]:
    """The header for a refused request to ``/v2/``; a repository is named as it was ``asked`` for."""
    parts = [f'realm="{_quoted(exchange.origin_url() + TOKEN_PATH)}"', f'service="{SERVICE}"']
    if isinstance(error, TokenNeeded):
        if error.scope:
            kind, _, actions = error.scope.partition(":")[0], "", error.scope.rpartition(":")[2]
            scope = f"repository:{asked}:{actions}" if kind == "repository" and asked else error.scope
            parts.append(f'scope="{scope}"')
        if error.reason:
            parts.append(f'error="{error.reason}"')
    elif exchange.header(b"authorization"):
        parts.append('error="invalid_token"')
    return b"www-authenticate", f"Bearer {','.join(parts)}".encode("latin-1", "replace")


def _quoted(text: str) -> str:
    return "".join(c for c in text if c not in '"\\' and c.isprintable())
