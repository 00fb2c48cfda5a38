"""The token service: what a client's token says it may do."""

from __future__ import annotations

import msgspec

from entrepot.access.identity import Identifier, Identity
from entrepot.access.model import ACTIONS, CATALOG, Access, TokenRefused, may_list
from entrepot.access.service import Guardian
from entrepot.access.token_exchange import ACCESS_TOKEN
from entrepot.access.tokens import TokenIssuer
from entrepot.auth.model import ANONYMOUS, Principal
from entrepot.auth.trusts import Terms
from entrepot.database import Database
from entrepot.errors import InvalidInput, NotAuthenticated
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.oci.name import parse_name
from entrepot.settings.service import Settings
from entrepot.web.exchange import Exchange


class IssuedToken(msgspec.Struct, omit_defaults=True):
    """The token endpoint's answer (distribution's token specification, "Token Response")."""

    token: str
    access_token: str
    expires_in: int
    issued_at: str
    refresh_token: str = ""
    token_type: str = ""
    """This and the rest: what a token exchange answers besides (RFC 8693, 2.2.1)."""
    issued_token_type: str = ""
    scope: str = ""
    """What was granted."""


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

    async def exchange(self, token: str, account: str, origin: Origin) -> Identity:
        """The robot account that trusts the token of a CI job or a pod: ``account``, or (empty) the only one.

        Raises:
            NotAuthenticated: the token does not hold, or nobody trusts it.
            InvalidInput: several trust it, and none is named.
            ProviderUnreachable: its issuer's keys cannot be had.
            TooManyRequests: too many wrong ones came before from that address.
        """
        named = await self._identifier.find_robot(account) if account else None
        return await self._identifier.of_workload(token, origin, named=named, name=account)

    async def certified(self, exchange: Exchange, origin: Origin) -> Identity | None:
        """The account of the client certificate that a trusted proxy tells of; ``None``: there is none.

        Raises:
            NotAuthenticated: the certificate or its account does not hold.
        """
        name = self._guardian.certified(exchange)
        return await self._identifier.of_certificate(name, origin) if name else None

    async def refresh(self, token: str, origin: Origin) -> Identity:
        """The account behind a refresh token.

        Raises:
            NotAuthenticated: it does not hold any more.
        """
        claims = self._issuer.check(token)
        if not claims.is_refresh or claims.expires_at <= clock.now():
            raise NotAuthenticated("The refresh token is not valid any more: log in again.")
        identity = await self._identifier.check(await self._identifier.of_claims(claims), origin)
        if claims.trust_id is None:
            return identity
        # What a workload began ends when it would have ended: fetching tokens makes it no longer.
        terms = Terms(trust_id=claims.trust_id, token_seconds=claims.token_seconds, session_ends_at=claims.expires_at)
        return msgspec.structs.replace(identity, terms=terms)

    async def issue(
        self,
        identity: Identity | None,
        scopes: list[Access],
        origin: Origin,
        *,
        offline: bool,
        exchanged: bool = False,
    ) -> IssuedToken:
        """A token with what an account (``None``: anybody) really may do in what ``scopes`` name.

        The scopes bound the token by the repositories that they name, not by the actions: clients such as oras-py
        reuse a token that they asked for a pull. ``exchanged`` answers as a token exchange wants it.
        """
        granted = await self._granted(identity, scopes, origin)
        now = int(clock.now())
        seconds = self._issuer.access_seconds or await self._settings.number("token_expiration") * 60
        terms = identity.terms if identity else None
        if terms:
            seconds = min(seconds, terms.token_seconds)
        token = self._issuer.issue_access(identity, granted, now, seconds, terms)
        issued = IssuedToken(
            token=token,
            access_token=token,
            expires_in=seconds,
            issued_at=clock.rfc3339(now),
            refresh_token=self._issuer.issue_refresh(identity, now, terms) if identity and offline else "",
        )
        if exchanged:
            issued.token_type, issued.issued_token_type = "Bearer", ACCESS_TOKEN
            issued.scope = " ".join(f"{access.type}:{access.name}:{','.join(access.actions)}" for access in granted)
        return issued

    async def _granted(self, identity: Identity | None, scopes: list[Access], origin: Origin) -> list[Access]:
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
        return granted

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
