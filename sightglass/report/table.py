"""Table of explanations' numbers."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from io import StringIO
from typing import TYPE_CHECKING, Any

from sightglass.common.files import Json, csv_files
from sightglass.explain.maps.boxes import BoxNumbers
from sightglass.explain.maps.statistics import BINS, MEANING, NAMES, Statistics, format_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sightglass.explain.result import Result


def rows(explanation: Result) -> list[Json]:
    """Return one flat row per heatmap.

    Values are str, int, float, bool or None; places are in original pixels, shares 0..1
    (`sightglass.explain.maps.statistics.MEANING`). `regions` is JSON. `box_...` is None for a map without a box.

        Path("bus.csv").write_text(csv(rows(result)))
    """
    common = picture_columns(explanation)
    return [common | _map_columns(explanation, index) for index in range(len(explanation.heatmaps))]


def picture_columns(explanation: Result) -> Json:
    """Return the columns shared by a picture's maps."""
    best = explanation.predictions[0] if explanation.predictions else None
    return {
        "picture": explanation.image.name,
        "picture_sha256": explanation.image.sha256,
        "width": explanation.image.width,
        "height": explanation.image.height,
        "model": explanation.model.id,
        "predicted": best.label if best else None,
        "predicted_score": best.score if best else None,
        "predictions": len(explanation.predictions),
    }


def csv(table: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV (RFC 4180); empty without rows."""
    out = StringIO()
    if table:
        csv_files.write(out, list(table[0]), table)
    return out.getvalue()


def _map_columns(explanation: Result, index: int) -> Json:
    """Return the columns that describe one map."""
    heatmap = explanation.heatmaps[index]
    boxes, raw = explanation.box_numbers(index), heatmap.raw_range
    columns = {
        "map": index,
        "label": heatmap.target.label,
        "class": heatmap.target.index,
        "score": explanation.task.scorer.score(explanation, index),
        "rank": explanation.ranks[index],
        **explanation.task.wording.map_columns(explanation, index),
        "method": heatmap.method,
        "layers": " ".join(heatmap.layers),
        "scale": heatmap.scale,
        "state": heatmap.state,
        "raw_min": raw[0],
        "raw_max": raw[1],
        **({"raising": heatmap.raising} if heatmap.signed else {}),
    }
    numbers = asdict(boxes) if boxes is not None else {field.name: None for field in fields(BoxNumbers)}
    return columns | _flatten(explanation.statistics[index]) | {f"box_{key}": value for key, value in numbers.items()}


def _flatten(statistics: Statistics) -> Json:
    """Return statistics with a column for each of their numbers."""
    flat: Json = {}
    for field in fields(statistics):
        # Not asdict: a deep copy of the histogram takes longer than all the rest.
        name, value = field.name, getattr(statistics, field.name)
        if name in ("centre", "peak"):
            flat |= {f"{name}_x": value[0], f"{name}_y": value[1]}
        elif name == "quadrants":
            corners = ("top_left", "top_right", "bottom_left", "bottom_right")
            flat |= {f"quadrant_{corner}": share for corner, share in zip(corners, value, strict=True)}
        elif name == "histogram":
            flat |= {f"histogram_{100 * i // BINS:02}": count for i, count in enumerate(value)}
        else:
            flat[name] = json.dumps([asdict(region) for region in value]) if name == "regions" else value
    return flat


def list_numbers(statistics: Statistics) -> list[tuple[str, str, str]]:
    """Return (name, value, meaning) of a map's numbers."""
    numbers = {name: value for name, value in asdict(statistics).items() if name not in ("histogram", "regions")}
    return [(NAMES[name], format_value(name, value), MEANING[name]) for name, value in numbers.items()]
