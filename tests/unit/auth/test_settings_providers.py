"""Harbor's settings as providers: which count, and what each key becomes."""

from __future__ import annotations

from typing import Any

import pytest

from entrepot.auth.options import LdapOptions, OidcOptions
from entrepot.auth.settings_providers import settings_providers
from entrepot.settings.model import DEFAULTS

LDAP = {"ldap_url": "ldaps://ldap.example.com", "ldap_base_dn": "ou=people,dc=example,dc=com"}
OIDC = {"oidc_endpoint": "https://id.example.com", "oidc_client_id": "registry"}


def providers(**values: Any) -> list[Any]:
    return settings_providers(DEFAULTS | values)


def test_without_a_mode_there_is_none_however_much_is_set() -> None:
    assert providers(**LDAP, **OIDC) == []


def test_the_mode_says_which_one_is_asked() -> None:
    assert [each.name for each in providers(**LDAP, **OIDC, auth_mode="ldap_auth")] == ["ldap"]
    assert [each.name for each in providers(**LDAP, **OIDC, auth_mode="oidc_auth")] == ["oidc"]


def test_all_modes_at_once_ask_every_one_whose_address_is_set() -> None:
    both = providers(**LDAP, **OIDC, entrepot_all_auth_modes=True)
    assert [each.name for each in both] == ["ldap", "oidc"]
    assert [each.name for each in providers(**OIDC, entrepot_all_auth_modes=True)] == ["oidc"]
    assert providers(entrepot_all_auth_modes=True) == []


def test_every_key_of_the_directory_has_its_option() -> None:
    found = providers(
        **LDAP,
        auth_mode="ldap_auth",
        entrepot_ldap_start_tls=False,
        ldap_verify_cert=False,
        ldap_search_dn="cn=search,dc=example,dc=com",
        ldap_search_password="s3cret",
        ldap_filter="objectClass=person",
        ldap_scope=1,
        ldap_uid="sAMAccountName",
        ldap_timeout=7,
        ldap_group_base_dn="ou=groups,dc=example,dc=com",
        ldap_group_search_filter="(objectClass=groupOfNames)",
        ldap_group_search_scope=0,
        ldap_group_attribute_name="name",
        ldap_group_admin_dn="cn=admins,ou=groups,dc=example,dc=com",
        ldap_group_membership_attribute="isMemberOf",
    )
    assert found == [
        LdapOptions(
            name="ldap",
            url="ldaps://ldap.example.com",
            base_dn="ou=people,dc=example,dc=com",
            verify_certificate=False,
            bind_dn="cn=search,dc=example,dc=com",
            bind_password="s3cret",
            filter="(objectClass=person)",
            scope="one",
            user_attribute="sAMAccountName",
            timeout=7,
            group_base_dn="ou=groups,dc=example,dc=com",
            group_filter="(objectClass=groupOfNames)",
            group_scope="base",
            group_attribute="name",
            admin_group="cn=admins,ou=groups,dc=example,dc=com",
            membership_attribute="isMemberOf",
        )
    ]


def test_every_key_of_the_openid_provider_has_its_option() -> None:
    found = providers(
        **OIDC,
        auth_mode="oidc_auth",
        oidc_name="Corp",
        oidc_client_secret="s3cret",
        oidc_scope="openid,offline_access",
        oidc_verify_cert=False,
        oidc_user_claim="nickname",
        oidc_groups_claim="groups",
        oidc_group_filter="team-.*",
        oidc_admin_group="admins",
        oidc_auto_onboard=True,
        oidc_extra_redirect_parms='{"hd": "example.com"}',
        oidc_logout=True,
    )
    assert found == [
        OidcOptions(
            name="oidc",
            title="Corp",
            endpoint="https://id.example.com",
            client_id="registry",
            client_secret="s3cret",
            scope="openid,offline_access",
            verify_certificate=False,
            user_claim="nickname",
            groups_claim="groups",
            group_filter="team-.*",
            admin_group="admins",
            auto_onboard=True,
            extra_parameters={"hd": "example.com"},
            logout=True,
        )
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ldap.example.com", "ldap://ldap.example.com"),
        ("ldap.example.com:389", "ldap://ldap.example.com:389"),
        ("ldap.example.com:636", "ldaps://ldap.example.com:636"),
        (" ldaps://ldap.example.com ", "ldaps://ldap.example.com"),
    ],
)
def test_an_address_without_a_scheme_is_what_harbor_takes_it_for(written: str, meant: str) -> None:
    assert providers(**LDAP | {"ldap_url": written}, auth_mode="ldap_auth")[0].url == meant


def test_a_time_out_of_minutes_is_cut_to_what_a_login_may_take() -> None:
    assert providers(**LDAP, auth_mode="ldap_auth", ldap_timeout=3600)[0].timeout == 120


def test_start_tls_can_be_asked_for_by_a_key_of_our_own() -> None:
    plain = LDAP | {"ldap_url": "ldap://ldap.example.com", "entrepot_ldap_start_tls": True}
    assert providers(**plain, auth_mode="ldap_auth")[0].start_tls


@pytest.mark.parametrize(
    "wrong",
    [
        {"ldap_base_dn": ""},
        {"entrepot_ldap_start_tls": True},  # over ldaps://
        {"ldap_search_password": None},  # sealed with a key that is lost
        {"ldap_uid": " "},
    ],
)
def test_one_that_cannot_be_is_left_out_and_the_other_stays(wrong: dict[str, Any]) -> None:
    found = providers(**LDAP | wrong, **OIDC, entrepot_all_auth_modes=True)
    assert [each.name for each in found] == ["oidc"]
