"""Prometheus metrics of the edge, right with any number of worker processes.

Requests are counted in plain dictionaries and handed to prometheus-client (whose values live in files shared by the
workers) a few times a second: its own increment costs more than the rest of the edge.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from entrepot.web.exchange import Exchange

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_HAND_OVER_SECONDS = 0.2

_requests = Counter("entrepot_http_requests", "Requests answered.", ("operation", "status"))
_received = Counter("entrepot_http_received_bytes", "Bytes of request bodies.", ("operation",))
_sent = Counter("entrepot_http_sent_bytes", "Bytes of response bodies.", ("operation",))
_latency = Histogram("entrepot_http_request_seconds", "Time to answer.", ("operation",), buckets=_BUCKETS)
_in_flight = Gauge("entrepot_http_requests_in_flight", "Requests being answered.", multiprocess_mode="livesum")


class GaugeReading(msgspec.Struct, frozen=True):
    """A value that is asked for when metrics are scraped."""

    name: str
    documentation: str
    value: float


class _Readings(Collector):
    """Makes readings part of one exposition."""

    def __init__(self, readings: Sequence[GaugeReading]) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        """See prometheus-client."""
        for reading in self._readings:
            yield GaugeMetricFamily(reading.name, reading.documentation, value=reading.value)


class _Observed:
    """What has been seen of one operation since the last hand-over."""

    __slots__ = ("buckets", "received", "seconds", "sent", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(_BUCKETS) + 1)
        self.received = 0
        self.sent = 0
        self.seconds = 0.0


class RequestMetrics:
    """Counts exchanges."""

    def __init__(self) -> None:
        self._observed: dict[str, _Observed] = {}
        self._in_flight = 0
        self._scheduled = False

    def observe(self, exchange: Exchange, duration: float, in_flight: int) -> None:
        """An exchange ended after ``duration`` seconds, while ``in_flight`` others go on."""
        self._in_flight = in_flight
        observed = self._observed.get(exchange.operation)
        if observed is None:
            observed = self._observed[exchange.operation] = _Observed()
        statuses = observed.statuses
        statuses[exchange.status] = statuses.get(exchange.status, 0) + 1
        observed.buckets[bisect_left(_BUCKETS, duration)] += 1
        observed.seconds += duration
        observed.received += exchange.bytes_in
        observed.sent += exchange.bytes_out
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(_HAND_OVER_SECONDS, self.hand_over)

    def hand_over(self) -> None:
        """Give what was counted to prometheus-client."""
        self._scheduled = False
        observed, self._observed = self._observed, {}
        for operation, seen in observed.items():
            for status, count in seen.statuses.items():
                _requests.labels(operation, str(status)).inc(count)
            _received.labels(operation).inc(seen.received)
            _sent.labels(operation).inc(seen.sent)
            _add(_latency.labels(operation), seen)
        _in_flight.set(self._in_flight)

    def expose(self, readings: Sequence[GaugeReading]) -> tuple[bytes, bytes]:
        """The exposition of all workers with ``readings`` of the moment, and its Content-Type."""
        self.hand_over()
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        registry.register(_Readings(readings))
        return generate_latest(registry), CONTENT_TYPE_LATEST.encode()


def _add(histogram: Histogram, seen: _Observed) -> None:
    """Add whole buckets at once, which the public ``observe`` cannot."""
    for bucket, count in zip(histogram._buckets, seen.buckets, strict=True):  # noqa: SLF001
        if count:
            bucket.inc(count)
    histogram._sum.inc(seen.seconds)  # noqa: SLF001
