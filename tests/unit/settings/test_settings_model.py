"""The table of settings: Harbor's keys, kinds and defaults, and what each accepts."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import ConfigError, InvalidInput
from entrepot.settings.model import (
    DEFAULTS,
    SETTINGS,
    Setting,
    SettingsChanged,
    as_text,
    check_overrides,
    parse,
)

EDITABLE = [
    "project_creation_restriction",
    "read_only",
    "self_registration",
    "token_expiration",
    "robot_token_duration",
    "robot_name_prefix",
    "quota_per_project_enable",
    "storage_per_project",
    "session_timeout",
    "banner_message",
    "disabled_audit_log_event_types",
    "pull_audit_log_disable",
    "pull_time_update_disable",
    "pull_count_update_disable",
    "skip_audit_log_database",
    "entrepot_password_min_length",
    "entrepot_password_classes",
    "entrepot_rename_alias_days",
    "entrepot_reservation_hours",
    "entrepot_addresses_allow",
    "entrepot_addresses_deny",
    "entrepot_admin_addresses_allow",
    "entrepot_admin_addresses_deny",
    "auth_mode",
    "primary_auth_mode",
    "entrepot_all_auth_modes",
    "entrepot_cli_secret_days",
    "entrepot_ldap_start_tls",
]

TEXTS = [
    "auth_mode",
    "ldap_base_dn",
    "ldap_filter",
    "ldap_group_base_dn",
    "ldap_group_admin_dn",
    "ldap_group_attribute_name",
    "ldap_group_search_filter",
    "ldap_search_dn",
    "ldap_uid",
    "ldap_url",
    "ldap_group_membership_attribute",
    "project_creation_restriction",
    "uaa_client_id",
    "uaa_endpoint",
    "http_authproxy_endpoint",
    "http_authproxy_tokenreview_endpoint",
    "http_authproxy_admin_groups",
    "http_authproxy_admin_usernames",
    "http_authproxy_server_certificate",
    "oidc_name",
    "oidc_endpoint",
    "oidc_client_id",
    "oidc_groups_claim",
    "oidc_admin_group",
    "oidc_group_filter",
    "oidc_scope",
    "oidc_user_claim",
    "oidc_extra_redirect_parms",
    "robot_name_prefix",
    "audit_log_forward_endpoint",
    "banner_message",
    "disabled_audit_log_event_types",
]
BOOLEANS = [
    "primary_auth_mode",
    "ldap_group_attach_parallel",
    "ldap_verify_cert",
    "read_only",
    "self_registration",
    "uaa_verify_cert",
    "http_authproxy_verify_cert",
    "http_authproxy_skip_search",
    "oidc_verify_cert",
    "oidc_auto_onboard",
    "oidc_logout",
    "notification_enable",
    "quota_per_project_enable",
    "skip_audit_log_database",
    "scanner_skip_update_pulltime",
    "pull_time_update_disable",
    "pull_count_update_disable",
    "pull_audit_log_disable",
]
NUMBERS = [
    "ldap_group_search_scope",
    "ldap_scope",
    "ldap_timeout",
    "token_expiration",
    "robot_token_duration",
    "storage_per_project",
    "session_timeout",
]
SECRETS = ["ldap_search_password", "oidc_client_secret", "uaa_client_secret"]
EDITABLE += [key for key in (*TEXTS, *BOOLEANS, *NUMBERS, *SECRETS) if key.startswith(("ldap_", "oidc_"))]
OUR_BOOLEANS = ["entrepot_all_auth_modes", "entrepot_ldap_start_tls"]
OUR_TEXTS = [key for key in EDITABLE if key.startswith("entrepot_") and "addresses" in key]
OUR_NUMBERS = [key for key in EDITABLE if key.startswith("entrepot_") and key not in {*OUR_BOOLEANS, *OUR_TEXTS}]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("text", [*TEXTS, *OUR_TEXTS]),
        ("boolean", [*BOOLEANS, *OUR_BOOLEANS]),
        ("number", [*NUMBERS, *OUR_NUMBERS]),
        ("secret", SECRETS),
        ("object", ["scan_all_policy"]),
    ],
)
def test_every_key_of_harbor_is_there_with_its_kind(kind: str, keys: list[str]) -> None:
    assert {key for key, setting in SETTINGS.items() if setting.kind == kind} == set(keys)


def test_only_what_is_built_is_editable() -> None:
    assert {key for key, setting in SETTINGS.items() if setting.is_editable} == set(EDITABLE)


def test_no_key_stands_in_the_table_twice() -> None:
    from entrepot.settings.model import _TABLE  # noqa: PLC0415

    assert len(_TABLE) == len(SETTINGS) == len(DEFAULTS) == 72


@pytest.mark.parametrize(
    ("key", "default"),
    [
        ("auth_mode", "db_auth"),
        ("ldap_uid", "cn"),
        ("ldap_scope", 2),
        ("ldap_timeout", 5),
        ("ldap_verify_cert", True),
        ("ldap_group_membership_attribute", "memberof"),
        ("oidc_verify_cert", True),
        ("oidc_extra_redirect_parms", "{}"),
        ("project_creation_restriction", "everyone"),
        ("self_registration", False),
        ("token_expiration", 30),
        ("robot_token_duration", 30),
        ("robot_name_prefix", "robot$"),
        ("notification_enable", True),
        ("quota_per_project_enable", True),
        ("storage_per_project", -1),
        ("session_timeout", 60),
        ("banner_message", ""),
        ("entrepot_password_min_length", 8),
        ("entrepot_password_classes", 3),
        ("entrepot_rename_alias_days", 30),
        ("entrepot_reservation_hours", 24),
        ("entrepot_all_auth_modes", False),
        ("entrepot_ldap_start_tls", False),
        ("entrepot_cli_secret_days", 90),
    ],
)
def test_a_default_is_the_one_that_harbor_has(key: str, default: object) -> None:
    assert DEFAULTS[key] == default
    assert type(DEFAULTS[key]) is type(default)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.key)
def test_a_default_is_a_value_of_its_setting_or_says_that_nothing_is_set(setting: Setting) -> None:
    if setting.key in ("ldap_url", "ldap_base_dn"):
        assert setting.default == ""
    else:
        assert parse(setting.key, setting.default) == setting.default


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auth_mode", "oidc_auth"),
        ("project_creation_restriction", "adminonly"),
        ("read_only", True),
        ("token_expiration", 1),
        ("token_expiration", 999_999_999),
        ("robot_token_duration", 999_999),
        ("storage_per_project", -1),
        ("storage_per_project", 1),
        ("storage_per_project", 1024**5),
        ("entrepot_password_min_length", 8),
        ("entrepot_password_min_length", 128),
        ("entrepot_password_classes", 0),
        ("entrepot_password_classes", 4),
        ("entrepot_rename_alias_days", 0),
        ("entrepot_rename_alias_days", 3650),
        ("entrepot_reservation_hours", 720),
        ("robot_name_prefix", "r"),
        ("robot_name_prefix", "robot$_-.+@%"),
        ("robot_name_prefix", "x" * 32),
        ("banner_message", ""),
        ("banner_message", '{"message":"Süß: maintenance at 8","type":"warning","closable":true}'),
        ("disabled_audit_log_event_types", ""),
        ("disabled_audit_log_event_types", "create_user,delete_user, pull_artifact"),
        ("oidc_extra_redirect_parms", '{"hd":"example.com"}'),
        ("ldap_filter", "line\nline\ttab"),
        ("ldap_url", ""),
        ("ldap_url", "ldap.example.com:389"),
        ("ldap_url", "ldaps://[2001:db8::1]:636"),
        ("oidc_endpoint", ""),
        ("oidc_endpoint", "https://id.example.com/realms/main"),
        ("oidc_scope", ""),
        ("oidc_scope", "openid,offline_access,email"),
        ("oidc_group_filter", "team-[a-z]+"),
        ("entrepot_cli_secret_days", 0),
    ],
)
def test_a_value_within_the_rule_is_taken_as_it_is(key: str, value: object) -> None:
    assert parse(key, value) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auth_mode", "none"),
        ("project_creation_restriction", "nobody"),
        ("project_creation_restriction", "Everyone"),
        ("read_only", "true"),
        ("read_only", 1),
        ("read_only", None),
        ("token_expiration", 0),
        ("token_expiration", -5),
        ("token_expiration", 1_000_000_000),
        ("token_expiration", "30"),
        ("token_expiration", True),
        ("token_expiration", 1.5),
        ("token_expiration", math.inf),
        ("token_expiration", math.nan),
        ("token_expiration", 10**400),
        ("token_expiration", [30]),
        ("robot_token_duration", 0),
        ("robot_token_duration", -1),
        ("storage_per_project", 0),
        ("storage_per_project", -2),
        ("storage_per_project", 1024**5 + 1),
        ("storage_per_project", 1e300),
        ("entrepot_password_min_length", 7),
        ("entrepot_password_min_length", 129),
        ("entrepot_password_classes", 5),
        ("entrepot_rename_alias_days", -1),
        ("entrepot_rename_alias_days", 3651),
        ("entrepot_reservation_hours", 0),
        ("entrepot_reservation_hours", 721),
        ("robot_name_prefix", ""),
        ("robot_name_prefix", " "),
        ("robot_name_prefix", "a b"),
        ("robot_name_prefix", "robot$\n"),
        ("robot_name_prefix", "a:b"),
        ("robot_name_prefix", "a/b"),
        ("robot_name_prefix", "rôbot$"),
        ("robot_name_prefix", "x" * 33),
        ("banner_message", "maintenance"),
        ("banner_message", '"text"'),
        ("banner_message", "[1]"),
        ("banner_message", '{"message":'),
        ("banner_message", '{"a":' + "[" * 60_000),
        ("banner_message", {"message": "not text"}),
        ("banner_message", "\ud800"),
        ("banner_message", '{"a":"' + "x" * 65_536 + '"}'),
        ("disabled_audit_log_event_types", "create user"),
        ("disabled_audit_log_event_types", "create_user,,delete_user"),
        ("oidc_extra_redirect_parms", '{"a":1}'),
        ("oidc_extra_redirect_parms", ""),
        ("ldap_filter", "a\x00b"),
        ("ldap_filter", "\udfff"),
        ("ldap_filter", "x" * 4097),
        ("ldap_url", "  "),
        ("ldap_url", "https://ldap.example.com"),
        ("ldap_url", "ldap://"),
        ("ldap_url", "ldap://host:99999"),
        ("ldap_base_dn", "  "),
        ("auth_mode", "uaa_auth"),
        ("auth_mode", "http_auth"),
        ("oidc_endpoint", "id.example.com"),
        ("oidc_endpoint", "https://"),
        ("oidc_endpoint", "https://[::1"),
        ("oidc_scope", "email profile"),
        ("oidc_group_filter", "(unclosed"),
        ("entrepot_cli_secret_days", -1),
        ("entrepot_cli_secret_days", 3651),
        ("ldap_scope", 3),
        ("scan_all_policy", {"type": "daily"}),
        ("scan_all_policy", "none"),
    ],
)
def test_a_value_outside_the_rule_is_refused_by_a_sentence_that_names_the_key(key: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(key, value)
    assert refused.value.error_code == "BAD_REQUEST"
    assert refused.value.status == 400
    assert refused.value.message.startswith(f"{key} must be ")
    assert refused.value.message.endswith(".")
    assert len(refused.value.message) < 160


def test_a_whole_number_written_with_a_fraction_of_nothing_is_a_whole_number() -> None:
    parsed = parse("session_timeout", 30.0)
    assert parsed == 30
    assert isinstance(parsed, int)


@given(key=st.sampled_from(list(SETTINGS)), value=json_values)
def test_whatever_is_sent_is_taken_or_refused_and_what_is_taken_can_be_stored(key: str, value: Any) -> None:
    try:
        parsed = parse(key, value)
    except InvalidInput:
        return
    stored = msgspec.json.encode(parsed)
    assert parse(key, msgspec.json.decode(stored)) == parsed
    assert isinstance(as_text(SETTINGS[key], parsed), str)


def test_a_refusal_never_repeats_what_was_sent() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse("oidc_client_secret", "hunter2\x00")
    assert "hunter2" not in refused.value.message


def test_the_journal_gets_values_as_text_and_of_secrets_only_that_they_changed() -> None:
    texts = {
        key: as_text(SETTINGS[key], value)
        for key, value in {"read_only": True, "session_timeout": 5, "ldap_uid": "cn", "oidc_client_secret": "x"}.items()
    }
    assert texts == {"read_only": "true", "session_timeout": "5", "ldap_uid": "cn", "oidc_client_secret": "…"}
    assert SettingsChanged(changes=texts).changes == texts


def test_overrides_are_checked_like_any_other_value() -> None:
    assert check_overrides({}) == {}
    assert check_overrides({"read_only": True, "session_timeout": 5.0}) == {"read_only": True, "session_timeout": 5}


def test_an_override_may_state_the_default_of_a_feature_that_is_not_built() -> None:
    assert check_overrides({"auth_mode": "db_auth"}) == {"auth_mode": "db_auth"}


def test_every_wrong_override_is_named_with_what_is_wrong() -> None:
    with pytest.raises(ConfigError) as refused:
        check_overrides(
            {"read_only": "yes", "no_such_key": 1, "scanner_skip_update_pulltime": True, "uaa_client_secret": "hunter2"}
        )
    lines = str(refused.value).splitlines()
    assert lines[1:] == [
        "  read_only must be true or false, without quotes.",
        "  no_such_key is not a setting: correct its name or remove it.",
        "  scanner_skip_update_pulltime cannot be set, since its feature is not built: remove it.",
        "  uaa_client_secret cannot be set, since its feature is not built: remove it.",
    ]
    assert "hunter2" not in str(refused.value)


def test_an_override_cannot_end_the_audit_log_where_nobody_else_keeps_it() -> None:
    with pytest.raises(ConfigError, match="audit_log_forward_endpoint"):
        check_overrides({"skip_audit_log_database": True})


@pytest.mark.parametrize(
    ("mode", "needed"),
    [("ldap_auth", "ldap_url and ldap_base_dn"), ("oidc_auth", "oidc_endpoint and oidc_client_id")],
)
def test_a_mode_is_not_set_before_what_it_needs(mode: str, needed: str) -> None:
    with pytest.raises(ConfigError, match=f"auth_mode {mode} needs {needed}"):
        check_overrides({"auth_mode": mode})


def test_a_mode_may_be_fixed_together_with_what_it_needs() -> None:
    fixed = {"auth_mode": "oidc_auth", "oidc_endpoint": "https://id.example.com", "oidc_client_id": "registry"}
    assert check_overrides(fixed) == fixed
