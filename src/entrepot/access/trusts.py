"""Which tokens of CI jobs and pods a robot account trusts: said by whoever may change its secrets."""

from __future__ import annotations

from entrepot.access.events import RobotEvent
from entrepot.access.robots import RobotAccounts
from entrepot.access.scopes import refusal
from entrepot.auth.model import Caller
from entrepot.auth.store import robots
from entrepot.auth.store import trusts as store
from entrepot.auth.store.trusts import Trust
from entrepot.auth.workload import Workloads
from entrepot.database import Database, Transaction
from entrepot.errors import Conflict, NotFound
from entrepot.journal import store as journal
from entrepot.kit import clock
from entrepot.kit.claim_rule import parse_rule

MOST_TRUSTS = 50
"""Trusts of one robot account: each rule may have to be tried at a login."""
LONGEST_NAME = 255


class RobotTrustAdded(RobotEvent, frozen=True, kw_only=True):
    """Whoever shows a token that is as ``rule`` wants it may act as a robot account."""

    operation = "update"  # of the account: nothing that stands alone came to be
    trust_id: int
    trust: str
    issuer: str
    rule: str


class RobotTrustRemoved(RobotEvent, frozen=True, kw_only=True):
    """A robot account trusts these tokens no longer, nor what was issued for them."""

    operation = "update"
    trust_id: int
    trust: str
    issuer: str
    rule: str


class RobotTrusts:
    """The trusts of robot accounts that a caller may manage."""

    def __init__(self, database: Database, accounts: RobotAccounts, workloads: Workloads) -> None:
        self._database = database
        self._accounts = accounts
        self._workloads = workloads

    async def list_all(self, caller: Caller, robot_id: int) -> list[Trust]:
        """A robot account's trusts, oldest first.

        Raises:
            NotFound: there is no such account.
            Denied: the caller may not see it.
        """
        await self._accounts.require(caller, robot_id, "read")
        return await store.list_of_robot(self._database, robot_id)

    async def add(self, caller: Caller, robot_id: int, *, name: str, issuer: str, rule: str) -> int:
        """Let a robot account trust the tokens of ``issuer`` that are as ``rule`` wants them; the trust's id.

        Args:
            caller: who asks.
            robot_id: which account.
            name: what the trust is called.
            issuer: what the operator calls the issuer in ``[[identity.workload]]``.
            rule: on the token's claims; see ``kit.claim_rule``.

        Raises:
            InvalidInput: the name is no good, the issuer is not known, or the rule is none.
            NotFound: there is no such account.
            Conflict: it has a trust of that name, or too many.
            Denied: the caller may not.
        """
        robot = await self._accounts.require(caller, robot_id, "update", takes_over=True)
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise refusal(f"A trust's name has 1 to {LONGEST_NAME} characters that can be printed.")
        if not " ".join(rule.split()).isprintable():
            raise refusal("The rule has characters that cannot be printed: leave them out.")
        parse_rule(rule)
        if issuer not in await self._workloads.names():
            raise refusal(f"There is no issuer {issuer[:64]!r}: the operator lists them in [[identity.workload]].")
        full_name = await self._accounts.name_of(robot)

        async def work(tx: Transaction) -> int:
            if await robots.find(tx, robot_id) is None:
                raise NotFound(f"There is no robot account {robot_id}.")
            if await store.count_of(tx, robot_id) >= MOST_TRUSTS:
                raise Conflict(f"A robot account has at most {MOST_TRUSTS} trusts: remove one first.")
            added = await store.add(tx, robot_id=robot_id, name=name, issuer=issuer, rule=rule, now=clock.now_us())
            if added is None:
                raise Conflict(
                    f"The robot account has a trust {name} already: choose another name, or remove it first."
                )
            event = RobotTrustAdded(
                project_id=robot.project_id,
                robot_id=robot_id,
                robot=full_name,
                trust_id=added,
                trust=name,
                issuer=issuer,
                rule=rule,
            )
            await journal.append(tx, caller.origin, event)
            return added

        return await self._database.write(work)

    async def remove(self, caller: Caller, robot_id: int, trust_id: int) -> None:
        """Let a robot account trust no longer; what was issued for such tokens ends with the next request.

        Raises:
            NotFound: there is no such account or trust.
            Denied: the caller may not.
        """
        robot = await self._accounts.require(caller, robot_id, "update", takes_over=True)
        full_name = await self._accounts.name_of(robot)

        async def work(tx: Transaction) -> None:
            removed = await store.remove(tx, robot_id, trust_id)
            if removed is None:
                raise NotFound(f"The robot account {full_name} has no trust {trust_id}.")
            event = RobotTrustRemoved(
                project_id=robot.project_id,
                robot_id=robot_id,
                robot=full_name,
                trust_id=trust_id,
                trust=removed.name,
                issuer=removed.issuer,
                rule=removed.rule,
            )
            await journal.append(tx, caller.origin, event)

        await self._database.write(work)
