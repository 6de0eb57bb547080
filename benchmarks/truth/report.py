"""Report results on drawn scenes as Markdown and one figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import differences, ends, grid, means, page
from benchmarks.truth.causes import BESIDE, SURE, rates
from benchmarks.truth.measures import MEASURES
from benchmarks.truth.verdict import Judged, countable
from sightglass.explain.methods import METHODS
from training.evaluation import SHORTCUTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.bootstrap import Interval
    from benchmarks.truth.causes import Change, Shortcut
    from benchmarks.truth.peers import Agreement
    from benchmarks.truth.scores import Scores

Table = dict[str, Any]
HEAD = ("hits", "energy", "IoU", "AUC")
NAMES = dict(zip(MEASURES, HEAD, strict=True))
GROUPS = {
    "Detectors": ("demo-s", "demo-m", "demo-l"),
    "Convolutional classifiers": ("demo-cls-s", "demo-cls-m", "demo-cls-l"),
    "Transformer": ("demo-vit",),
}
"""Models with the same layers; the first two groups speak for their task."""
PLOT = "truth.png"
QUESTIONS = {"where": '"Where is it?"', "why": '"Why this class?"'}


SHOWN = (("gradcam", "layer4"), ("layercam", "layer4"), ("hirescam", "layer3"), ("layercam", "layer2"))
"""Method and layer of the maps of cheats."""


@dataclass(frozen=True, slots=True)
class Size:
    scenes: int
    """For the tables, per model; one object each."""
    seeds: int
    """For each training from another seed."""
    changed: int
    """With a mark swapped, and so on."""
    shortcut: int
    """Of the one class that carries the shortcut."""
    peers: int
    """Also explained by pytorch-grad-cam."""
    slow: int
    """Also explained by methods that run the model repeatedly."""


@dataclass(frozen=True, eq=False)
class Measured:
    size: Size
    scores: list[Scores]
    seeds: list[Scores]
    """Of other trainings."""
    changes: dict[str, list[Change]]
    shortcuts: list[Shortcut]
    peers: list[Agreement]
    slow: list[Scores]
    machine: dict[str, Any]


def markdown(tables: Sequence[Table], found: Measured) -> str:
    """Return the whole report; `tables` are those of `verdict.table`."""
    size = found.size
    parts = [
        f"Up to {size.scenes} drawn scenes a model that no training has seen (`models/demo/scenes.py`), of each one "
        "labelled object that the model gets right: a detector's box with IoU >= 0.5 and the right class, explained "
        "at its own candidate, drawn at random; a classifier's one object. **Where is it?** is measured against the "
        "object's visible pixels. **Why this class?** against the pixels that make it this class and not its rival: "
        "the disc that holds the mark of a rod or a plate, both places that a moon's pearl can be at. Only these "
        "classes count there, textures and shapes stand apart; and only objects whose mark is shown to be the cause: "
        "swapped for the rival's, it makes the model name the rival.",
        "Hits: the hottest pixel is on those pixels, no tolerance. Energy: the share of the map's sum on them. IoU: "
        "of them and as many of the hottest pixels. AUC: ranking of their pixels against all others of the picture, "
        'for "why" against all others in the object\'s own box. An empty map hits nothing and has an AUC of .5. In '
        "brackets the 95 % interval of a bootstrap over scenes; models count alike; differences are paired. The rank "
        "is the mean of the ranks in all four. A method **fails** that is better than the best baseline neither at "
        "hits nor in AUC. Baselines: smooth noise, a blob amid the picture, Sobel edges as they are, blurred by 4 "
        'pixels, and (for "why") cut to the object\'s true box; the box of the detector, filled; an empty map. The '
        "wrong class is the rival's logit, or the runner-up's, at the same place.",
        f"![Hits by method]({PLOT})",
        "Hits of each method on the layers and with the target of each question. Grey: the best baseline; red: fails.",
        "## What follows",
        *(f"**{title(one)}** {words(one)}" for one in tables),
        *(part for one in tables for part in _table(one)),
        *_counterfactuals(found),
        *_cheats(found.shortcuts),
        *_peers(found.peers),
        *_slow(found.slow),
        *_seeds(found.seeds),
    ]
    return page("Where maps are right", "truth --full", found.machine, *parts)


def summary(tables: Sequence[Table]) -> str:
    """Return the short section for the page of all results."""
    rows = [
        (
            title(one).rstrip("."),
            _named(one["default"]).replace("*", ""),
            ends(one["default"]["hit"]),
            ends(one["default"]["auc"]),
            f"{one['strongest']['hit']} {_of(one, one['strongest']['hit'])['hit'][0]:.2f}",
            f"{one['default']['place']} of {one['of']}",
            _failing(one),
        )
        for one in tables
    ]
    return "\n\n".join(
        [
            "# Where maps are right",
            "Written by `python -m benchmarks truth --full`; do not edit by hand. On drawn scenes whose cause is "
            "known; all of it is in [TRUTH.md](TRUTH.md).",
            grid(("task and question", "default", "hits", "AUC", "best baseline's hits", "its place", "fail"), rows),
        ]
    )


def title(one: Table) -> str:
    group = next(name for name, models in GROUPS.items() if one["models"][0].partition(" ")[0] in models)
    return f"{group}, {QUESTIONS[one['question']]}."


def words(one: Table) -> str:
    """Return the verdict as a paragraph; it claims only what the intervals show."""
    default, first, over = one["default"], one["first"][0], one["over"]
    wrong = {m: _minus(one["wrong"]["to"][m]) for m in ("hit", "auc")}
    baselines = ((m, one["strongest"][m]) for m in ("hit", "auc"))
    parts = [
        f"Best mean rank of {one['of']}: {_named(first)} ({means(first, MEASURES, NAMES)}).",
        "It is the default."
        if default["place"] == 1
        else f"The default, {_named(default)}, has place {default['place']} ({means(default, MEASURES, NAMES)}); the "
        f"best is {differences(one['to_default'], NAMES)} from it.",
        f"Best baselines: {', '.join(f'{NAMES[m]} {name} {_of(one, name)[m][0]:.2f}' for m, name in baselines)}; the "
        f"default is {differences({m: over[m] for m in ('hit', 'auc')}, NAMES)} from them.",
        f"The wrong class's map instead: {differences(wrong, NAMES)}.",
        f"Fail on these layers: {_failing(one) or 'none'}.",
    ]
    if one["told"]:
        parts.append(
            "Baselines that are given the box: "
            + "; ".join(f"{row['line'][0]} hits {row['hit'][0]:.2f}, AUC {row['auc'][0]:.2f}" for row in one["told"])
            + "."
        )
    return " ".join(parts)


def _of(one: Table, baseline: str) -> Table:
    found: Table = next(row for row in one["baselines"] if row["line"][0] == baseline)
    return found


def _failing(one: Table) -> str:
    return ", ".join(METHODS[row["line"][0]].name for row in one["methods"] if row["fails"])


def _named(row: Table) -> str:
    method, layers, part = row["line"]
    return f"**{METHODS[method].name} on {layers}**, {part}"


def _minus(found: Interval) -> Interval:
    return -found[0], -found[2], -found[1]


def _table(one: Table) -> list[str]:
    objects = ", ".join(f"{name} {count}" for name, count in zip(one["models"], one["objects"], strict=True))
    default, place = one["default"], one["default"]["place"]
    shown = [("default" if i == place else "", row) for i, row in enumerate(one["first"], 1)]
    shown += [(f"default, place {place}", default)] if place > len(shown) else []
    shown.append(("wrong class", one["wrong"]))
    shown += [("baseline", row) for row in one["baselines"]] + [("given the box", row) for row in one["told"]]
    rows = [(name, *row["line"], f"{row['rank']:.1f}" if "rank" in row else "", *_numbers(row)) for name, row in shown]
    methods = [
        (METHODS[row["line"][0]].name, row["line"][2], *_numbers(row), "**fails**" if row["fails"] else "")
        for row in one["methods"]
    ]
    parts = [
        f"## {title(one).rstrip('.')}",
        f"Objects: {objects}.{_left_out(one)}",
        grid(("", "method", "layers", "target", "mean rank", *HEAD), rows),
        f"Every method on {one['default']['line'][1]}:",
        grid(("method", "target", *HEAD, ""), methods),
        f"Hits / AUC by layers, target {one['grid']['part']}:",
        _by_layers(one["grid"]),
    ]
    parts += [
        f"{METHODS[one['default']['line'][0]].name} as it is drawn, and moved up and left to where arithmetic has the "
        "cells of such a network look, (stride - 1) / 2 pixels; where they do look is another question (see [Where a "
        "map is drawn](#where-a-map-is-drawn)). Hits, IoU and AUC, and what it changes:",
        grid(
            ("layers", "as drawn", "moved", "difference"),
            [
                (
                    row["line"][1],
                    _three(row),
                    _three(row["moved"]),
                    differences({m: row["to"][m] for m in ("hit", "iou")}, NAMES),
                )
                for row in one["moved"]
            ],
        ),
    ]
    kinds = [
        (row["family"], f"{sum(row['objects'])}", which, *_numbers(row[key]))
        for row in one["families"]
        for key, which in (("default", "default"), ("best", "best above"), ("baseline", row["baseline"]["line"][0]))
    ]
    parts += ["By what makes the class:", grid(("class by", "objects", "map", *HEAD), kinds)]
    if len(one["models"]) > 1:
        each = [
            (row["model"], which, " on ".join(one for one in row[key]["line"][:2] if one), *_numbers(row[key]))
            for row in one["each"]
            for key, which in (("default", "default"), ("own", "its own best"), ("baseline", "baseline"))
        ]
        parts += ["By model:", grid(("model", "", "map", *HEAD), each)]
    return parts


def _left_out(one: Table) -> str:
    if not one["unused"]:
        return ""
    count, hit = ", ".join(map(str, one["unused"]["objects"])), ends(one["unused"]["hit"])
    return f" Left out, since a swapped mark does not turn the answer: {count}; on those the default hits {hit}."


def _three(row: Table) -> str:
    return " / ".join(f"{row[measure][0]:.2f}" for measure in ("hit", "iou", "auc"))


def _numbers(row: Table) -> tuple[str, ...]:
    return tuple(ends(row[measure]) for measure in MEASURES)


def _by_layers(made: Table) -> str:
    layers = list(dict.fromkeys(cell["line"][1] for cell in made["cells"]))
    methods = list(dict.fromkeys(cell["line"][0] for cell in made["cells"]))
    at = {tuple(cell["line"][:2]): f"{cell['hit']:.2f} / {cell['auc']:.2f}" for cell in made["cells"]}
    return grid(
        ("method", *layers), [(METHODS[m].name, *(at.get((m, layer), "") for layer in layers)) for m in methods]
    )


def _counterfactuals(found: Measured) -> Iterator[str]:
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


def _cheats(shortcuts: Sequence[Shortcut]) -> Iterator[str]:
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


def _peers(peers: Sequence[Agreement]) -> Iterator[str]:
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


def _slow(slow: Sequence[Scores]) -> Iterator[str]:
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


def _seeds(seeds: Sequence[Scores]) -> Iterator[str]:
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


def plot(tables: Sequence[Table], into: Path) -> None:
    """Hits of every method on each question's own layers, with intervals, beside the best baseline; a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6 * -(-len(tables) // 2)), dpi=100, layout="constrained")
    for place, one in enumerate(tables):
        axes = figure.add_subplot(-(-len(tables) // 2), 2, place + 1)
        names = [METHODS[row["line"][0]].name for row in one["methods"]]
        for at, row in enumerate(one["methods"]):
            mean, low, high = row["hit"]
            colour = "#b3261e" if row["fails"] else "#1a5fb4"
            axes.errorbar(mean, at, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=3, markersize=5)
        best = _of(one, one["strongest"]["hit"])
        axes.axvspan(*best["hit"][1:], color="#8a8a8a", alpha=0.35, lw=0)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(-0.02, 1.02)
        axes.set_title(f"{title(one).rstrip('.')} On {one['default']['line'][1]}", fontsize=9)
        axes.set_xlabel(f"hits; grey: {best['line'][0]}", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(axis="x", alpha=0.3)
    figure.savefig(into)
