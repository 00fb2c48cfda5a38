"""The configuration: everything checked before anything is opened, and every complaint names its setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.protocol.client import admin_of, entrepot, eventually
from tests.serving import serving


def check(folder: Path, text: str, **environment: str) -> tuple[int, str]:
    """Exit code and words of `config check`."""
    path = folder / "entrepot.toml"
    path.write_text(text)
    done = entrepot("config", "check", "--config", str(path), **environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_valid_file_is_said_to_be_valid(tmp_path: Path) -> None:
    code, told = check(tmp_path, 'listen = "127.0.0.1:5001"\n[registry]\nsparse = true\n[limits]\nidle_timeout = 1.5\n')
    assert code == 0, told
    assert "valid" in told


def test_no_file_is_needed() -> None:
    assert entrepot("config", "check").returncode == 0


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("lisen = '127.0.0.1:1'", "lisen"),
        ("[registry]\nsparce = true", "registry.sparce"),
        ("[registry.deep]\nx = 1", "registry.deep"),
        ("[limits]\nidle_timeout = -1", "limits.idle_timeout"),
        ("[limits]\nidle_timeout = 'soon'", "limits.idle_timeout"),
        ("workers = 0", "workers"),
        ("workers = 'many'", "workers"),
        ("listen = 'nonsense'", "listen"),
        ("listen = '127.0.0.1:99999'", "listen"),
        ("external_url = 'registry.example.com'", "external_url"),
        ("trusted_proxies = ['10.0.0.0/99']", "trusted_proxies"),
        ("[storage]\ndriver = 'tape'", "storage.driver"),
        ("[auth]\naccess_token_seconds = 1", "auth.access_token_seconds"),
        ("[log]\nlevel = 'loud'", "log.level"),
        ("[tls]\ncert_file = '/nowhere/cert.pem'", "cert_file"),
        ("[tls]\ncert_file = '/nowhere/cert.pem'\nkey_file = '/nowhere/key.pem'", "tls.cert_file"),
        ("https_only = true", "https_only"),
        ("listen = '127.0.0.1:5000'\n[metrics]\nlisten = '127.0.0.1:5000'", "metrics.listen"),
        ("[metrics]\nlisten = 'nonsense'", "metrics.listen"),
        ("workers = 2\n[storage]\ndriver = 'memory'", "storage.driver"),
        ("this is not toml", "TOML"),
    ],
)
def test_a_mistake_is_named_with_its_path(tmp_path: Path, text: str, setting: str) -> None:
    code, told = check(tmp_path, text)
    assert code == 1
    assert setting in told


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    code, told = check(tmp_path, "workers = 0\nlisten = 'x'\n[registry]\nsparce = true\n[log]\nlevel = 'loud'")
    assert code == 1
    assert all(setting in told for setting in ("workers", "listen", "registry.sparce", "log.level"))


def test_a_mistake_in_a_variable_is_named_too(tmp_path: Path) -> None:
    code, told = check(tmp_path, "", ENTREPOT_LIMITS_IDLE_TIMEOUT="soon")
    assert code == 1
    assert "limits.idle_timeout" in told


def test_variables_are_stronger_than_the_file(tmp_path: Path) -> None:
    code, told = check(tmp_path, "[limits]\nidle_timeout = -1", ENTREPOT_LIMITS_IDLE_TIMEOUT="5")
    assert code == 0, told


def test_a_variable_that_is_no_setting_is_told_and_ignored(tmp_path: Path) -> None:
    # Kubernetes makes ENTREPOT_PORT for a service of that name.
    code, told = check(tmp_path, "", ENTREPOT_PORT="tcp://10.0.0.1:5000")
    assert code == 0
    assert "ENTREPOT_PORT" in told


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = entrepot("config", "check", "--config", str(tmp_path / "absent.toml"))
    assert done.returncode == 1
    assert "absent.toml" in done.stderr


@pytest.mark.parametrize(
    "text", ["admin_password = 5", "admin_password = 'secret-a'\nadmin_password_file = 'secret-b'"]
)
def test_no_secret_is_shown(tmp_path: Path, text: str) -> None:
    _, told = check(tmp_path, text, ENTREPOT_ADMIN_PASSWORD="secret-c")
    assert "secret-a" not in told
    assert "secret-c" not in told


def test_the_schema_lists_every_setting() -> None:
    done = entrepot("config", "schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    assert {"listen", "data", "workers", "external_url", "tls", "registry", "limits"} <= set(schema["properties"])


@pytest.mark.parametrize("command", ["serve", "check"])
def test_serve_refuses_what_check_refuses(tmp_path: Path, command: str) -> None:
    path = tmp_path / "entrepot.toml"
    path.write_text("[registry]\nsparce = true\n")
    arguments = ("serve",) if command == "serve" else ("config", "check")
    done = entrepot(*arguments, "--config", str(path), ENTREPOT_DATA=str(tmp_path / "data"))
    assert done.returncode == 1
    assert "registry.sparce" in done.stderr
    assert not (tmp_path / "data").exists(), "nothing is opened before everything is checked"


def test_a_file_configures_a_server(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("a-password-from-a-file\n")
    path = tmp_path / "entrepot.toml"
    path.write_text("[registry]\nsparse = true\n[storage]\ndriver = 'memory'\n")
    with serving(tmp_path / "data", config=path) as started, admin_of(started) as admin:
        assert admin.get("/v2/").status_code == 200
        payload = admin.push_image("demo/app", "1", b"in memory")
        assert admin.get("/v2/demo/app/manifests/1").content == payload


def test_the_password_may_come_from_a_file(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("a-password-from-a-file\n")
    environment = {"ENTREPOT_ADMIN_PASSWORD_FILE": str(password), "ENTREPOT_ADMIN_PASSWORD": ""}
    with (
        serving(tmp_path / "data", environment=environment, password="a-password-from-a-file") as started,
        admin_of(started) as admin,
    ):
        assert admin.get("/v2/").status_code == 200


def test_the_first_password_is_shown_once(tmp_path: Path) -> None:
    with serving(tmp_path / "data", environment={"ENTREPOT_ADMIN_PASSWORD": ""}) as started:
        # The greeting is written once a worker answers: whoever sees it answer may be a moment earlier.
        assert eventually(lambda: "first login" in started.log_text())
        found = next(line for line in started.log_text().splitlines() if "first login" in line)
        password = found.split()[-1]
        started.password = password
        with admin_of(started) as admin:
            assert admin.get("/v2/").status_code == 200
        started.restart()
        assert started.log_text().count(password) == 1


def test_a_first_password_that_is_too_short_stops_the_start(tmp_path: Path) -> None:
    done = entrepot(
        "serve", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", ENTREPOT_ADMIN_PASSWORD="short"
    )
    assert done.returncode == 1
    assert "characters" in done.stderr
    assert "Traceback" not in done.stderr
