"""Captions of maps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.common.errors import Problem
from sightglass.explain import phrases
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import own_boxes, percent
from sightglass.explain.rendering.style import Pixels
from sightglass.explain.tasks.task import describe_signs
from sightglass.explain.trust.diagnosis import diagnose
from sightglass.models.preprocess import WAYS
from sightglass.report.view import reduced_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.recipe import Recipe
    from sightglass.explain.result import Result


STATES = {
    "flat": "it is the same everywhere",
    "no evidence": "there is no evidence for it",
    "not a number": "its values are not numbers",
}
"""Why a map shows nothing, as the second half of a sentence."""


def check(explanation: Result, index: int) -> Heatmap:
    """Return the heatmap at `index`. Raises Problem."""
    many = len(explanation.heatmaps)
    if not many:
        raise Problem(f"There is no map of {explanation.image.name} to export: the model found nothing in it.")
    if not 0 <= index < many:
        raise Problem(f"There is no map {index}: there are {many}, from 0.")
    return explanation.heatmaps[index]


def check_format(format: str, formats: Sequence[str]) -> None:
    """Raise a Problem for a format that no figure has."""
    if format not in formats:
        raise Problem(f"There is no figure as {format}: use one of {', '.join(formats)}.")


def number(value: float) -> str:
    """Format three significant digits, with a true minus."""
    return f"{value:.3g}".replace("-", "−")


def bar(heatmap: Heatmap, unit: str = "") -> tuple[tuple[str, str, str], str]:
    """Return the colour bar's three labels and their meaning."""
    many = len(heatmap.layers)
    scaling = "scaled to its own maximum"
    if heatmap.signed:
        lowers, raises = label_ends(heatmap.ends, unit)
        about = "raw value" if heatmap.ends else f"mean of {many} layers, each {scaling}" if many > 1 else scaling
        return (lowers, "0", raises), about
    if heatmap.ends is not None:
        low, high = heatmap.ends
        return (number(low), number((low + high) / 2), number(high)), "raw value, negative values cut off"
    return ("0", "0.5", "1"), f"mean of {many} layers, each {scaling}" if many > 1 else scaling


def label_ends(ends: tuple[float, float] | None, unit: str) -> tuple[str, str]:
    """Return the ends of a signed map's colour bar: `lowers −3.1°`."""
    low, high = ("", "") if ends is None else (f" {phrases.quantity(end, unit)}" for end in ends)
    return f"lowers{low}", f"raises{high}"


def caption(explanation: Result, index: int) -> str:
    """Return the whole caption in one paragraph."""
    heatmap, recipe, task = explanation.heatmaps[index], explanation.recipe, explanation.task
    method, layers = METHODS[heatmap.method], list(heatmap.layers)
    name = method.name_for(explanation.model.task)
    fit = WAYS.get(recipe.preprocessing, recipe.preprocessing)
    adapter = explanation.evidence.resident.adapter
    if recipe.preprocessing == "trained" and adapter.resizing:
        fit = f"{fit} ({adapter.resizing})"
    where = f"layer{'s' if len(layers) > 1 else ''} {', '.join(layers)}" if method.at_layers else "on the input"
    maximum = "of all maps of this picture" if heatmap.scale == "shared" else "of this map"
    sentences = [
        f"{explanation.image.name}: {name} ({method.paper}) of {recipe.model} for "
        f"{task.name_map(explanation, index)}{task.describe_part(explanation)}; {where}; "
        f"fit: {fit[0].lower()}{fit[1:]}.",
        f"1 on the scale is the maximum {maximum}.",
    ]
    if heatmap.signed:
        sentences[-1] = f"1 and −1 on the scale are the largest absolute value {maximum}. " + describe_signs(
            heatmap, f"the {task.amount(explanation)}"
        )
    if heatmap.state != "ok":
        sentences.append(f"The map is empty: {STATES[heatmap.state]}.")
    left, top, right, bottom = heatmap.seen
    if (right - left) * (bottom - top) < explanation.image.width * explanation.image.height:
        sentences.append("The model did not see the faded part.")
    if (seal := explanation.known_checks(index)) is not None:
        sentences.append(f"Checks: {seal.line}.")
    return " ".join([*sentences, describe_versions(explanation)])


def describe_versions(explanation: Result) -> str:
    """Return versions and hashes in one sentence."""
    recipe = explanation.recipe
    known = ("sightglass", "torch", "torchvision", "timm", "ultralytics")
    used = ", ".join(f"{name} {version}" for name, version in recipe.versions.items() if name in known)
    return f"{used}; weights {recipe.weights_sha256[:12]}, picture {recipe.picture_sha256[:12]} (sha256)."


def caveats(explanation: Result, index: int) -> list[str]:
    """Return a map's limitations, each with its level."""
    words = {"serious": "Serious", "caution": "Caution", "note": "Note"}
    texts = [f"{words[finding.level]}: {finding.text}" for finding in diagnose(explanation, index)]
    return texts or ["No limitations found."]


def inside_boxes(explanation: Result, index: int) -> str:
    """Describe a map's evidence by boxes; empty without boxes."""
    numbers = explanation.box_numbers(index)
    if numbers is None:
        return ""
    words = own_boxes(explanation.options.per, len(explanation.own(index)))
    which = words.replace("own ", "")
    seal = explanation.known_checks(index)
    what = "The map" if seal is not None and seal.shows else "Evidence"
    return (
        f"{what} by boxes: {phrases.listing(numbers.describe(words))}; {which} {'is' if which == 'its box' else 'are'} "
        f"{percent(numbers.area)} of the area."
    )


def listing(recipe: Recipe) -> str:
    """Return a recipe as JSON, one line per field."""
    fields = recipe.model_dump(mode="json").items()
    lines = (f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields)
    return "{\n" + ",\n".join(lines) + "\n}"


def reduce(pixels: Pixels, longest: int) -> Pixels:
    """Return the picture, uint8 (H, W, 3), with no side above `longest`."""
    size = reduced_size(pixels.shape[1], pixels.shape[0], longest)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
