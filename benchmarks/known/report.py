"""Write the tables and draw the picture of the known causes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from benchmarks.known.controls import CONTROL, SHUFFLED
from benchmarks.known.halves import HALVES
from benchmarks.known.networks import digest
from benchmarks.report import ends, grid
from benchmarks.truth.columns import BASELINE, holm
from benchmarks.truth.report import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from benchmarks.known.items import Item
    from benchmarks.truth.columns import Column, Line
    from benchmarks.truth.measures import Map

    Columns = Mapping[str, Column]
    Corrected = Mapping[Any, float]

LEVEL = 0.05
SIZES = {"under 2 %": 0.02, "2 to 10 %": 0.1, "above 10 %": 1.1}
"""By name the share of the picture under the cause below which a cause is of that size; the last has all others."""
DRAWN: dict[str, Line] = {
    "Grad-CAM": ("pytorch-grad-cam", "GradCAM"),
    "LayerCAM": ("Sightglass", "LayerCAM"),
    "Integrated Gradients": ("captum", "IntegratedGradients"),
    "edges": (BASELINE, "edges, smoothed"),
}
"""Methods whose maps are in the picture."""
ROW = 9
"""Examples beside each other in the picture."""


def contends(line: Line) -> bool:
    """Return whether a line is a method's, and neither a baseline nor a control."""
    return line[0] not in (BASELINE, CONTROL)


def corrected_chances(columns: Columns) -> dict[Any, float]:
    """Return by column and method its chance of such a lead over the baselines."""
    tests = {(name, line): of.chance(line) for name, of in columns.items() for line in of.lines if contends(line)}
    return holm(tests)


def lines_of(columns: Columns) -> list[Line]:
    return list(dict.fromkeys(line for of in columns.values() for line in of.lines))


def is_better(corrected: Corrected, name: str, line: Line) -> bool:
    return corrected.get((name, line), 1) < LEVEL


def count_better(columns: Columns, corrected: Corrected, line: Line) -> int:
    return sum(is_better(corrected, name, line) for name in columns)


def ordered(columns: Columns, corrected: Corrected) -> list[Line]:
    """Return the methods, best first, then the controls and the baselines."""
    lines = lines_of(columns)
    methods = sorted(filter(contends, lines), key=lambda of: count_better(columns, corrected, of), reverse=True)
    return [*methods, *(line for kind in (CONTROL, BASELINE) for line in lines if line[0] == kind)]


def found_blindly(columns: Columns) -> list[str]:
    """Return the columns where shuffled weights hit oftener than the best baseline."""
    blind = {
        (name, line): of.chance(line)
        for name, of in columns.items()
        for line in of.lines
        if line[0] == CONTROL and line[1].endswith(SHUFFLED)
    }
    return list(dict.fromkeys(name for (name, _), chance in holm(blind).items() if chance < LEVEL))


def found(columns: Columns, corrected: Corrected) -> str:
    """Say where no method beats the best baseline, and where shuffled weights do."""
    none = [name for name, of in columns.items() if not any(is_better(corrected, name, line) for line in of.lines)]
    blindly = [name for name in columns if name in found_blindly(columns)]
    return (
        f"{len(corrected)} comparisons, corrected together (Holm, {LEVEL:.0%}). Nothing is better than the best "
        f"baseline on: {listed(none)}. Maps of the same network with shuffled weights are better than it, too, on: "
        f"{listed(blindly)}."
    )


def listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none of them"


def tables(columns: Columns, corrected: Corrected) -> str:
    """Return the docs' tables: hits by column, and by the size of the cause."""
    return f"{table(columns, corrected)}\n\n{found(columns, corrected)}\n\n{sizes(columns, corrected)}"


def percent(values: NDArray[np.float64]) -> str:
    return f"{100 * values.mean():.0f}" if len(values) else "–"


def table(columns: Columns, corrected: Corrected) -> str:
    """Return of each method the share of hits on each kind of picture."""

    def cell(name: str, line: Line) -> str:
        shown = percent(columns[name].of(line)) if line in columns[name].lines else "–"
        return f"**{shown}**" if is_better(corrected, name, line) else shown

    rows = []
    for line in ordered(columns, corrected):
        better = str(count_better(columns, corrected, line)) if contends(line) else ""
        rows.append((*line, *(cell(name, line) for name in columns), better))
    areas = (f"{100 * np.median(of.shares):.2g}" for of in columns.values())
    rows.append(("", "the cause, % of the picture", *areas, ""))
    rows.append(("", "pictures", *(str(len(of.values)) for of in columns.values()), ""))
    return grid(("library", "method", *columns, "better"), rows)


def size_of(share: float) -> str:
    """Return the size of a cause that is a share of the picture."""
    return next(name for name, bound in SIZES.items() if share < bound)


def sizes(columns: Columns, corrected: Corrected) -> str:
    """Return each method's hits by the size of the cause, and by half.

    Columns that shuffled weights hit say nothing of a method and are left out. Of a half it is the mean of columns.
    """
    blindly = found_blindly(columns)
    told = {name: of for name, of in columns.items() if name not in blindly}
    rows = []
    for line in ordered(columns, corrected):
        by_size = (percent(hits_by_size(told, line, size)) for size in SIZES)
        by_half = (percent(hits_by_half(told, line, half)) for half in HALVES)
        rows.append((*line, *by_size, *by_half))
    counts = [sum(size_of(share) == size for of in told.values() for share in of.shares) for size in SIZES]
    rows.append(("", "pictures", *map(str, counts), *(str(count_half(told, half)) for half in HALVES)))
    return grid(("library", "method", *SIZES, *HALVES), rows)


def hits_by_size(columns: Columns, line: Line, size: str) -> NDArray[np.float64]:
    """Return a line's hits on all pictures whose cause has a size."""
    with_line = [of for of in columns.values() if line in of.lines]
    picked = [of.of(line)[[size_of(share) == size for share in of.shares]] for of in with_line]
    return np.concatenate(picked or [np.empty(0)])


def hits_by_half(columns: Columns, line: Line, half: str) -> NDArray[np.float64]:
    """Return a line's share of hits in a half of each column."""
    with_line = [of for of in columns.values() if line in of.lines]
    return np.array([mean_of_half(of, line, half) for of in with_line if half in of.halves])


def test_half(columns: Columns, corrected: Corrected) -> str:
    """Return each method's hits in the test half by column, and in how many its figure is one of the two highest."""
    hits = {name: {line: mean_of_half(of, line, HALVES[-1]) for line in of.lines} for name, of in columns.items()}
    leading = {name: highest_two(hit for line, hit in of.items() if contends(line)) for name, of in hits.items()}
    rows = []
    for line in ordered(columns, corrected):
        shown = {name: of[line] for name, of in hits.items() if line in of}
        cells = (f"{100 * shown[name]:.0f}" if name in shown else "–" for name in columns)
        leads = sum(hit in leading[name] for name, hit in shown.items())
        mean = sum(shown.values()) / len(shown)
        rows.append((*line, *cells, f"{100 * mean:.0f}", str(leads) if contends(line) else ""))
    return grid(("library", "method", *columns, "mean", "highest two"), rows)


def mean_of_half(column: Column, line: Line, half: str) -> float:
    """Return a line's share of hits in a half of one column."""
    return float(column.of(line)[[each == half for each in column.halves]].mean())


def highest_two(values: Iterable[float]) -> list[float]:
    """Return the two highest of the different values."""
    return sorted(set(values), reverse=True)[:2]


def count_half(columns: Columns, half: str) -> int:
    return sum(of.halves.count(half) for of in columns.values())


def details(columns: Columns, corrected: Corrected) -> Iterator[str]:
    """Yield every measure of every line on each kind of picture."""
    yield found(columns, corrected)
    yield f"Weights of the trained networks: `{digest()}`. In brackets 95 % bootstrap intervals."
    yield f"## By the size of the cause\n\n{sizes(columns, corrected)}"
    yield f"## The test half\n\n{test_half(columns, corrected)}"
    for name, of in columns.items():
        rows, kinds = [], list(dict.fromkeys(of.kinds))
        kinds = kinds if len(kinds) > 1 else []
        for line in sorted(of.lines, key=lambda line: -of.of(line).mean()):
            measures = (ends(of.interval(line, measure)) for measure in of.measures)
            over = ends(of.interval(line, "hit", of.best())) if line[0] != BASELINE else ""
            chance = f"{corrected[name, line]:.3f}" if contends(line) else ""
            rows.append((*line, *measures, over, chance, *(f"{of.of(line, kind=kind).mean():.2f}" for kind in kinds)))
        yield f"## {name}"
        yield f"{len(of.values)} pictures, `{of.digest}`; best baseline: {of.best()[1]}."
        head = (*HEAD, *of.measures[len(HEAD) :], "hits over the baseline", "p", *kinds)
        yield grid(("library", "method", *head), rows)


def draw_example(item: Item, cause: str, maps: Mapping[Line, Map | None], side: int = 144) -> NDArray[np.uint8]:
    """Return a picture with its cause outlined, and below it the maps of `DRAWN`."""
    size = side, side
    mask = cv2.resize(item.causes[cause][0].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    tiles = [cv2.resize(item.pixels, size, interpolation=cv2.INTER_NEAREST)]
    for line in DRAWN.values():
        values = maps.get(line)
        values = np.zeros(mask.shape, np.float32) if values is None else cv2.resize(values, size)
        scaled = np.uint8(255 * values / max(float(values.max()), 1e-9))
        tiles.append(cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB))
    tiles = [cv2.drawContours(np.ascontiguousarray(tile), outlines, -1, (255, 80, 80), 1) for tile in tiles]
    return np.concatenate([np.pad(tile, ((2, 2), (2, 2), (0, 0)), constant_values=255) for tile in tiles])


def side_by_side(columns: Iterable[Column]) -> NDArray[np.uint8]:
    """Return the columns' examples, `ROW` beside each other, then white."""
    examples = [of.example for of in columns if of.example is not None]
    missing = [np.full_like(examples[0], 255)] * (-len(examples) % ROW)
    rows = [np.concatenate([*examples, *missing][at : at + ROW], 1) for at in range(0, len(examples), ROW)]
    return np.concatenate(rows)
