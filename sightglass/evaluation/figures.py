"""Charts of labelled pictures and of models, as plotly draws them on pages and in reports.

Colours are those of the theme, in its order. None carries a meaning alone: a pattern, a symbol or a text says the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightglass.explain.phrases import listing, milliseconds, percent, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

FREE = 1.2
"""Length of an axis, as a multiple of the largest value on it: labels have room above and beside their points."""
SMALLEST_MARKER = 12
LARGEST_MARKER = 40
"""Pixels of the marker of a model without any overlap with the first one, and with all of it."""


def new_figure(height: int) -> Any:
    """Return an empty figure whose points can be chosen by a click, and which is not zoomed by a drag."""
    from plotly.graph_objects import Figure

    figure = Figure()
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 24, "b": 0},
        dragmode=False,
        clickmode="event+select",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(automargin=True, fixedrange=True)
    figure.update_yaxes(automargin=True, fixedrange=True)
    return figure


@dataclass(frozen=True)
class ModelPoint:
    """A model in the chart of sizes and times."""

    name: str
    milliseconds: float | None
    """Of one pass; None: not measured."""
    megabytes: float
    overlap: float | None
    """Overlap of its map with the first model's, 0..1; None: not measured."""


def size_and_time_figure(models: Sequence[ModelPoint]) -> Any:
    """Return each model's time over its size; its marker and label show its map's overlap with the first model's.

    Models without a time are left out (`describe_untimed`). A model without an overlap has a hollow marker.
    """
    timed = [model for model in models if model.milliseconds is not None]
    figure = new_figure(320)
    figure.add_scatter(
        x=[model.megabytes for model in timed],
        y=[model.milliseconds for model in timed],
        text=[_label_model(model) for model in timed],
        customdata=[_describe_model(model) for model in timed],
        hovertemplate="%{customdata}<extra></extra>",
        mode="markers+text",
        textposition="top center",
        cliponaxis=False,
        marker={
            "size": [_size_marker(model.overlap) for model in timed],
            "symbol": ["circle-open" if model.overlap is None else "circle" for model in timed],
            "opacity": 0.8,
        },
    )
    if timed:
        figure.update_xaxes(range=[0, FREE * max(model.megabytes for model in timed)])
        figure.update_yaxes(range=[0, FREE * max(model.milliseconds or 0.0 for model in timed)])
    figure.update_xaxes(title="Size of the weights", ticksuffix=" MB")
    figure.update_yaxes(title="Time of one pass", ticksuffix=" ms")
    figure.update_traces(unselected={"marker": {"opacity": 0.8}})
    return figure


def describe_untimed(models: Sequence[ModelPoint]) -> str:
    """Return which models the chart of sizes and times leaves out, as a sentence; empty for none."""
    names = [model.name for model in models if model.milliseconds is None]
    return f"Not in the chart, because no time is measured: {listing(names)}." if names else ""


def _size_marker(overlap: float | None) -> float:
    return SMALLEST_MARKER + (LARGEST_MARKER - SMALLEST_MARKER) * (overlap or 0.0)


def _label_model(model: ModelPoint) -> str:
    name = escape_text(model.name)
    return name if model.overlap is None else f"{name}<br>overlap {percent(model.overlap)}"


def _describe_model(model: ModelPoint) -> str:
    time = milliseconds(model.milliseconds or 0.0)
    return f"{_label_model(model)}<br>{quantity(model.megabytes, 'MB')}, {time}"


def escape_text(text: str) -> str:
    """Escape a name for plotly, which reads some tags in texts."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
