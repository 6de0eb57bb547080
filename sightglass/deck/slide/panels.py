"""Say which maps a slide shows, and how they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from sightglass.deck import Scene


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
