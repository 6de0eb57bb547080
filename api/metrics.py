"""What the API did, counted for Prometheus: a registry of its own, so that nothing of Streamlit's gets in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from api.work_queue import Gate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
KNOWN = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
REGISTRY = CollectorRegistry()
_REQUESTS = Counter(
    "sightglass_requests", "Requests, by route and status.", ("route", "method", "status"), registry=REGISTRY
)
_SECONDS = Histogram(
    "sightglass_request_seconds",
    "Seconds from a request's first byte to the last of its answer.",
    ("route",),
    buckets=BUCKETS,
    registry=REGISTRY,
)
_EXPLANATIONS = Counter(
    "sightglass_explanations", "Explanations made, by model and method.", ("model", "method"), registry=REGISTRY
)


class _Now(Collector):
    """What is so at the moment: read when it is asked for."""

    gate: Gate | None = None

    def collect(self) -> Iterator[Metric]:
        if self.gate is not None:
            now = self.gate.stats()
            yield GaugeMetricFamily("sightglass_queue_waiting", "Requests waiting for a worker.", now.waiting)
            yield GaugeMetricFamily("sightglass_queue_room", "Requests that may wait.", now.room)
            yield GaugeMetricFamily("sightglass_workers", "Workers.", now.workers)
            yield GaugeMetricFamily("sightglass_workers_running", "Workers at work.", now.running)
            yield GaugeMetricFamily(
                "sightglass_workers_late", "Workers at what nobody waits for any more, not ended yet.", now.late
            )
            yield GaugeMetricFamily("sightglass_work_seconds", "What one request took lately: the median.", now.seconds)
            yield CounterMetricFamily("sightglass_refused", "Requests refused with 429.", now.refused)
            yield CounterMetricFamily("sightglass_stopped", "Requests given up at the time limit.", now.stopped)
            yield CounterMetricFamily("sightglass_hung_up", "Requests whose client hung up.", now.left)
        # Nothing is resident before this was imported, and with it torch.
        residency = sys.modules.get("explain.evidence.resident")
        residents = residency.RESIDENCY.residents() if residency else []
        held = GaugeMetricFamily(
            "sightglass_resident_bytes", "Bytes of each model that is loaded.", labels=("model", "device")
        )
        for resident in residents:
            held.add_metric((resident.adapter.spec.id, str(resident.device)), resident.nbytes)
        yield GaugeMetricFamily("sightglass_residents", "Models that are loaded.", len(residents))
        yield held


_NOW = _Now()
REGISTRY.register(_NOW)
# Memory, processor time and open files of the process; nothing where there is no /proc.
ProcessCollector(registry=REGISTRY)


def watch(gate: Gate) -> None:
    """Whose queue is told of."""
    _NOW.gate = gate


def observe(route: str, method: str, status: int, seconds: float) -> None:
    """One request that was answered. `route` is the pattern, not the path, so that nobody can make up labels."""
    _REQUESTS.labels(route, method if method in KNOWN else "other", str(status)).inc()
    _SECONDS.labels(route).observe(seconds)


def explained(model: str, method: str) -> None:
    """One explanation that was made; both are names of the catalogue, not what a client wrote."""
    _EXPLANATIONS.labels(model, method).inc()


def text() -> bytes:
    """Everything in Prometheus' text format, of `CONTENT_TYPE`."""
    return generate_latest(REGISTRY)
