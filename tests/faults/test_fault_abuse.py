"""Fair under attack: who asks without end is refused, and nobody else is."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.protocol.client import admin_of, make_public
from tests.serving import Server, serving

CONNECTIONS = 16
"""Of the abuser."""
OTHERS = 5
REQUESTS = 40
"""Of each of the others, well within a budget."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {
        "ENTREPOT_TRUSTED_PROXIES": "127.0.0.1/32",
        "ENTREPOT_RATE_LIMITS_PULLS": "200/m",
        "ENTREPOT_RATE_LIMITS_REST": "200/m",
    }
    with serving(tmp_path_factory.mktemp("abuse") / "data", workers=2, environment=environment) as server:
        make_public(server, "shared")
        with admin_of(server) as registry:
            registry.push_image("shared/app", "v1", b"a layer")
        yield server


@contextmanager
def hammered(ask: Callable[[int], int]) -> Iterator[Counter[int]]:
    """Sixteen threads that ask without a pause; what they were answered."""
    stop = threading.Event()
    answered: Counter[int] = Counter()
    lock = threading.Lock()

    def hammer(number: int) -> None:
        own: Counter[int] = Counter()
        while not stop.is_set():
            own[ask(number)] += 1
        with lock:
            answered.update(own)

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def test_one_abusive_address_does_not_slow_others_down_to_a_refusal(guarded: Server) -> None:
    clients = [
        httpx.Client(base_url=guarded.url, headers={"X-Forwarded-For": "203.0.113.66"}) for _ in range(CONNECTIONS)
    ]
    with hammered(lambda number: clients[number].get("/v2/shared/app/manifests/v1").status_code) as abuser:
        statuses: Counter[int] = Counter()
        for number in range(OTHERS):
            where = {"X-Forwarded-For": f"198.51.100.{number}"}
            with httpx.Client(base_url=guarded.url, headers=where, timeout=30) as http:
                statuses.update(http.get("/v2/shared/app/manifests/v1").status_code for _ in range(REQUESTS))
    for http in clients:
        http.close()
    assert statuses == {200: OTHERS * REQUESTS}
    assert set(abuser) == {200, 429}
    assert abuser[200] <= 2 * 100 + 60, "its budget, and what came back meanwhile"
    assert abuser[429] > abuser[200]


def test_one_abusive_account_with_many_addresses_does_not_slow_others_down_to_a_refusal(guarded: Server) -> None:
    names = ["abuser", *(f"user{number}" for number in range(OTHERS))]
    for name in names:
        with admin_of(guarded) as registry:
            body = {"username": name, "password": "Right-Horse-7", "email": f"{name}@example.com", "realname": name}
            assert registry.http.post("/api/v2.0/users", json=body).status_code == 201
    tokens = {}
    for number, name in enumerate(names):
        where = {"X-Forwarded-For": f"192.0.2.{number}"}
        answer = httpx.get(f"{guarded.url}/service/token", auth=(name, "Right-Horse-7"), headers=where)
        tokens[name] = {"Authorization": f"Bearer {answer.json()['token']}"}
    path = "/api/v2.0/users/current"
    clients = [
        httpx.Client(base_url=guarded.url, headers={**tokens["abuser"], "X-Forwarded-For": f"203.0.113.{number}"})
        for number in range(CONNECTIONS)
    ]
    with hammered(lambda number: clients[number].get(path).status_code) as abuser:
        statuses: Counter[int] = Counter()
        for number in range(OTHERS):
            headers = {**tokens[f"user{number}"], "X-Forwarded-For": f"198.51.100.{100 + number}"}
            with httpx.Client(base_url=guarded.url, headers=headers, timeout=30) as http:
                statuses.update(http.get(path).status_code for _ in range(REQUESTS))
    for http in clients:
        http.close()
    assert statuses == {200: OTHERS * REQUESTS}
    assert abuser[429] > 0
    assert abuser[200] <= 2 * 100 + 200
