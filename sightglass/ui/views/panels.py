"""Turn explanations into viewer panels."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.explain.maps.statistics import share_difference
from sightglass.explain.phrases import pixels
from sightglass.explain.tasks import describe_score
from sightglass.explain.tasks.detect import row_title
from sightglass.explain.trust.diagnosis import describe_map
from sightglass.ui import widgets
from sightglass.ui.session import state
from sightglass.ui.session.pictures import image_source
from sightglass.ui.viewer import SETTINGS, Box, Map, Pane, View, ViewerOptions, viewer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explanation, Image
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.tasks.wording import Answer

COLUMNS = (7, 2)
"""Widths of the pictures and of the answers at their right."""
ONE_ROW = 3
"""Maps that always stand in one row."""
NARROW = 2.55
"""Width over height of a row of maps up to which the instruments have room beside it."""
WHOLE_HEIGHT = 610
"""CSS pixels of maps in one row that have the instruments beside them."""
TENTH = 132_000
"""Area of each map in two rows, in square CSS pixels: a tenth of a window of 1440 by 900."""


def to_map(
    explanation: Explanation, index: int, *, title: str | None = None, note: str | None = None, half: bool = True
) -> Map:
    """Return one heatmap of an explanation for a panel; `half`: see `describe_map`."""
    heatmap = explanation.heatmaps[index]
    if note is None:
        score = explanation.task.scorer.score(explanation, index)
        note = describe_score(score, explanation.model, heatmap.target.label) if score is not None else ""
    several = len(heatmap.raw) > 1 and len(explanation.heatmaps) > 1
    return layer_map(
        heatmap,
        title=title or heatmap.target.label,
        note=note,
        text=describe_map(explanation, index, with_area=half),
        unit=explanation.model.unit_of(heatmap.target.label) if heatmap.signed else "",
        shared=explanation.shared[index].content if several else None,
    )


def layer_map(
    heatmap: Heatmap,
    *,
    title: str,
    note: str,
    text: str = "",
    unit: str = "",
    shared: NDArray[np.float32] | None = None,
) -> Map:
    """Return a heatmap for a panel; `shared`: of several layers, its values on one scale with other maps."""
    return Map(
        title=title,
        note=note,
        values=heatmap.content,
        extent=heatmap.geometry.extent,
        seen=heatmap.seen,
        # Several layers have no single raw value at full heat; an empty map is empty on every scale.
        raw=heatmap.ends or (None if len(heatmap.raw) > 1 else (0.0, 0.0)),
        cells=heatmap.cells,
        text=text,
        kind=heatmap.kind,
        shared=shared,
        unit=unit,
    )


@dataclass(frozen=True)
class Arrangement:
    """How the maps of one picture stand on a page with instruments."""

    height: int
    """CSS pixels of a map in a window of 900."""
    columns: int | None = None
    """Maps in each of two rows; None: they are in one row."""
    widths: tuple[int, int] | None = None
    """Widths of the maps and of the instruments beside them; None: the instruments are below."""

    def places(self) -> tuple[DeltaGenerator, DeltaGenerator]:
        """Return where the maps and where the instruments are drawn."""
        if self.widths is None:
            with st.container(key="numbers-below"):
                return st.container(key="stage"), st.container()
        left, right = st.container(key=f"numbers-beside-{self.widths[0]}").columns(self.widths, gap="medium")
        return left.container(key="stage"), right.container()


def arrange(image: Image, count: int, *, highest: int) -> Arrangement:
    """Return how maps are large and their numbers in sight.

    More than three maps of a picture that is not high are in two rows. `highest`: CSS pixels of maps that have the
    numbers below them, in a window of 900.
    """
    aspect = image.width / image.height
    if count > ONE_ROW and aspect >= 1:
        height = math.ceil(math.sqrt(TENTH / aspect))
        return Arrangement(height, columns=math.ceil(count / 2), widths=(2, 1))
    if count > 1 and count * aspect <= NARROW:
        return Arrangement(WHOLE_HEIGHT, widths=(3, 1))
    return Arrangement(highest)


def list_answers(explanation: Explanation) -> list[Answer]:
    """Return a model's answers, a box's with its number."""
    boxes = explanation.task.explains("detection")
    answers = explanation.task.wording.answers(explanation)
    return [
        replace(answer, label=row_title(number if boxes else "", prediction.label))
        for number, (answer, prediction) in enumerate(zip(answers, explanation.predictions, strict=True), 1)
    ]


def draw_bars(answers: Sequence[Answer], *, key: str) -> None:
    """Draw the answers that the whole screen has beside the maps."""
    with st.container(key="bars"):
        widgets.rows(answers, key=key, plain=True)


def plain_pane(image: Image) -> Pane:
    """Return a panel of the picture alone, with its size in pixels."""
    return Pane(title="Picture", note=pixels(image.width, image.height))


def difference_map(
    values: NDArray[np.float32],
    seen: tuple[int, int, int, int],
    sides: tuple[str, str],
    *,
    extent: tuple[float, float, float, float] | None = None,
) -> Map:
    """Return a difference map, -1..1; `extent`: of the values, else `seen`."""
    return Map(
        title="Difference",
        note="share of evidence",
        values=values,
        extent=extent or seen,
        seen=seen,
        text=f"Red is where **{sides[0]}** has more of its evidence, blue where **{sides[1]}** has.",
        kind="difference",
        sides=sides,
    )


def difference_pane(explanation: Explanation, pair: tuple[int, int]) -> Pane:
    """Return the difference of two answers' maps, the first in red."""
    a, b = (explanation.heatmaps[index] for index in pair)
    values, extent = share_difference(a.strength, b.strength), explanation.evidence.geometry.extent
    return Pane(maps=(difference_map(values, a.seen, (a.target.label, b.target.label), extent=extent),))


def difference_title(explanation: Explanation, pair: tuple[int, int]) -> str:
    """Return the headline of two compared answers."""
    first, second = (explanation.heatmaps[index].target.label for index in pair)
    return f"What speaks for {first} and not for {second}"


def boxes(explanation: Explanation, index: int | None = None) -> tuple[Box, ...]:
    """Return a detector's boxes with map indices; mark those of `index`."""
    places = [heatmap.target.index for heatmap in explanation.heatmaps]
    return tuple(
        Box(p.box, answer.line, places.index(p.index), places.index(p.index) == index, marks=answer.marks)
        for p, answer in zip(explanation.predictions, explanation.task.wording.answers(explanation), strict=True)
        if p.box is not None and p.index in places
    )


def draw_viewer(image: Image, panels: Sequence[Pane], *, key: str, marks: Sequence[Box] = (), **options: Any) -> View:
    """Draw the viewer; `options`: of `ViewerOptions`."""
    start = state.of(state.ViewerStart)
    if not start.read:
        linked = {name: st.query_params[name] for name in SETTINGS if name in st.query_params}
        start.settings, start.read = linked | {"id": secrets.token_hex(8)} if linked else None, True
    for name in SETTINGS:
        st.query_params.pop(name, None)
    generation = start.generation
    return viewer(
        image,
        panels,
        marks,
        ViewerOptions(start.settings, **image_source.describe_link(), **options),
        # A reopened view gets a new viewer: one that is on the page keeps its settings.
        key=f"{key}-{generation}" if generation else key,
    )
