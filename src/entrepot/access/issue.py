"""The token service: what a client's token says it may do."""

from __future__ import annotations

import msgspec

from entrepot.access.identity import Identifier, Identity
from entrepot.access.model import ACTIONS, CATALOG, Access, TokenRefused, may_list
from entrepot.access.service import Guardian
from entrepot.access.tokens import TokenIssuer
from entrepot.auth.model import ANONYMOUS, Principal
from entrepot.database import Database
from entrepot.errors import InvalidInput, NotAuthenticated
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.oci.name import parse_name
from entrepot.settings.service import Settings


class IssuedToken(msgspec.Struct, omit_defaults=True):
    """The token endpoint's answer (distribution's token specification, "Token Response")."""

    token: str
    access_token: str
    expires_in: int
    issued_at: str
    refresh_token: str = ""


class TokenService:
    """Logs in for a token, and issues it."""

    def __init__(
        self, database: Database, identifier: Identifier, guardian: Guardian, issuer: TokenIssuer, settings: Settings
    ) -> None:
        self._database = database
        self._identifier = identifier
        self._guardian = guardian
        self._issuer = issuer
        self._settings = settings

    async def log_in(self, name: str, password: str, origin: Origin) -> Identity:
        """The account behind a name and a password.

        Raises:
            NotAuthenticated: they do not belong together.
        """
        return await self._identifier.log_in(name, password, origin)

    async def refresh(self, token: str) -> Identity:
        """The account behind a refresh token.

        Raises:
            NotAuthenticated: it does not hold any more.
        """
        claims = self._issuer.check(token)
        if not claims.is_refresh or claims.expires_at <= clock.now():
            raise NotAuthenticated("The refresh token is not valid any more: log in again.")
        identity = await self._identifier.of_claims(claims)
        if identity.ends_at <= clock.now():
            raise NotAuthenticated("The account or token has expired: ask for a new one.")
        return identity

    async def issue(
        self, identity: Identity | None, scopes: list[Access], origin: Origin, *, offline: bool
    ) -> IssuedToken:
        """A token with what an account (``None``: anybody) really may do in what ``scopes`` name.

        The scopes bound the token by the repositories that they name, not by the actions: clients such as oras-py
        reuse a token that they asked for a pull.
        """
        principal = identity.principal if identity else ANONYMOUS
        granted = [Access("api", "*", ("*",))] if identity and not scopes else []
        refused = []
        for scope in scopes:
            actions = await self._grant(principal, scope)
            if actions:
                granted.append(Access(scope.type, scope.name, actions))
            else:
                refused.append(f"{scope.type}:{scope.name}:{','.join(scope.actions)}"[:512])
        if refused and identity:
            event = TokenRefused(scopes=tuple(refused[:20]))
            await self._database.write(lambda tx: journal.append(tx, origin, event), durable=False)
        now = int(clock.now())
        seconds = self._issuer.access_seconds or await self._settings.number("token_expiration") * 60
        token = self._issuer.issue_access(identity, granted, now, seconds)
        return IssuedToken(
            token=token,
            access_token=token,
            expires_in=seconds,
            issued_at=clock.rfc3339(now),
            refresh_token=self._issuer.issue_refresh(identity, now) if identity and offline else "",
        )

    async def _grant(self, principal: Principal, scope: Access) -> tuple[str, ...]:
        if f"{scope.type}:{scope.name}" == CATALOG:
            return ("*",) if may_list(principal) else ()
        if scope.type != "repository":
            return ()
        try:
            name = parse_name(scope.name)
        except InvalidInput:
            return ()
        return tuple(
            [action for action, needed in ACTIONS.items() if await self._guardian.allowed(principal, needed, name)]
        )
