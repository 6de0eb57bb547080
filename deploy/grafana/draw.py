"""Write the Grafana dashboard beside this file: `python deploy/grafana/draw.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("sightglass.json")
SOURCE = {"type": "prometheus", "uid": "prometheus"}
PANELS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("Requests a second, by answer", "reqps", {"{{status}}": "sum by (status) (rate(sightglass_requests_total[5m]))"}),
    (
        "Seconds an answer takes",
        "s",
        {
            "half": "histogram_quantile(0.5, sum by (le) (rate(sightglass_request_seconds_bucket[5m])))",
            "19 of 20": "histogram_quantile(0.95, sum by (le) (rate(sightglass_request_seconds_bucket[5m])))",
        },
    ),
    (
        "Queue",
        "short",
        {
            "waiting": "sightglass_queue_waiting",
            "busy workers": "sightglass_workers_running",
            "workers": "sightglass_workers",
        },
    ),
    (
        "Not answered, a minute",
        "short",
        {
            "refused": "60 * sum(rate(sightglass_requests_total{status='429'}[5m]))",
            "stopped at the time limit": "60 * sum(rate(sightglass_requests_total{status='504'}[5m]))",
            "client gone": "60 * sum(rate(sightglass_requests_total{status='499'}[5m]))",
        },
    ),
    (
        "Explanations a minute",
        "short",
        {"{{model}} {{method}}": "60 * sum by (model, method) (rate(sightglass_explanations_total[5m]))"},
    ),
    ("Memory of the caches", "bytes", {"{{part}}": "sightglass_memory_bytes"}),
    ("Memory of the process", "bytes", {"resident": "process_resident_memory_bytes"}),
    ("Cores in use", "short", {"cores": "rate(process_cpu_seconds_total[5m])"}),
    ("Open files", "short", {"open": "process_open_fds", "at most": "process_max_fds"}),
)
"""Title, unit, and the queries by their legends."""


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    return {
        "uid": "sightglass",
        "title": "Sightglass",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "panels": [_panel(number, *panel) for number, panel in enumerate(PANELS)],
    }


def _panel(number: int, title: str, unit: str, queries: dict[str, str]) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": SOURCE, "legendFormat": legend, "expr": query}
            for i, (legend, query) in enumerate(queries.items())
        ],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=1) + "\n", "utf-8")
