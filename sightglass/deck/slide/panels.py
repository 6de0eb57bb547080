"""Choose and describe the maps of a slide; label its boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.deck.slide.items import PageRect, Text
from sightglass.deck.slide.text_fit import LINE, cut_to_width, width_of
from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.deck import Scene
    from sightglass.deck.scene import Fraction

LETTERS = 2.6
_MOST = 12
"""Boxes that are named; more of them would hide the picture."""


def choose_map(scene: Scene, panel: int) -> int | None:
    """Return the map that a panel shows first: its own first one, or of another chosen answer that of the same name."""
    view, maps = scene.view, scene.panels[panel].maps
    if view.mode == "picture" or not maps:
        return None
    if panel == view.panel or not view.map:
        return min(view.map, len(maps) - 1)
    first = scene.panels[min(view.panel, len(scene.panels) - 1)].maps
    label = first[min(view.map, len(first) - 1)].label if first else ""
    return next((i for i, one in enumerate(maps) if one.label == label), 0)


def describe_making(scene: Scene) -> str:
    """Say in a few lines what made a scene: models, answers, how its maps are drawn, and the commands that make them.

    Empty where no model did.
    """
    lines = []
    for panel in (one for one in scene.panels if one.answers or one.maps):
        said = ", ".join(f"{label} {percent(score)}" for label, score in panel.answers[:3])
        if scene.kind != "classes":
            lines.append(f"{panel.name}: {said}." if said else f"{panel.name}.")
        elif panel is scene.panels[0]:
            lines.append(f"Answers: {said}.")
        if panel.maps:
            lines.append(f"Heat maps, as layers: {', '.join(one.label for one in panel.maps)}.")
            lines += [f"Seal of {one.label}: {one.seal}." for one in panel.maps if one.seal]
    if any(panel.maps for panel in scene.panels):
        view = scene.view
        at = f", values from {view.threshold:.2f}" if view.threshold else ""
        lines.append(f"Drawn as {view.mode} in {view.colormap}, opacity {view.opacity:.2f}{at}.")
    if scene.commands:
        lines += ["Made again by:", *dict.fromkeys(scene.commands)]
    return "\n".join(lines)


def box_labels(boxes: Sequence[tuple[Fraction, str, float]], place: PageRect, chosen: Sequence[int]) -> list[Text]:
    """Return a label for each box that has room for one, the chosen ones first.

    A label stands above its box, else at the top inside, below, or at the bottom inside.
    """
    found: list[Text] = []
    order = sorted(range(len(boxes)), key=lambda i: (i not in chosen, i))[:_MOST]
    for i in order:
        box, label, score = boxes[i]
        words = cut_to_width(f"{label} {percent(score)}", place.width - 1, LETTERS, bold=True)
        wide, high = width_of(words, bold=True) * LETTERS + 1, LETTERS * LINE + 0.3
        left = min(place.left + box[0] * place.width, place.right - wide)
        top, bottom = (place.top + box[at] * place.height for at in (1, 3))
        spots = [PageRect(left, at, wide, high) for at in (top - high, top, bottom, bottom - high)]
        inside = [one for one in spots if one.top >= place.top - 1e-6 and one.bottom <= place.bottom + 1e-6]
        free = next((one for one in inside if not any(one.overlaps(other.place) for other in found)), None)
        if free is not None:
            found.append(Text(f"Label {i}", words, free, LETTERS, bold=True, tone="chosen" if i in chosen else "tag"))
    return found
