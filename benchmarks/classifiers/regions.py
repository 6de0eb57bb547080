"""Measure whether a classifier's map shows the part that matters.

The map's hottest part in the object's region is hidden, and random blobs there instead: for classifiers what
`benchmarks.detectors.parts` is for boxes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import inside
from benchmarks.classifiers.why import OUT, choices, drawn
from benchmarks.inside import PRESET, WHERE
from benchmarks.report import Row, machine, page
from sightglass.explain import Explainer
from sightglass.explain.faithfulness.prove import object_of
from sightglass.explain.proof import controls
from sightglass.explain.proof.curves import Perturber
from sightglass.explain.proof.scores import scorer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["OUT", "markdown", "regions"]
MODELS = ("efficientnet-lite0",)
PHOTOGRAPHS = 300
PACKAGES = ("torch", "timm", "numpy")


def regions(models: Sequence[str], folder: Path | None, most: int | None) -> Row:
    """Measure the photographs in a folder, one region each; raises ModelProblem without any."""
    files = drawn(folder, most or PHOTOGRAPHS)
    return {
        "machine": machine(1, "cpu", PACKAGES),
        "models": [_measured(model, files) for model in models or MODELS],
    }


def _measured(model: str, files: Sequence[Path]) -> Row:
    explainer = Explainer(model)
    found = [_lost(explainer, path, number) for number, path in enumerate(files)]
    pictures = [path.name for path in files]
    return {"model": model, "photographs": len(files), "lines": inside.lines(pictures, inside.joined(found))}


def _lost(explainer: Explainer, path: Path, number: int) -> dict[Any, float]:
    """Return the share of its probability that the named class loses when the hottest part of each map is hidden."""
    first = explainer(path, top_k=1)
    perturber = Perturber(first.evidence, scorer(first.evidence, first.heatmaps[0].target, first.options))
    region, wanted = object_of(first, 0), choices(explainer)
    target = (first.predictions[0].index,)
    maps = {
        name: explainer(path, targets=target, **wanted[name]).heatmaps[0].content.astype(np.float64)
        for name in (WHERE, PRESET)
    }
    maps["where times why"] = maps[WHERE] * maps[PRESET]
    return inside.lost(perturber, maps | inside.blind(perturber.picture, region, number), region, number)


def markdown(result: Row) -> str:
    texts = [
        f"## {model['model']}, parts\n\n{model['photographs']} photographs. "
        f"{inside.verdict(model['lines'])}\n\n" + inside.table(model["lines"], "photographs", {})
        for model in result["models"]
    ]
    return page(
        "Why this class: which part of the object",
        "regions --dataset FOLDER",
        result["machine"],
        *texts,
        note=" Photographs of ImageNet's classes; the object's region is where *where is it* of the class that the "
        f"model names is hottest, {controls.REGION:.0%} of the picture. Lost: the share of its probability that this "
        f"class loses when the hottest {inside.SHARE:.0%} of the region by each map are hidden, and nothing else. "
        f"Random blobs: the mean of two random maps with cells of {inside.CELL} pixels. Hidden places are set to a "
        "blur of the picture, to its mean colour, or to colours interpolated from what is left (ROAD). Differences are "
        "paired, with the 95 % interval of a bootstrap over photographs.",
    )
