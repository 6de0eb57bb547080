"""The instruments of the maps on a page: distribution with threshold, colours, opacity and live numbers.

They change the page's viewer, and follow it, in the browser: Python is not told. The numbers are those of
`explain.maps.statistics`, which `sightglass/browser/statistics.js` has, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sightglass.explain.maps.statistics import MEANING, Statistics, format_value
from sightglass.explain.phrases import percent
from sightglass.ui.declare import declare

if TYPE_CHECKING:
    from sightglass.common.files import Json
    from sightglass.explain import Explanation
    from sightglass.ui.viewer import View

SWATCHES = ("inferno", "jet", "turbo", "viridis", "cividis", "gray")
"""The colormaps in sight; the first is the default, `cividis` is read by people who confuse red and green."""
EMPTY = "This map is empty: there is nothing to measure."
_ON = "on which share of the visible area."
ROWS: tuple[tuple[str, str, str], ...] = (
    (
        "area",
        "Area above",
        "How much of the area that the model saw is above the threshold; without one, above half of the map's maximum.",
    ),
    ("evidence", "Its evidence", "How much of all evidence lies there."),
    ("regions", "Regions", "How many separate areas that is; cells that touch at a corner are connected."),
    ("half", "Half lies on", MEANING["half_heat_area"]),
    ("scatter", "Scatter", MEANING["entropy_normalised"]),
    ("peak", "Strongest at", MEANING["peak"]),
    ("box", "Inside its box", f"The evidence inside, also where other boxes overlap, {_ON}"),
    ("boxes", "Inside its boxes", f"The evidence inside, also where others overlap, {_ON}"),
)
"""Of each number its id, its label and its meaning, in the order in which they are shown."""
_STATISTICS = {
    "area": "coverage_50",
    "evidence": "evidence_50",
    "regions": "n_regions",
    "half": "half_heat_area",
    "scatter": "entropy_normalised",
    "peak": "peak",
}
_component = declare("instruments", __file__)

Numbers = dict[str, str]
"""A map's numbers as they are printed, by their ids in `ROWS`."""


def printed(statistics: Statistics) -> Numbers:
    """Return a map's numbers as they are printed everywhere."""
    return {id: format_value(name, getattr(statistics, name)) for id, name in _STATISTICS.items()}


def numbers_of(explanation: Explanation, index: int) -> Numbers | str:
    """Return the printed numbers of a map, or why it has none."""
    if explanation.heatmaps[index].state != "ok":
        return EMPTY
    numbers = printed(explanation.statistics[index])
    boxes = explanation.box_numbers(index) if explanation.task.explains("detection") else None
    if boxes is not None:
        row = "box" if len(explanation.own(index)) == 1 else "boxes"
        numbers[row] = f"{boxes.printed_inside} on {percent(boxes.area)}"
    return numbers


def instruments(
    view: View | None = None,
    numbers: Sequence[Numbers | str] = (),
    *,
    more: Mapping[str, Sequence[str]] | None = None,
    names: Sequence[str] = (),
    key: str = "instruments",
) -> None:
    """Draw the instruments of the page's viewer or camera.

    Args:
        view: What the viewer returned; its maps are the ones that `numbers` are of.
        numbers: Of each of the viewer's maps, and of each panel that has facts alone, in their order, the printed
            numbers, or why there are none. Those that are missing are computed in the browser.
        more: Rows below the others by their names, each with a value for each of these.
        names: Heads of their columns where these do not stand under the maps; without one the map's title.
        key: The component's key on the page.
    """
    rows = [dict(zip(("id", "label", "help"), row, strict=True)) for row in ROWS]
    data: Json = {"of": view.id if view is not None else "", "numbers": list(numbers), "rows": rows}
    data |= {"more": more or {}, "names": list(names), "swatches": SWATCHES}
    _component(key=key, data=data)
