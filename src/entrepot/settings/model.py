"""What can be set at run time: every key with its kind, default and rule.

Keys, kinds and defaults are those of Harbor's user scope, so that its clients find all that they ask for; a key whose
feature is not built is not editable. Keys that begin with ``entrepot_`` are our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import msgspec

from entrepot.errors import ConfigError, InvalidInput
from entrepot.journal.model import Event
from entrepot.kit.networks import parse_networks, split_networks

Kind = Literal["text", "number", "boolean", "secret", "object"]
"""``text``, ``number`` (whole) and ``boolean`` are Harbor's three items; a ``secret`` is text that no answer shows; an
``object`` is shown as it is, without ``value`` and ``editable`` around it."""

_LONGEST = 4096
_LONG = 65_536
_LONGEST_TIME = 999_999_999  # minutes; much more would be past the last year that a date can have
_LARGEST_QUOTA = 1024**5  # bytes, as in Harbor
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # a lone surrogate cannot be stored or answered
_ROBOT_PREFIX = re.compile(r"[A-Za-z0-9$_.+@%-]{1,32}")
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Rule(msgspec.Struct, frozen=True):
    """A check, and how its sentence goes on after the key: ``must be …``."""

    words: str
    holds: Callable[[Any], bool]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One key that can be set."""

    key: str
    kind: Kind
    default: Any
    rule: Rule
    is_editable: bool
    """Whether the feature behind it is built."""


class Value(msgspec.Struct, frozen=True):
    """A setting as it is answered: Harbor's config item."""

    value: Any
    editable: bool


class SettingsChanged(Event, frozen=True, kw_only=True):
    """Somebody gave settings other values."""

    operation: ClassVar[str] = "update"
    resource_type: ClassVar[str] = "configuration"

    changes: dict[str, str]
    """Key to new value as text; of a secret only that it changed."""

    @property
    def resource(self) -> str:
        """Harbor's word for all of them; which ones is in ``changes``."""
        return "configuration"


def parse(key: str, value: object) -> Any:
    """``value``, which came as JSON, as a value of the setting ``key``.

    Raises:
        KeyError: there is no such setting; ask ``SETTINGS`` before.
        InvalidInput: it is no value for this setting; the sentence says what would be, and never repeats the value.
    """
    setting = SETTINGS[key]
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 30.0 is how some languages write a whole number
    if not _is_of(setting.kind, value) or not setting.rule.holds(value):
        raise InvalidInput(f"{key} {setting.rule.words}.", code="BAD_REQUEST")
    return value


def check_overrides(overrides: Mapping[str, object]) -> dict[str, Any]:
    """The values that the operator's configuration fixes.

    Raises:
        ConfigError: naming every key that is wrong, and how.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for key, value in overrides.items():
        try:
            values[key] = _parse_override(key, value)
        except InvalidInput as error:
            wrong.append(error.message)
    if wrong:
        raise ConfigError("Settings cannot be fixed so:\n" + "\n".join(f"  {line}" for line in wrong))
    check_together(DEFAULTS | values, ConfigError)
    return values


def check_together(values: Mapping[str, Any], error: Callable[[str], Exception]) -> None:
    """Check what no setting can know alone; ``values`` holds all of them, ``error`` makes what is raised."""
    if values["skip_audit_log_database"] and not values["audit_log_forward_endpoint"]:
        raise error(
            "skip_audit_log_database must stay false until audit_log_forward_endpoint names who keeps the audit log."
        )
    mode = values["auth_mode"]
    missing = [key for key in _NEEDED.get(mode, ()) if not values[key]]
    if missing:
        raise error(f"auth_mode {mode} needs {' and '.join(missing)}: set them with it.")


def check_secrets(before: Mapping[str, Any], changes: Mapping[str, Any], sent: Container[str]) -> None:
    """Refuse to send a secret that is kept to another place than it was given for.

    Args:
        before: all settings as they are.
        changes: those that get another value.
        sent: every key that came, the unchanged ones too.

    Raises:
        InvalidInput: the place changes, and the secret did not come with it.
    """
    for secret, places in _SENT_TO.items():
        moved = [key for key in places if key in changes]
        if moved and before[secret] != "" and secret not in sent:
            raise InvalidInput(
                f"{' and '.join(moved)} cannot change without {secret}: send it again, so that it goes to nobody else.",
                code="BAD_REQUEST",
            )


def as_text(setting: Setting, value: Any) -> str:
    """How the journal writes a value."""
    if setting.kind == "secret":
        return "…"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _parse_override(key: str, value: object) -> Any:
    setting = SETTINGS.get(key)
    if setting is None:
        raise InvalidInput(f"{key} is not a setting: correct its name or remove it.")
    parsed = parse(key, value)
    if not setting.is_editable and parsed != setting.default:
        # To take it and do nothing would let an operator believe that, say, logins go to a directory.
        raise InvalidInput(f"{key} cannot be set, since its feature is not built: remove it.")
    return parsed


def _is_of(kind: Kind, value: object) -> bool:
    if kind == "number":
        return isinstance(value, int) and not isinstance(value, bool)
    expected = {"boolean": bool, "object": dict}.get(kind, str)
    return isinstance(value, expected)


def _text(
    key: str,
    default: str = "",
    holds: Callable[[str], bool] = lambda _value: True,
    words: str = "must be text without control characters",
    *,
    longest: int = _LONGEST,
    kind: Kind = "text",
    editable: bool = False,
) -> Setting:
    def fits(value: str) -> bool:
        return len(value) <= longest and not _UNFIT.search(value) and holds(value)

    rule = Rule(f"{words} ({longest} characters at most)", fits)
    return Setting(key=key, kind=kind, default=default, rule=rule, is_editable=editable)


def _choice(key: str, *choices: str, words: str = "", editable: bool = False) -> Setting:
    """Text out of a list; the first is the default."""
    rule = Rule(words or f"must be {' or '.join(choices)}", lambda value: value in choices)
    return Setting(key=key, kind="text", default=choices[0], rule=rule, is_editable=editable)


def _number(key: str, default: int, limits: tuple[int, int], unit: str = "", *, editable: bool = True) -> Setting:
    least, most = limits
    rule = Rule(
        f"must be a whole number{' of ' if unit else ''}{unit} from {least} to {most}",
        lambda value: least <= value <= most,
    )
    return Setting(key=key, kind="number", default=default, rule=rule, is_editable=editable)


def _boolean(key: str, default: bool = False, *, editable: bool = False) -> Setting:
    rule = Rule("must be true or false, without quotes", lambda _value: True)
    return Setting(key=key, kind="boolean", default=default, rule=rule, is_editable=editable)


def _quota(key: str) -> Setting:
    rule = Rule(
        f"must be -1 (no limit) or a whole number of bytes from 1 to {_LARGEST_QUOTA}",
        lambda value: value == -1 or 1 <= value <= _LARGEST_QUOTA,
    )
    return Setting(key=key, kind="number", default=-1, rule=rule, is_editable=True)


def _is_not_blank(value: str) -> bool:
    return bool(value.strip())


def _is_object_of(value: str, expected: Any) -> bool:
    try:
        msgspec.json.decode(value, type=expected)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _is_url(value: str) -> bool:
    if not value:
        return True
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.fragment
    except ValueError:
        return False


def _is_ldap_url(value: str) -> bool:
    """With a scheme or without, as in Harbor."""
    if not value:
        return True
    try:
        parts = urlsplit(value if "://" in value else f"ldap://{value}")
        return parts.scheme in {"ldap", "ldaps"} and bool((parts.hostname or "").strip()) and parts.port != 0
    except ValueError:
        return False


def _is_scope(value: str) -> bool:
    return not value.strip() or "openid" in value.replace(",", " ").split()


def _is_pattern(value: str) -> bool:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _is_banner(value: str) -> bool:
    return not value or _is_object_of(value, dict[str, Any])


def _are_parameters(value: str) -> bool:
    return _is_object_of(value, dict[str, str])


def _are_event_types(value: str) -> bool:
    return not value.strip() or all(_EVENT_TYPE.fullmatch(part.strip()) for part in value.split(","))


def _are_networks(value: str) -> bool:
    try:
        parse_networks(split_networks(value))
    except ValueError:
        return False
    return True


def _networks(key: str) -> Setting:
    words = "must be empty or networks such as 10.0.0.0/8 or 2001:db8::/32 with commas between"
    return _text(key, "", _are_networks, words, editable=True)


_NOT_BLANK = "must be text that is neither blank nor has control characters"
_NEEDED = {"ldap_auth": ("ldap_url", "ldap_base_dn"), "oidc_auth": ("oidc_endpoint", "oidc_client_id")}
"""What a mode cannot be without."""
_SENT_TO = {
    "ldap_search_password": ("ldap_url", "ldap_verify_cert", "entrepot_ldap_start_tls"),
    "oidc_client_secret": ("oidc_endpoint", "oidc_verify_cert"),
}
"""What decides who gets to see a secret."""

_TABLE = (
    # who may log in, and how
    _choice(
        "auth_mode",
        "db_auth",
        "ldap_auth",
        "oidc_auth",
        words="must be db_auth, ldap_auth or oidc_auth: uaa_auth and http_auth are not there",
        editable=True,
    ),
    _boolean("primary_auth_mode", editable=True),
    _boolean("entrepot_all_auth_modes", editable=True),
    _number("entrepot_cli_secret_days", 90, (0, 3650), "days"),
    _boolean("self_registration", editable=True),
    _number("session_timeout", 60, (1, _LONGEST_TIME), "minutes"),
    _number("token_expiration", 30, (1, _LONGEST_TIME), "minutes"),
    _number("entrepot_password_min_length", 8, (8, 128), "characters"),
    # how many of: upper case, lower case, digit, anything else
    _number("entrepot_password_classes", 3, (0, 4), "kinds of characters"),
    # from where; whoever is denied is not let in by what is allowed
    _networks("entrepot_addresses_allow"),
    _networks("entrepot_addresses_deny"),
    _networks("entrepot_admin_addresses_allow"),
    _networks("entrepot_admin_addresses_deny"),
    # LDAP
    _text(
        "ldap_url",
        "",
        _is_ldap_url,
        "must be ldaps://host or ldap://host, with a port if it is not the usual one",
        editable=True,
    ),
    _text("ldap_base_dn", "", lambda value: not value or _is_not_blank(value), _NOT_BLANK, editable=True),
    _text("ldap_filter", editable=True),
    _number("ldap_scope", 2, (0, 2)),
    _text("ldap_uid", "cn", _is_not_blank, _NOT_BLANK, editable=True),
    _text("ldap_search_dn", editable=True),
    _text("ldap_search_password", kind="secret", editable=True),
    _number("ldap_timeout", 5, (1, 3600), "seconds"),
    _boolean("ldap_verify_cert", default=True, editable=True),
    _boolean("entrepot_ldap_start_tls", editable=True),
    _text("ldap_group_base_dn", editable=True),
    _text("ldap_group_admin_dn", editable=True),
    _text("ldap_group_attribute_name", editable=True),
    _text("ldap_group_search_filter", editable=True),
    _number("ldap_group_search_scope", 2, (0, 2)),
    _text("ldap_group_membership_attribute", "memberof", editable=True),
    _boolean("ldap_group_attach_parallel", editable=True),
    # UAA
    _text("uaa_endpoint"),
    _text("uaa_client_id"),
    _text("uaa_client_secret", kind="secret"),
    _boolean("uaa_verify_cert"),
    # an authenticating HTTP proxy
    _text("http_authproxy_endpoint"),
    _text("http_authproxy_tokenreview_endpoint"),
    _text("http_authproxy_admin_groups"),
    _text("http_authproxy_admin_usernames"),
    _boolean("http_authproxy_verify_cert", default=True),
    _boolean("http_authproxy_skip_search"),
    _text("http_authproxy_server_certificate", longest=_LONG),
    # OIDC
    _text("oidc_name", editable=True),
    _text("oidc_endpoint", "", _is_url, "must be an absolute URL, such as https://id.example.com", editable=True),
    _text("oidc_client_id", editable=True),
    _text("oidc_client_secret", kind="secret", editable=True),
    _text("oidc_groups_claim", editable=True),
    _text("oidc_admin_group", editable=True),
    _text("oidc_group_filter", "", _is_pattern, "must be a regular expression", editable=True),
    _text("oidc_scope", "", _is_scope, "must be empty, or names with commas between, openid among them", editable=True),
    _text("oidc_user_claim", editable=True),
    _boolean("oidc_verify_cert", default=True, editable=True),
    _boolean("oidc_auto_onboard", editable=True),
    _text(
        "oidc_extra_redirect_parms",
        "{}",
        _are_parameters,
        "must be a JSON object of texts written as text",
        editable=True,
    ),
    _boolean("oidc_logout", editable=True),
    # projects and their contents
    _choice("project_creation_restriction", "everyone", "adminonly", editable=True),
    _boolean("read_only", editable=True),
    _boolean("quota_per_project_enable", default=True, editable=True),
    _quota("storage_per_project"),
    _number("entrepot_rename_alias_days", 30, (0, 3650), "days"),
    _number("entrepot_reservation_hours", 24, (1, 720), "hours"),
    # robot accounts
    _number("robot_token_duration", 30, (1, 999_999), "days"),
    _text(
        "robot_name_prefix",
        "robot$",
        lambda value: _ROBOT_PREFIX.fullmatch(value) is not None,
        "must be letters, digits and $ _ - . + @ %, at least one of them",
        longest=32,
        editable=True,
    ),
    # scans and notifications
    Setting(
        key="scan_all_policy",
        kind="object",
        default={"type": "none"},
        rule=Rule('must be {"type": "none"}', lambda value: value == {"type": "none"}),
        is_editable=False,
    ),
    _boolean("scanner_skip_update_pulltime"),
    _boolean("notification_enable", default=True),
    # what is recorded
    _text("audit_log_forward_endpoint"),
    _boolean("skip_audit_log_database", editable=True),
    _text(
        "disabled_audit_log_event_types",
        "",
        _are_event_types,
        "must be names such as create_user with commas between",
        longest=_LONG,
        editable=True,
    ),
    _boolean("pull_audit_log_disable", editable=True),
    _boolean("pull_time_update_disable", editable=True),
    _boolean("pull_count_update_disable", editable=True),
    # the portal
    _text(
        "banner_message",
        "",
        _is_banner,
        "must be empty or a JSON object, written as text",
        longest=_LONG,
        editable=True,
    ),
)

SETTINGS: Mapping[str, Setting] = {setting.key: setting for setting in _TABLE}
"""Every setting by its key."""

DEFAULTS: dict[str, Any] = {setting.key: setting.default for setting in _TABLE}
"""What holds as long as nobody sets anything."""
