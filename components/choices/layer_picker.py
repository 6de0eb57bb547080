"""The model as a drawing in which target layers are chosen: from left to right in the order of its steps, each as low
as its cells are large, joined to what it reads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import streamlit as st

from components.session import url_state

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import plotly.graph_objects as go

    from explain import Explainer
    from models.adapter import Stage

MOST = 8
SHAPES = {"backbone": "circle", "neck": "diamond", "head": "square"}
COLOURS = {"backbone": "#6B6B6B", "neck": "#0B6F78", "head": "#B5651D"}
"""Told apart by shape and by word as well."""


def picker(explainer: Explainer, key: str) -> None:
    """The named choices of layers, and the drawing behind a button: a sidebar is too narrow for it."""
    adapter = explainer.resident.adapter
    listed = {layer.path for layer in explainer.layers}
    presets = {name: paths for name, paths in adapter.presets(explainer.layers).items() if listed.issuperset(paths)}
    state = st.session_state
    if len(presets) > 1:
        pills = f"preset-{explainer.model.id}"
        now = tuple(state[key]) or explainer.default_layers
        state[pills] = next((name for name, paths in presets.items() if tuple(paths) == now), None)

        def take() -> None:
            state[key] = list(presets[state[pills]]) if state[pills] else []

        st.pills(
            "Ready choices",
            list(presets),
            key=pills,
            on_change=take,
            help="Layers that are worth looking at together, by what they are in this model.",
        )
    if st.button(
        "Choose in a drawing",
        icon=":material/account_tree:",
        width="stretch",
        help="The model step by step; a click takes a layer or lets it go.",
    ):
        state["drawing"] = explainer.model.id
    if state.get("drawing") == explainer.model.id:
        _dialog(explainer, key)


def _dialog(explainer: Explainer, key: str) -> None:
    from explain.detections import stages

    order = [step.path for step in stages(explainer.resident)]

    def closed() -> None:
        for name in ("drawing", "drawn-layers"):
            st.session_state.pop(name, None)

    @st.dialog(f"Layers of {explainer.model.id}", width="large", icon=":material/account_tree:", on_dismiss=closed)
    def show() -> None:
        state = st.session_state
        chosen: list[str] = list(state.get("drawn-layers", {}).get(key, state.get(key) or explainer.default_layers))
        st.caption(
            "Left to right: the order of the steps. Up: small cells, which know where. Down: large ones, which know "
            "what. Click a step to take its map or to let it go."
        )
        turn = state.setdefault("drawing-turn", 0)

        def again(layers: list[str]) -> None:
            state["drawn-layers"] = {key: layers}
            # A chart under another name has nothing selected, so that the same step can be clicked again.
            state["drawing-turn"] = turn + 1
            st.rerun(scope="fragment")

        event = st.plotly_chart(
            drawing(explainer.resident.adapter.stages(explainer.layers), chosen),
            key=f"drawing-{turn}",
            on_select="rerun",
            selection_mode="points",
            config={"displayModeBar": False, "scrollZoom": False},
            alt=f"{len(order)} steps of the model; chosen: {', '.join(chosen)}",
        )
        clicked = [path for path in _clicked(event) if path in order]
        if clicked:
            again(toggled(chosen, clicked[0], order))
        picked = st.pills(
            "Chosen",
            order,
            selection_mode="multi",
            default=[path for path in chosen if path in order],
            key=f"drawing-list-{turn}",
            help=f"The same steps as a list, {MOST} at most.",
        )
        if sorted(picked) != sorted(path for path in chosen if path in order):
            again(sorted(picked, key=order.index)[:MOST])

        def use(layers: list[str]) -> None:
            state["layers-next"] = {key: layers}
            closed()
            st.rerun()

        with st.container(horizontal=True):
            if st.button("Use these", icon=":material/check:", disabled=not picked, help="The map is taken here."):
                use(list(picked))
            if st.button("Automatic", icon=":material/auto_awesome:", help="What the model's family starts with."):
                use([])

    show()


def settle(key: str) -> None:
    """Take over what was chosen in the drawing, before the widget of that name is drawn."""
    state = st.session_state
    if (chosen := state.pop("layers-next", {}).get(key)) is not None:
        state[key] = chosen
        url_state.keep(key, chosen)


def toggled(chosen: Sequence[str], path: str, order: Sequence[str]) -> list[str]:
    """The choice with one layer more, or less, in the order of execution; at most `MOST`."""
    wanted = [one for one in chosen if one != path] if path in chosen else [*chosen, path]
    if len(wanted) > MOST:
        return list(chosen)
    known = {name: i for i, name in enumerate(order)}
    return sorted(wanted, key=lambda one: known.get(one, len(known)))


def drawing(steps: Sequence[Stage], chosen: Collection[str]) -> go.Figure:
    """Steps as marks, joined to what they read; the chosen ones filled, large and named.

    A step that returns no map stands where it reads, and cannot be chosen.
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
    figure = go.Figure(
        go.Scatter(
            x=[x for x, _ in edges],
            y=[y for _, y in edges],
            mode="lines",
            line={"color": "#B5B5B5", "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    for part, shape in SHAPES.items():
        own = [step for step in steps if step.part == part]
        if not own:
            continue
        taken = [step.path in chosen for step in own]
        figure.add_scatter(
            x=[at[step.path][0] for step in own],
            y=[at[step.path][1] for step in own],
            mode="markers+text",
            name=part,
            text=[step.path.rpartition(".")[2] if on else "" for step, on in zip(own, taken, strict=True)],
            textposition="top center",
            customdata=[step.path if step.shape else "" for step in own],
            hovertext=[_said(step) for step in own],
            hoverinfo="text",
            marker={
                "symbol": [shape if on else f"{shape}-open" for on in taken],
                "size": [18 if on else 13 for on in taken],
                "color": COLOURS[part],
                "line": {"width": 2},
            },
            # Chosen is what is filled; plotly's own fading of the rest would say something else.
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
        )
    strides = sorted({step.stride for step in steps if step.stride})
    figure.update_layout(
        height=360,
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        legend={"orientation": "h", "y": -0.12, "x": 0},
        clickmode="event+select",
        dragmode=False,
        xaxis={"title": "step", "showgrid": False, "zeroline": False, "fixedrange": True},
        yaxis={
            "title": "pixels a cell",
            "tickvals": [-math.log2(stride) for stride in strides],
            "ticktext": [f"{stride:g}" for stride in strides],
            "zeroline": False,
            "fixedrange": True,
        },
    )
    return figure


def _said(step: Stage) -> str:
    size = f", {step.shape[0]} × {step.shape[1]} × {step.shape[2]}" if step.shape else ""
    return f"{step.path}: {step.kind}{size} ({step.part})"


def _clicked(event: Any) -> list[str]:
    """The paths of the steps whose marks were clicked."""
    points = getattr(getattr(event, "selection", None), "points", None) or []
    found = [point.get("customdata") for point in points]
    # Plotly gives a mark's own data in a list of one, or as it is.
    return [str(data[0] if isinstance(data, list) else data) for data in found if data]
