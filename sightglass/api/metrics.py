"""Prometheus metrics of the API, in a registry apart from Streamlit's."""

import sys
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from sightglass.api.work import WorkQueue
from sightglass.models import isolated
from sightglass.models.families.exported import workers
from sightglass.models.spec import ModelSpec

KNOWN_METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})
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
_WAITING = Gauge("sightglass_queue_waiting", "Requests waiting for a worker.", registry=REGISTRY)
_WORKERS = Gauge("sightglass_workers", "Workers.", registry=REGISTRY)
_RUNNING = Gauge("sightglass_workers_running", "Busy workers.", registry=REGISTRY)
_STUCK = Gauge("sightglass_workers_stuck", "Workers whose request is over, and that still work.", registry=REGISTRY)
_PROCESSES = Gauge("sightglass_processes", "Processes of received files, by state.", ("state",), registry=REGISTRY)
_MEMORY = Gauge("sightglass_memory_bytes", "Bytes that a part holds.", ("part",), registry=REGISTRY)
# Memory, processor time and open files of the process; nothing where there is no /proc.
ProcessCollector(registry=REGISTRY)


def _cache_bytes(module: str, cache: str) -> int:
    """Return the bytes of a cache; 0 until its module, and with it torch, is imported."""
    return getattr(sys.modules[module], cache).nbytes if module in sys.modules else 0


_PROCESSES.labels("busy").set_function(lambda: workers.POOL.busy)
for _state in isolated.COUNTS:
    _PROCESSES.labels(_state).set_function(partial(isolated.COUNTS.__getitem__, _state))
_MEMORY.labels("models").set_function(lambda: _cache_bytes("sightglass.explain.evidence.loaded_model", "MODEL_CACHE"))
_MEMORY.labels("evidence").set_function(lambda: _cache_bytes("sightglass.explain.explainer", "EVIDENCE"))


def watch(queue: WorkQueue) -> None:
    """Show the state of this queue in the metrics."""
    _WAITING.set_function(lambda: len(queue) - queue.running)
    _WORKERS.set(queue.workers)
    _RUNNING.set_function(lambda: queue.running)
    _STUCK.set_function(lambda: queue.stuck)


def observe(route: str, method: str, status: int, seconds: float) -> None:
    """Count an answered request. `route` is the route's pattern, not the path."""
    _REQUESTS.labels(route, method if method in KNOWN_METHODS else "other", str(status)).inc()
    _SECONDS.labels(route).observe(seconds)


def count_explained(model: ModelSpec, method: str) -> None:
    """Count an explanation; both names come from the catalogue."""
    _EXPLANATIONS.labels(model.id, method).inc()
