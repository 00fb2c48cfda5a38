"""Rate limits on a started server: what an answer says, who is refused, and what stays free."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.protocol.client import Registry, client, eventually, metric, refused
from tests.serving import Server, serving

LIMITS = {"PULLS": "20/h", "PUSHES": "16/h", "REST": "12/h", "LOGINS": "8/h"}
"""A period so long that nothing comes back while a test runs."""

_numbers = iter(range(1, 250))


def address() -> str:
    """An address that no other test has."""
    return f"203.0.113.{next(_numbers)}"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {"ENTREPOT_TRUSTED_PROXIES": "127.0.0.1/32"}
    environment |= {f"ENTREPOT_RATE_LIMITS_{area}": rate for area, rate in LIMITS.items()}
    with serving(tmp_path_factory.mktemp("limited") / "data", environment=environment) as started:
        yield started


def at(server: Server, where: str, *, admin: bool = False) -> httpx.Client:
    auth = (server.user, server.password) if admin else None
    return httpx.Client(base_url=server.url, auth=auth, headers={"X-Forwarded-For": where}, timeout=30)


def fields(answer: httpx.Response) -> dict[str, dict[str, int]]:
    """The items of ``RateLimit`` with their parameters."""
    items = re.findall(r'"([a-z-]+)"((?:;[a-z]+=\d+)+)', answer.headers["RateLimit"])
    return {name: {k: int(v) for k, v in re.findall(r";([a-z]+)=(\d+)", rest)} for name, rest in items}


@pytest.mark.parametrize(
    ("area", "method", "path", "budget", "code"),
    [
        ("pulls", "GET", "/v2/", 20, "TOOMANYREQUESTS"),
        ("pushes", "POST", "/v2/a/b/blobs/uploads/", 16, "TOOMANYREQUESTS"),
        ("rest", "GET", "/api/v2.0/systeminfo", 12, "TOO_MANY_REQUEST"),
        ("rest", "GET", "/no/such/thing", 12, "TOO_MANY_REQUEST"),
        ("logins", "GET", "/service/token", 8, "TOOMANYREQUESTS"),
        ("logins", "POST", "/c/login", 8, "TOO_MANY_REQUEST"),
    ],
)
def test_an_address_has_a_budget_and_sees_it_shrink(
    limited: Server, area: str, method: str, path: str, budget: int, code: str
) -> None:
    where = address()
    with at(limited, where) as http:
        for left in range(budget - 1, -1, -1):
            answer = http.request(method, path)
            assert answer.status_code not in {429, 500}
            assert fields(answer) == {
                f"{area}-address": {"r": left, "t": pytest.approx(3600 / budget * (budget - left), abs=5)}
            }
            assert answer.headers["RateLimit-Policy"] == f'"{area}-address";q={budget};w=3600'
            assert answer.headers["RateLimit-Limit"] == str(budget)
            assert answer.headers["RateLimit-Remaining"] == str(left)
        refusal = http.request(method, path)
        told = refused(refusal, 429, code)
        assert "try again in" in told[0]["message"]
        wait = int(refusal.headers["Retry-After"])
        assert 3600 / budget - 30 < wait <= 3600 / budget
        assert refusal.headers["RateLimit-Remaining"] == "0"
    with at(limited, address()) as http:
        assert http.request(method, path).status_code != 429, "another address has a budget of its own"


def test_areas_do_not_use_up_one_another(limited: Server) -> None:
    with at(limited, address()) as http:
        for _ in range(30):
            http.get("/api/v2.0/systeminfo")
        assert http.get("/api/v2.0/systeminfo").status_code == 429
        assert http.get("/v2/").status_code == 401
        assert http.get("/service/token").status_code == 200
        assert http.post("/v2/a/b/blobs/uploads/").status_code == 401


def test_probes_and_metrics_are_never_limited(limited: Server) -> None:
    with at(limited, address()) as http:
        for path in ("/livez", "/readyz", "/metrics"):
            for _ in range(30):
                answer = http.get(path)
                assert answer.status_code == 200
                assert "RateLimit" not in answer.headers


def test_an_ipv6_network_has_one_budget(limited: Server) -> None:
    for number in range(25):
        with at(limited, f"2001:db8:1:2::{number:x}") as http:
            assert http.get("/v2/").status_code == (401 if number < 20 else 429)
    with at(limited, "2001:db8:1:3::1") as http:
        assert http.get("/v2/").status_code == 401


def user(server: Server, name: str) -> tuple[str, str]:
    with at(server, address(), admin=True) as http:
        body = {"username": name, "password": "Right-Horse-7", "email": f"{name}@example.com", "realname": name}
        assert http.post("/api/v2.0/users", json=body).status_code == 201
    return name, "Right-Horse-7"


def test_an_account_has_a_budget_wherever_it_comes_from(limited: Server) -> None:
    jane = user(limited, "jane")
    joe = user(limited, "joe")
    statuses = []
    for _ in range(22):
        with at(limited, address()) as http:
            answer = http.get("/v2/", auth=jane)
            statuses.append(answer.status_code)
            assert set(fields(answer)) == {"pulls-address", "pulls-principal"}
            assert fields(answer)["pulls-address"]["r"] == 19
    assert statuses == [200] * 20 + [429] * 2
    where = address()
    with at(limited, where) as http:
        assert http.get("/v2/", auth=joe).status_code == 200, "another account at any address"
        refused(http.get("/v2/", auth=jane), 429, "TOOMANYREQUESTS")
        assert http.get("/v2/").status_code == 401, "nobody's account is not charged"
        token = http.get("/service/token", auth=jane)
        assert token.status_code == 200, "another area"
        bearer = {"Authorization": f"Bearer {token.json()['token']}"}
        refused(http.get("/v2/", headers=bearer), 429, "TOOMANYREQUESTS")
        assert http.get("/api/v2.0/users/current", auth=jane).status_code == 200


def test_an_account_is_charged_on_the_rest_api_the_token_endpoint_and_for_sessions(limited: Server) -> None:
    ann = user(limited, "ann")
    form = {"principal": ann[0], "password": ann[1]}

    def ask(method: str, path: str, **more: object) -> httpx.Response:
        with at(limited, address()) as http:
            return http.request(method, path, **more)  # type: ignore[arg-type]

    rest = [ask("GET", "/api/v2.0/users/current", auth=ann).status_code for _ in range(13)]
    assert rest == [200] * 12 + [429]
    logins = [ask("GET", "/service/token", auth=ann).status_code for _ in range(7)]
    assert logins == [200] * 7
    assert ask("POST", "/c/login", data=form).status_code == 200
    refused(ask("GET", "/service/token", auth=ann), 429, "TOOMANYREQUESTS")
    assert ask("POST", "/c/login", data=form).status_code == 429


def test_refusals_are_counted_and_not_recorded(limited: Server) -> None:
    with at(limited, address()) as http:
        for _ in range(25):
            http.get("/v2/")

    def counted() -> bool:
        with client(limited) as registry:
            text = registry.get("/metrics").text
        return metric(text, "entrepot_http_requests_total", operation="limited.pulls", status="429") >= 5

    assert eventually(counted)


def test_each_worker_has_its_share(tmp_path_factory: pytest.TempPathFactory) -> None:
    environment = {"ENTREPOT_RATE_LIMITS_PULLS": "40/h", "ENTREPOT_RATE_LIMITS_PUSHES": "1/h"}
    with serving(tmp_path_factory.mktemp("shares") / "data", workers=2, environment=environment) as server:
        statuses = []
        for _ in range(100):
            with client(server) as registry:  # a new connection each, to whichever worker
                answer = registry.get("/v2/")
                statuses.append(answer.status_code)
                assert answer.headers["RateLimit-Policy"] == '"pulls-address";q=20;w=3600'
        assert 20 <= statuses.count(401) <= 40
        with client(server) as registry:
            policy = registry.http.post("/v2/a/b/blobs/uploads/").headers["RateLimit-Policy"]
            assert policy == '"pushes-address";q=1;w=3600', "at least one request"


def test_without_limits_no_answer_speaks_of_them(admin: Registry) -> None:
    for path in ("/v2/", "/api/v2.0/systeminfo", "/service/token"):
        assert not [name for name in admin.get(path).headers if name.lower().startswith("ratelimit")]
