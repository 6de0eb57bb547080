"""Score the methods of several libraries on pictures whose cause is known, and report which find it."""

from __future__ import annotations

import hashlib
import math
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image as Pillow

from benchmarks.known import networks
from benchmarks.known.contenders import METHODS, explain
from benchmarks.known.protocols import PROTOCOLS, Item
from benchmarks.processes import ROOT
from benchmarks.report import Interval, Row, ends, grid, machine, page, with_part
from benchmarks.timing import SEED
from benchmarks.truth.measures import MEASURES, baseline_maps, measured
from benchmarks.truth.ranking import RESAMPLES
from benchmarks.truth.report import HEAD
from sightglass.common.errors import ModelProblem

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from benchmarks.truth.measures import Map

Line = tuple[str, str]
"""A library and its method, or `BASELINE` and the name of one."""
BASELINE = "no network"
LEVEL = 0.05
SHORT = 3
"""Pictures of each kind in a short run."""
DOCS, PICTURE = ROOT / "docs/known-causes.md", ROOT / "docs/images/known-causes.webp"
MARKS = ("<!-- measured: written by `python -m benchmarks known` -->\n", "<!-- measured: end -->\n")
DRAWN: dict[str, Line] = {
    "Grad-CAM": ("pytorch-grad-cam", "GradCAM"),
    "LayerCAM": ("Sightglass", "LayerCAM"),
    "Integrated Gradients": ("captum", "IntegratedGradients"),
    "edges": (BASELINE, "edges, smoothed"),
}
"""Methods whose maps are in the picture."""


@dataclass
class Column:
    """The scores of all lines on one kind of picture."""

    values: list[dict[Line, list[float]]] = field(default_factory=list)
    """Of each picture the `MEASURES` of each line."""
    pictures: Any = field(default_factory=hashlib.sha256)
    example: tuple[Item, dict[Line, Map | None]] | None = None

    def of(self, line: Line, measure: str = "hit") -> NDArray[np.float64]:
        return np.array([row[line][MEASURES.index(measure)] for row in self.values])

    @property
    def lines(self) -> list[Line]:
        return list(self.values[0])

    @property
    def best(self) -> Line:
        """Return the baseline that most often hits the cause."""
        return max((line for line in self.lines if line[0] == BASELINE), key=lambda line: self.of(line).mean())

    def interval(self, line: Line, measure: str, other: Line | None = None) -> Interval:
        """Return a mean, or a mean paired difference, and its 95 % bootstrap interval."""
        values = self.of(line, measure) - (0 if other is None else self.of(other, measure))
        count = len(values)
        drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES) @ values / count
        low, high = np.percentile(drawn, (2.5, 97.5)).tolist()
        return float(values.mean()), low, high

    def chance(self, line: Line) -> float:
        """Return the chance of hitting so much oftener than the best baseline (McNemar's exact test, one-sided)."""
        ahead = self.of(line) - self.of(self.best)
        wins, count = int((ahead > 0).sum()), int((ahead != 0).sum())
        return sum(math.comb(count, at) for at in range(wins, count + 1)) / 2**count


def holm(chances: Mapping[Any, float]) -> dict[Any, float]:
    """Return the chances, corrected for how many there are (Holm 1979)."""
    corrected, least = {}, 0.0
    for rank, key in enumerate(sorted(chances, key=lambda key: chances[key])):
        least = max(least, min(1.0, chances[key] * (len(chances) - rank)))
        corrected[key] = least
    return corrected


def run(options: argparse.Namespace) -> Row:
    """Score every method on every protocol; a whole run writes the docs' table and picture."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    at = machine(1, "cpu")
    columns: dict[str, Column] = {}
    for name, (draw, count) in PROTOCOLS.items():
        for number, item in enumerate(draw(SHORT if options.short else count), 1):
            print(f"\r{name}: {number}   ", end="", file=sys.stderr, flush=True)
            score(item, number, columns)
    if networks.digest() != networks.DIGEST:
        raise ModelProblem(f"{networks.WEIGHTS.name} is not the file that the reports are of: check it out again.")
    tests = {(name, line): of.chance(line) for name, of in columns.items() for line in of.lines if line[0] != BASELINE}
    corrected, complete = holm(tests), not options.short
    if complete:
        DOCS.write_text(with_part(DOCS.read_text("utf-8"), table(columns, corrected) + "\n", MARKS), "utf-8")
        draw_examples(columns).save(PICTURE, quality=85)
    report = page("Methods that find a known cause", "known", at, *details(columns, corrected))
    figures = {name: {" ".join(line): of.interval(line, "hit") for line in of.lines} for name, of in columns.items()}
    return {"machine": at, "complete": complete, "report": report, "hits": figures}


def markdown(result: Row) -> str:
    return str(result["report"])


def score(item: Item, number: int, columns: dict[str, Column]) -> None:
    """Add the measures of all methods' maps of a picture to its columns."""
    maps = {line: explain(method, item.network, item.picture, item.target) for line, method in METHODS.items()}
    for name, (mask, region) in item.causes.items():
        high, wide = mask.shape
        down, across = region or (slice(0, high), slice(0, wide))
        box = float(across.start), float(down.start), float(across.stop), float(down.stop)
        blind = baseline_maps(item.pixels, box, None, number, min(4.0, high / 16))
        blind = {key: values for key, values in blind.items() if region or "box" not in key}
        every = maps | {(BASELINE, key): values for key, values in blind.items()}
        column = columns.setdefault(name, Column())
        column.values.append({line: measured(values, (mask, region))[0] for line, values in every.items()})
        column.pictures.update(item.pixels.tobytes() + mask.tobytes())
        column.example = column.example or (item, every)


def found(columns: Mapping[str, Column], corrected: Mapping[Any, float]) -> str:
    """Say on which kinds of pictures no method finds the cause better than the best baseline."""
    none = [name for name, of in columns.items() if not any(corrected.get((name, x), 1) < LEVEL for x in of.lines)]
    start = f"{len(corrected)} comparisons, corrected together (Holm, {LEVEL:.0%})."
    return f"{start} Nothing is better than the best baseline on: {', '.join(none) or 'none of them'}."


def table(columns: Mapping[str, Column], corrected: Mapping[Any, float]) -> str:
    """Return the one table: of each method the share of hits on each kind of picture."""
    lines = list(dict.fromkeys(line for of in columns.values() for line in of.lines))

    def better(line: Line) -> int:
        return sum(corrected.get((name, line), 1) < LEVEL for name in columns)

    def cell(name: str, line: Line) -> str:
        percent = f"{100 * columns[name].of(line).mean():.0f}" if line in columns[name].lines else "–"
        return f"**{percent}**" if corrected.get((name, line), 1) < LEVEL else percent

    methods = sorted((line for line in lines if line[0] != BASELINE), key=better, reverse=True)
    rows = [(*line, *(cell(name, line) for name in columns), str(better(line))) for line in methods]
    rows += [(*line, *(cell(name, line) for name in columns), "") for line in lines if line[0] == BASELINE]
    rows.append(("", "pictures", *(str(len(of.values)) for of in columns.values()), ""))
    return f"{grid(('library', 'method', *columns, 'better'), rows)}\n\n{found(columns, corrected)}"


def details(columns: Mapping[str, Column], corrected: Mapping[Any, float]) -> Iterator[str]:
    """Yield every measure of every line on each kind of picture."""
    yield found(columns, corrected)
    yield f"Weights of the trained networks: `{networks.digest()}`. In brackets 95 % bootstrap intervals."
    for name, of in columns.items():
        rows = []
        for line in sorted(of.lines, key=lambda line: -of.of(line).mean()):
            measures = (ends(of.interval(line, measure)) for measure in MEASURES)
            over = ends(of.interval(line, "hit", of.best)) if line[0] != BASELINE else ""
            chance = f"{corrected[name, line]:.3f}" if line[0] != BASELINE else ""
            rows.append((*line, *measures, over, chance))
        yield f"## {name}"
        yield f"{len(of.values)} pictures, `{of.pictures.hexdigest()[:16]}`; best baseline: {of.best[1]}."
        yield grid(("library", "method", *HEAD, "hits over the baseline", "p"), rows)


def draw_examples(columns: Mapping[str, Column], side: int = 144) -> Pillow.Image:
    """Return a picture of each kind with its cause outlined, and below it the maps of `DRAWN`."""
    strips = []
    for name, of in columns.items():
        assert of.example is not None
        item, maps = of.example
        size = side, side
        shown = cv2.resize(item.pixels, size, interpolation=cv2.INTER_NEAREST)
        mask = cv2.resize(item.causes[name][0].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        tiles = [shown]
        for line in DRAWN.values():
            values = maps.get(line)
            values = np.zeros(mask.shape, np.float32) if values is None else cv2.resize(values, size)
            scaled = np.uint8(255 * values / max(float(values.max()), 1e-9))
            tiles.append(cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB))
        tiles = [cv2.drawContours(np.ascontiguousarray(tile), outlines, -1, (255, 80, 80), 1) for tile in tiles]
        strips.append(np.concatenate([np.pad(tile, ((2, 2), (2, 2), (0, 0)), constant_values=255) for tile in tiles]))
    return Pillow.fromarray(np.concatenate(strips, 1))
