"""Explanations as the viewer wants them, and the view that follows from screen to screen and lives in the address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from components import address
from components.viewer import MODES, Box, Map, Panel, View, viewer
from explain.colormaps import colormaps
from explain.diagnosis import looks, unseen
from explain.words import percent, pixels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from explain import Explanation, Image

NAMED = ("mode", "colormap", "alpha", "threshold")
"""What of a view an address carries, where it is not as it was at first."""
VIEWERS = ("viewer", "viewer-topk", "viewer-compare")
DEFAULT: dict[str, Any] = {"mode": "overlay", "colormap": "inferno", "alpha": 0.9, "threshold": 0.0, "even": False}


def heat(explanation: Explanation, index: int, *, title: str | None = None, note: str | None = None) -> Map:
    """One heatmap of an explanation for a panel."""
    heatmap = explanation.heatmaps[index]
    cells, score = heatmap.raw[0].shape, best_score(explanation, index)
    low, high = heatmap.raw_range
    return Map(
        title=title or heatmap.target.label,
        note=note if note is not None else percent(score) if score is not None else "",
        values=heatmap.content,
        extent=explanation.evidence.geometry.extent,
        seen=heatmap.seen,
        # Several layers, or a shared scale, have no one raw value at full heat.
        raw=(max(low, 0.0), high) if len(heatmap.raw) == 1 and heatmap.scale == "own" and high > 0 else None,
        cells=(cells[0], cells[1]) if len(heatmap.raw) == 1 else None,
        text=looks(explanation, index) + _faded(explanation),
        kind="heat",
    )


def plain(image: Image) -> Panel:
    return Panel(title="Picture", note=pixels(image.width, image.height))


def best_score(explanation: Explanation, index: int) -> float | None:
    """How sure the model is of the class of one map, 0..1; None where it is not among the predictions."""
    target = explanation.heatmaps[index].target.index
    return max((p.score for p in explanation.predictions if p.index == target), default=None)


def _faded(explanation: Explanation) -> str:
    return " The faded edges were cropped away before the model looked." if unseen(explanation) else ""


def boxes(explanation: Explanation, index: int | None = None) -> tuple[Box, ...]:
    """A detector's boxes, each with the place of its class's map; those of the map at `index` are marked."""
    places = [heatmap.target.index for heatmap in explanation.heatmaps]
    return tuple(
        Box(p.box, f"{p.label} {percent(p.score)}", places.index(p.index), places.index(p.index) == index)
        for p in explanation.predictions
        if p.box is not None and p.index in places
    )


def show(image: Image, panels: Sequence[Panel], *, key: str, marks: Sequence[Box] = (), height: int = 496) -> View:
    """The viewer, with the view of the address it was opened at, and what is set in it written to the address."""
    view = viewer(image.pixels, image.sha256, panels, boxes=marks, key=key, initial=_initial(), height=height)
    now = current()
    for name in NAMED:
        address.write(name, now[name], DEFAULT[name])
    return view


def current() -> dict[str, Any]:
    """Colormap, alpha, mode and threshold as they are set: by the address, then on any screen's viewer."""
    state = st.session_state
    for key in VIEWERS:
        state.setdefault("view", {}).update(state.get(key, {}).get("view") or {})
    return DEFAULT | _initial() | state["view"]


def _initial() -> dict[str, str | float]:
    found: dict[str, str | float] = st.session_state.setdefault(
        "initial_view", _from_address(st.query_params.to_dict())
    )
    return found


def hot() -> str:
    """The word for the hottest colour of the colormap that is set."""
    return next(known.hot for known in colormaps() if known.name == current()["colormap"])


def _from_address(parameters: Mapping[str, str]) -> dict[str, str | float]:
    """What of a view an address says, less what is not there or makes no sense."""
    found: dict[str, str | float] = {}
    if parameters.get("mode") in MODES:
        found["mode"] = parameters["mode"]
    if parameters.get("colormap") in {colormap.name for colormap in colormaps()}:
        found["colormap"] = parameters["colormap"]
    for name in ("alpha", "threshold"):
        try:
            found[name] = min(max(float(parameters[name]), 0.0), 1.0)
        except (KeyError, ValueError):
            continue
    return found
