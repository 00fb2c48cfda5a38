"""``entrepot secrets``: the key changes while a server runs, and however it is cut off nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.kit.secretbox import new_key, read_keys, write_keys
from tests.protocol.client import admin_of, entrepot
from tests.serving import Server, serving

PROVIDERS = "/api/entrepot/v1/identity-providers"
LDAP = {
    "name": "corp",
    "kind": "ldap",
    "options": {"url": "ldaps://127.0.0.1:1", "base_dn": "dc=example", "bind_password": "hunter2", "timeout": 0.2},
}


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[Server]:
    """A server of two workers that keeps secrets in its settings and of a provider."""
    with serving(tmp_path / "data", workers=2) as server:
        with admin_of(server) as admin:
            assert admin.http.post(PROVIDERS, json=LDAP).status_code == 201
            values = {"oidc_client_secret": "hunter3"}
            assert admin.http.put("/api/v2.0/configurations", json=values).status_code == 200
        yield server


def key_file(server: Server) -> Path:
    return server.data / "keys" / "secrets.key"


def check(server: Server) -> subprocess.CompletedProcess[str]:
    return entrepot("secrets", "check", "--data", str(server.data))


def rotate(server: Server, *more: str) -> subprocess.CompletedProcess[str]:
    return entrepot("secrets", "rotate", "--data", str(server.data), *more)


def test_a_key_is_printed_and_is_another_each_time() -> None:
    keys = {entrepot("secrets", "key").stdout.strip() for _ in range(2)}
    assert len(keys) == 2
    assert all(len(key) == 44 for key in keys)


def test_the_key_changes_under_a_running_server(holding: Server) -> None:
    before = read_keys(key_file(holding))
    done = rotate(holding)
    assert done.returncode == 0, done.stderr
    assert "settings: 1" in done.stdout
    assert "identity providers: 1" in done.stdout
    after = read_keys(key_file(holding))
    assert len(after) == 1
    assert after != before
    assert key_file(holding).stat().st_mode & 0o777 == 0o600
    assert "Everything that is sealed can be opened" in check(holding).stdout
    with admin_of(holding) as admin:
        for _ in range(10):  # both workers
            assert admin.http.get(f"{PROVIDERS}/corp").json()["has_secret"] is True
            change = {"kind": "ldap", "options": {**LDAP["options"], "bind_password": "hunter4"}}  # type: ignore[dict-item]
            assert admin.http.put(f"{PROVIDERS}/corp", json=change).status_code == 200
            kept = admin.http.post(f"{PROVIDERS}/corp/ping").json()
            assert "key" not in kept["message"]
        kinds = {record["kind"] for record in admin.get("/api/entrepot/v1/audit?q=kind=SecretsResealed").json()}
        assert "SecretsResealed" in kinds
    assert check(holding).returncode == 0, check(holding).stdout
    assert "cannot be opened" not in holding.log_text()


def test_cut_off_at_any_moment_it_loses_nothing_and_can_be_run_again(holding: Server) -> None:
    command = [sys.executable, "-m", "entrepot", "secrets", "rotate", "--data", str(holding.data)]
    for delay in (0.4, 0.6, 0.8, 1.0, 1.3, 1.8):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert check(holding).returncode == 0, f"killed after {delay} s: {check(holding).stdout}"
    done = rotate(holding)
    assert done.returncode == 0, done.stderr
    assert len(read_keys(key_file(holding))) == 1
    assert check(holding).returncode == 0


def test_a_new_key_that_came_first_by_hand_is_taken_without_touching_the_file(holding: Server) -> None:
    keys = [new_key(), *read_keys(key_file(holding))]
    write_keys(key_file(holding), keys)
    done = rotate(holding, "--keep-keys")
    assert done.returncode == 0, done.stderr
    assert read_keys(key_file(holding)) == keys
    write_keys(key_file(holding), keys[:1])
    assert check(holding).returncode == 0


def test_with_a_lost_key_it_says_so_and_changes_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        with admin_of(server) as admin:
            assert admin.http.post(PROVIDERS, json=LDAP).status_code == 201
        kept = read_keys(key_file(server))
        write_keys(key_file(server), [new_key()])
        assert check(server).returncode == 1
        assert "identity providers: 1, 1 of them cannot be opened" in check(server).stdout
        done = rotate(server)
        assert done.returncode == 1
        assert "Among the identity providers" in done.stderr
        write_keys(key_file(server), [*read_keys(key_file(server)), *kept])
        assert rotate(server).returncode == 0
        assert check(server).returncode == 0


def test_two_rotations_at_once_do_not_take_each_others_key(holding: Server) -> None:
    command = [sys.executable, "-m", "entrepot", "secrets", "rotate", "--data", str(holding.data)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 1])
    assert all("already" in text for process, text in zip(both, said, strict=True) if process.returncode)
    assert check(holding).returncode == 0


def test_no_key_is_made_where_no_registry_is(tmp_path: Path) -> None:
    done = entrepot("secrets", "check", "--data", str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert "no registry" in done.stderr
    assert not (tmp_path / "nothing").exists()
