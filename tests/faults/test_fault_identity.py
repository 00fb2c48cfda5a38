"""A directory that hangs, and a worker that dies in the middle of somebody's first login."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.processes import workers_of
from tests.ldap_server import Slapd, password_of, person, require_slapd
from tests.protocol.client import Registry, admin_of, bearer, client, digest_of, make_public
from tests.serving import Server, serving

OTHERS = 50
NEWCOMERS = 40
KILLS = 4
SLOWEST = 5.0
"""Seconds that one request may take on a busy machine; the directory is waited for twice as long."""
TIMEOUT = 10.0
STORM = 24
"""Logins that wait for the directory at once."""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    require_slapd()
    started = Slapd(tmp_path_factory.mktemp("slapd") / "slapd")
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def server(slapd: Slapd, tmp_path: Path) -> Iterator[Server]:
    """A registry that asks the directory about its people again after a second."""
    options = slapd.options(timeout=TIMEOUT, cache_seconds=1, subject_attribute="entryUUID")
    lines = [f"{key} = {json.dumps(value)}" for key, value in options.items()]
    config = tmp_path / "entrepot.toml"
    config.write_text("\n".join(["[[identity.ldap]]", *lines]) + "\n")
    with serving(tmp_path / "data", workers=2, config=config) as started:
        yield started


@contextmanager
def stormed(server: Server) -> Iterator[list[int]]:
    """People of the directory who log in without a pause; what they were answered."""
    stop = threading.Event()
    answered: list[int] = []

    def log_in(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            with suppress(httpx.HTTPError), client(server, (f"stranger{number}-{count}", "a-guess")) as registry:
                answered.append(registry.get("/v2/").status_code)

    threads = [threading.Thread(target=log_in, args=(number,), daemon=True) for number in range(STORM)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def token_of(server: Server, name: str, password: str) -> dict[str, str]:
    with client(server, (name, password)) as registry:
        return bearer(registry.token("repository:shared/app:pull,push"))


def work(server: Server, token: dict[str, str], number: int) -> list[tuple[int, float]]:
    """Pull and push; the status and the seconds of each request."""
    with httpx.Client(base_url=server.url, headers=token, timeout=60) as http:
        registry = Registry(server, http)
        done = []
        for turn in range(3):
            content = f"{number}/{turn}".encode()
            began = time.monotonic()
            pulled = registry.get("/v2/shared/app/manifests/v1").status_code
            done.append((pulled, time.monotonic() - began))
            began = time.monotonic()
            path = f"/v2/shared/app/blobs/uploads/?digest={digest_of(content)}"
            pushed = http.post(path, content=content, headers={"content-type": "application/octet-stream"})
            done.append((pushed.status_code, time.monotonic() - began))
        return done


def test_nobody_waits_for_a_directory_that_takes_connections_and_never_answers(server: Server, slapd: Slapd) -> None:
    make_public(server, "shared")
    names = [f"local{number}" for number in range(OTHERS)]
    with admin_of(server) as registry:
        registry.push_image("shared/app", "v1", b"a layer")
        for name in names:
            made = registry.http.post("/api/v2.0/users", json={"username": name, "password": "Right-Horse-7"})
            assert made.status_code == 201, made.text
    for name in ("alice", "bob", "carol"):
        with client(server, (name, password_of(name))) as registry:
            assert registry.get("/v2/").status_code == 200
    people = [*names, "alice", "bob", "carol"]
    with admin_of(server) as registry:
        for name in people:
            body: dict[str, Any] = {"role_id": 2, "member_user": {"username": name}}
            assert registry.http.post("/api/v2.0/projects/shared/members", json=body).status_code == 201
    tokens = [token_of(server, name, "Right-Horse-7") for name in names]
    tokens += [token_of(server, name, password_of(name)) for name in ("alice", "bob", "carol")]
    time.sleep(1.1)  # what the directory said of its people is too old now
    slapd.pause()
    try:
        with stormed(server) as answered, ThreadPoolExecutor(8) as pool:
            time.sleep(0.5)
            done = list(pool.map(lambda number: work(server, tokens[number], number), range(len(tokens))))
            with client(server, ("bob", "not-remembered")) as registry:
                assert registry.get("/v2/").status_code == 503
    finally:
        slapd.resume()
    assert {status for each in done for status, _ in each} == {200, 201}
    assert max(seconds for each in done for _, seconds in each) < SLOWEST
    assert set(answered) <= {503, 429, 401}
    assert 503 in answered


def _halves(database: Path) -> list[tuple[str, str]]:
    """Accounts without a tie, and ties without an account."""
    with closing(sqlite3.connect(database, timeout=30)) as opened:
        lost = opened.execute(
            "SELECT name, 'no tie' FROM users WHERE password_hash = ''"
            " AND id NOT IN (SELECT user_id FROM user_identities)"
        ).fetchall()
        lost += opened.execute(
            "SELECT subject, 'no account' FROM user_identities WHERE user_id NOT IN (SELECT id FROM users)"
        ).fetchall()
        return [(str(row[0]), str(row[1])) for row in lost]


def test_a_worker_that_dies_in_the_middle_of_first_logins_leaves_no_half_account(server: Server, slapd: Slapd) -> None:
    names = [f"newcomer{number}" for number in range(NEWCOMERS)]
    for name in names:
        slapd.add(person(name))

    def log_in(name: str) -> int:
        with suppress(httpx.HTTPError), client(server, (name, password_of(name))) as registry:
            return registry.get("/v2/").status_code
        return 0

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(log_in, name) for name in names]
        for kill in range(KILLS):
            while sum(one.done() for one in running) < kill * NEWCOMERS // KILLS:
                time.sleep(0.005)
            for worker in workers_of(server)[:1]:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
        answered = [one.result() for one in running]
    assert 200 in answered
    assert _halves(server.data / "entrepot.db") == []
    deadline = time.monotonic() + 60
    waiting = set(names)
    while waiting and time.monotonic() < deadline:
        waiting -= {name for name in sorted(waiting) if log_in(name) == 200}
    assert not waiting
    assert _halves(server.data / "entrepot.db") == []
    with closing(sqlite3.connect(server.data / "entrepot.db", timeout=30)) as opened:
        made = [row[0] for row in opened.execute("SELECT name FROM users WHERE source = 'corp'")]
    assert sorted(made) == sorted(names), "each has one account"
