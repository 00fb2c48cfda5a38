"""Who is it: the principal behind a password, a robot's secret, a token of ours or of somebody trusted, a session.

What was revoked since counts: a bearer token or a session is looked at again after every commit, and an account that
comes from a provider is asked about there once what it said is too old.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import secrets
from typing import NoReturn

import msgspec

from entrepot.access.model import resource
from entrepot.access.tokens import Claims, TokenIssuer
from entrepot.auth.foreign_bearers import ForeignBearers
from entrepot.auth.model import ANONYMOUS, ROBOT, Caller, LoginFailed, PersonalToken, Principal, Robot, User
from entrepot.auth.personal_tokens import PREFIX, PersonalTokens
from entrepot.auth.rechecks import Rechecks
from entrepot.auth.robots import Robots
from entrepot.auth.service import Users
from entrepot.auth.sessions import Sessions
from entrepot.auth.trusts import Terms, Trusts
from entrepot.auth.usage import LastUses
from entrepot.auth.workload import looks_like_jwt
from entrepot.database import Database
from entrepot.database.cache import VersionedCache
from entrepot.errors import NotAuthenticated
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.kit.expiring import ExpiringMap
from entrepot.projects import store as projects
from entrepot.settings.service import Settings

_NEVER = float("inf")
_TOLD_SECONDS = 10.0
_BASIC_SECONDS = 1.0
"""Short, since whoever checked the password remembers it for as long as it may count."""


class Identity(msgspec.Struct, frozen=True):
    """What a credential shows, as long as nothing has changed in the database."""

    principal: Principal
    credential_version: int = 0
    networks: tuple[str, ...] = ()
    ends_at: float = _NEVER
    """Seconds since the epoch after which the account or personal token is no good."""
    bound: frozenset[str] | None = None
    token_ends_at: float = _NEVER
    """When the access token itself expires; an expired one still continues the upload that it began."""
    recheck_at: float = _NEVER
    """When its provider must be asked again; seconds since the epoch."""
    is_cli_secret: bool = False
    """Whether the password was the account's CLI secret, which opens less than the password."""
    terms: Terms | None = None
    """On what terms a CI job or a pod came as this robot account."""


class Strangers(msgspec.Struct, frozen=True):
    """Whoever vouches for those whose credentials are not ours."""

    rechecks: Rechecks
    trusts: Trusts
    bearers: ForeignBearers


class Identifier:
    """Turns credentials into identities."""

    def __init__(
        self,
        database: Database,
        users: Users,
        *,
        robots: Robots,
        tokens: PersonalTokens,
        sessions: Sessions,
        uses: LastUses,
        issuer: TokenIssuer,
        settings: Settings,
        strangers: Strangers,
    ) -> None:
        self._strangers = strangers
        self._key = secrets.token_bytes(32)
        self._basics: VersionedCache[tuple[Identity, float]] = VersionedCache(database, 16_384)
        self._database = database
        self._users = users
        self._robots = robots
        self._tokens = tokens
        self._sessions = sessions
        self._uses = uses
        self._issuer = issuer
        self._settings = settings
        self._bearers: VersionedCache[Identity] = VersionedCache(database, 16_384)
        self._told: ExpiringMap[tuple[str, str], bool] = ExpiringMap(16_384, clock.monotonic)

    async def identify(
        self, authorization: str, origin: Origin, *, session: str = "", certificate: str = "", is_rest: bool = False
    ) -> Caller:
        """The caller that an ``Authorization`` header, or else a session's cookie, shows; anonymous without either.

        Args:
            authorization: the header.
            origin: where the request comes from.
            session: the cookie.
            certificate: the principal to whom a client certificate is mapped, which counts without the others.
            is_rest: whether tokens of OpenID providers are taken too.

        Raises:
            NotAuthenticated: the credential does not hold.
            TooManyRequests: too many wrong ones came before it.
        """
        kind = ""
        if authorization:
            scheme, _, value = authorization.partition(" ")
            kind = scheme.lower()
            if kind == "bearer":
                identity = await self._bearer(value.strip(), origin, is_rest=is_rest)
            elif kind == "basic":
                identity = await self._basic(value, origin)
            else:
                raise NotAuthenticated("Send credentials as Basic or Bearer.")
            kind = "cli-secret" if identity.is_cli_secret else kind
            kind = "expired" if identity.token_ends_at <= clock.now() else kind
        elif session:
            user = await self._sessions.find(session)
            identity = await self._of_user(user) if user else _NOBODY
            kind = "session" if user else ""
        elif certificate:
            identity = await self._called(certificate)
            kind = "certificate"
        else:
            identity = _NOBODY
        identity = await self.check(identity, origin)
        return Caller(
            principal=identity.principal,
            client_address=origin.client_address,
            user_agent=origin.user_agent,
            request_id=origin.request_id,
            bound=identity.bound,
            credential=kind,
        )

    async def log_in(self, name: str, password: str, origin: Origin) -> Identity:
        """The identity behind a name and a password, a robot's secret, or a personal access token in its place.

        Raises:
            NotAuthenticated: they do not belong together.
            TooManyRequests: too many wrong ones came before.
        """
        if password.startswith(PREFIX):
            identity = await self._personal(password, origin)
            if identity.principal.name != name:
                await self._tokens.refuse(f"{PREFIX}{identity.principal.token_id}", origin)
                raise NotAuthenticated("The user name or the password is wrong.")
        elif (robot := await self._robot_called(name)) is not None:
            if looks_like_jwt(password):
                identity = await self.of_workload(password, origin, named=robot, name=name)
            else:
                await self._robots.log_in(name, password, robot, origin)
                identity = _of_robot(robot, name)
        else:
            user, is_secret = await self._users.check_password(name, password, origin)
            identity = await (self._of_cli_secret(user) if is_secret else self._of_user(user))
        return await self.check(identity, origin)

    async def of_workload(self, token: str, origin: Origin, *, named: Robot | None = None, name: str = "") -> Identity:
        """The robot account that trusts the token of a CI job or a pod: ``named``, or the only one.

        Raises:
            NotAuthenticated: the token does not hold, or no account trusts it.
            InvalidInput: several accounts trust it, and none is named.
            TooManyRequests: too many wrong ones came before.
        """
        admitted = await self._strangers.trusts.log_in(token, named, name, origin, self._full_name)
        identity = _of_robot(admitted.robot, name or await self._full_name(admitted.robot))
        return await self.check(msgspec.structs.replace(identity, terms=admitted.terms), origin)

    async def of_certificate(self, name: str, origin: Origin) -> Identity:
        """The account called ``name``, to which the operator's rules map a client certificate.

        Raises:
            NotAuthenticated: there is none, it is disabled or expired, or may not come from there.
        """
        return await self.check(await self._called(name), origin)

    async def find_robot(self, name: str) -> Robot | None:
        """The robot account with this full name."""
        return await self._robot_called(name)

    async def of_claims(self, claims: Claims) -> Identity:
        """The account behind a token of ours, as it is now.

        Raises:
            NotAuthenticated: it was disabled, deleted, or has other credentials since.
        """
        identity: Identity | None = None
        if claims.account_id is None:
            return _NOBODY
        if claims.kind == ROBOT:
            robot = await self._robots.find(claims.account_id)
            if robot is not None and not robot.is_disabled and await self._still_trusts(robot, claims.trust_id):
                identity = _of_robot(robot, claims.subject)
        else:
            user = await self._users.find_by_id(claims.account_id)
            if user is not None and not user.is_disabled:
                identity = await (self._of_cli_secret(user) if claims.is_cli_secret else self._of_user(user))
                if claims.token_id is not None:
                    token = await self._tokens.find(claims.token_id)
                    identity = _limited(identity, token) if token else None
        if identity is None or identity.credential_version != claims.credential_version:
            raise NotAuthenticated("The token is no longer valid: log in again.")
        return identity

    async def recheck(self, identity: Identity) -> Identity:
        """The identity as its provider sees it now, if it is time to ask; what a provider does not answer stays.

        Raises:
            NotAuthenticated: the account is gone there, and so here.
        """
        user_id = identity.principal.id
        if identity.recheck_at > clock.now() or user_id is None:
            return identity
        await self._strangers.rechecks.ask(user_id)
        user = await self._users.find_by_id(user_id)
        if user is None or user.is_disabled:
            raise NotAuthenticated("The account is disabled: ask an administrator.")
        principal = msgspec.structs.replace(identity.principal, name=user.name, is_admin=user.administers)
        return msgspec.structs.replace(identity, principal=principal)

    async def _basic(self, value: str, origin: Origin) -> Identity:
        """The identity behind Basic credentials.

        What was right within the last second needs no second look: 9 µs instead of 80 (bench: GET manifest, Basic).
        """
        key = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()
        known, version = self._basics.lookup(key)
        if known is not None and known[1] > clock.monotonic():
            return known[0]
        identity = await self.log_in(*decode_basic(value), origin)
        self._basics.fill(key, (identity, clock.monotonic() + _BASIC_SECONDS), version)
        return identity

    async def _of_user(self, user: User) -> Identity:
        due_at = await self._strangers.rechecks.due_at(user)
        return Identity(user.principal, user.credential_version, recheck_at=due_at)

    async def _of_cli_secret(self, user: User) -> Identity:
        """What was fetched with the secret ends when it does."""
        ends_at = await self._users.cli_secret_ends_at(user.id) or 0.0
        return msgspec.structs.replace(await self._of_user(user), is_cli_secret=True, ends_at=ends_at)

    async def _called(self, name: str) -> Identity:
        """The account of that name, vouched for by the operator's rules.

        Raises:
            NotAuthenticated: there is none, or it is disabled.
        """
        robot = await self._robot_called(name)
        if robot is not None and not robot.is_disabled:
            return _of_robot(robot, name)
        user = await self._users.find_by_name(name)
        if user is None or user.is_disabled:
            raise NotAuthenticated("The client certificate is mapped to an account that is not there or is disabled.")
        return await self._of_user(user)

    async def _still_trusts(self, robot: Robot, trust_id: int | None) -> bool:
        return trust_id is None or await self._strangers.trusts.exists(trust_id, robot.id)

    async def _full_name(self, robot: Robot) -> str:
        prefix = await self._settings.text("robot_name_prefix")
        if robot.project_id is None:
            return f"{prefix}{robot.name}"
        project = await projects.find_by_id(self._database, robot.project_id)
        return f"{prefix}{project.name if project else robot.project_id}+{robot.name}"

    async def _bearer(self, value: str, origin: Origin, *, is_rest: bool) -> Identity:
        """The identity behind a token, remembered until the next commit: 3 µs instead of 9 (bench: GET manifest)."""
        identity, version = self._bearers.lookup(value)
        if identity is None:
            if value.startswith(PREFIX):
                identity = await self._personal(value, origin)
            elif is_rest and not self._issuer.is_ours(value):
                # Not kept: the token is good for REST only, and the provider's time is not ours to stretch.
                return await self._of_provider(value, origin)
            else:
                claims = self._issuer.check(value)
                if claims.is_refresh:
                    raise NotAuthenticated("A refresh token is for the token endpoint only.")
                found = await self.of_claims(claims)
                identity = msgspec.structs.replace(found, bound=_bound(claims), token_ends_at=claims.expires_at)
            self._bearers.fill(value, identity, version)
        return identity

    async def _personal(self, secret: str, origin: Origin) -> Identity:
        token = await self._tokens.verify(secret, origin)
        user = await self._users.find_by_id(token.user_id)
        if user is None or user.is_disabled:
            raise NotAuthenticated("The personal access token is not valid: make a new one.")
        return _limited(await self._of_user(user), token)

    async def _of_provider(self, value: str, origin: Origin) -> Identity:
        user, expires_at = await self._strangers.bearers.user_of(value, origin)
        return msgspec.structs.replace(await self._of_user(user), token_ends_at=expires_at)

    async def _robot_called(self, name: str) -> Robot | None:
        """A robot account by its name with the prefix: ``robot$name``, or ``robot$project+name``."""
        prefix = await self._settings.text("robot_name_prefix")
        if not name.startswith(prefix):
            return None
        first, plus, rest = name.removeprefix(prefix).partition("+")
        if not plus:
            return await self._robots.find_by_name(None, first)
        project = await projects.find(self._database, first)
        return await self._robots.find_by_name(project.id, rest) if project else None

    async def check(self, identity: Identity, origin: Origin) -> Identity:
        """Look at what can change without a commit: the time, where the caller is, and what its provider says.

        Raises:
            NotAuthenticated: the account or token has expired, or may not come from there.
        """
        if identity.ends_at <= clock.now():
            await self._refuse(identity, origin, "The account or token has expired: ask for a new one.")
        if identity.networks and not _inside(identity.networks, origin.client_address):
            await self._refuse(identity, origin, f"This robot account may not be used from {origin.client_address}.")
        if identity.recheck_at <= clock.now():
            identity = await self.recheck(identity)
        principal = identity.principal
        if principal.is_robot or principal.token_id is not None:
            self._uses.note(principal, origin.client_address)
        return identity

    async def _refuse(self, identity: Identity, origin: Origin, message: str) -> NoReturn:
        name = identity.principal.name
        key = (name, origin.client_address)
        if self._told.get(key) is None:
            # Now and then is enough: who insists must not make the journal grow.
            self._told.put(key, True, clock.monotonic() + _TOLD_SECONDS)
            named = msgspec.structs.replace(origin, principal=name)
            await self._database.write(lambda tx: journal.append(tx, named, LoginFailed(user=name)), durable=False)
        raise NotAuthenticated(message)


def _of_robot(robot: Robot, name: str) -> Identity:
    principal = Principal(robot.id, name, kind=ROBOT, scope=robot.scope)
    return Identity(principal, robot.credential_version, robot.networks, _seconds(robot.expires_at))


def _limited(identity: Identity, token: PersonalToken) -> Identity:
    principal = msgspec.structs.replace(identity.principal, scope=token.scope, token_id=token.id)
    return msgspec.structs.replace(identity, principal=principal, ends_at=_seconds(token.expires_at))


def _seconds(microseconds: int | None) -> float:
    return _NEVER if microseconds is None else microseconds / 1_000_000


def _inside(networks: tuple[str, ...], address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    known = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(known in ipaddress.ip_network(network) for network in networks)


def decode_basic(value: str) -> tuple[str, str]:
    """Name and password of a Basic credential (RFC 7617).

    Raises:
        NotAuthenticated: it cannot be read.
    """
    try:
        name, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:  # not base64, not ASCII, not UTF-8
        colon = ""
    if not colon:
        raise NotAuthenticated("The Basic credentials cannot be read: send base64 of name:password.")
    return name, password


def _bound(claims: Claims) -> frozenset[str]:
    names = set()
    for access in claims.access:
        if access.type in {"registry", "api"}:
            names.add(f"{access.type}:{access.name}")
        elif access.type == "repository":
            names.add(resource(access.name) or "")
    return frozenset(names)


_NOBODY = Identity(ANONYMOUS)
