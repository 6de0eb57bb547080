"""Draw two compared pictures: a click shows what is like a place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.session import state
from sightglass.components.session.markdown import escape
from sightglass.components.viewer import Pane, ViewerOptions, ViewerScene, point_of, viewer
from sightglass.explain.maps.statistics import describe_place
from sightglass.explain.methods import describe_setup
from sightglass.explain.phrases import plain_text, signed
from sightglass.explain.rendering.marks import box_mark, draw_marks
from sightglass.export import similarity_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.picture.image import Image
    from sightglass.explain.rendering.style import Pixels, Unseen
    from sightglass.explain.similarity.ranking import Context
    from sightglass.explain.similarity.similarity import CellEdges, ComparedImage, Similarity

HEIGHT = 420
"""CSS pixels of a picture in a window of 900."""
OF = {"cosine": "Similarity and difference", "product": "What the score is made of"}


@dataclass
class ClickedCell:
    """The cell that was clicked last, in the pictures that `pictures` names."""

    pictures: str = ""
    side: int = 0
    cell: int = 0


def draw_pair(found: Similarity, *, key: str, matches: bool = False) -> None:
    """Draw both pictures under their maps, or with numbered best matches.

    A click on a place frames it and its best match; a second one removes the frames.
    """
    unseen: Unseen = "dark" if st.context.theme.type == "dark" else "light"
    name = _digest(
        *(side.image.sha256 + side.image.name for side in found.sides),
        *(found.model.row, found.weights_sha256, found.method, found.layers, found.of, found.preprocessing),
    )

    def make() -> Sequence[Pixels]:
        return similarity_files.number_matches(found) if matches else similarity_files.draw_pair(found, unseen)

    drawn = state.latest("compared-pictures", (name, matches, unseen), make)
    clicked, grids = state.of(ClickedCell), (found.matches.query, found.matches.gallery)
    for i, side in enumerate(found.sides):
        _take_click((name, i), drawn[i], side.image, grids[i], key=f"{key}-{i}")
    frames: list[int | None] = [None, None]
    score = 0.0
    if clicked.pictures == name:
        other, score = found.matches.find_match(clicked.side, clicked.cell)
        frames = [clicked.cell, other] if clicked.side == 0 else [other, clicked.cell]
    for i, (column, side) in enumerate(zip(st.columns(2), found.sides, strict=True)):
        pixels, cell, line = drawn[i], frames[i], "Equal numbers match." if matches else _describe(found, side)
        if cell is not None:
            at = divmod(cell, grids[i].shape[1])
            scale = pixels.shape[1] / side.image.width
            box = tuple(scale * edge for edge in similarity_files.rectangle(grids[i], at, side.image))
            pixels = draw_marks(pixels, [((box_mark(box),), "")])
            if i != clicked.side:
                line = f"Best match: {signed(score)}, where 1.00 is the same and 0.00 unrelated."
        with column:
            _draw_clickable(pixels, side.image, line=line, key=f"{key}-{i}")
    if found.state != "ok":
        st.caption(escape(similarity_files.places(found)[0]))


def explain_score(found: Similarity, context: Context | None, *more: str) -> None:
    """Draw the reference scores and `more` sentences; how the maps were made is their help."""
    rows, columns = found.matches.query.shape
    setup = describe_setup(found.model.name, found.method, found.layers)
    about = f"{OF[found.of]}, by {setup}: {rows} by {columns} cells. Both maps share one scale."
    words = " ".join((*([context.words] if context is not None else ()), *more))
    st.caption(escape(words) or OF[found.of], help=escape(about))


def _draw_clickable(pixels: Pixels, image: Image, *, line: str, key: str) -> None:
    """Show a drawn picture, whose clicks `_take_click` reads."""
    scene = ViewerScene(pixels, _digest(pixels.data), [Pane(title=image.name)])
    viewer(scene, ViewerOptions(height=HEIGHT, line=plain_text(line)), key=key)


def _take_click(place: tuple[str, int], pixels: Pixels, image: Image, grid: CellEdges, *, key: str) -> None:
    """Remember the cell of a picture that was clicked before this run; a second click there forgets it.

    `place`: the name of the pictures, and which of them this is.
    """
    point, _ = point_of((st.session_state.get(key) or {}).get("point"))
    if point is None:
        return
    scale, clicked = image.width / pixels.shape[1], state.of(ClickedCell)
    (pictures, side), cell = place, grid.cell_at(point[0] * scale, point[1] * scale)
    again = (clicked.pictures, clicked.side, clicked.cell) == (pictures, side, cell)
    clicked.pictures, clicked.side, clicked.cell = "" if again else pictures, side, cell


def _describe(found: Similarity, side: ComparedImage) -> str:
    """Say where a picture is similar and where different."""
    if found.state != "ok":
        return ""
    size = side.image.width, side.image.height
    alike, apart = (describe_place(statistics, side.seen, size) for statistics in side.statistics)
    if found.of == "product":
        return f"The score arises (red) {alike}."
    return f"Similar (red) {alike}; different (blue) {apart}."


def _digest(*parts: object) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, memoryview) else repr(part).encode())
    return digest.hexdigest()[:16]
