"""Ties between accounts and people at identity providers, and the groups that come with them: their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import bindparam, func, insert, or_, select, update

from entrepot.auth.provider import Link
from entrepot.auth.tables import group_users, groups, user_identities, users
from entrepot.database import Database, Transaction, query

Reader = Database | Transaction

_COLUMNS = tuple(c for c in user_identities.columns if c.name != "created_at")
_ORDER = ("provider", "subject", "user_id", "name", "is_admin", "is_gone", "checked_at", "credential")
assert tuple(c.name for c in _COLUMNS) == _ORDER  # noqa: S101 - Link takes them in this order

_FIND = query(
    select(*_COLUMNS).where(
        user_identities.c.provider == bindparam("provider"), user_identities.c.subject == bindparam("subject")
    )
)
_OF_USER = query(
    select(*_COLUMNS).where(user_identities.c.user_id == bindparam("user_id")).order_by(user_identities.c.provider)
)
_ADD = query(insert(user_identities).values({c.name: bindparam(c.name) for c in user_identities.columns}))
_SET = query(
    update(user_identities)
    .where(user_identities.c.provider == bindparam("of_provider"), user_identities.c.subject == bindparam("of_subject"))
    .values({name: bindparam(name) for name in ("name", "is_admin", "is_gone", "checked_at", "credential")})
)
_CLAIM = query(
    update(user_identities)
    .where(
        user_identities.c.provider == bindparam("of_provider"),
        user_identities.c.subject == bindparam("of_subject"),
        user_identities.c.checked_at == bindparam("known"),
    )
    .values(checked_at=bindparam("checked_at"))
)
_BY_EMAIL = query(
    select(users.c.id)
    .where(
        func.lower(users.c.email) == bindparam("email"),
        users.c.is_email_vouched == bindparam("vouched"),
        users.c.id != bindparam("first"),
    )
    .limit(bindparam("most"))
)
_STANDING = query(
    select(func.max(user_identities.c.is_admin), func.min(user_identities.c.is_gone)).where(
        user_identities.c.user_id == bindparam("user_id")
    )
)
_SET_STANDING = query(
    update(users)
    .where(users.c.id == bindparam("user_id"))
    .values(source_admin=bindparam("source_admin"), is_gone=bindparam("is_gone"))
)
_SET_SOURCE = query(update(users).where(users.c.id == bindparam("user_id")).values(source=bindparam("source")))
_GROUPS_OF = query(
    select(groups.c.key, groups.c.id, groups.c.name)
    .select_from(group_users.join(groups, groups.c.id == group_users.c.group_id))
    .where(group_users.c.user_id == bindparam("user_id"), groups.c.provider == bindparam("provider"))
)
_FIND_GROUP = query(
    select(groups.c.id, groups.c.provider)
    .where(
        groups.c.key == bindparam("key"),
        groups.c.kind == bindparam("kind"),
        or_(groups.c.provider == bindparam("provider"), groups.c.provider == bindparam("unclaimed")),
    )
    .order_by(groups.c.provider.desc())
    .limit(bindparam("most"))
)
_CLAIM_GROUP = query(update(groups).where(groups.c.id == bindparam("group_id")).values(provider=bindparam("provider")))
_CREDENTIALS = query(
    select(user_identities.c.provider, user_identities.c.subject, user_identities.c.credential).where(
        user_identities.c.credential.is_not(None)
    )
)
_SET_CREDENTIAL = query(
    update(user_identities)
    .where(user_identities.c.provider == bindparam("of_provider"), user_identities.c.subject == bindparam("of_subject"))
    .values(credential=bindparam("credential"))
)


def _link(row: tuple[Any, ...]) -> Link:
    provider, subject, user_id, name, is_admin, is_gone, checked_at, credential = row
    return Link(provider, subject, user_id, name, bool(is_admin), bool(is_gone), checked_at, credential)


async def find(reader: Reader, provider: str, subject: str) -> Link | None:
    """The tie to a person."""
    row = await reader.one(_FIND, provider=provider, subject=subject)
    return _link(row) if row else None


async def of_user(reader: Reader, user_id: int) -> list[Link]:
    """An account's ties, by the provider's name."""
    return [_link(row) for row in await reader.all(_OF_USER, user_id=user_id)]


async def add(tx: Transaction, link: Link, now: int) -> None:
    """Tie an account to a person, who must not be tied to one."""
    values = {name: getattr(link, name) for name in _ORDER}
    await tx.run(_ADD, **values | {"is_admin": int(link.is_admin), "is_gone": int(link.is_gone)}, created_at=now)


async def update_link(tx: Transaction, link: Link) -> None:
    """Keep what the provider said last."""
    await tx.run(
        _SET,
        of_provider=link.provider,
        of_subject=link.subject,
        name=link.name,
        is_admin=int(link.is_admin),
        is_gone=int(link.is_gone),
        checked_at=link.checked_at,
        credential=link.credential,
    )


async def claim(tx: Transaction, link: Link, checked_at: int) -> bool:
    """Move when a provider was asked; ``False`` if somebody else has moved it since ``link`` was read."""
    return (
        await tx.run(
            _CLAIM,
            of_provider=link.provider,
            of_subject=link.subject,
            known=link.checked_at,
            checked_at=checked_at,
        )
        > 0
    )


async def by_email(tx: Transaction, email: str, but: int) -> int | None:
    """The one account with an address that is not its own word, whatever its case; none if several have it."""
    rows = await tx.all(_BY_EMAIL, email=email.lower(), first=but, vouched=1, most=2)
    return int(rows[0][0]) if len(rows) == 1 else None


async def standing(tx: Transaction, user_id: int) -> tuple[bool, bool]:
    """Whether a provider has the account among its administrators, and whether none knows it any more."""
    row = await tx.one(_STANDING, user_id=user_id)
    if row is None or row[0] is None:
        return False, False
    return bool(row[0]), bool(row[1])


async def set_standing(tx: Transaction, user_id: int, *, source_admin: bool, is_gone: bool) -> None:
    """Keep what the providers say of an account together."""
    await tx.run(_SET_STANDING, user_id=user_id, source_admin=int(source_admin), is_gone=int(is_gone))


async def set_source(tx: Transaction, user_id: int, source: str) -> None:
    """Name the provider that keeps an account."""
    await tx.run(_SET_SOURCE, user_id=user_id, source=source)


async def groups_of(tx: Transaction, user_id: int, provider: str) -> dict[str, tuple[int, str]]:
    """The groups of a provider that an account is in: key to id and name."""
    return {row[0]: (row[1], row[2]) for row in await tx.all(_GROUPS_OF, user_id=user_id, provider=provider)}


async def find_group(tx: Transaction, provider: str, kind: int, key: str, *, may_claim: bool) -> int | None:
    """A provider's group; one that somebody entered before any provider named it becomes this one's, if it may."""
    unclaimed = "" if may_claim else provider
    row = await tx.one(_FIND_GROUP, provider=provider, kind=kind, key=key, unclaimed=unclaimed, most=1)
    if row is None:
        return None
    if row[1] != provider:
        await tx.run(_CLAIM_GROUP, group_id=row[0], provider=provider)
    return int(row[0])


async def reseal(tx: Transaction, change: Callable[[bytes], bytes]) -> int:
    """Seal every credential anew; how many there are."""
    rows: Sequence[Any] = await tx.all(_CREDENTIALS)
    await tx.many(
        _SET_CREDENTIAL,
        [{"of_provider": row[0], "of_subject": row[1], "credential": change(bytes(row[2]))} for row in rows],
    )
    return len(rows)
