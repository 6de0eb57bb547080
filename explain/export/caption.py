"""The words under a figure: what the map is of, how it was made, what its colours stand for, and by which versions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from common.errors import Problem
from explain.findings.diagnosis import diagnose
from explain.methods import METHODS
from explain.phrases import percent
from models.preprocess import WAYS

if TYPE_CHECKING:
    from explain.maps.heatmap import Heatmap
    from explain.recipe import Recipe
    from explain.result import Result
    from models.adapter import Prediction

PARTS = {"class": "", "contrast": " against the other classes", "objectness": ", that something is there"}
PARTS |= {"all": ", class and box"} | {side: f", its {side} side" for side in ("left", "top", "right", "bottom")}
STATES = {
    "flat": "every place is equally warm",
    "no evidence": "nothing speaks for it",
    "not a number": "what was computed is not a number",
}
"""Why a map shows nothing, as the second half of a sentence."""


def checked(explanation: Result, index: int) -> Heatmap:
    """The heatmap at a place; a Problem, one sentence, where there is none."""
    many = len(explanation.heatmaps)
    if not many:
        raise Problem(f"There is no map of {explanation.image.name} to export: the model found nothing in it.")
    if not 0 <= index < many:
        raise Problem(f"There is no map {index}: there are {many}, from 0.")
    return explanation.heatmaps[index]


def score(explanation: Result, index: int) -> float | None:
    """How sure the model is of what a map is of; None where that is not among its answers."""
    target = explanation.heatmaps[index].target.index
    own = explanation.own(index) or [p for p in explanation.predictions if p.index == target]
    return max((p.score for p in own), default=None)


def title(explanation: Result, index: int) -> str:
    """`minibus, 62 %`."""
    sure = score(explanation, index)
    label = explanation.heatmaps[index].target.label
    return label if sure is None else f"{label}, {percent(sure)}"


def said(prediction: Prediction) -> str:
    return f"{prediction.label} {percent(prediction.score)}"


def number(value: float) -> str:
    """Three significant digits, with a true minus."""
    return f"{value:.3g}".replace("-", "−")


def bar(heatmap: Heatmap) -> tuple[tuple[str, str, str], str]:
    """What stands at 0, in the middle and at 1 of the colour bar, and what these are."""
    if heatmap.ends is not None:
        low, high = heatmap.ends
        return (number(low), number((low + high) / 2), number(high)), "raw value, below 0 cut off"
    many = len(heatmap.layers)
    of = f"mean of {many} layers, each on a scale of its own" if many > 1 else "on a scale of its own"
    return ("0", "0.5", "1"), of


def caption(explanation: Result, index: int) -> str:
    """All of it in one paragraph."""
    heatmap, recipe = explanation.heatmaps[index], explanation.recipe
    method, layers = METHODS[heatmap.method], list(heatmap.layers)
    part = PARTS.get(recipe.part, f", its {recipe.part}")
    fit = WAYS.get(recipe.preprocessing, recipe.preprocessing)
    where = f"layer{'s' if len(layers) > 1 else ''} {', '.join(layers)}"
    one = "the maximum of all maps of this picture" if heatmap.scale == "shared" else "this map's own maximum"
    sentences = [
        f"{explanation.image.name}: {method.name} ({method.paper}) of {recipe.model} for {title(explanation, index)}"
        f"{part}; {where}; fit: {fit[0].lower()}{fit[1:]}.",
        f"1 on the scale is {one}.",
    ]
    if heatmap.state != "ok":
        sentences.append(f"The map is empty: {STATES[heatmap.state]}.")
    left, top, right, bottom = heatmap.seen
    if (right - left) * (bottom - top) < explanation.image.width * explanation.image.height:
        sentences.append("Faded: not seen by the model.")
    return " ".join([*sentences, made(explanation)])


def made(explanation: Result) -> str:
    """Versions and hashes, in one sentence."""
    recipe = explanation.recipe
    known = ("sightglass", "torch", "torchvision", "timm", "ultralytics")
    used = ", ".join(f"{name} {version}" for name, version in recipe.versions.items() if name in known)
    return f"{used}; weights {recipe.weights_sha256[:12]}, picture {recipe.picture_sha256[:12]} (sha256)."


def caveats(explanation: Result, index: int) -> list[str]:
    """What is to be said against a map, each with how serious it is; one line in any case."""
    words = {"serious": "Serious", "caution": "Caution", "note": "Note"}
    found = [f"{words[finding.level]}: {finding.text}" for finding in diagnose(explanation, index)]
    return found or ["Nothing was found against it."]


def listing(recipe: Recipe) -> str:
    """A recipe as JSON, a line for each of its fields."""
    fields = recipe.model_dump(mode="json").items()
    lines = (f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields)
    return "{\n" + ",\n".join(lines) + "\n}"
