"""Routes for CLI secrets: Harbor's ``/users/{user_id}/cli_secret``, and our own for one's own."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from entrepot.auth.cli_secrets import CliSecrets
from entrepot.auth.http.fields import Secret, moment
from entrepot.auth.model import USER, Caller
from entrepot.errors import Denied
from entrepot.web.rest import Asking, Body, Identifier, Route, delete, post, put
from entrepot.web.rule import LOGIN


class OIDCCliSecretReq(Body):
    """A CLI secret: 8 to 128 characters, a capital letter, a small letter and a digit among them."""

    secret: Secret


class MadeCliSecret(Body):
    """A CLI secret that was made just now; it is shown this once."""

    secret: str
    expires_at: datetime | None = Field(None, description="Without it the secret never expires.")


class CliSecretRoutes:
    """Setting and revoking CLI secrets."""

    def __init__(self, cli_secrets: CliSecrets) -> None:
        self._cli_secrets = cli_secrets

    def routes(self) -> list[Route]:
        """Below ``/api/v2.0``."""
        return [put("/users/{user_id}/cli_secret", self.set, LOGIN, tag="user")]

    def own_routes(self) -> list[Route]:
        """Below ``/api/entrepot/v1``."""
        path = "/users/current/cli-secret"
        return [post(path, self.make, LOGIN, tag="user"), delete(path, self.revoke, LOGIN, tag="user")]

    async def set(self, caller: Annotated[Caller, Asking], user_id: Identifier, body: OIDCCliSecretReq) -> None:
        """Set a CLI secret: one's own, or as an administrator anybody's whose password is kept elsewhere."""
        await self._cli_secrets.set(caller, user_id, body.secret)

    async def make(self, caller: Annotated[Caller, Asking]) -> MadeCliSecret:
        """Make a CLI secret in place of the present one; the answer holds it, this once."""
        made = await self._cli_secrets.set(caller, _user_id(caller))
        return MadeCliSecret(
            secret=made.secret, expires_at=None if made.expires_at is None else moment(made.expires_at)
        )

    async def revoke(self, caller: Annotated[Caller, Asking]) -> None:
        """Let one's CLI secret work no longer, from the next request on."""
        await self._cli_secrets.revoke(caller, _user_id(caller))


def _user_id(caller: Caller) -> int:
    if caller.principal.kind != USER or caller.principal.id is None:
        raise Denied("Only users have a CLI secret: a robot account has secrets of its own.", code="FORBIDDEN")
    return caller.principal.id
