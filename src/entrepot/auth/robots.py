"""Robot accounts: finding them, and their logins."""

from __future__ import annotations

from entrepot.auth.logins import Logins
from entrepot.auth.model import Robot, RobotSecret
from entrepot.auth.store import robots as store
from entrepot.database import Database
from entrepot.database.cache import VersionedCache
from entrepot.errors import NotAuthenticated
from entrepot.journal.model import Origin
from entrepot.kit import clock

_LONGEST_SECRET = 1024
_LONGEST_NAME = 255


class Robots:
    """The robot accounts of one database."""

    def __init__(self, database: Database, logins: Logins) -> None:
        self._database = database
        self._logins = logins
        self._by_id: VersionedCache[Robot] = VersionedCache(database, 10_000)
        self._by_name: VersionedCache[Robot] = VersionedCache(database, 10_000)
        self._secrets: VersionedCache[list[RobotSecret]] = VersionedCache(database, 10_000)

    async def find(self, robot_id: int) -> Robot | None:
        """The robot account with this id."""
        robot, version = self._by_id.lookup(robot_id)
        if robot is None:
            robot = await store.find(self._database, robot_id)
            if robot is not None:
                self._by_id.fill(robot_id, robot, version)
        return robot

    async def find_by_name(self, project_id: int | None, name: str) -> Robot | None:
        """A project's robot account, or (``None``) one of the system, by its name without prefix and project."""
        key = (project_id, name)
        robot, version = self._by_name.lookup(key)
        if robot is None and len(name) <= _LONGEST_NAME:
            robot = await store.find_by_name(self._database, project_id, name.encode("utf-8", "replace").decode())
            if robot is not None:
                self._by_name.fill(key, robot, version)
        return robot

    async def log_in(self, name: str, secret: str, robot: Robot | None, origin: Origin) -> None:
        """Let ``robot`` in by one of its secrets; ``None``: there is no such robot account.

        Raises:
            NotAuthenticated: it is not there, is disabled, or has no such secret.
            TooManyRequests: too many wrong ones came before.
        """
        hashes: tuple[str, ...] = ()
        if robot is not None and not robot.is_disabled and len(secret) <= _LONGEST_SECRET:
            hashes = await self._live(robot.id)
        if not await self._logins.check(name, secret[:_LONGEST_SECRET], hashes, origin):
            raise NotAuthenticated("The user name or the password is wrong.")

    async def _live(self, robot_id: int) -> tuple[str, ...]:
        """The hashes of the secrets that count now."""
        secrets, version = self._secrets.lookup(robot_id)
        if secrets is None:
            secrets = await store.list_secrets(self._database, robot_id)
            self._secrets.fill(robot_id, secrets, version)
        now = clock.now_us()
        return tuple(s.secret_hash for s in secrets if s.expires_at is None or s.expires_at > now)
