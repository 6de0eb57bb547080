"""Measure which map explains a class against the next best one.

Its hottest places are hidden, and kept.

On drawn scenes the cause is known (`truth`); of a photograph it is not. What a map says matters is hidden from the
model, hottest first, and the margin is followed: the logit of the class that the model names, less the best other one.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.bootstrap import Line, Samples
from benchmarks.report import FOLDER, Row, ends, grid, machine, page
from benchmarks.timing import SEED
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.proof import controls
from sightglass.explain.proof.controls import ranking
from sightglass.explain.proof.curves import Order, Perturber
from sightglass.explain.proof.scores import scorer
from sightglass.explain.questions import settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation
    from sightglass.explain.proof import Filling
    from sightglass.explain.proof.curves import Curve

OUT = FOLDER / "WHY.md"
MODELS = ("efficientnet-lite0",)
PHOTOGRAPHS = 60
STEPS = 10
FILLINGS: tuple[Filling, ...] = ("blur", "mean")
PACKAGES = ("torch", "timm", "numpy")
ENDINGS = (".jpg", ".jpeg", ".png")
WHERE, PRESET = "where is it", "why this class"
BLIND = ("random", "random, finer", "edges", "centre")
MEASURES = ("deletion", "insertion", "advantage", "advantage in probability")


def why(models: Sequence[str], folder: Path | None, most: int | None) -> Row:
    """Measure maps of the photographs in a folder, one class each; raises ModelProblem without any."""
    files = drawn(folder, most or PHOTOGRAPHS)
    return {
        "machine": machine(1, "cpu", PACKAGES),
        "photographs": len(files),
        "models": [{"model": model, "lines": _lines(model, files)} for model in models or MODELS],
    }


def drawn(folder: Path | None, most: int) -> list[Path]:
    """Return `most` photographs of a folder, the same ones every time; raises ModelProblem without any."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS) if folder else []
    if not files:
        raise ModelProblem("Name a folder of photographs that the model knows: --dataset FOLDER.")
    random.Random(SEED).shuffle(files)
    return files[:most]


def _lines(model: str, files: Sequence[Path]) -> list[Row]:
    explainer = Explainer(model)
    values: dict[tuple[Line, str], list[tuple[float, ...]]] = {}
    for number, path in enumerate(files):
        for curve in _curves(explainer, path, number):
            line = (curve.name, "", "")
            values.setdefault((line, curve.filling), []).append(_measured(curve))
    return [_line(line, filling, values) for line in dict.fromkeys(line for line, _ in values) for filling in FILLINGS]


def _line(line: Line, filling: str, values: dict[tuple[Line, str], list[tuple[float, ...]]]) -> Row:
    def of(wanted: Line, measure: str) -> list[NDArray[np.float64]]:
        return [np.array(values[wanted, filling])[:, MEASURES.index(measure)]]

    samples = Samples([range(len(values[line, filling]))], of)
    return (
        {"map": line[0], "filling": filling}
        | {name: samples.mean(line, name) for name in MEASURES}
        | {f"{name} over where": samples.difference(line, (WHERE, "", ""), name) for name in MEASURES[2:]}
    )


def _measured(curve: Curve) -> tuple[float, ...]:
    probability = [float(np.trapezoid(one.score, dx=1 / STEPS)) for one in (curve.insertion, curve.deletion)]
    return curve.deletion.area, curve.insertion.area, curve.advantage, probability[0] - probability[1]


def _curves(explainer: Explainer, path: Path, number: int) -> list[Curve]:
    """Return the curves of all maps of the class that the model names, and of the maps that know nothing of it."""
    first: Explanation = explainer(path, top_k=1, part="contrast")
    perturber = Perturber(first.evidence, scorer(first.evidence, first.heatmaps[0].target, first.options))
    shape = first.heatmaps[0].content.shape
    made: dict[str, Any] = {
        name: explainer(path, targets=(first.predictions[0].index,), **options).heatmaps[0].content
        for name, options in choices(explainer).items()
    }
    grids = {"random": (7, 7), "random, finer": (28, 28)}
    made |= {name: controls.random_map(shape, grid, number) for name, grid in grids.items()}
    made |= {"edges": controls.edges(controls.pixels_of(perturber.picture)), "centre": controls.centre(shape)}
    # An empty map shows nothing: it hides at random.
    orders = [(name, ranking(one)) for name, one in made.items()]
    blank = ranking(made["random"])
    known = [Order(name, 0, blank if places is None else places) for name, places in orders if blank is not None]
    return [curve for filling in FILLINGS for curve in perturber.curves(known, filling, STEPS)]


def choices(explainer: Explainer) -> dict[str, dict[str, Any]]:
    """Return the maps to compare, as options of an explanation."""
    resident = explainer.resident
    *fine, last = settings(resident, "why")["layers"]
    return {
        WHERE: {**settings(resident, "where")},
        PRESET: {**settings(resident, "why")},
        "contrast, where's method and layer": {**settings(resident, "where"), "part": "contrast"},
        "contrast, LayerCAM, last layer": {"part": "contrast", "method": "layercam", "layers": (last,)},
        **{
            f"contrast, {name}, {path}": {"part": "contrast", "method": method, "layers": (path,)}
            for path in fine
            for method, name in (("layercam", "LayerCAM"), ("hirescam", "HiResCAM"))
        },
        "contrast, HiResCAM, the preset's layers": {"part": "contrast", "method": "hirescam", "layers": (*fine, last)},
    }


def markdown(result: Row) -> str:
    parts = []
    for model in result["models"]:
        head = ("map", "filling", *MEASURES, *(f"{name} over *{WHERE}*" for name in MEASURES[2:]))
        rows = [
            (
                line["map"],
                line["filling"],
                *(f"{line[name]:.2f}" for name in MEASURES),
                *(ends(line[f"{name} over where"]) for name in MEASURES[2:]),
            )
            for line in model["lines"]
        ]
        parts.append(f"## {model['model']}\n\n{grid(head, rows)}")
    return page(
        "Why this class: which map, on photographs",
        "why --dataset FOLDER",
        result["machine"],
        *parts,
        note=f" {result['photographs']} photographs of ImageNet's classes, a class each: the one that the model names. "
        f"Its margin, the logit less the best other one, as the hottest places of a map are hidden, or nothing else is "
        f"kept, in {STEPS} steps. Deletion and insertion: the area under the margin; advantage: insertion less "
        "deletion; in probability: the same of the class's probability. Hidden places are set to a blur of the "
        "picture, or to its mean colour. Differences are paired, with the 95 % interval of a bootstrap over "
        "photographs.",
    )
