"""Report results on drawn scenes as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.report import differences, ends, grid
from benchmarks.truth.measures import MEASURES
from benchmarks.truth.ranking import DECIDING, Judged
from benchmarks.truth.scenes import QUESTIONS
from sightglass.explain.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.report import Interval
    from benchmarks.truth.scores import Scores

Table = dict[str, Any]
HEAD = ("hits", "energy", "IoU", "AUC")
NAMES = dict(zip(MEASURES, HEAD, strict=True))
GROUPS = {
    "Detectors": ("demo-s", "demo-m", "demo-l"),
    "Convolutional classifiers": ("demo-cls-s", "demo-cls-m", "demo-cls-l"),
    "Transformer": ("demo-vit",),
    "A detector whose boxes are queries": ("demo-detr",),
}
"""Models with the same layers; the first two groups speak for their task."""
ASKED = {"where": '"Where is it?"', "why": '"Why this class?"'}


def scenes_section(tables: Sequence[Table], scenes: int) -> list[str]:
    """Return the section on all lines; `tables`: of `ranking.table`."""
    rows = [
        (
            title(each),
            _name(each["default"]).replace("*", ""),
            ends(each["default"]["hit"]),
            ends(each["default"]["auc"]),
            f"{each['strongest']['hit']['line'][0]} {each['strongest']['hit']['hit'][0]:.2f}",
            f"{each['default']['place']} of {each['of']}",
            _failing(each),
        )
        for each in tables
    ]
    head = ("task and question", "default", "hits", "AUC", "best baseline's hits", "its place", "fail")
    return [
        SCENES.format(scenes=scenes),
        MEASURED,
        "## What follows",
        grid(head, rows),
        *(f"**{title(each)}.** {words(each)}" for each in tables),
        *(part for each in tables for part in describe(each)),
    ]


def title(table: Table) -> str:
    group = next(name for name, models in GROUPS.items() if table["models"][0] in models)
    return f"{group}, {ASKED[table['question']]}"


def words(table: Table) -> str:
    """Return the verdict as a paragraph, within the intervals."""
    default, first, over = table["default"], table["first"][0], table["over"]
    baselines = ((measure, table["strongest"][measure]) for measure in DECIDING)
    named = ", ".join(f"{NAMES[measure]} {row['line'][0]} {row[measure][0]:.2f}" for measure, row in baselines)
    parts = [f"Best mean rank of {table['of']}: {_name(first)} ({_means(first)})."]
    if default["place"] == 1:
        parts.append("It is the default.")
    else:
        parts.append(
            f"The default, {_name(default)}, has place {default['place']} ({_means(default)}); the best is "
            f"{differences(table['to_default'], NAMES)} from it."
        )
    parts.append(f"Best baselines: {named}; the default is {differences(_deciding(over), NAMES)} from them.")
    if table["wrong"]:
        parts.append(f"The wrong class's map instead: {differences(_deciding(table['wrong']['to']), NAMES)}.")
    parts.append(f"Fail on these layers: {_failing(table) or 'none'}.")
    return " ".join(parts)


def _deciding(intervals: dict[str, Interval]) -> dict[str, Interval]:
    return {measure: intervals[measure] for measure in DECIDING}


def _failing(table: Table) -> str:
    return ", ".join(METHODS[row["line"][0]].name for row in table["methods"] if row["fails"])


def _name(row: Table) -> str:
    method, layers, part = row["line"]
    return f"**{METHODS[method].name} on {layers}**, {part}"


def _means(row: Table) -> str:
    return ", ".join(f"{NAMES[measure]} {row[measure][0]:.2f}" for measure in MEASURES)


def _numbers(row: Table) -> tuple[str, ...]:
    return tuple(ends(row[measure]) for measure in MEASURES)


def describe(table: Table) -> Iterator[str]:
    """Yield a question's tables: best lines, methods, choices of layers."""
    default, place = table["default"], table["default"]["place"]
    named = [("default" if i == place else "", row) for i, row in enumerate(table["first"], 1)]
    named += [(f"default, place {place}", default)] if place > len(named) else []
    named += [("wrong class", table["wrong"])] if table["wrong"] else []
    named += [("baseline", row) for row in table["baselines"]]
    rows = [(name, *row["line"], f"{row['rank']:.1f}" if "rank" in row else "", *_numbers(row)) for name, row in named]
    methods = [
        (METHODS[row["line"][0]].name, row["line"][2], *_numbers(row), "**fails**" if row["fails"] else "")
        for row in table["methods"]
    ]
    layers = list(dict.fromkeys(line[1] for line, _, _ in table["cells"]))
    at = {tuple(line[:2]): f"{hit:.2f} / {auc:.2f}" for line, hit, auc in table["cells"]}
    by_layers = [
        (METHODS[m].name, *(at.get((m, layer), "") for layer in layers)) for m in dict.fromkeys(m for m, _ in at)
    ]
    yield f"## {title(table)}"
    objects = ", ".join(f"{name} {count}" for name, count in zip(table["models"], table["objects"], strict=True))
    yield f"Objects: {objects}."
    yield grid(("", "method", "layers", "target", "mean rank", *HEAD), rows)
    yield f"Every method on {default['line'][1]}, or on the layer that it names:"
    yield grid(("method", "target", *HEAD, ""), methods)
    yield f"Hits / AUC by layers, target {default['line'][2]}:"
    yield grid(("method", *layers), by_layers)


def own_layer_rows(models: Sequence[Scores]) -> str:
    """Return the table of methods with their own layers."""
    rows = []
    for judged in (Judged([of], question) for of in models for question in QUESTIONS):
        ranked = [line for _, line in judged.ranked(judged.at_default())]
        for line in (*ranked, judged.strongest("hit")):
            name = METHODS[line[0]].name if line[0] in METHODS else f"baseline: {line[0]}"
            name += " (default)" if line == judged.default else ""
            fails = "**fails**" if line[0] in METHODS and judged.fails(line) else ""
            about = (judged.models[0].model, ASKED[judged.question], name, line[1], f"{sum(judged.objects)}")
            rows.append((*about, *_numbers(judged.row(line)), fails))
    return grid(("model", "question", "method", "layers", "objects", *HEAD, ""), rows)


SCENES = """\
Up to {scenes} drawn scenes a model that no training has seen (`training/demo/scenes.py`), of each one labelled object \
that the model gets right: a detector's box with IoU >= 0.5 and the right class, explained at its own candidate, drawn \
at random; a classifier's one object. **Where is it?** is measured against the object's visible pixels. **Why this \
class?** against the pixels that make it this class and not its rival: the disc that holds the mark of a rod or a \
plate, both places that a moon's pearl can be at. Only these classes count there; and only objects whose mark is shown \
to be the cause: swapped for the rival's, it makes the model name the rival."""
MEASURED = """\
Hits: the hottest pixel is on those pixels, no tolerance. Energy: the share of the map's sum on them. IoU: of them and \
as many of the hottest pixels. AUC: ranking of their pixels against all others of the picture, for "why" against all \
others in the object's own box. An empty map hits nothing and has an AUC of .5. In brackets the 95 % interval of a \
bootstrap over scenes; models count alike; differences are paired. The rank is the mean of the ranks in all four. A \
method **fails** that is better than the best baseline neither at hits nor in AUC. Baselines: smooth noise, a blob in \
the middle, Sobel edges as they are, blurred by 4 pixels, and (for "why") cut to the object's true box; the box of \
the detector, filled; an empty map. The wrong class is the rival's logit, or the runner-up's, at the same place."""
OWN_LAYER = """\
Methods that are slow or name their own layer, beside each model's default and the best baseline at hits. Objects, \
measures, intervals and what fails are those at the top of this page, on fewer scenes: of a map of pixels, which is \
smoothed as it is on a screen, only what raises the target counts. Guided GradCAM is where GradCAM is at each \
question's layers. \
Methods that run the model many times explain the class alone; FullGrad takes all layers, whichever is named. \
The menu of methods says these figures, of detectors and of classifiers those of the first model here."""
QUERIES = """\
{model} is an RT-DETR with the body of demo-m: its boxes are queries. Its encoder is the neck, so that all neck \
outputs are what the decoder reads. Of each of {scenes} drawn scenes one object that it gets right is explained, as at \
the top of this page, by gradients at its backbone and its encoder, and by the last cross-attention of the box's own \
query, which knows no class."""
