"""What the tiles of the checks play on the large picture: small maps, and scores by the share that is hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.explain.maps.boxes import box_on_content
from sightglass.explain.maps.statistics import coarse
from sightglass.explain.phrases import capital
from sightglass.explain.tasks import describe_score
from sightglass.explain.trust import controls, stability
from sightglass.explain.trust.proof import SHARES, Support
from sightglass.ui.declare import declare
from sightglass.ui.session import state
from sightglass.ui.viewer import Map, pack_maps

if TYPE_CHECKING:
    from sightglass.common.files import Json
    from sightglass.explain import Explanation
    from sightglass.explain.rendering.style import Values
    from sightglass.explain.trust.checks import CheckId
    from sightglass.explain.trust.scramble import Scramble
    from sightglass.explain.trust.stability import Stability

SIDE = 160
"""Cells of the longer side of a map."""
_component = declare("check_plays", __file__)


def draw(explanation: Explanation, index: int, results: Mapping[CheckId, Any]) -> None:
    """Send what the tiles play to the browser; `results`: of a map's tests, as `run_checks` gives them."""

    def make() -> bytes:
        parts: dict[CheckId, Any] = {"model": _random_weights, "answer": _hiding, "stable": _changes}
        return pack_maps(index, {id: parts[id](explanation, index, result) for id, result in results.items()})

    _component(key="plays", data=state.latest("plays", (explanation.checks_key(index), index, *results), make))


def _random_weights(explanation: Explanation, index: int, result: Scramble) -> tuple[list[Map], Json]:
    heatmap, measure = explanation.heatmaps[index], "similarity" if result.keeps_box is None else "overlap"
    tested = [("The map", "its strength", heatmap.strength)] if heatmap.signed else []
    maps = [*tested, ("Random weights", f"{measure} {result.similarity_text}", result.map)]
    return [_map(explanation, index, *each) for each in maps], {}


def _changes(explanation: Explanation, index: int, result: Stability) -> tuple[list[Map], Json]:
    maps = []
    for each in result.variants:
        if each.map is not None:
            title = capital(stability.CHANGES[each.kind].removeprefix("a "))
            note = f"{describe_score(each.score, result.model, result.label)}, similarity {each.rank_correlation:.2f}"
            maps.append(_map(explanation, index, title, note, each.map))
    return maps, {}


def _hiding(explanation: Explanation, index: int, result: tuple[Support, Values | None]) -> tuple[list[Map], Json]:
    """Return the order in which each map hides the picture, and the scores at the shares that were measured.

    Of a box there is no other map beside its own.
    """
    support, strongest = result
    heatmap, boxes = explanation.heatmaps[index].measured, explanation.own(index)
    place, (x0, y0, x1, y1) = (slice(None), slice(None)), heatmap.geometry.extent
    if support.in_box and (box := boxes[0].box):
        place = box_on_content(heatmap.geometry, box)
        x0, y0, x1, y1 = max(x0, box[0]), max(y0, box[1]), min(x1, box[2]), min(y1, box[3])
    maps: list[Map] = []
    shown = {"": heatmap.strength, f"{capital(support.strongest_name)}: as much hidden": strongest}
    for title, values in shown.items():
        if values is None:
            continue
        order = controls.ranking(coarse(values[place], SIDE))
        if order is None:
            return [], {}
        maps.append(Map(title, "", order, (x0, y0, x1, y1), heatmap.seen))
    effects = [effect for effect in (support.own, support.strongest) if effect is not None]
    curves = [[(0.0, support.start), *zip(SHARES, effect.hidden, strict=False)] for effect in effects]
    # A number is no share.
    follows = explanation.task.wording.bar(support.start) is not None
    return maps, {"curves": curves, "label": support.label, "follows": follows}


def _map(explanation: Explanation, index: int, title: str, note: str, values: Values) -> Map:
    heatmap = explanation.heatmaps[index]
    # Of 256 values it takes a third of the bytes.
    values = np.asarray(np.rint(np.clip(coarse(values, SIDE), 0, 1) * 255) / 255, np.float32)
    return Map(title, note, values, heatmap.geometry.extent, heatmap.seen, cells=heatmap.cells)
