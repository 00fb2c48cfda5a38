"""Routes for a user's own personal access tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

from fastapi import Request, Response
from pydantic import Field

from entrepot.auth.http.fields import Word, microseconds, moment
from entrepot.auth.model import USER, Caller, PersonalToken, Scope
from entrepot.auth.personal_tokens import PersonalTokens
from entrepot.errors import Denied
from entrepot.web.rest import Asking, Body, Identifier, Route, delete, get, located, post
from entrepot.web.rule import LOGIN

Patterns = Annotated[list[Word], Field(max_length=50)]


class Scopes(Protocol):
    """Translates scopes: the API names projects, rights are judged on their ids."""

    async def read(self, entries: Sequence[Mapping[str, Any]]) -> Scope:
        """What ``entries`` stand for.

        Raises:
            InvalidInput: an entry is not valid.
            NotFound: it names a project that there is not.
        """

    async def write_all(self, scopes: Sequence[Scope]) -> list[list[dict[str, Any]]]:
        """The entries for each of ``scopes``, with the names that projects have now."""


class AccessBody(Body):
    """Something that can be done to a kind of thing."""

    resource: Word
    action: Word
    effect: Word | None = None


class ScopeBody(Body):
    """What a token is limited to, in the whole registry or in projects."""

    kind: Word = Field(description="system or project")
    namespace: Word | None = Field(None, description="/ for the system, a project's name, or * for every project.")
    access: list[AccessBody] = Field(max_length=200)
    repositories: Patterns | None = Field(None, description="Patterns of paths inside the project.")
    tags: Patterns | None = Field(None, description="Patterns of tags, for push, tag and delete.")


class NewToken(Body):
    """A token to make."""

    name: Word = Field(min_length=1)
    expires_at: datetime | None = Field(None, description="Without it the token never expires.")
    scope: list[ScopeBody] | None = Field(
        None, min_length=1, max_length=100, description="Without it the token may do all that its user may."
    )


class Token(Body):
    """A personal access token."""

    id: int
    name: str
    creation_time: datetime
    expires_at: datetime | None = None
    last_used_time: datetime | None = None
    last_used_address: str | None = None
    scope: list[ScopeBody] | None = None


class MadeToken(Token):
    """A token that was made just now; its secret is shown this once."""

    secret: str


class TokenRoutes:
    """Making, listing and revoking one's own tokens."""

    def __init__(self, tokens: PersonalTokens, scopes: Scopes) -> None:
        self._tokens = tokens
        self._scopes = scopes

    def own_routes(self) -> list[Route]:
        """Below ``/api/entrepot/v1``."""
        return [
            get("/users/current/tokens", self.list_all, LOGIN, tag="token"),
            post("/users/current/tokens", self.create, LOGIN, tag="token"),
            delete("/users/current/tokens/{token_id}", self.revoke, LOGIN, tag="token"),
        ]

    async def list_all(self, caller: Annotated[Caller, Asking]) -> list[Token]:
        """List one's tokens."""
        tokens = await self._tokens.list(_user_id(caller))
        written = await self._scopes.write_all([token.scope or () for token in tokens])
        return [Token(**_fields(token, scope)) for token, scope in zip(tokens, written, strict=True)]

    async def create(
        self, caller: Annotated[Caller, Asking], request: Request, response: Response, body: NewToken
    ) -> MadeToken:
        """Make a token; the answer holds its secret, which is shown this once."""
        user_id = _user_id(caller)
        scope = None
        if body.scope is not None:
            scope = await self._scopes.read([entry.model_dump() for entry in body.scope])
        expires_at = microseconds(body.expires_at) if body.expires_at else None
        token, secret = await self._tokens.create(caller, user_id, body.name, scope, expires_at)
        located(response, f"{request.url.path.rstrip('/')}/{token.id}")
        written = await self._scopes.write_all([token.scope or ()])
        return MadeToken(**_fields(token, written[0]), secret=secret)

    async def revoke(self, caller: Annotated[Caller, Asking], token_id: Identifier) -> None:
        """Let a token work no longer, from the next request on."""
        await self._tokens.revoke(caller, _user_id(caller), token_id)


def _user_id(caller: Caller) -> int:
    if caller.principal.kind != USER or caller.principal.id is None:
        raise Denied(
            "Only users have personal access tokens: a robot account has secrets of its own.", code="FORBIDDEN"
        )
    if caller.bound is not None:
        raise Denied("A token for repositories opens no other doors: use the password.", code="FORBIDDEN")
    return caller.principal.id


def _fields(token: PersonalToken, scope: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "creation_time": moment(token.created_at),
        "expires_at": moment(token.expires_at) if token.expires_at is not None else None,
        "last_used_time": moment(token.last_used_at) if token.last_used_at is not None else None,
        "last_used_address": token.last_used_address,
        "scope": [ScopeBody(**entry) for entry in scope] if token.scope is not None else None,
    }
