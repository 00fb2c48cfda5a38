"""Providers that are described by Harbor's settings: one directory and one OpenID provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from entrepot.auth.options import Options, parse_options
from entrepot.errors import InvalidInput

LDAP, OIDC = "ldap", "oidc"
"""What they are called: nobody else may be."""

_SCOPES = ("base", "one", "subtree")
_LONGEST_TIMEOUT = 120
_LDAPS_PORT = ":636"

log = structlog.get_logger()


def settings_providers(values: Mapping[str, Any]) -> list[Options]:
    """The providers that ``values``, all settings with secrets opened, describe and let be asked.

    That is the one of ``auth_mode``; with ``entrepot_all_auth_modes`` every one whose address is set. One that cannot
    be as it is described is left out, and that is logged.
    """
    found: list[Options] = []
    for kind, mode, address, describe in _DESCRIBED:
        is_meant = values["auth_mode"] == mode or (values["entrepot_all_auth_modes"] and values[address])
        if not is_meant:
            continue
        try:
            found.append(parse_options(kind, describe(values)))
        except InvalidInput as error:
            log.warning("settings describe no provider", kind=kind, error=error.message)
    return found


def _ldap(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": LDAP,
        "url": _with_scheme(values["ldap_url"].strip()),
        "start_tls": values["entrepot_ldap_start_tls"],
        "verify_certificate": values["ldap_verify_cert"],
        "bind_dn": values["ldap_search_dn"].strip(),
        "bind_password": _opened(values, "ldap_search_password"),
        "base_dn": values["ldap_base_dn"],
        "filter": _in_parentheses(values["ldap_filter"]),
        "scope": _SCOPES[values["ldap_scope"]],
        "user_attribute": values["ldap_uid"].strip(),
        "membership_attribute": values["ldap_group_membership_attribute"].strip(),
        "group_base_dn": values["ldap_group_base_dn"].strip(),
        "group_filter": _in_parentheses(values["ldap_group_search_filter"]),
        "group_scope": _SCOPES[values["ldap_group_search_scope"]],
        "group_attribute": values["ldap_group_attribute_name"].strip() or "cn",
        "admin_group": values["ldap_group_admin_dn"].strip(),
        "timeout": min(values["ldap_timeout"], _LONGEST_TIMEOUT),
    }


def _oidc(values: Mapping[str, Any]) -> dict[str, Any]:
    scope = values["oidc_scope"].strip()
    return {
        "name": OIDC,
        "title": values["oidc_name"].strip(),
        "endpoint": values["oidc_endpoint"].strip(),
        "client_id": values["oidc_client_id"],
        "client_secret": _opened(values, "oidc_client_secret"),
        **({"scope": scope} if scope else {}),
        "verify_certificate": values["oidc_verify_cert"],
        "user_claim": values["oidc_user_claim"].strip(),
        "groups_claim": values["oidc_groups_claim"].strip(),
        "group_filter": values["oidc_group_filter"],
        "admin_group": values["oidc_admin_group"].strip(),
        "auto_onboard": values["oidc_auto_onboard"],
        "extra_parameters": msgspec.json.decode(values["oidc_extra_redirect_parms"]),
        "logout": values["oidc_logout"],
    }


_DESCRIBED: tuple[tuple[str, str, str, Callable[[Mapping[str, Any]], dict[str, Any]]], ...] = (
    (LDAP, "ldap_auth", "ldap_url", _ldap),
    (OIDC, "oidc_auth", "oidc_endpoint", _oidc),
)


def _with_scheme(url: str) -> str:
    """Harbor takes an address without a scheme."""
    if "://" in url:
        return url
    return f"{'ldaps' if url.endswith(_LDAPS_PORT) else 'ldap'}://{url}"


def _in_parentheses(text: str) -> str:
    """Harbor takes a filter without parentheses."""
    stripped: str = text.strip()
    return f"({stripped})" if stripped and not stripped.startswith("(") else stripped


def _opened(values: Mapping[str, Any], key: str) -> str:
    value: str | None = values[key]
    if value is None:
        raise InvalidInput(f"{key} was sealed with a key that is not here: bring back the key, or set it anew.")
    return value
