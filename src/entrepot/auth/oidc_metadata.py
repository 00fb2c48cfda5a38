"""What an OpenID provider says of itself (OpenID Connect Discovery 1.0; RFC 8414)."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from entrepot.auth.issuer_http import IssuerHttp
from entrepot.auth.provider import ProviderUnreachable

WELL_KNOWN = "/.well-known/openid-configuration"


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a provider's metadata that is used here, under its own names."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    introspection_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    code_challenge_methods_supported: tuple[str, ...] | None = None
    authorization_response_iss_parameter_supported: bool = False


async def discover(http: IssuerHttp, issuer: str, *, bearer: str = "") -> Metadata:
    """Read what the provider at ``issuer`` says of itself.

    Raises:
        ProviderUnreachable: it does not, or it is another one.
    """
    document = await http.get(issuer.rstrip("/") + WELL_KNOWN, bearer=bearer)
    try:
        # Fields that it sets to null are those that it does not have.
        found = msgspec.convert({name: value for name, value in document.items() if value is not None}, Metadata)
    except msgspec.ValidationError as error:
        raise ProviderUnreachable(f"{issuer} describes itself wrongly: {error}.") from None
    if found.issuer != issuer:
        raise ProviderUnreachable(
            f"{issuer} calls itself {found.issuer[:200]}: set the endpoint to that, to the letter (a slash at its end)."
        )
    for name in ("jwks_uri", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "end_session_endpoint",
                 "introspection_endpoint"):  # fmt: skip
        _check_endpoint(issuer, name, getattr(found, name))
    return found


def _check_endpoint(issuer: str, name: str, url: str) -> None:
    if not url and name != "jwks_uri":
        return
    try:
        parts = urlsplit(url)
        scheme = parts.scheme if parts.hostname else ""
    except ValueError:
        scheme = ""
    # What begins behind TLS does not go on without it.
    if scheme != "https" and (scheme != "http" or issuer.startswith("https:")):
        raise ProviderUnreachable(f"{issuer} names a {name} that cannot be used.")
