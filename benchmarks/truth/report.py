"""Report results on drawn scenes as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.report import ends, grid
from benchmarks.truth.measures import MEASURES
from sightglass.explain.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.truth.columns import Line

Table = dict[str, Any]
HEAD = ("hits", "energy", "IoU", "AUC")
GROUPS = {
    "Detectors": ("demo-s", "demo-m", "demo-l"),
    "Convolutional classifiers": ("demo-cls-s", "demo-cls-m", "demo-cls-l"),
    "Transformer": ("demo-vit",),
}
"""Models with the same layers."""
ASKED = {"where": '"Where is it?"', "why": '"Why this class?"'}


def scenes_section(tables: Sequence[Table], scenes: int) -> list[str]:
    """Return the section on all lines; `tables`: of `ranking.table`."""
    rows = [
        (
            title(each),
            _name(each["default"]["line"]),
            ends(each["default"]["hit"]),
            ends(each["default"]["auc"]),
            ends(each["over"]),
            f"{each['default']['place']} of {each['of']}",
            _name(each["first"][0]["line"]),
        )
        for each in tables
    ]
    head = ("task and question", "default", "hits", "AUC", "hits over the best baseline", "its place", "best")
    return [
        SCENES.format(scenes=scenes),
        MEASURED,
        "## What follows",
        grid(head, rows),
        *(part for each in tables for part in describe(each)),
    ]


def title(table: Table) -> str:
    group = next(name for name, models in GROUPS.items() if next(iter(table["objects"])) in models)
    return f"{group}, {ASKED[table['question']]}"


def _name(line: Line) -> str:
    method, layers, part = line
    return f"{METHODS[method].name} on {layers}, {part}"


def _numbers(row: Table) -> tuple[str, ...]:
    return tuple(ends(row[measure]) for measure in MEASURES)


def describe(table: Table) -> Iterator[str]:
    """Yield a question's tables: best lines, methods, choices of layers."""
    default, place = table["default"], table["default"]["place"]
    named = [("default" if i == place else "", row) for i, row in enumerate(table["first"], 1)]
    named += [(f"default, place {place}", default)] if place > len(named) else []
    rows = [(name, *row["line"], f"{row['rank']:.1f}", *_numbers(row)) for name, row in named]
    rows += [("baseline", row["line"][1], "", "", "", *_numbers(row)) for row in table["baselines"]]
    layers = list(dict.fromkeys(line[1] for line, _, _ in table["cells"]))
    at = {tuple(line[:2]): f"{hit:.2f} / {auc:.2f}" for line, hit, auc in table["cells"]}
    by_layers = [
        (METHODS[m].name, *(at.get((m, layer), "") for layer in layers)) for m in dict.fromkeys(m for m, _ in at)
    ]
    yield f"## {title(table)}"
    yield f"Objects: {', '.join(f'{model} {count}' for model, count in table['objects'].items())}."
    yield grid(("", "method", "layers", "target", "mean rank", *HEAD), rows)
    yield f"Hits / AUC by layers, target {default['line'][2]}:"
    yield grid(("method", *layers), by_layers)


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
bootstrap over objects; differences are paired. The rank is the mean of the ranks in all four. Baselines: smooth \
noise, a blob in the middle, Sobel edges as they are, blurred by 4 pixels, and (for "why") cut to the object's true \
box; an empty map. How often each method finds the cause where the product takes it is in \
[known.md](known.md#the-methods-of-the-menus)."""
