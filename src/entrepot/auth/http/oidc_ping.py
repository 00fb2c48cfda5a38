"""Whether an OpenID provider answers: Harbor's ``/system/oidc/ping``."""

from __future__ import annotations

from pydantic import Field

from entrepot.auth.issuer_http import IssuerHttp
from entrepot.auth.issuer_keys import IssuerKeys, KeySource
from entrepot.auth.oidc_metadata import discover
from entrepot.auth.options import check_url
from entrepot.auth.provider import ProviderUnreachable
from entrepot.errors import InvalidInput
from entrepot.web.rest import Body, Route, post
from entrepot.web.rule import system

_SECONDS = 10.0


class PingReq(Body):
    """A provider to try."""

    url: str = Field(max_length=2048, description="The issuer; discovery is read below it.")
    verify_cert: bool = True


class OidcPing:
    """Tries a provider before it is configured."""

    def routes(self) -> list[Route]:
        """Below ``/api/v2.0``."""
        return [post("/system/oidc/ping", self.ping, system("configuration", "update"), tag="oidc", status=200)]

    async def ping(self, body: PingReq) -> None:
        """Read what the provider says of itself, and its keys."""
        check_url("url", body.url)
        http = IssuerHttp(body.url, verify_certificate=body.verify_cert, timeout=_SECONDS)
        try:
            await discover(http, body.url)
            await IssuerKeys(KeySource(issuer=body.url), http=http).load()
        except ProviderUnreachable as error:
            raise InvalidInput(error.message, code="BAD_REQUEST") from None
        finally:
            await http.close()
