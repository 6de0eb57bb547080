"""Prometheus metrics of the API, in their own registry, without Streamlit's."""

from __future__ import annotations

import sys
from collections import Counter as Counted
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from sightglass.common import settings
from sightglass.models.catalog import everybodys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from sightglass.api.work import WorkQueue
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
        if (queue := self.queue) is not None:
            for name, text, value in (
                ("queue_waiting", "Requests waiting for a worker.", len(queue) - queue.running),
                ("queue_room", "Requests that may wait.", queue.waiting),
                ("workers", "Workers.", queue.workers),
                ("workers_running", "Busy workers.", queue.running),
                ("workers_late", "Workers busy with jobs that nobody awaits any more.", queue.abandoned),
                ("work_seconds", "Median duration of recent requests.", queue.seconds),
            ):
                yield GaugeMetricFamily(f"sightglass_{name}", text, value)
            for name, text, count in (
                ("refused", "Requests refused with 429.", "refused"),
                ("stopped", "Requests stopped at the time limit.", "timed_out"),
                ("hung_up", "Requests whose client disconnected.", "disconnected"),
            ):
                yield CounterMetricFamily(f"sightglass_{name}", text, queue.counts[count])
        # No model is loaded before these modules, and with them torch, are imported.
        resident = sys.modules.get("sightglass.explain.evidence.resident")
        explainer = sys.modules.get("sightglass.explain.explainer")
        residents = resident.RESIDENCY.residents() if resident else []
        sizes: Counted[tuple[str, ...]] = Counted()
        for loaded in residents:
            sizes[_public(loaded.adapter.spec), str(loaded.device)] += loaded.nbytes
        yield GaugeMetricFamily("sightglass_residents", "Number of loaded models.", len(residents))
        yield _labelled("resident_bytes", "Bytes of each loaded model.", ("model", "device"), sizes)
        nbytes = {
            ("models",): resident.RESIDENCY.nbytes if resident else 0,
            ("evidence",): explainer.EVIDENCE.nbytes if explainer else 0,
        }
        limits = {("models",): settings.models_bytes(), ("evidence",): settings.evidence_bytes()}
        yield _labelled("memory_bytes", "Bytes that a part holds.", ("part",), nbytes)
        yield _labelled("memory_limit_bytes", "Bytes that it may hold.", ("part",), limits)


def _labelled(name: str, text: str, labels: tuple[str, ...], values: dict[Any, int]) -> Metric:
    family = GaugeMetricFamily(f"sightglass_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


_STATE = _CurrentState()
REGISTRY.register(_STATE)
# Memory, processor time and open files of the process; nothing where there is no /proc.
ProcessCollector(registry=REGISTRY)


def watch(queue: WorkQueue) -> None:
    _STATE.queue = queue


def observe(route: str, method: str, status: int, seconds: float) -> None:
    """Count an answered request. `route` is the route's pattern, not the path."""
    _REQUESTS.labels(route, method if method in KNOWN else "other", str(status)).inc()
    _SECONDS.labels(route).observe(seconds)


def count_explained(model: ModelSpec, method: str) -> None:
    """Count an explanation; both names come from the catalogue."""
    _EXPLANATIONS.labels(_public(model), method).inc()


def _public(model: ModelSpec) -> str:
    """Return a model's public name; OWN for a visitor's model."""
    return model.id if everybodys(model) else OWN


def text() -> bytes:
    """Return all metrics in Prometheus' text format, `CONTENT_TYPE`."""
    return generate_latest(REGISTRY)
