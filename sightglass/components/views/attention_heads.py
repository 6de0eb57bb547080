"""Show all heads of an attention layer side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.viewer import Pane
from sightglass.components.views import panels
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from sightglass.explain import Explanation


def strip(explanation: Explanation, index: int = 0) -> None:
    """Draw the button that shows each head's weights in a dialog: on the page they would be below the fold.

    `index`: the box, where the map is that of its query.
    """
    path, reads = explanation.heatmaps[index].layers[0], METHODS[explanation.heatmaps[index].method].reads
    help = f"The attention weights of every head of {path}."
    if not st.button("All heads", icon=":material/grid_view:", key="all-heads", help=help):
        return

    @st.dialog("All heads", width="large", icon=":material/grid_view:")
    def show() -> None:
        heads = explanation.by_head(index)
        maps = [
            panels.layer(
                explanation,
                heatmap,
                title=heatmap.target.label,
                note=f"{percent(float(heatmap.raw[0].max()))} at most",
                text=f"**{heatmap.target.label}** of {path}",
            )
            for heatmap in heads
        ]
        shown = [Pane(maps=(one,)) for one in maps]
        panels.show(explanation.image, shown, key="viewer-heads", height=268, columns=min(len(shown), 4))
        instead = "a CAM" if reads else "Chefer or a CAM"
        st.caption(
            f"Each head of {path} on its own scale, with the largest weight of a patch. Attention shows which patches "
            f"were read, not that they decided: compare it with {instead}."
        )

    show()
