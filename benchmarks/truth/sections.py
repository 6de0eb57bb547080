"""Write the report's parts beside its tables: causes, cheats, the reference, slow methods, other trainings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import ends, grid
from benchmarks.truth.causes import BESIDE, SURE, rates
from benchmarks.truth.measures import MEASURES
from benchmarks.truth.verdict import Judged, countable
from explain.methods import METHODS
from models.demo.evaluation import SHORTCUTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.truth.causes import Shortcut
    from benchmarks.truth.measured import Measured
    from benchmarks.truth.peers import Agreement
    from benchmarks.truth.scores import Scores

QUESTIONS = {"where": '"Where is it?"', "why": '"Why this class?"'}


SHOWN = (("gradcam", "layer4"), ("layercam", "layer4"), ("hirescam", "layer3"), ("layercam", "layer2"))
"""Method and layer of the maps of cheats."""


def counterfactuals(found: Measured) -> Iterator[str]:
    yield "## Is it the cause?"
    yield (
        "One number of the scene is changed and the model is run again. Flips: the answer becomes the rival's (mark "
        f"swapped), or is no longer this class (mark or object removed; a detector's score falls below {SURE}). In "
        "brackets the mean loss of the class's own score."
    )
    models = list(found.changes)
    by = {model: rates(changes, lambda one: one.family) for model, changes in found.changes.items()}
    keys = sorted({key for one in by.values() for key in one})
    rows = [
        (
            *key,
            *(f"{one[key][1]:.0%} of {one[key][0]} ({one[key][2]:.2f})" if key in one else "" for one in by.values()),
        )
        for key in keys
    ]
    yield grid(("change", "things", *models), rows)


def cheats(shortcuts: Sequence[Shortcut]) -> Iterator[str]:
    if not shortcuts:
        return
    yield "## Cheats, caught"
    yield (
        "Scenes of the class that carried a shortcut in training, all with the shortcut. Named: how often the model "
        "names the class with it, and when it is taken away. Of those that it names with it: energy on the stamp and "
        f"{BESIDE} pixels around it (of the weave: on all that is no thing), on the object, and how often the hottest "
        "pixel is on the shortcut; class target."
    )
    rows = []
    for one in shortcuts:
        named = np.array(one.right, float).mean(0)
        for method, layers in SHOWN:
            line = (method, layers, "class")
            if line not in one.lines:
                continue
            energy, own, peak = one.values[:, one.lines.index(line)].mean(0)
            shown = (one.model, f"{one.data} {SHORTCUTS[one.data].label}", str(len(one.right)))
            named_as = (f"{named[0]:.0%} / {named[1]:.0%}", f"{METHODS[method].name} on {layers}")
            rows.append((*shown, *named_as, f"{energy:.2f}", f"{own:.2f}", f"{peak:.0%}"))
    yield grid(
        ("model", "scenes", "", "named with / without", "map", "on the shortcut", "on the object", "peak on it"), rows
    )


def peers(peers: Sequence[Agreement]) -> Iterator[str]:
    full = [one for one in peers if one.scenes]
    if not full:
        return
    yield "## pytorch-grad-cam"
    yield (
        "The library's own objects on networks built anew: same objects, of all classes, same layers and targets. "
        "Difference: the largest of any pixel of any map 0..1; EigenCAM and EigenGradCAM up to the sign, which the "
        "library leaves to the solver, and that is why its figures differ there. Figures: hits / AUC, the engine's and "
        "the library's."
    )
    rows = []
    for task in dict.fromkeys(one.task for one in full):
        of = [one for one in full if one.task == task]
        for question, name in dict.fromkeys(line for one in of for line in one.lines):
            has = [(one, one.lines.index((question, name))) for one in of if (question, name) in one.lines]
            worst = max((float(one.differences[:, i].max()) for one, i in has), default=float("nan"))
            lacks = np.isnan(worst)
            rows.append(
                (
                    task,
                    QUESTIONS[question],
                    name,
                    str(sum(len(one.scenes) for one, _ in has)),
                    "the engine has none" if lacks else f"{worst:.0e}",
                    "" if lacks else _pair([one.own[:, i] for one, i in has]),
                    _pair([one.theirs[:, i] for one, i in has]),
                )
            )
    yield grid(("task", "question", "method", "maps", "difference", "engine", "library"), rows)


def _pair(values: Sequence[np.ndarray[Any, Any]]) -> str:
    """Hits and AUC, each model with the same weight."""
    means = np.mean([one.mean(0) for one in values], 0)
    return f"{means[MEASURES.index('hit')]:.2f} / {means[MEASURES.index('auc')]:.2f}"


def slow(slow: Sequence[Scores]) -> Iterator[str]:
    if not slow:
        return
    yield "## Methods that run the model again"
    yield (
        "On few objects, all classes together; they explain the class. Hits / AUC at both questions; of a detector the "
        "library's methods take the strongest candidate of the class."
    )
    rows = []
    for task in dict.fromkeys(one.task for one in slow):
        of = [one for one in slow if one.task == task and one.scenes]
        for line in dict.fromkeys(line for one in of for line in one.lines if line[0] in METHODS or line[0] == "edges"):
            has = [one for one in of if line in one.lines]
            pairs = [_pair([one.values[question][:, one.lines.index(line)] for one in has]) for question in QUESTIONS]
            name = METHODS[line[0]].name if line[0] in METHODS else line[0]
            rows.append((task, name, line[1], str(sum(len(one.scenes) for one in has)), *pairs))
    yield grid(("task", "method", "layers", "maps", "where", "why"), rows)


def seeds(seeds: Sequence[Scores]) -> Iterator[str]:
    if not seeds:
        return
    yield "## Other trainings"
    yield "The same recipes from other seeds: the defaults' figures and the line that ranks first."
    rows = []
    for one in seeds:
        for question, name in QUESTIONS.items():
            judged = Judged([one], question, countable(question))
            best = judged.best()[0][1]
            default = judged.row(judged.default)
            rows.append((one.model, name, ends(default["hit"]), ends(default["auc"]), " on ".join(best[:2])))
    yield grid(("training", "question", "default's hits", "AUC", "best"), rows)
