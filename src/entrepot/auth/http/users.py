"""Routes for accounts: Harbor's ``/users``, and our own for auditors."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from entrepot.auth.http.fields import Secret, Word, containing, moment
from entrepot.auth.identities import Identities, Identity
from entrepot.auth.model import USER, Caller, User
from entrepot.auth.service import Users
from entrepot.errors import Denied, Precondition
from entrepot.web.rest import Asking, Body, Identifier, Listed, Route, delete, get, located, post, put
from entrepot.web.rule import LOGIN, Gate, Permission, system, verb

Comment = Annotated[Word, Field(description="Whatever helps to know the person.")]

_CREATE: Permission = ("user", "create")
_READ: Permission = ("user", "read")
_UPDATE: Permission = ("user", "update")


class UserReq(Body):
    """A new account."""

    username: Word = Field(description="Letters and digits, and . _ @ - inside.")
    password: Secret
    email: Word | None = None
    realname: Word | None = None
    comment: Comment | None = None


class UserProfile(Body):
    """What people read about an account; a field that is left out stays as it is."""

    email: Word | None = None
    realname: Word | None = None
    comment: Comment | None = None


class OIDCUserInfo(Body):
    """The person at an OpenID provider that an account is tied to."""

    user_id: int
    subiss: str = Field(description="What the provider calls the person for ever, and the provider's issuer.")
    creation_time: datetime
    update_time: datetime = Field(description="When the provider was asked last.")


class UserResp(Body):
    """An account."""

    user_id: int
    username: str
    email: str
    realname: str
    comment: str
    sysadmin_flag: bool
    admin_role_in_auth: bool = Field(False, description="Whether a provider has it among its administrators.")
    oidc_user_meta: OIDCUserInfo | None = None
    creation_time: datetime
    update_time: datetime


class UserSearchRespItem(Body):
    """An account that was found by a part of its name."""

    user_id: int
    username: str


class PasswordReq(Body):
    """A new password; the present one is needed to change one's own."""

    old_password: Secret | None = None
    new_password: Secret


class UserSysAdminFlag(Body):
    """Whether an account administers the system; clients written in Go leave out what is false."""

    sysadmin_flag: bool = False


class AuditorFlag(Body):
    """Whether an account may read everything but content."""

    auditor_flag: bool


class AccountRoutes:
    """Reading and changing accounts."""

    def __init__(self, users: Users, gate: Gate, identities: Identities | None = None) -> None:
        """Without ``identities`` nobody comes from elsewhere."""
        self._users = users
        self._gate = gate
        self._identities = identities

    def routes(self) -> list[Route]:
        """Below ``/api/v2.0``."""
        return [
            get("/users", self.list_all, system("user", "list"), tag="user"),
            post("/users", self.create, verb(*_CREATE), tag="user"),
            get("/users/current", self.current, LOGIN, tag="user"),
            get("/users/search", self.search, LOGIN, tag="user"),
            get("/users/{user_id}", self.read, verb(*_READ), tag="user"),
            put("/users/{user_id}", self.update, verb(*_UPDATE), tag="user"),
            delete("/users/{user_id}", self.remove, system("user", "delete"), tag="user"),
            put("/users/{user_id}/password", self.set_password, verb(*_UPDATE), tag="user"),
            put("/users/{user_id}/sysadmin", self.set_admin, system(*_UPDATE), tag="user"),
        ]

    def own_routes(self) -> list[Route]:
        """Below ``/api/entrepot/v1``."""
        return [
            get("/users/{user_id}/auditor", self.read_auditor, system(*_READ), tag="user"),
            put("/users/{user_id}/auditor", self.set_auditor, system(*_UPDATE), tag="user"),
        ]

    async def list_all(
        self,
        listed: Listed,
        username: Annotated[str, Query(max_length=255, description="A part of the name.")] = "",
        email: Annotated[str, Query(max_length=255, description="A part of the address.")] = "",
    ) -> list[UserResp]:
        """List accounts."""
        users, total = await self._users.list(containing(listed.listing, username=username, email=email))
        return listed.of([_response(user) for user in users], total)

    async def create(
        self, caller: Annotated[Caller, Asking], request: Request, response: Response, body: UserReq
    ) -> None:
        """Create an account; for oneself where self-registration is on."""
        registers = caller.principal.is_anonymous and await self._users.may_register()
        if not registers:
            await self._gate.require_system(caller, _CREATE)
        user_id = await self._users.create(
            caller.origin,
            body.username,
            body.password,
            email=body.email or "",
            real_name=body.realname or "",
            comment=body.comment or "",
            is_registration=registers,
        )
        located(response, f"{request.url.path.rstrip('/')}/{user_id}")

    async def current(self, caller: Annotated[Caller, Asking]) -> UserResp:
        """Say who asks."""
        if caller.principal.kind != USER or caller.principal.id is None:
            raise Precondition("A robot account is no user: log in as a person.")
        return await self._whole(await self._users.get(caller.principal.id))

    async def search(
        self, listed: Listed, username: Annotated[str, Query(max_length=255, description="A part of the name.")]
    ) -> list[UserSearchRespItem]:
        """Find accounts by a part of their name, the closest first."""
        found, total = await self._users.search(containing(listed.listing, username=username))
        return listed.of([UserSearchRespItem(user_id=id_, username=name) for id_, name in found], total)

    async def read(self, caller: Annotated[Caller, Asking], user_id: Identifier) -> UserResp:
        """Read an account: one's own, or as an administrator any."""
        if not _is_own(caller, user_id):
            await self._gate.require_system(caller, _READ)
        return await self._whole(await self._users.get(user_id))

    async def update(self, caller: Annotated[Caller, Asking], user_id: Identifier, body: UserProfile) -> None:
        """Change a profile: one's own, or as an administrator any."""
        if not _is_own(caller, user_id) or caller.principal.token_id is not None:
            await self._gate.require_system(caller, _UPDATE)
            await self._require_reach(caller, user_id)
        await self._users.update(
            caller.origin, user_id, email=body.email, real_name=body.realname, comment=body.comment
        )

    async def set_password(self, caller: Annotated[Caller, Asking], user_id: Identifier, body: PasswordReq) -> None:
        """Change a password: one's own with the present one, or as an administrator another's."""
        is_own = _is_own(caller, user_id)
        if not is_own:
            await self._gate.require_system(caller, _UPDATE)
            await self._require_reach(caller, user_id)
        if caller.principal.token_id is not None:
            raise Denied("A personal access token changes no passwords: log in with the password.", code="FORBIDDEN")
        old = (body.old_password or "") if is_own else None
        await self._users.set_password(caller.origin, user_id, body.new_password, old=old)

    async def set_admin(self, caller: Annotated[Caller, Asking], user_id: Identifier, body: UserSysAdminFlag) -> None:
        """Let an account administer the system, or no longer."""
        _require_admin(caller)
        await self._users.set_admin(caller.origin, user_id, is_admin=body.sysadmin_flag)

    async def read_auditor(self, user_id: Identifier) -> AuditorFlag:
        """Say whether an account may read everything but content."""
        return AuditorFlag(auditor_flag=(await self._users.get(user_id)).is_auditor)

    async def set_auditor(self, caller: Annotated[Caller, Asking], user_id: Identifier, body: AuditorFlag) -> None:
        """Let an account read everything but content, or no longer."""
        _require_admin(caller)
        await self._users.set_auditor(caller.origin, user_id, is_auditor=body.auditor_flag)

    async def remove(self, caller: Annotated[Caller, Asking], user_id: Identifier) -> None:
        """Delete an account; what it did stays in the audit log under its name."""
        if _is_own(caller, user_id):
            raise Denied("Nobody deletes the account that is being used.", code="FORBIDDEN")
        await self._require_reach(caller, user_id)
        await self._users.delete(caller.origin, user_id)

    async def _whole(self, user: User) -> UserResp:
        """An account with what its provider knows of it."""
        response = _response(user)
        identity = await self._identities.oidc_of(user) if self._identities else None
        if identity is not None:
            response.oidc_user_meta = _meta(identity)
        return response

    async def _require_reach(self, caller: Caller, user_id: int) -> None:
        """Whoever only manages users must not become an administrator or an auditor by taking one over."""
        user = await self._users.get(user_id)
        if user.administers or user.is_auditor:
            _require_admin(caller)


def _is_own(caller: Caller, user_id: int) -> bool:
    return caller.principal.kind == USER and caller.principal.id == user_id


def _require_admin(caller: Caller) -> None:
    if not caller.principal.is_admin or caller.principal.scope is not None:  # a limited token stays limited
        raise Denied("Only an administrator does this to or for administrators and auditors.", code="FORBIDDEN")


def _response(user: User) -> UserResp:
    return UserResp(
        user_id=user.id,
        username=user.name,
        email=user.email,
        realname=user.real_name,
        comment=user.comment,
        sysadmin_flag=user.is_admin,
        admin_role_in_auth=user.is_source_admin,
        creation_time=moment(user.created_at),
        update_time=moment(max(user.updated_at, user.created_at)),
    )


def _meta(identity: Identity) -> OIDCUserInfo:
    return OIDCUserInfo(
        user_id=identity.user_id,
        subiss=f"{identity.subject}{identity.issuer}",
        creation_time=moment(identity.created_at),
        update_time=moment(identity.checked_at),
    )
