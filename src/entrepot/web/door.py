"""The door: what is refused before any work is done, by address and by rate.

Every request belongs to one area, by its path and method alone. The areas have a budget each; which addresses may come
is asked of a ``Porter``, since that can change at run time and settings stand above.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Protocol

from entrepot.errors import Denied, TooManyRequests
from entrepot.kit import clock
from entrepot.kit.networks import parse_address
from entrepot.web.buckets import Level, TokenBuckets
from entrepot.web.exchange import Exchange, Headers
from entrepot.web.rates import Rate

PULLS, PUSHES, REST, LOGINS = "pulls", "pushes", "rest", "logins"
METRICS = "metrics"
"""Never limited by rate."""

_REGISTRY = "/v2/"
_TOKENS = "/service/token"
_METRICS = "/metrics"
_LOGINS = ("/c/login", "/c/oidc/", "/account/login", "/account/onboard")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_API_VERSION = (b"docker-distribution-api-version", b"registry/2.0")


def area_of(method: str, path: str) -> str:
    """What a request counts as. Whatever is no registry API and no token endpoint is ``REST``, known or not."""
    if path.startswith(_REGISTRY) or path == _REGISTRY[:-1]:
        return PULLS if method in _READS else PUSHES
    if path == _TOKENS or path.startswith(_LOGINS):
        return LOGINS
    return METRICS if path == _METRICS else REST


def is_administration(path: str) -> bool:
    """Whether a path belongs to the REST APIs, sessions and pages: to all but the registry API, tokens and metrics."""
    return not path.startswith(_REGISTRY) and path not in {_REGISTRY[:-1], _TOKENS, _METRICS}


def address_refusal(path: str, address: str) -> Denied:
    """The refusal of an address, as the API that was asked words it."""
    message = f"Requests from {address or 'an unknown address'} are not accepted here: ask the registry's operator."
    if path.startswith(_REGISTRY):
        return Denied(message, headers=(_API_VERSION,))
    return Denied(message, code="FORBIDDEN" if is_administration(path) else None)


class Porter(Protocol):
    """Knows which addresses may come; the access floor is one."""

    async def let_in(self, exchange: Exchange) -> None:
        """Let a request in by its address.

        Raises:
            Denied: its address may not come there (``address_refusal``).
        """


class Budgets:
    """What addresses and principals may ask for in each area, in this process."""

    def __init__(
        self, rates: Mapping[str, Rate], *, workers: int = 1, now: Callable[[], float] = clock.monotonic
    ) -> None:
        """``rates`` by area: one that is not there has no limit. Each worker has its share."""
        self._areas = {
            area: _Area(area, TokenBuckets(rate, shares=workers, now=now), TokenBuckets(rate, shares=workers, now=now))
            for area, rate in rates.items()
        }

    def spend(self, exchange: Exchange) -> None:
        """Charge the client's address, and let the principal be charged once it is known (``Exchange.budget``).

        Raises:
            TooManyRequests: the address has asked too often.
        """
        area = self._areas.get(area_of(exchange.method, exchange.path))
        if area is not None:
            exchange.budget = budget = Budget(area, exchange.path, exchange.door_headers)
            budget.charge_address(exchange)


class _Area:
    """The buckets of one area, and how its headers name them."""

    def __init__(self, name: str, addresses: TokenBuckets, principals: TokenBuckets) -> None:
        self.name = name
        self.addresses = addresses
        self.principals = principals
        self.limit = b"%d" % addresses.requests
        amounts = f"q={addresses.requests};w={addresses.seconds}"
        by_address, by_principal = f'"{name}-address";{amounts}', f'"{name}-principal";{amounts}'
        self.policies = (by_address.encode(), f"{by_address}, {by_principal}".encode())


class Budget:
    """What one exchange is charged, and what its answer says of that.

    The headers are draft-ietf-httpapi-ratelimit-headers-10's, and the three older ones that clients know.
    """

    __slots__ = ("_area", "_before", "_by_address", "_path")

    def __init__(self, area: _Area, path: str, before: Headers) -> None:
        self._area = area
        self._path = path
        self._before = before
        self._by_address = Level(0, 0)

    def charge_address(self, exchange: Exchange) -> None:
        """Charge the client's address.

        Raises:
            TooManyRequests: it has asked too often.
        """
        self._by_address = level = self._area.addresses.take(address_key(exchange.client_address))
        self._tell(exchange, level, None)

    def charge(self, exchange: Exchange, principal: Hashable) -> None:
        """Charge a principal, whoever it is that comes from this address.

        Raises:
            TooManyRequests: it has asked too often.
        """
        self._tell(exchange, self._by_address, self._area.principals.take(principal))

    def _tell(self, exchange: Exchange, by_address: Level, by_principal: Level | None) -> None:
        area = self._area
        tighter = by_address
        told = f'"{area.name}-address";r={by_address.remaining};t={by_address.full_in}'
        if by_principal is not None:
            told += f', "{area.name}-principal";r={by_principal.remaining};t={by_principal.full_in}'
            if by_principal.remaining < by_address.remaining:
                tighter = by_principal
        exchange.door_headers = [
            *self._before,
            (b"ratelimit-policy", area.policies[by_principal is not None]),
            (b"ratelimit", told.encode()),
            (b"ratelimit-limit", area.limit),
            (b"ratelimit-remaining", b"%d" % tighter.remaining),
            (b"ratelimit-reset", b"%d" % tighter.full_in),
        ]
        wait = by_principal.wait if by_principal is not None else by_address.wait
        if wait:
            raise self._refusal(exchange, wait)

    def _refusal(self, exchange: Exchange, wait: int) -> TooManyRequests:
        if exchange.operation == "unknown":
            exchange.operation = f"limited.{self._area.name}"
        headers = [(b"retry-after", b"%d" % wait)]
        if self._path.startswith(_REGISTRY):
            headers.append(_API_VERSION)
        return TooManyRequests(
            f"Too many requests ({self._area.name}): try again in {wait} second{'s' if wait != 1 else ''}.",
            code="TOO_MANY_REQUEST" if is_administration(self._path) else None,
            headers=tuple(headers),
        )


def address_key(address: str) -> int:
    """What counts as one address: of IPv6 the first 64 bits, since any customer has all the rest."""
    parsed = parse_address(address)
    if parsed is None:
        return -1
    return int(parsed) if parsed.version == 4 else 1 << 64 | int(parsed) >> 64  # noqa: PLR2004 - IPv4
