"""What a request counts as, what it is charged, and what its answer says of that."""

from __future__ import annotations

import re
from typing import Any

import pytest

from entrepot.errors import Denied, TooManyRequests
from entrepot.web.door import (
    LOGINS,
    METRICS,
    PULLS,
    PUSHES,
    REST,
    Budgets,
    address_key,
    address_refusal,
    area_of,
    is_administration,
)
from entrepot.web.exchange import Exchange
from entrepot.web.rates import Rate, parse_rate


def exchange(method: str = "GET", path: str = "/v2/a/b/manifests/1", client: str = "192.0.2.1") -> Exchange:
    async def nothing(*_: Any) -> Any:
        raise AssertionError("nothing is read or sent")

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"",
        "scheme": "http",
        "client": (client, 4711),
        "headers": [],
    }
    return Exchange(scope, nothing, nothing, process="p", idle_timeout=1.0)


@pytest.mark.parametrize(
    ("method", "path", "area"),
    [
        ("GET", "/v2/", PULLS),
        ("GET", "/v2", PULLS),
        ("HEAD", "/v2/a/b/manifests/1", PULLS),
        ("PUT", "/v2/a/b/manifests/1", PUSHES),
        ("POST", "/v2/a/b/blobs/uploads/", PUSHES),
        ("DELETE", "/v2/a/b/manifests/1", PUSHES),
        ("BREW", "/v2/", PUSHES),
        ("GET", "/service/token", LOGINS),
        ("POST", "/c/login", LOGINS),
        ("GET", "/c/oidc/login", LOGINS),
        ("GET", "/c/log_out", REST),
        ("GET", "/api/v2.0/projects", REST),
        ("GET", "/account", REST),
        ("GET", "/v2x/", REST),
        ("GET", "/no/such/thing", REST),
        ("GET", "/metrics", METRICS),
    ],
)
def test_a_request_belongs_to_one_area(method: str, path: str, area: str) -> None:
    assert area_of(method, path) == area


@pytest.mark.parametrize("path", ["/api/v2.0/projects", "/c/login", "/c/oidc/x", "/account", "/", "/portal", "/v2x"])
def test_whatever_is_no_registry_api_is_administration(path: str) -> None:
    assert is_administration(path)
    assert address_refusal(path, "192.0.2.1").error_code == "FORBIDDEN"


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/a/b/tags/list", "/service/token", "/metrics"])
def test_the_registry_api_is_none(path: str) -> None:
    assert not is_administration(path)
    refusal = address_refusal(path, "192.0.2.1")
    assert isinstance(refusal, Denied)
    assert refusal.error_code == "DENIED"


def test_an_ipv6_network_of_64_bits_counts_as_one_address() -> None:
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff:2")
    assert address_key("2001:db8::1") != address_key("2001:db8:0:1::1")
    assert address_key("::ffff:192.0.2.1") == address_key("192.0.2.1")
    assert address_key("192.0.2.1") != address_key("192.0.2.2")
    assert address_key("::c000:201") != address_key("192.0.2.1")
    assert address_key("unknown") == address_key("") == -1


def headers(asked: Exchange) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in asked.door_headers}


def test_without_a_limit_nothing_is_charged_and_nothing_told() -> None:
    budgets = Budgets({PUSHES: Rate(1, 60)})
    for _ in range(5):
        asked = exchange()
        budgets.spend(asked)
        assert asked.budget is None
        assert asked.door_headers == []


def test_an_address_is_refused_when_its_budget_is_spent_and_told_when_to_come_back() -> None:
    budgets = Budgets({PULLS: Rate(2, 60)}, now=lambda: 5.0)
    first = exchange()
    budgets.spend(first)
    assert headers(first) == {
        "ratelimit-policy": '"pulls-address";q=2;w=60',
        "ratelimit": '"pulls-address";r=1;t=30',
        "ratelimit-limit": "2",
        "ratelimit-remaining": "1",
        "ratelimit-reset": "30",
    }
    budgets.spend(exchange())
    last = exchange()
    with pytest.raises(TooManyRequests, match="try again in 30 seconds") as refused:
        budgets.spend(last)
    assert dict(refused.value.headers)[b"retry-after"] == b"30"
    assert refused.value.error_code == "TOOMANYREQUESTS"
    assert headers(last)["ratelimit"] == '"pulls-address";r=0;t=60'
    assert last.operation == "limited.pulls"
    budgets.spend(exchange(client="192.0.2.2"))


def test_areas_have_budgets_of_their_own() -> None:
    budgets = Budgets({PULLS: Rate(1, 60), REST: Rate(1, 60)})
    budgets.spend(exchange())
    rest = exchange(path="/api/v2.0/projects")
    budgets.spend(rest)
    with pytest.raises(TooManyRequests) as refused:
        budgets.spend(exchange(path="/api/v2.0/users"))
    assert refused.value.error_code == "TOO_MANY_REQUEST"
    budgets.spend(exchange("PUT"))
    budgets.spend(exchange(path="/metrics"))


def test_a_principal_is_charged_wherever_it_comes_from() -> None:
    budgets = Budgets({PULLS: Rate(2, 60)}, now=lambda: 5.0)
    for number in (1, 2, 3):
        asked = exchange(client=f"192.0.2.{number}")
        budgets.spend(asked)
        assert asked.budget is not None
        if number == 3:
            with pytest.raises(TooManyRequests):
                asked.budget.charge(asked, ("user", 7))
        else:
            asked.budget.charge(asked, ("user", 7))
        policies = '"pulls-address";q=2;w=60, "pulls-principal";q=2;w=60'
        assert headers(asked)["ratelimit-policy"] == policies
        assert headers(asked)["ratelimit-remaining"] == str(max(0, 2 - number))
    other = exchange(client="192.0.2.3")
    budgets.spend(other)
    assert other.budget is not None
    other.budget.charge(other, ("robot", 7))


def test_what_the_door_says_besides_is_kept() -> None:
    budgets = Budgets({PULLS: Rate(2, 60)})
    asked = exchange()
    asked.door_headers = hsts = [(b"strict-transport-security", b"max-age=5")]
    budgets.spend(asked)
    assert headers(asked)["strict-transport-security"] == "max-age=5"
    assert len(hsts) == 1, "the edge's own list, for all exchanges"


def test_headers_are_structured_fields() -> None:
    budgets = Budgets({PULLS: Rate(100, 60)}, workers=3)
    asked = exchange()
    budgets.spend(asked)
    assert asked.budget is not None
    asked.budget.charge(asked, "x")
    item = r'"[a-z-]+"(;[a-z]+=[0-9]+)+'
    for name in ("ratelimit", "ratelimit-policy"):
        assert re.fullmatch(rf"{item}(, {item})*", headers(asked)[name])


@pytest.mark.parametrize(
    ("text", "rate"), [("100/s", Rate(100, 1)), (" 600/m ", Rate(600, 60)), ("5000/6h", Rate(5000, 21_600))]
)
def test_rates_are_requests_a_period(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0/s", "10", "10/", "/s", "10/0s", "-1/s", "1.5/s", "10/w", "9" * 5000 + "/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate(text)
