"""Prometheus metrics of the API, in their own registry, without Streamlit's."""

from __future__ import annotations

import sys
from collections import Counter as Counted
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from sightglass.common import settings
from sightglass.models.catalog import everybodys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from sightglass.api.work_queue import WorkQueue
    from sightglass.models.spec import ModelSpec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
KNOWN = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})
OWN = "own model"
"""Stands in for the id of a model that is not everybody's."""
REGISTRY = CollectorRegistry()
_REQUESTS = Counter(
    "sightglass_requests", "Requests, by route and status.", ("route", "method", "status"), registry=REGISTRY
)
_SECONDS = Histogram(
    "sightglass_request_seconds",
    "Seconds from a request's first byte to the last of its answer.",
    ("route",),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    registry=REGISTRY,
)
_EXPLANATIONS = Counter(
    "sightglass_explanations", "Explanations made, by model and method.", ("model", "method"), registry=REGISTRY
)


class _CurrentState(Collector):
    """Gauges read when the metrics are requested."""

    queue: WorkQueue | None = None

    def collect(self) -> Iterator[Metric]:
        if self.queue is not None:
            now = self.queue.stats()
            yield GaugeMetricFamily("sightglass_queue_waiting", "Requests waiting for a worker.", now.waiting)
            yield GaugeMetricFamily("sightglass_queue_room", "Requests that may wait.", now.capacity)
            yield GaugeMetricFamily("sightglass_workers", "Workers.", now.workers)
            yield GaugeMetricFamily("sightglass_workers_running", "Busy workers.", now.running)
            yield GaugeMetricFamily(
                "sightglass_workers_late", "Workers busy with jobs that nobody awaits any more.", now.abandoned
            )
            yield GaugeMetricFamily("sightglass_work_seconds", "Median duration of recent requests.", now.seconds)
            yield CounterMetricFamily("sightglass_refused", "Requests refused with 429.", now.refused)
            yield CounterMetricFamily("sightglass_stopped", "Requests stopped at the time limit.", now.timed_out)
            yield CounterMetricFamily("sightglass_hung_up", "Requests whose client disconnected.", now.disconnected)
        # No model is loaded before this module, and with it torch, is imported.
        residency = sys.modules.get("sightglass.explain.evidence.resident")
        residents = residency.RESIDENCY.residents() if residency else []
        loaded = GaugeMetricFamily(
            "sightglass_resident_bytes", "Bytes of each loaded model.", labels=("model", "device")
        )
        sizes: Counted[tuple[str, str]] = Counted()
        for resident in residents:
            sizes[_public(resident.adapter.spec), str(resident.device)] += resident.nbytes
        for labels, nbytes in sizes.items():
            loaded.add_metric(labels, nbytes)
        yield GaugeMetricFamily("sightglass_residents", "Number of loaded models.", len(residents))
        yield loaded
        yield from _memory()


def _memory() -> Iterator[Metric]:
    """Yield what models and evidence take, and may take; the process's own memory is among the usual metrics."""
    resident = sys.modules.get("sightglass.explain.evidence.resident")
    explainer = sys.modules.get("sightglass.explain.explainer")
    parts = (
        ("models", resident.RESIDENCY.nbytes if resident else 0, settings.models_bytes()),
        ("evidence", explainer.EVIDENCE.nbytes if explainer else 0, settings.evidence_bytes()),
    )
    held, limits = (
        GaugeMetricFamily(f"sightglass_memory_{name}", text, labels=("part",))
        for name, text in (("bytes", "Bytes that a part holds."), ("limit_bytes", "Bytes that it may hold."))
    )
    for name, nbytes, limit in parts:
        held.add_metric((name,), nbytes)
        limits.add_metric((name,), limit)
    yield held
    yield limits


_STATE = _CurrentState()
REGISTRY.register(_STATE)
# Memory, processor time and open files of the process; nothing where there is no /proc.
ProcessCollector(registry=REGISTRY)


def watch(queue: WorkQueue) -> None:
    _STATE.queue = queue


def observe(route: str, method: str, status: int, seconds: float) -> None:
    """Count an answered request. `route` is the pattern, not the path, so that clients cannot make up labels."""
    _REQUESTS.labels(route, method if method in KNOWN else "other", str(status)).inc()
    _SECONDS.labels(route).observe(seconds)


def count_explained(model: ModelSpec, method: str) -> None:
    """Count an explanation; both names come from the catalogue, not from the client."""
    _EXPLANATIONS.labels(_public(model), method).inc()


def _public(model: ModelSpec) -> str:
    """Return what whoever reads the metrics may know of a model: nothing of one that is somebody's own."""
    return model.id if everybodys(model) else OWN


def text() -> bytes:
    """Return all metrics in Prometheus' text format, `CONTENT_TYPE`."""
    return generate_latest(REGISTRY)
