"""Draw two compared pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.explain.maps.statistics import describe_place
from sightglass.explain.methods import describe_setup
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import Image
from sightglass.report import similarity_files
from sightglass.ui.session import state
from sightglass.ui.session.markdown import escape
from sightglass.ui.session.pictures import image_source
from sightglass.ui.viewer import Pane, ViewerOptions, viewer

if TYPE_CHECKING:
    from sightglass.explain.rendering.style import Unseen
    from sightglass.explain.similarity.ranking import Context
    from sightglass.explain.similarity.similarity import ComparedImage, Similarity

HEIGHT = 420
"""CSS pixels of a picture in a window of 900."""
EXPLAINED = "Similarity and difference"


def draw_pair(pair: Similarity, *, key: str, lacks: tuple[str, ...] = ()) -> None:
    """Draw both pictures under their maps; `lacks`: see `ViewerOptions`."""
    unseen: Unseen = "dark" if st.context.theme.type == "dark" else "light"
    name = (
        *(side.image.sha256 + side.image.name for side in pair.sides),
        *(pair.model.row, pair.weights_sha256, pair.method, pair.layers, pair.preprocessing),
        unseen,
    )

    def make() -> list[Image]:
        return list(map(Image, similarity_files.draw_pair(pair, unseen)))

    pictures = state.latest("compared-pictures", name, make)
    for i, (column, side) in enumerate(zip(st.columns(2), pair.sides, strict=True)):
        line, private = plain_text(_describe(pair, side)), image_source.unlinked_name()
        options = ViewerOptions(height=HEIGHT, line=line, private=private, lacks=lacks)
        with column:
            viewer(pictures[i], [Pane(title=side.image.name)], options=options, key=f"{key}-{i}")
    if pair.state != "ok":
        st.caption(escape(similarity_files.describe_maps(pair)[0]))


def explain_score(pair: Similarity, context: Context | None, *more: str) -> None:
    """Draw the reference scores and `more` sentences, with the setup as help."""
    setup = describe_setup(pair.model.name, pair.method, pair.layers)
    about = f"{EXPLAINED}, by {setup}. Both maps share one scale."
    words = " ".join((*([context.words] if context is not None else ()), *more))
    st.caption(escape(words) or EXPLAINED, help=escape(about))


def _describe(pair: Similarity, side: ComparedImage) -> str:
    """Say where a picture is similar and where different."""
    if pair.state != "ok":
        return ""
    size = side.image.width, side.image.height
    alike, apart = (describe_place(statistics, side.seen, size) for statistics in side.statistics)
    return f"Similar (red) {alike}; different (blue) {apart}."
