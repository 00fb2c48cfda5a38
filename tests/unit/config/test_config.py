"""The configuration: sources, refusals, secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot import config
from entrepot.config import Config, load, split_address
from entrepot.config.sections import CertificateRule
from entrepot.errors import ConfigError

SECRET = "never-show-this-7391"
SECRETS_KEY = "TeqsDIes2moZqKL9pkd0AKQBCSE24PECDxERYkA9Z88="

EXAMPLES: dict[str, tuple[str, Any]] = {
    "ENTREPOT_LISTEN": ("0.0.0.0:6000", "0.0.0.0:6000"),
    "ENTREPOT_DATA": ("/srv/registry", Path("/srv/registry")),
    "ENTREPOT_WORKERS": ("3", 3),
    "ENTREPOT_EXTERNAL_URL": ("https://registry.example.com", "https://registry.example.com"),
    "ENTREPOT_HTTPS_ONLY": ("false", False),
    "ENTREPOT_HTTP_REDIRECT_LISTEN": ("127.0.0.1:8080", "127.0.0.1:8080"),
    "ENTREPOT_TRUSTED_PROXIES": ("10.0.0.0/8, 192.168.1.1", ["10.0.0.0/8", "192.168.1.1"]),
    "ENTREPOT_ADMIN_PASSWORD": (SECRET, SECRET),
    "ENTREPOT_ADMIN_PASSWORD_FILE": ("/run/secret", Path("/run/secret")),
    "ENTREPOT_TLS_CERT_FILE": ("{file}", "{file}"),
    "ENTREPOT_TLS_KEY_FILE": ("{file}", "{file}"),
    "ENTREPOT_TLS_CA_FILE": ("{file}", "{file}"),
    "ENTREPOT_TLS_CLIENT_CA_FILE": ("{file}", "{file}"),
    "ENTREPOT_TLS_HSTS_SECONDS": ("300", 300),
    "ENTREPOT_TLS_HTTP2": ("true", True),
    "ENTREPOT_STORAGE_DRIVER": ("memory", "memory"),
    "ENTREPOT_STORAGE_MEMORY_LIMIT": ("1048576", 1048576),
    "ENTREPOT_API_DOCUMENTS_LOGIN": ("true", True),
    "ENTREPOT_SETTINGS": ('{"read_only": true}', {"read_only": True}),
    "ENTREPOT_REGISTRY_SPARSE": ("true", True),
    "ENTREPOT_REGISTRY_CREATE_PROJECTS": ("no", False),
    "ENTREPOT_REGISTRY_UPLOAD_EXPIRY": ("60.5", 60.5),
    "ENTREPOT_AUTH_ACCESS_TOKEN_SECONDS": ("120", 120),
    "ENTREPOT_AUTH_REFRESH_TOKEN_SECONDS": ("3600", 3600),
    "ENTREPOT_METRICS_LISTEN": ("127.0.0.1:9090", "127.0.0.1:9090"),
    "ENTREPOT_METRICS_LOGIN": ("1", True),
    "ENTREPOT_LOG_ACCESS": ("false", False),
    "ENTREPOT_LOG_LEVEL": ("debug", "debug"),
    "ENTREPOT_LOG_FORMAT": ("json", "json"),
    "ENTREPOT_RATE_LIMITS_PULLS": ("6000/m", "6000/m"),
    "ENTREPOT_RATE_LIMITS_PUSHES": ("100/s", "100/s"),
    "ENTREPOT_RATE_LIMITS_REST": ("5000/6h", "5000/6h"),
    "ENTREPOT_RATE_LIMITS_LOGINS": ("30/m", "30/m"),
    "ENTREPOT_SECRETS_KEY": (SECRETS_KEY, SECRETS_KEY),
    "ENTREPOT_SECRETS_KEY_FILE": ("/run/secrets.key", Path("/run/secrets.key")),
    "ENTREPOT_IDENTITY_LDAP": (
        '[{"name": "corp", "url": "ldaps://ldap.example.com", "base_dn": "dc=example,dc=com"}]',
        [{"name": "corp", "url": "ldaps://ldap.example.com", "base_dn": "dc=example,dc=com"}],
    ),
    "ENTREPOT_IDENTITY_OIDC": (
        '[{"name": "id", "endpoint": "https://id.example.com", "client_id": "registry"}]',
        [{"name": "id", "endpoint": "https://id.example.com", "client_id": "registry"}],
    ),
    "ENTREPOT_IDENTITY_WORKLOAD": (
        '[{"name": "ci", "issuer": "https://ci.example.com", "audiences": ["registry"]}]',
        [{"name": "ci", "issuer": "https://ci.example.com", "audiences": ["registry"]}],
    ),
    "ENTREPOT_LIMITS_IDLE_TIMEOUT": ("5", 5.0),
    "ENTREPOT_LIMITS_DRAIN_DELAY": ("0", 0.0),
    "ENTREPOT_LIMITS_DRAIN_TIMEOUT": ("7", 7.0),
    "ENTREPOT_CLIENT_CERTIFICATES_HEADER": ("X-SSL-Client-Cert", "X-SSL-Client-Cert"),
    "ENTREPOT_CLIENT_CERTIFICATES_RULES": (
        '[{"rule": "uri == \\"a\\"", "principal": "jo"}]',
        [CertificateRule(rule='uri == "a"', principal="jo")],
    ),
}

# A setting that is refused alone comes with others.
_PAIR = {"ENTREPOT_TLS_CERT_FILE": "{file}", "ENTREPOT_TLS_KEY_FILE": "{file}"}
_PROXY = {"ENTREPOT_TRUSTED_PROXIES": "10.0.0.0/8"}
PARTNERS = {
    "ENTREPOT_TLS_CERT_FILE": _PAIR,
    "ENTREPOT_TLS_KEY_FILE": _PAIR,
    "ENTREPOT_TLS_CLIENT_CA_FILE": _PAIR,
    "ENTREPOT_HTTP_REDIRECT_LISTEN": _PAIR,
    "ENTREPOT_CLIENT_CERTIFICATES_HEADER": _PROXY,
    "ENTREPOT_CLIENT_CERTIFICATES_RULES": _PROXY | {"ENTREPOT_CLIENT_CERTIFICATES_HEADER": "X-SSL-Client-Cert"},
}


def setting(loaded: Config, path: tuple[str, ...]) -> Any:
    value: Any = loaded
    for name in path:
        value = getattr(value, name)
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


def refusal(environment: dict[str, str] | None = None, toml: Path | None = None, **overrides: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        load(toml, environment or {}, overrides)
    return str(refused.value)


def written(folder: Path, text: str) -> Path:
    path = folder / "entrepot.toml"
    path.write_text(text)
    return path


# sources


def test_there_is_an_example_of_every_variable() -> None:
    assert set(EXAMPLES) == set(config.variables())


@pytest.mark.parametrize("variable", EXAMPLES)
def test_every_variable_sets_its_setting(variable: str, tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("pem")
    file = str(tmp_path / "pem")
    text, expected = EXAMPLES[variable]
    given = PARTNERS.get(variable, {}) | {variable: text}
    environment = {name: value.replace("{file}", file) for name, value in given.items()}
    if expected == "{file}":
        expected = Path(file)
    assert setting(load(None, environment, {}), config.variables()[variable]) == expected


def test_a_variable_may_separate_the_section_by_two_underscores() -> None:
    assert load(None, {"ENTREPOT_REGISTRY__SPARSE": "true"}, {}).registry.sparse


def test_no_two_settings_share_a_variable() -> None:
    paths = list(config.variables().values())
    assert len(paths) == len(set(paths))


def test_without_anything_the_defaults_hold() -> None:
    loaded = load(None, {}, {})
    assert loaded.listen == "127.0.0.1:5000"
    assert loaded.data == Path("data")
    assert not loaded.registry.sparse
    assert loaded.registry.create_projects


def test_variables_go_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    path = written(tmp_path, 'listen = "1.1.1.1:1"\nworkers = 1\n[registry]\nsparse = true\nupload_expiry = 5\n')
    loaded = load(path, {"ENTREPOT_LISTEN": "2.2.2.2:2", "ENTREPOT_REGISTRY_SPARSE": "false"}, {"workers": 2})
    assert (loaded.listen, loaded.workers) == ("2.2.2.2:2", 2)
    assert not loaded.registry.sparse
    assert loaded.registry.upload_expiry == 5


def test_other_variables_of_the_environment_are_left_alone() -> None:
    assert load(None, {"LISTEN": "x", "PATH": "/bin", "entrepot_listen": "x"}, {}) == load(None, {}, {})


def test_a_variable_that_is_no_setting_is_named_and_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    load(None, {"ENTREPOT_PORT": f"tcp://{SECRET}"}, {})
    said = capsys.readouterr().err
    assert "ENTREPOT_PORT" in said
    assert SECRET not in said


# refusals


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prot = 1\n", "prot"),
        ("[registry]\nspares = true\n", "registry.spares"),
        ("[nosuch]\na = 1\n", "nosuch"),
    ],
)
def test_an_unknown_key_is_refused_with_its_path(tmp_path: Path, text: str, path: str) -> None:
    assert f"{path}:" in refusal(toml=written(tmp_path, text))


def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    said = refusal(toml=written(tmp_path, 'listen = "x"\nworkers = 0\n[storage]\ndriver = "s3"\n'))
    for path in ("listen:", "workers:", "storage.driver:"):
        assert path in said


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"ENTREPOT_WORKERS": "0"}, "workers"),
        ({"ENTREPOT_WORKERS": "many"}, "workers"),
        ({"ENTREPOT_LISTEN": "localhost"}, "listen"),
        ({"ENTREPOT_LISTEN": "localhost:70000"}, "listen"),
        ({"ENTREPOT_EXTERNAL_URL": "registry.example.com"}, "external_url"),
        ({"ENTREPOT_TRUSTED_PROXIES": "everybody"}, "trusted_proxies"),
        ({"ENTREPOT_LOG_LEVEL": "loud"}, "log.level"),
        ({"ENTREPOT_AUTH_ACCESS_TOKEN_SECONDS": "1"}, "auth.access_token_seconds"),
        ({"ENTREPOT_REGISTRY_UPLOAD_EXPIRY": "0"}, "registry.upload_expiry"),
        ({"ENTREPOT_LIMITS_IDLE_TIMEOUT": "-1"}, "limits.idle_timeout"),
        ({"ENTREPOT_TLS_CERT_FILE": "/nonexistent"}, "key_file go together"),
        (
            {"ENTREPOT_TLS_CERT_FILE": "/nonexistent", "ENTREPOT_TLS_KEY_FILE": "/nonexistent"},
            "tls.cert_file",
        ),
        ({"ENTREPOT_METRICS_LISTEN": "127.0.0.1:5000"}, "metrics.listen"),
        ({"ENTREPOT_METRICS_LISTEN": "nowhere"}, "nowhere"),
        ({"ENTREPOT_STORAGE_DRIVER": "memory", "ENTREPOT_WORKERS": "2"}, "memory"),
        ({"ENTREPOT_HTTPS_ONLY": "true"}, "https_only"),
        ({"ENTREPOT_HTTP_REDIRECT_LISTEN": ":80"}, "http_redirect_listen"),
        ({"ENTREPOT_TLS_CLIENT_CA_FILE": "/nonexistent"}, "client_ca_file"),
        ({"ENTREPOT_CLIENT_CERTIFICATES_HEADER": "X-Cert"}, "trusted_proxies"),
        ({"ENTREPOT_CLIENT_CERTIFICATES_RULES": "uri"}, "client_certificates.rules"),
        ({"ENTREPOT_ADMIN_PASSWORD": "x", "ENTREPOT_ADMIN_PASSWORD_FILE": "/x"}, "admin_password"),
    ],
)
def test_a_setting_or_a_combination_that_cannot_be_is_refused_by_name(environment: dict[str, str], named: str) -> None:
    assert named in refusal(environment)


@pytest.mark.parametrize("text", ["listen = ", "= 1", "\x00", "[registry\n"])
def test_a_file_that_is_no_toml_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    assert "entrepot.toml" in refusal(toml=written(tmp_path, text))


def test_a_file_that_is_no_text_or_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "entrepot.toml"
    assert "entrepot.toml" in refusal(toml=path)
    path.write_bytes(b"\xff\xfe")
    assert "entrepot.toml" in refusal(toml=path)


def test_a_section_that_is_no_table_is_refused_even_under_a_variable(tmp_path: Path) -> None:
    assert "registry" in refusal({"ENTREPOT_REGISTRY_SPARSE": "true"}, written(tmp_path, "registry = true\n"))


def test_one_memory_worker_and_tls_with_proxies_are_fine() -> None:
    assert load(None, {"ENTREPOT_STORAGE_DRIVER": "memory"}, {}).worker_count == 1
    assert load(None, {"ENTREPOT_HTTPS_ONLY": "1", "ENTREPOT_TRUSTED_PROXIES": "10.0.0.0/8"}, {}).https_only


# secrets


@pytest.mark.parametrize(
    "more",
    [
        {"ENTREPOT_ADMIN_PASSWORD_FILE": "/x"},
        {"ENTREPOT_WORKERS": "x"},
        {"ENTREPOT_METRICS_LISTEN": "127.0.0.1:5000"},
    ],
)
def test_no_refusal_shows_the_password(more: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, {"ENTREPOT_ADMIN_PASSWORD": SECRET, **more}, {})
    shown = f"{refused.value!r} {refused.value} {refused.value.__cause__!r}"
    assert SECRET not in shown


def test_a_password_of_the_wrong_type_is_not_shown(tmp_path: Path) -> None:
    assert SECRET not in refusal(toml=written(tmp_path, f'admin_password = ["{SECRET}"]\n'))
    assert SECRET not in refusal(toml=written(tmp_path, f'[admin_password]\nx = "{SECRET}"\n'))


def test_neither_text_nor_repr_of_the_configuration_shows_the_password() -> None:
    loaded = load(None, {"ENTREPOT_ADMIN_PASSWORD": SECRET}, {})
    assert loaded.first_password() == SECRET
    for shown in (str(loaded), repr(loaded), loaded.model_dump_json()):
        assert SECRET not in shown


def test_the_password_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    assert load(None, {"ENTREPOT_ADMIN_PASSWORD_FILE": str(tmp_path / "secret")}, {}).first_password() == SECRET


def test_a_password_file_that_cannot_be_read_is_named_and_no_password_is_none(tmp_path: Path) -> None:
    loaded = load(None, {"ENTREPOT_ADMIN_PASSWORD_FILE": str(tmp_path / "gone")}, {})
    with pytest.raises(ConfigError, match="admin_password_file"):
        loaded.first_password()
    (tmp_path / "gone").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="admin_password_file"):
        loaded.first_password()
    assert load(None, {}, {}).first_password() is None


# addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:5000", ("127.0.0.1", 5000)),
        ("[::1]:5000", ("::1", 5000)),
        ("[::]:80", ("::", 80)),
        (":5000", ("0.0.0.0", 5000)),
        ("localhost:0", ("localhost", 0)),
        ("registry.example.com:65535", ("registry.example.com", 65535)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":", "host", "host:", "host:x", "host:65536", "host:-1", "host:²", "host: 1", "5000"]
)
def test_what_is_no_address_is_refused_telling_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="write host:port"):
        split_address(text)


@given(st.text(max_size=20))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        host, port = split_address(text)
    except ValueError:
        return
    assert host
    assert 0 <= port <= 65_535


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:5000"),
        ({"ENTREPOT_LISTEN": ":8080"}, "http://127.0.0.1:8080"),
        ({"ENTREPOT_LISTEN": "[::]:8080"}, "http://[::1]:8080"),
        ({"ENTREPOT_LISTEN": "[fe80::1]:8080"}, "http://[fe80::1]:8080"),
        ({"ENTREPOT_EXTERNAL_URL": "https://r.example.com/"}, "https://r.example.com"),
    ],
)
def test_the_printed_address_is_one_that_a_client_can_use(environment: dict[str, str], url: str) -> None:
    assert load(None, environment, {}).url == url
