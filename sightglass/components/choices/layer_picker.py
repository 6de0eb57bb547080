"""Choose target layers in a diagram of the model.

Steps go from left to right in the order of execution, lower the larger their cells are, each joined to what it reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.components.session import state, url_state
from sightglass.explain.evidence.layers import stages

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import plotly.graph_objects as go

    from sightglass.common.files import Json
    from sightglass.explain import Explainer
    from sightglass.models.layers import ModelStage

MAX_LAYERS = 8
SHAPES = {"backbone": "circle", "neck": "diamond", "head": "square"}
COLOURS = {"backbone": "#6B6B6B", "neck": "#0B6F78", "head": "#B5651D"}
"""Shape and legend tell the parts apart as well."""


@dataclass
class Diagram:
    """What is chosen in the diagram while it is open."""

    model: str | None = None
    """The model whose diagram is open."""
    chosen: dict[str, list[str]] = field(default_factory=dict)
    """Layers by the key of the widget that they are for."""
    used: dict[str, list[str]] = field(default_factory=dict)
    """The same once the dialog was confirmed: the next run takes them over."""
    generation: int = 0
    """Counts redraws: a chart under another key has nothing selected."""


def picker(explainer: Explainer, key: str) -> None:
    """Draw the presets of layers and a button for the diagram."""
    _presets(explainer, key)
    if st.button(
        "Choose in a diagram",
        icon=":material/account_tree:",
        width="stretch",
        help="The model step by step: choose a layer to add or remove it.",
    ):
        state.of(Diagram).model = explainer.model.id
    if state.of(Diagram).model == explainer.model.id:
        _dialog(explainer, key)


def _presets(explainer: Explainer, key: str) -> None:
    listed = {layer.path for layer in explainer.layers}
    candidates = explainer.resident.adapter.presets(explainer.layers)
    presets = {name: paths for name, paths in candidates.items() if listed.issuperset(paths)}
    if len(presets) < 2:
        return
    pills, widgets = f"preset-{explainer.model.id}", st.session_state
    now = tuple(widgets[key]) or explainer.default_layers
    widgets[pills] = next((name for name, paths in presets.items() if tuple(paths) == now), None)

    def take() -> None:
        widgets[key] = list(presets[widgets[pills]]) if widgets[pills] else []

    st.pills(
        "Presets",
        list(presets),
        key=pills,
        on_change=take,
        help="Layers worth looking at together, named by what they do in this model.",
    )


def _dialog(explainer: Explainer, key: str) -> None:
    order = [step.path for step in stages(explainer.resident)]
    title = f"Layers of {explainer.model.id}"

    @st.dialog(title, width="large", icon=":material/account_tree:", on_dismiss=_close)
    def show() -> None:
        dialog = state.of(Diagram)
        chosen = dialog.chosen.get(key, list(st.session_state.get(key) or explainer.default_layers))
        st.caption(
            "Left to right: the order of execution. Top: small cells, which know where. Bottom: large cells, which "
            "know what. Choose a step to add or remove its map."
        )
        event = st.plotly_chart(
            diagram(explainer.resident.adapter.stages(explainer.layers), chosen),
            key=f"diagram-{dialog.generation}",
            on_select="rerun",
            selection_mode="points",
            config={"displayModeBar": False, "scrollZoom": False},
            alt=f"{len(order)} steps of the model; chosen: {', '.join(chosen)}",
        )
        if clicked := [path for path in _follow_click(event) if path in order]:
            _redraw(key, toggle(chosen, clicked[0], order))
        offered = [path for path in chosen if path in order]
        picked = st.pills(
            "Chosen",
            order,
            selection_mode="multi",
            default=offered,
            key=f"diagram-list-{dialog.generation}",
            help=f"The same steps as a list; at most {MAX_LAYERS}.",
        )
        if sorted(picked) != sorted(offered):
            _redraw(key, sorted(picked, key=order.index)[:MAX_LAYERS])
        with st.container(horizontal=True):
            if st.button(
                "Use these", icon=":material/check:", disabled=not picked, help="Take the map at these layers."
            ):
                _use(key, list(picked))
            if st.button("Automatic", icon=":material/auto_awesome:", help="Use the default layers of this model."):
                _use(key, [])

    show()


def _redraw(key: str, layers: list[str]) -> None:
    dialog = state.of(Diagram)
    dialog.chosen = {key: layers}
    dialog.generation += 1
    st.rerun(scope="fragment")


def _use(key: str, layers: list[str]) -> None:
    state.of(Diagram).used = {key: layers}
    _close()
    st.rerun()


def _close() -> None:
    dialog = state.of(Diagram)
    dialog.model, dialog.chosen = None, {}


def settle(key: str) -> None:
    """Apply the diagram's confirmed choice, before its widget is drawn."""
    dialog = state.of(Diagram)
    chosen, dialog.used = dialog.used.get(key), {}
    if chosen is not None:
        url_state.put(key, chosen)


def toggle(chosen: Sequence[str], path: str, order: Sequence[str]) -> list[str]:
    """Return the choice with one layer toggled, at most `MAX_LAYERS`."""
    paths = [layer for layer in chosen if layer != path] if path in chosen else [*chosen, path]
    if len(paths) > MAX_LAYERS:
        return list(chosen)
    known = {name: i for i, name in enumerate(order)}
    return sorted(paths, key=lambda layer: known.get(layer, len(known)))


def diagram(steps: Sequence[ModelStage], chosen: Collection[str]) -> go.Figure:
    """Return a chart of the stages with the chosen ones marked.

    A step that returns no map is drawn at the height of what it reads, and cannot be chosen.
    """
    import plotly.graph_objects as go

    at: dict[str, tuple[int, float]] = {}
    for i, step in enumerate(steps):
        read = [at[source][1] for source in step.inputs if source in at]
        at[step.path] = (i, -math.log2(step.stride) if step.stride else sum(read) / len(read) if read else 0.0)
    edges: list[tuple[Any, Any]] = []
    for step in steps:
        for source in step.inputs:
            if source in at:
                edges += [at[source], at[step.path], (None, None)]
    x, y = zip(*edges, strict=True) if edges else ((), ())
    line = {"color": "#B5B5B5", "width": 1}
    figure = go.Figure(go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False))
    for part in SHAPES:
        if of_part := [step for step in steps if step.part == part]:
            figure.add_scatter(**_marks(part, of_part, at, chosen))
    strides = sorted({step.stride for step in steps if step.stride})
    figure.update_layout(
        height=360,
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        legend={"orientation": "h", "y": -0.12, "x": 0},
        clickmode="event+select",
        dragmode=False,
        xaxis={"title": "step", "showgrid": False, "zeroline": False, "fixedrange": True},
        yaxis={
            "title": "pixels per cell",
            "tickvals": [-math.log2(stride) for stride in strides],
            "ticktext": [f"{stride:g}" for stride in strides],
            "zeroline": False,
            "fixedrange": True,
        },
    )
    return figure


def _marks(part: str, of_part: list[ModelStage], at: dict[str, tuple[int, float]], chosen: Collection[str]) -> Json:
    """Return the scatter of one part's steps."""
    shape, taken = SHAPES[part], [step.path in chosen for step in of_part]
    return {
        "x": [at[step.path][0] for step in of_part],
        "y": [at[step.path][1] for step in of_part],
        "mode": "markers+text",
        "name": part,
        "text": [step.path.rpartition(".")[2] if on else "" for step, on in zip(of_part, taken, strict=True)],
        "textposition": "top center",
        "customdata": [step.path if step.shape else "" for step in of_part],
        "hovertext": [_describe(step) for step in of_part],
        "hoverinfo": "text",
        "marker": {
            "symbol": [shape if on else f"{shape}-open" for on in taken],
            "size": [18 if on else 13 for on in taken],
            "color": COLOURS[part],
            "line": {"width": 2},
        },
        # A filled mark means chosen; plotly's own fading of the rest would contradict that.
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 1}},
    }


def _describe(step: ModelStage) -> str:
    size = f", {step.shape[0]} × {step.shape[1]} × {step.shape[2]}" if step.shape else ""
    return f"{step.path}: {step.kind}{size} ({step.part})"


def _follow_click(event: Any) -> list[str]:
    """Return the paths of the clicked stages."""
    points = getattr(getattr(event, "selection", None), "points", None) or []
    custom_data = [point.get("customdata") for point in points]
    # Plotly gives a mark's own data in a list of one, or as it is.
    return [str(data[0] if isinstance(data, list) else data) for data in custom_data if data]
