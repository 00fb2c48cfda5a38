"""All REST routes of this slice."""

from __future__ import annotations

from entrepot.auth.groups import Groups
from entrepot.auth.http.groups import GroupRoutes
from entrepot.auth.http.tokens import Scopes, TokenRoutes
from entrepot.auth.http.users import AccountRoutes
from entrepot.auth.identities import Identities
from entrepot.auth.personal_tokens import PersonalTokens
from entrepot.auth.service import Users
from entrepot.web.rest import Route
from entrepot.web.rule import Gate


class UserRoutes:
    """Users, groups and personal access tokens."""

    def __init__(
        self,
        users: Users,
        tokens: PersonalTokens,
        groups: Groups,
        gate: Gate,
        scopes: Scopes,
        identities: Identities | None = None,
    ) -> None:
        self._accounts = AccountRoutes(users, gate, identities)
        self._groups = GroupRoutes(groups)
        self._tokens = TokenRoutes(tokens, scopes)

    def routes(self) -> list[Route]:
        """Below ``/api/v2.0``."""
        return [*self._accounts.routes(), *self._groups.routes()]

    def own_routes(self) -> list[Route]:
        """Below ``/api/entrepot/v1``; "current" comes before what takes an id."""
        return [*self._tokens.own_routes(), *self._accounts.own_routes(), *self._groups.own_routes()]
