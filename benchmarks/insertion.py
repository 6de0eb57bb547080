"""Measure insertion and deletion on photographs.

What an answer loses and regains where pixels are hidden and shown in the order of a map.
"""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from benchmarks.pictures import list_photographs
from benchmarks.report import Row, ends, grid, machine, page
from benchmarks.timing import SEED
from benchmarks.truth.columns import BASELINE, Column
from sightglass.explain import Explainer
from sightglass.explain.methods import METHODS
from sightglass.explain.trust import controls

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from benchmarks.report import Interval
    from benchmarks.truth.columns import Line
    from sightglass.explain.explanation import Explanation

    Map = NDArray[np.float32]
    Masks = NDArray[np.bool_]
    Filling = Callable[[Tensor, Tensor, np.random.Generator], Tensor]

MODELS = ("efficientnet-lite0",)
COMPARED = ("gradcam", "layercam", "sharp", "tested")
LINES: tuple[Line, ...] = tuple(("Sightglass", METHODS[name].name) for name in COMPARED)
CELLS = 14
"""Squares of a side that are hidden at once each: a tested map hides single pixels and discs."""
STEPS = 10
FIRST = 0.2
"""The part of the curves that the hottest places decide."""
MEASURES = ("whole curve", "first fifth")
HEAD = ("map", "whole curve", "over GradCAM", "first fifth", "over GradCAM")
ENOUGH = 100
"""Photographs of a whole run."""
SURE = 0.3
"""The least score of an answer: one that hardly stands loses little."""


def shuffle(picture: Tensor, _other: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a picture (1, C, H, W) with its pixels in random places."""
    pixels = picture.flatten(2)
    places = torch.from_numpy(rng.permutation(pixels.shape[2]))
    return pixels[..., places].view_as(picture)


FILLINGS: dict[str, Filling] = {
    "the picture's pixels in random places": shuffle,
    "another photograph": lambda _picture, other, _rng: other,
}
"""What stands at hidden places: a tested map takes the mean colour and a blur."""


def run(options: argparse.Namespace) -> Row:
    """Score the maps of a folder's photographs."""
    at = machine(torch.get_num_threads(), "cpu", ("torch", "timm", "numpy"))
    measured = {model: measure(model, options.dataset, options.count) for model in options.models or MODELS}
    tables: list[Row] = [
        {"model": model, "filling": filling, "photographs": len(column.values), "maps": figures(column)}
        for model, columns in measured.items()
        for filling, column in columns.items()
    ]
    complete = not options.models and all(table["photographs"] >= ENOUGH for table in tables)
    return {"machine": at, "complete": complete, "tables": tables}


def markdown(result: Row) -> str:
    how = HOW.format(sure=SURE, cells=CELLS, steps=STEPS)
    parts = []
    for table in result["tables"]:
        parts.append(f"## {table['model']}, hidden squares show {table['filling']}")
        parts.append(f"{table['photographs']} photographs.")
        parts.append(grid(HEAD, [cells_of(each) for each in table["maps"]]))
    return page("Insertion and deletion on photographs", "insertion", result["machine"], how, *parts)


HOW = """\
The most likely class of each photograph, with a score of at least {sure:g}. {cells} x {cells} squares of the input \
are hidden, or kept alone, hottest first, in {steps} steps. Insertion less deletion: the mean score with what is kept, \
less that without what is hidden. First fifth: of the steps up to 20 % of the squares alone. Hidden squares show what \
no map was made with. Over GradCAM: paired differences. In brackets 95 % bootstrap intervals over photographs.

Such curves punish fine maps: beyond its few hot places a sharp map orders hardly anything, and the order of the cold \
squares counts as much as that of the hot ones. The first fifth leaves those out."""


def figures(column: Column) -> list[Row]:
    """Return the intervals of each map, and of its differences to the first one."""
    first = LINES[0]
    return [
        {
            "map": line[1],
            **{measure: column.interval(line, measure) for measure in MEASURES},
            **{f"{measure}, over": column.interval(line, measure, first) for measure in MEASURES},
        }
        for line in column.lines
    ]


def cells_of(figure: Row) -> tuple[str, ...]:
    cells = [figure["map"]]
    for measure in MEASURES:
        cells += [ends(figure[measure]), signed(figure[f"{measure}, over"])]
    return tuple(cells)


def signed(interval: Interval) -> str:
    mean, low, high = interval
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


def measure(model: str, folder: Path | None, count: int) -> dict[str, Column]:
    """Return a column of measures for each filling."""
    columns = {filling: Column(measures=MEASURES) for filling in FILLINGS}
    rng = np.random.default_rng(SEED)
    explained = explain(model, folder)
    other = next(explained)[0].evidence.tensor
    for number, explanations in enumerate(islice(explained, count), 1):
        print(f"{model}: {number}", file=sys.stderr, flush=True)
        picture = explanations[0].evidence.tensor
        maps = maps_of(explanations, number)
        for name, fill in FILLINGS.items():
            filling = fill(picture, other, rng)
            columns[name].add({line: score(explanations[0], of, filling, rng) for line, of in maps.items()})
        other = picture
    return columns


def explain(model: str, folder: Path | None) -> Iterator[tuple[Explanation, ...]]:
    """Yield the most likely class of each photograph, explained by each method."""
    explainer = Explainer(model)
    for source in list_photographs(folder):
        explanations = explainer(source, top_k=1).with_methods(*COMPARED)
        sure = explanations[0].predictions[0].score >= SURE
        if sure and all(explanation.heatmaps[0].state == "ok" for explanation in explanations):
            yield explanations


def maps_of(explanations: Sequence[Explanation], number: int) -> dict[Line, Map]:
    """Return the maps (H, W), and two that look at no network."""
    values = (explanation.heatmaps[0].at_input for explanation in explanations)
    maps: dict[Line, Map] = dict(zip(LINES, values, strict=True))
    picture = explanations[0].evidence.tensor[0].numpy()
    maps[BASELINE, "edges"] = controls.edges(picture)
    maps[BASELINE, "random"] = controls.random_map(picture.shape[1:], (CELLS, CELLS), number)
    return maps


def score(explanation: Explanation, values: Map, filling: Tensor, rng: np.random.Generator) -> list[float]:
    """Return insertion less deletion, of the whole curve and its first fifth."""
    picture, target = explanation.evidence.tensor, explanation.predictions[0].index
    shown = torch.from_numpy(masks(values, rng))[:, None]
    network = explanation.evidence.loaded.adapter.module
    kept = scores(network, torch.where(shown, picture, filling), target)
    left = scores(network, torch.where(shown, filling, picture), target)
    difference = kept - left
    return [float(difference.mean()), float(difference[: round(FIRST * STEPS) + 1].mean())]


def masks(values: Map, rng: np.random.Generator) -> Masks:
    """Return the hottest squares of each step, (STEPS + 1, H, W).

    Equally hot ones are in random order.
    """
    cells = cv2.resize(values, (CELLS, CELLS), interpolation=cv2.INTER_AREA).ravel()
    rank = np.empty(cells.size)
    rank[np.lexsort((rng.random(cells.size), -cells))] = np.arange(cells.size) / cells.size
    shares = np.arange(STEPS + 1) / STEPS
    whole = cv2.resize(rank.reshape(CELLS, CELLS), values.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(whole < shares[:, None, None])


@torch.no_grad()
def scores(network: nn.Module, pictures: Tensor, target: int) -> NDArray[np.float64]:
    """Return a class's scores of pictures (B, C, H, W), (B,)."""
    return np.asarray(network(pictures).softmax(1)[:, target].double())
