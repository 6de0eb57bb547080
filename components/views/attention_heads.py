"""Show all heads of an attention layer side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from components.viewer import Panel
from components.views import panels
from explain.phrases import percent

if TYPE_CHECKING:
    from explain import Explanation


def strip(explanation: Explanation) -> None:
    """Draw each head's weights in a popover; they are computed when it is opened."""
    path = explanation.heatmaps[0].layers[0]
    every = st.popover(
        "All heads",
        icon=":material/grid_view:",
        key="all-heads",
        on_change="rerun",
        help=f"The attention weights of every head of {path}.",
    )
    if not every.open:
        return
    with every:
        maps = [
            panels.layer(
                explanation,
                heatmap,
                title=heatmap.target.label,
                note=f"{percent(float(heatmap.raw[0].max()))} at most",
                text=f"**{heatmap.target.label}** of {path}",
            )
            for heatmap in explanation.by_head()
        ]
        shown = [Panel(maps=(one,)) for one in maps]
        panels.show(explanation.image, shown, key="viewer-heads", height=268, columns=min(len(shown), 4))
        st.caption(
            f"Each head of {path} on its own scale, with the largest weight of a patch. Attention shows which patches "
            "were read, not that they decided: compare it with Chefer or a CAM."
        )
