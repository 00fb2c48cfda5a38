"""Accounts: finding, logging in, creating, changing."""

from __future__ import annotations

import re
from typing import Protocol

from entrepot.auth.logins import Elsewhere, Logins
from entrepot.auth.model import (
    FIRST,
    RESERVED,
    AdminChanged,
    AuditorChanged,
    PasswordChanged,
    User,
    UserCreated,
    UserDeleted,
    UserUpdated,
    is_user_name,
)
from entrepot.auth.passwords import hash_password
from entrepot.auth.store import users as store
from entrepot.auth.strength import LONGEST_PASSWORD, Strength
from entrepot.database import Database, Transaction
from entrepot.database.cache import VersionedCache
from entrepot.errors import Conflict, Denied, InvalidInput, NotAuthenticated, NotFound
from entrepot.journal import store as journal
from entrepot.journal.model import SYSTEM, Event, Origin
from entrepot.kit import clock
from entrepot.kit.listing import Listing
from entrepot.settings.service import Settings

ADMIN = "admin"
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\"\\]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


class HashFinder(Protocol):
    """Finds the hash and the end of an account's other password."""

    async def find_hash(self, user_id: int) -> str | None:
        """The hash that counts now; none if there is no such password."""

    async def ends_at(self, user_id: int) -> float | None:
        """When it ends, in seconds since the epoch; none if there is no such password."""


class Users:
    """The accounts of one database."""

    def __init__(
        self,
        database: Database,
        logins: Logins,
        settings: Settings,
        *,
        elsewhere: Elsewhere | None = None,
        cli_secrets: HashFinder | None = None,
    ) -> None:
        """``elsewhere`` vouches for people whose passwords are not kept here; ``cli_secrets`` are a second password."""
        self._elsewhere = elsewhere
        self._cli_secrets = cli_secrets
        self._database = database
        self._logins = logins
        self._settings = settings
        self._by_name: VersionedCache[User] = VersionedCache(database, 10_000)
        self._by_id: VersionedCache[User] = VersionedCache(database, 10_000)

    # finding

    async def find_by_name(self, name: str) -> User | None:
        """The account called ``name``."""
        user, version = self._by_name.lookup(name)
        if user is None:
            user = await store.find_by_name(self._database, name)
            if user is not None:
                self._by_name.fill(name, user, version)
        return user

    async def find_by_id(self, user_id: int) -> User | None:
        """The account with this id."""
        user, version = self._by_id.lookup(user_id)
        if user is None:
            user = await store.find_by_id(self._database, user_id)
            if user is not None:
                self._by_id.fill(user_id, user, version)
        return user

    async def get(self, user_id: int) -> User:
        """The account with this id.

        Raises:
            NotFound: there is none.
        """
        return _there(await self.find_by_id(user_id), user_id)

    async def search(self, listing: Listing) -> tuple[list[tuple[int, str]], int]:
        """A page of ids and names, the shortest names first, and how many there are."""
        return await store.search(self._database, listing)

    async def list(self, listing: Listing) -> tuple[list[User], int]:
        """A page of the accounts, and how many there are.

        Raises:
            InvalidInput: ``BAD_REQUEST``: the list knows no such field or value.
        """
        return await store.list_page(self._database, listing)

    # logging in

    async def log_in(self, name: str, password: str, origin: Origin, *, begins_session: bool = False) -> User:
        """The account behind a name and a password, as ``check_password``."""
        return (await self.check_password(name, password, origin, begins_session=begins_session))[0]

    async def check_password(
        self, name: str, password: str, origin: Origin, *, begins_session: bool = False
    ) -> tuple[User, bool]:
        """The account behind a name and a password, and whether the password was its CLI secret.

        Raises:
            NotAuthenticated: they do not belong together, or the account is disabled.
            TooManyRequests: too many attempts failed, or too many are being checked.
            ProviderUnreachable: they may belong to somebody whose provider does not answer.
        """
        possible = is_user_name(name) and len(password) <= LONGEST_PASSWORD
        user = await self.find_by_name(name) if possible else None
        hashes = await self._hashes(user) if user is not None and not user.is_disabled else {}
        is_first = user is not None and user.id == FIRST  # its password leaves for no other server
        checked = await self._logins.log_in(
            name,
            password[:LONGEST_PASSWORD],
            tuple(hashes),
            origin,
            elsewhere=None if is_first or len(password) > LONGEST_PASSWORD else self._elsewhere,
            begins_session=begins_session,
        )
        if checked.user is not None:
            return checked.user, False
        if user is None or not checked.number:
            raise NotAuthenticated("The user name or the password is wrong.")
        is_secret = list(hashes.values())[checked.number - 1]
        if is_secret and begins_session:
            raise NotAuthenticated("A CLI secret is for docker login and the like: log in as your provider asks.")
        return user, is_secret

    async def cli_secret_ends_at(self, user_id: int) -> float | None:
        """When an account's CLI secret ends, in seconds since the epoch; none: there is none."""
        return await self._cli_secrets.ends_at(user_id) if self._cli_secrets else None

    async def _hashes(self, user: User) -> dict[str, bool]:
        """What the account's passwords are compared with, and whether that is the CLI secret."""
        hashes = {user.password_hash: False} if user.password_hash else {}
        secret = await self._cli_secrets.find_hash(user.id) if self._cli_secrets and user.source else None
        return hashes | {secret: True} if secret else hashes

    # creating and changing

    async def may_register(self) -> bool:
        """Whether anybody may make an account for themselves."""
        return await self._settings.boolean("self_registration")

    async def ensure_admin(self, password: str | None) -> str | None:
        """Create ``admin`` at the first start; the password if one had to be made up.

        Raises:
            InvalidInput: the password is too weak.
        """
        if await self.find_by_name(ADMIN) is not None:
            return None
        strength = await self._strength()
        if password:
            strength.for_operator().check(ADMIN, password)
        chosen = password or strength.make()
        hashed = hash_password(chosen)

        async def work(tx: Transaction) -> bool:
            user_id = await store.add(tx, ADMIN, hashed, clock.now_us(), is_admin=True)
            if user_id is not None:
                await journal.append(tx, SYSTEM, UserCreated(user=ADMIN, user_id=user_id))
            return user_id is not None

        added = await self._database.write(work)
        return chosen if added and not password else None

    async def create(
        self,
        origin: Origin,
        name: str,
        password: str,
        *,
        email: str = "",
        real_name: str = "",
        comment: str = "",
        is_registration: bool = False,
    ) -> int:
        """Create an account without rights; its id.

        Raises:
            InvalidInput: the name cannot be one, the password is too weak, or the address is none.
            Conflict: the name is taken.
            TooManyRequests: too many accounts were registered from there.
        """
        await self._check_name(name)
        _check_profile(email)
        (await self._strength()).check(name, password)
        if is_registration:
            await self._logins.count_registration(origin)
        hashed = await self._logins.hash(password, origin)

        async def work(tx: Transaction) -> int:
            user_id = await store.add(
                tx,
                name,
                hashed,
                clock.now_us(),
                is_admin=False,
                email=email,
                real_name=real_name,
                comment=comment,
                is_email_vouched=not is_registration,
            )
            if user_id is None:
                raise Conflict(f"There is a user {name} already: choose another name.")
            await journal.append(tx, origin, UserCreated(user=name, user_id=user_id))
            return user_id

        return await self._database.write(work)

    async def update(
        self,
        origin: Origin,
        user_id: int,
        *,
        email: str | None = None,
        real_name: str | None = None,
        comment: str | None = None,
    ) -> None:
        """Change what people read about an account; ``None`` leaves a value as it is.

        Raises:
            InvalidInput: the address is none.
            NotFound: there is no such account.
        """
        _check_profile(email or "")
        wanted = {"email": email, "real_name": real_name, "comment": comment}

        async def work(tx: Transaction) -> None:
            user = _there(await store.find_by_id(tx, user_id), user_id)
            before = {name: str(getattr(user, name)) for name in wanted}
            changes = {name: text for name, text in wanted.items() if text is not None and text != before[name]}
            if changes:
                await store.set_profile(tx, user_id, **(before | changes), now=clock.now_us())
                if "email" in changes:  # what people say of themselves must not make them somebody else
                    await store.set_email_vouched(tx, user_id, flag=origin.principal != user.name)
                await journal.append(tx, origin, UserUpdated(user=user.name, user_id=user_id, changes=changes))

        await self._database.write(work)

    async def set_password(self, origin: Origin, user: int | str, new: str, *, old: str | None = None) -> None:
        """Replace a password; everything that was issued under the old one ends.

        Args:
            origin: who does it.
            user: the account's id or name.
            new: the new password.
            old: the present one, where it must be shown.

        Raises:
            InvalidInput: the new password is too weak, or is the old one.
            NotFound: there is no such account.
            Denied: ``old`` is wrong.
            TooManyRequests: it was wrong too often.
        """
        account = _there(await (self.find_by_id(user) if isinstance(user, int) else self.find_by_name(user)), user)
        if old is not None:
            hashes = (account.password_hash,) if len(old) <= LONGEST_PASSWORD else ()
            if not await self._logins.check(account.name, old[:LONGEST_PASSWORD], hashes, origin):
                raise Denied("The present password is wrong.", code="FORBIDDEN")
            if old == new:
                raise InvalidInput("The new password is the present one: choose another.", code="BAD_REQUEST")
        strength = await self._strength()
        (strength.for_operator() if origin == SYSTEM else strength).check(account.name, new)
        hashed = await self._logins.hash(new, origin)

        async def work(tx: Transaction) -> None:
            found = _there(await store.find_by_id(tx, account.id), user)
            await store.set_password(tx, found.id, hashed, clock.now_us())
            await journal.append(tx, origin, PasswordChanged(user=found.name, user_id=found.id))

        await self._database.write(work)

    async def set_admin(self, origin: Origin, user_id: int, *, is_admin: bool) -> None:
        """Let an account administer the system, or no longer.

        Raises:
            NotFound: there is no such account.
            Denied: nobody could administer it then.
        """

        async def work(tx: Transaction) -> None:
            user = _there(await store.find_by_id(tx, user_id), user_id)
            if user.is_admin == is_admin:
                return
            if not is_admin:
                await _require_another_admin(tx, user)
            await store.set_admin(tx, user_id, flag=is_admin, now=clock.now_us())
            await journal.append(tx, origin, AdminChanged(user=user.name, user_id=user_id, is_admin=is_admin))

        await self._database.write(work)

    async def set_auditor(self, origin: Origin, user_id: int, *, is_auditor: bool) -> None:
        """Let an account read everything but content, or no longer.

        Raises:
            NotFound: there is no such account.
        """

        async def work(tx: Transaction) -> None:
            user = _there(await store.find_by_id(tx, user_id), user_id)
            if user.is_auditor == is_auditor:
                return
            await store.set_auditor(tx, user_id, flag=is_auditor, now=clock.now_us())
            event: Event = AuditorChanged(user=user.name, user_id=user_id, is_auditor=is_auditor)
            await journal.append(tx, origin, event)

        await self._database.write(work)

    async def delete(self, origin: Origin, user_id: int) -> None:
        """Delete an account with its tokens, sessions, grants and memberships; the journal keeps its name.

        Raises:
            NotFound: there is no such account.
            Denied: it is the first one, or nobody could administer the system then.
        """

        async def work(tx: Transaction) -> None:
            user = _there(await store.find_by_id(tx, user_id), user_id)
            await _require_another_admin(tx, user)
            await store.delete_user(tx, user_id)
            await journal.append(tx, origin, UserDeleted(user=user.name, user_id=user_id))

        await self._database.write(work)

    async def _strength(self) -> Strength:
        return Strength(
            await self._settings.number("entrepot_password_min_length"),
            await self._settings.number("entrepot_password_classes"),
        )

    async def _check_name(self, name: str) -> None:
        if not is_user_name(name) or name.lower() in RESERVED:
            raise InvalidInput(
                f"{name[:64]!r} cannot name a user: use letters and digits, and . _ @ - inside; at most 255 of them.",
                code="BAD_REQUEST",
            )
        prefix = await self._settings.text("robot_name_prefix")
        if name.startswith(prefix):
            raise InvalidInput(
                f"Names that begin with {prefix} are robot accounts': choose another.", code="BAD_REQUEST"
            )


def _there(user: User | None, wanted: int | str) -> User:
    if user is None:
        raise NotFound(f"There is no user {wanted}.")
    return user


async def _require_another_admin(tx: Transaction, user: User) -> None:
    if user.id == FIRST:
        raise Denied(f"{user.name} is the first account, which always stays.", code="FORBIDDEN")
    if user.is_admin and not user.is_disabled and not await store.has_other_admin(tx, user.id):
        raise Denied(f"{user.name} is the last administrator: make another one first.", code="FORBIDDEN")


def _check_profile(email: str) -> None:
    if email and not _EMAIL.fullmatch(email):
        raise InvalidInput(f"{email[:64]!r} is not an e-mail address.", code="BAD_REQUEST")
