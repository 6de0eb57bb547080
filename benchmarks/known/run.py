"""Score the methods of several libraries on pictures whose cause is known, and report which find it."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image as Pillow

from benchmarks.known import menus, networks
from benchmarks.known.contenders import METHODS, explain
from benchmarks.known.protocols import PROTOCOLS, Item
from benchmarks.processes import ROOT, single_thread, spawned
from benchmarks.report import Row, ends, grid, machine, page, with_part
from benchmarks.truth.columns import BASELINE, Column, holm, scored
from benchmarks.truth.measures import MEASURES, baseline_maps
from benchmarks.truth.report import HEAD
from sightglass.common.errors import ModelProblem

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from benchmarks.truth.columns import Line
    from benchmarks.truth.measures import Map

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


def run(options: argparse.Namespace) -> Row:
    """Score every method on every protocol; a whole run writes the docs' table and picture."""
    single_thread()
    at, complete = machine(1, "cpu"), not options.short
    counts = [count if complete else SHORT for _, count in PROTOCOLS.values()]
    with spawned(os.cpu_count(), single_thread) as pool:
        # Two processes must not store trained weights at once.
        together = pool.map if complete and networks.WEIGHTS.is_file() else map
        protocols, studies = together(measure, PROTOCOLS, counts), menus.MODELS if complete else ()
        findings = menus.findings_of(together(menus.menu, studies, [menus.SCENES] * len(studies)))
        columns = {name: of for found in protocols for name, of in found.items()}
    if networks.digest() != networks.DIGEST:
        raise ModelProblem(f"{networks.WEIGHTS.name} is not the file that the reports are of: check it out again.")
    tests = {(name, line): of.chance(line) for name, of in columns.items() for line in of.lines if line[0] != BASELINE}
    corrected = holm(tests)
    if complete:
        DOCS.write_text(with_part(DOCS.read_text("utf-8"), table(columns, corrected) + "\n", MARKS), "utf-8")
        examples = [of.example for of in columns.values() if of.example is not None]
        Pillow.fromarray(np.concatenate(examples, 1)).save(PICTURE, quality=85)
        menus.write(findings, at["date"])
    parts = [*details(columns, corrected), *(menus.section(findings) if complete else ())]
    report = page("Methods that find a known cause", "known", at, *parts)
    figures = {name: {" ".join(line): of.interval(line, "hit") for line in of.lines} for name, of in columns.items()}
    return {"machine": at, "complete": complete, "report": report, "hits": figures}


def markdown(result: Row) -> str:
    return str(result["report"])


def measure(protocol: str, count: int) -> dict[str, Column]:
    """Return the columns of a protocol's pictures."""
    columns: dict[str, Column] = {}
    for number, item in enumerate(PROTOCOLS[protocol][0](count), 1):
        print(f"{protocol}: {number}", file=sys.stderr, flush=True)
        score(item, number, columns)
    return columns


def score(item: Item, number: int, columns: dict[str, Column]) -> None:
    """Add the measures of all methods' maps of a picture to its columns."""
    methods = {line: method for line, method in METHODS.items() if line not in item.without}
    maps = {line: explain(method, item.network, item.picture, item.target) for line, method in methods.items()}
    for name, (mask, region) in item.causes.items():
        high, wide = mask.shape
        down, across = region or (slice(0, high), slice(0, wide))
        box = float(across.start), float(down.start), float(across.stop), float(down.stop)
        blind = baseline_maps(item.pixels, box, number, min(4.0, high / 16))
        every = maps | {(BASELINE, key): values for key, values in blind.items()}
        if name not in columns:
            columns[name] = Column(example=draw_example(item, name, every))
        column = columns[name]
        rows = scored(maps, blind, (mask, region))
        if item.more is not None:
            more = {line: item.more(every[line]) for line in rows}
            rows = {line: [*row, *more[line].values()] for line, row in rows.items()}
            column.measures = (*MEASURES, *next(iter(more.values())))
        column.add(rows, item.kind)
        shown = column.digest.encode() + item.pixels.tobytes() + mask.tobytes()
        column.digest = hashlib.sha256(shown).hexdigest()[:16]


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
        rows, kinds = [], list(dict.fromkeys(of.kinds))
        kinds = kinds if len(kinds) > 1 else []
        for line in sorted(of.lines, key=lambda line: -of.of(line).mean()):
            measures = (ends(of.interval(line, measure)) for measure in of.measures)
            over = ends(of.interval(line, "hit", of.best())) if line[0] != BASELINE else ""
            chance = f"{corrected[name, line]:.3f}" if line[0] != BASELINE else ""
            rows.append((*line, *measures, over, chance, *(f"{of.of(line, kind=kind).mean():.2f}" for kind in kinds)))
        yield f"## {name}"
        yield f"{len(of.values)} pictures, `{of.digest}`; best baseline: {of.best()[1]}."
        head = (*HEAD, *of.measures[len(HEAD) :], "hits over the baseline", "p", *kinds)
        yield grid(("library", "method", *head), rows)


def draw_example(item: Item, cause: str, maps: Mapping[Line, Map | None], side: int = 144) -> NDArray[np.uint8]:
    """Return a picture with its cause outlined, and below it the maps of `DRAWN`."""
    size = side, side
    mask = cv2.resize(item.causes[cause][0].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    tiles = [cv2.resize(item.pixels, size, interpolation=cv2.INTER_NEAREST)]
    for line in DRAWN.values():
        values = maps.get(line)
        values = np.zeros(mask.shape, np.float32) if values is None else cv2.resize(values, size)
        scaled = np.uint8(255 * values / max(float(values.max()), 1e-9))
        tiles.append(cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB))
    tiles = [cv2.drawContours(np.ascontiguousarray(tile), outlines, -1, (255, 80, 80), 1) for tile in tiles]
    return np.concatenate([np.pad(tile, ((2, 2), (2, 2), (0, 0)), constant_values=255) for tile in tiles])
