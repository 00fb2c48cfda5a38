"""Logins of robot accounts with a token of a CI job or a pod: which account trusts it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from functools import lru_cache

import msgspec
import structlog

from entrepot.auth.logins import storable
from entrepot.auth.model import LoggedIn, LoginFailed, Robot
from entrepot.auth.robots import Robots
from entrepot.auth.store import trusts as store
from entrepot.auth.store.trusts import Trust
from entrepot.auth.throttle import BY_ADDRESS_WITH_TOKEN, Throttle, key_of, network_of
from entrepot.auth.workload import WorkloadClaims, Workloads
from entrepot.database import Database, Transaction
from entrepot.database.cache import VersionedCache
from entrepot.errors import InvalidInput, NotAuthenticated, Unavailable
from entrepot.journal import store as journal
from entrepot.journal.model import Origin
from entrepot.kit import clock
from entrepot.kit.claim_rule import ClaimRule, parse_rule
from entrepot.kit.expiring import ExpiringMap

MOST_ASKED = 1000
"""Trusts in one issuer among which the robot account is looked for; where there are more it must be named."""
NOBODY = "workload"
"""How the journal names who showed a token without naming a robot account."""

FullName = Callable[[Robot], Awaitable[str]]

_REMEMBERED = 16_384
_LONGEST_SUBJECT = 512
_LEEWAY = 60.0
"""Seconds for which a token is taken after it has expired."""
_NOT_TRUSTED = (
    "There is no such robot account, or it does not trust this token: compare the rules of its trusts with the token's "
    "claims."
)

log = structlog.get_logger()


class WorkloadLoggedIn(LoggedIn, frozen=True, kw_only=True):
    """A CI job or a pod was let in as a robot account, for a token that the account trusts."""

    trust: str
    subject: str
    """Who it is, as the issuer says."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """On what terms a CI job or a pod was let in as a robot account."""

    trust_id: int
    """Which of the account's trusts did it."""
    token_seconds: int
    """How long an access token lives at most."""
    session_ends_at: float
    """Until when tokens can be fetched without the workload's own; seconds since the epoch, 0: not at all."""


class Admitted(msgspec.Struct, frozen=True):
    """The robot account that trusts a token, and on what terms."""

    robot: Robot
    terms: Terms


class Trusts:
    """The trusts of one database, as far as logins go; who may make them is the business of ``access``."""

    def __init__(self, database: Database, robots: Robots, workloads: Workloads) -> None:
        self._database = database
        self._robots = robots
        self._workloads = workloads
        self._throttle = Throttle(database)
        self._of_issuer: VersionedCache[list[Trust]] = VersionedCache(database, 10 * MOST_ASKED)
        self._of_robot: VersionedCache[list[Trust]] = VersionedCache(database, 10_000)
        self._by_id: VersionedCache[Trust] = VersionedCache(database, 10_000)
        self._told: ExpiringMap[bytes, bool] = ExpiringMap(_REMEMBERED, clock.now)
        self._uses: dict[int, int] = {}

    async def log_in(
        self, token: str, named: Robot | None, name: str, origin: Origin, full_name: FullName | None = None
    ) -> Admitted:
        """Let in who shows ``token`` as the robot account ``named``, or as the only one that trusts it.

        A refusal is recorded, and throttles more of them from that address.

        Args:
            token: what was shown.
            named: the account that was named, if there is one.
            name: the name that was given, in full; empty: none.
            origin: who asks.
            full_name: what an account that was not named is called, for the record.

        Raises:
            NotAuthenticated: the token does not hold, or no account trusts it.
            InvalidInput: several accounts trust it, and none is named.
            ProviderUnreachable: the keys of the token's issuer cannot be had.
            TooManyRequests: too many wrong ones came before from that address.
        """
        try:
            claims, found, trust = await self._check(token, name, named)
        except NotAuthenticated:
            await self._refuse(name, origin)
            raise
        self._uses[trust.id] = clock.now_us()
        if not name:
            name = await full_name(found) if full_name else found.name
        await self._record(token, claims, trust, name, origin)
        ends = claims.expires_at + claims.session_seconds if claims.session_seconds else 0.0
        terms = Terms(trust_id=trust.id, token_seconds=claims.token_seconds, session_ends_at=ends)
        return Admitted(found, terms)

    async def robot_of(self, claims: WorkloadClaims, *, named: Robot | None) -> tuple[Robot, Trust]:
        """The robot account that trusts a token, and its trust.

        Raises:
            NotAuthenticated: ``named`` does not trust it, or nobody does, or who does is disabled or has expired.
            InvalidInput: several accounts trust it, and none is named.
        """
        if named is not None:
            listed = await self._list_of_robot(named.id)
            trust = next((one for one in listed if one.issuer == claims.issuer_name and _holds(one, claims)), None)
            if trust is None:
                raise NotAuthenticated(_NOT_TRUSTED)
            return _usable(named), trust
        found: dict[int, Trust] = {}
        for one in await self._list_of_issuer(claims.issuer_name):
            if one.robot_id not in found and _holds(one, claims):
                found[one.robot_id] = one
        if not found:
            raise NotAuthenticated("No robot account trusts this token: add a trust whose rule its claims fulfil.")
        if len(found) > 1:
            raise _ambiguous("Several robot accounts trust this token")
        trust = next(iter(found.values()))
        robot = await self._robots.find(trust.robot_id)
        if robot is None:
            raise NotAuthenticated("The robot account that trusts this token is not there any more.")
        return _usable(robot), trust

    async def exists(self, trust_id: int, robot_id: int) -> bool:
        """Whether a robot account still trusts what it let in, and the issuer is still known to the operator."""
        trust, version = self._by_id.lookup(trust_id)
        if trust is None:
            trust = await store.find(self._database, trust_id)
            if trust is None:
                return False
            self._by_id.fill(trust_id, trust, version)
        return trust.robot_id == robot_id and trust.issuer in await self._workloads.names()

    async def _check(self, token: str, name: str, named: Robot | None) -> tuple[WorkloadClaims, Robot, Trust]:
        claims = await self._workloads.verify(token)
        if name and named is None:
            raise NotAuthenticated(_NOT_TRUSTED)
        return claims, *await self.robot_of(claims, named=named)

    async def _refuse(self, name: str, origin: Origin) -> None:
        key = key_of("workload", network_of(origin.client_address))
        await self._throttle.require({key: BY_ADDRESS_WITH_TOKEN})
        shown = storable(name) or NOBODY

        async def work(tx: Transaction) -> None:
            await self._throttle.count(tx, [key])
            await journal.append(tx, msgspec.structs.replace(origin, principal=shown), LoginFailed(user=shown))

        await self._database.write(work, durable=False)

    async def flush(self) -> None:
        """Write when trusts were used since the last time."""
        uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            await self._database.write(lambda tx: store.set_last_used(tx, uses), durable=False)
        except BaseException:
            self._uses = uses | self._uses  # nothing is lost: the next flush writes it
            raise

    async def _list_of_robot(self, robot_id: int) -> list[Trust]:
        trusts, version = self._of_robot.lookup(robot_id)
        if trusts is None:
            trusts = await store.list_of_robot(self._database, robot_id)
            self._of_robot.fill(robot_id, trusts, version, weight=1 + len(trusts))
        return trusts

    async def _list_of_issuer(self, issuer: str) -> list[Trust]:
        trusts, version = self._of_issuer.lookup(issuer)
        if trusts is None:
            trusts = await store.list_of_issuer(self._database, issuer, MOST_ASKED + 1)
            self._of_issuer.fill(issuer, trusts, version, weight=1 + len(trusts))
        if len(trusts) > MOST_ASKED:
            raise _ambiguous("Many robot accounts trust tokens of this issuer")
        return trusts

    async def _record(self, token: str, claims: WorkloadClaims, trust: Trust, name: str, origin: Origin) -> None:
        """Tell that a token opened something: once for each, since a job shows the same one again and again."""
        key = hashlib.blake2b(f"{trust.id}\0{token}".encode(), digest_size=16).digest()
        if self._told.get(key) is not None:
            return
        self._told.put(key, True, max(claims.expires_at, clock.now()) + _LEEWAY)
        event = WorkloadLoggedIn(
            user=name,
            provider=claims.issuer_name,
            trust=trust.name,
            subject=claims.subject[:_LONGEST_SUBJECT].encode("utf-8", "replace").decode().replace("\0", "?"),
        )
        named = msgspec.structs.replace(origin, principal=name)
        try:
            await self._database.write(lambda tx: journal.append(tx, named, event), durable=False)
        except Unavailable as error:
            # A full disk must not keep anybody from pulling.
            log.warning("login not recorded", user=name, client_address=origin.client_address, error=error.message)


def _holds(trust: Trust, claims: WorkloadClaims) -> bool:
    rule = _parsed(trust.rule)
    return rule is not None and rule.holds(claims.claims)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ClaimRule | None:
    """A stored rule; ``None``, which never holds, for one that is none any more."""
    try:
        return parse_rule(text)
    except InvalidInput:
        return None


def _usable(robot: Robot) -> Robot:
    if robot.is_disabled:
        raise NotAuthenticated("The robot account that trusts this token is disabled.")
    if robot.expires_at is not None and robot.expires_at <= clock.now_us():
        raise NotAuthenticated("The robot account that trusts this token has expired.")
    return robot


def _ambiguous(why: str) -> InvalidInput:
    return InvalidInput(f"{why}: name the robot with account=.", code="BAD_REQUEST")
