"""Score the methods of several libraries on pictures whose cause is known, and report which find it."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from benchmarks.known import menus, networks
from benchmarks.known.contenders import METHODS, explain
from benchmarks.known.controls import CONTROLS, META, consensus
from benchmarks.known.halves import HALVES
from benchmarks.known.photographs import grids_of
from benchmarks.known.protocols import PROTOCOLS, Numbered, numbered
from benchmarks.known.report import corrected_chances, details, draw_example, side_by_side, tables
from benchmarks.pictures import list_photographs
from benchmarks.processes import ROOT, single_thread, spawned
from benchmarks.report import Row, machine, page, with_part
from benchmarks.truth.columns import BASELINE, Column, scored
from benchmarks.truth.measures import MEASURES, baseline_maps
from sightglass.common.errors import ModelProblem

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection

    from benchmarks.known.items import Item
    from benchmarks.truth.columns import Line
    from benchmarks.truth.measures import Map

SHORT = 3
"""Pictures of each kind in a short run."""
BOTH = "both"
DOCS, PICTURE = ROOT / "docs/known-causes.md", ROOT / "docs/images/known-causes.webp"
MARKS = ("<!-- measured: written by `python -m benchmarks known` -->\n", "<!-- measured: end -->\n")


def run(options: argparse.Namespace) -> Row:
    """Score every method on every protocol; a whole run writes the docs' table and picture.

    Of a folder of photographs, grids of these alone are scored.
    """
    single_thread()
    if options.dataset:
        return run_on_folder(options)
    at, complete = machine(1, "cpu"), options.half == BOTH and not options.short
    columns, findings = measure_all(options, menus.MODELS if complete else ())
    if networks.digest() != networks.DIGEST:
        raise ModelProblem(f"{networks.WEIGHTS.name} is not the file that the reports are of: check it out again.")
    corrected = corrected_chances(columns)
    if complete:
        DOCS.write_text(with_part(DOCS.read_text("utf-8"), tables(columns, corrected) + "\n", MARKS), "utf-8")
        Pillow.fromarray(side_by_side(columns.values())).save(PICTURE, quality=85)
        menus.write(findings, at["date"])
    parts = [*details(columns, corrected), *(menus.section(findings) if complete else ())]
    report = page("Methods that find a known cause", "known", at, *parts)
    figures = {name: {" ".join(line): of.interval(line, "hit") for line in of.lines} for name, of in columns.items()}
    return {"machine": at, "complete": complete, "report": report, "hits": figures}


def run_on_folder(options: argparse.Namespace) -> Row:
    """Score every method on grids of a folder's photographs."""
    at, columns = machine(1, "cpu"), dict[str, Column]()
    for place, item in enumerate(grids_of([*list_photographs(options.dataset)], options.count), 1):
        print(f"photographs: {place}", file=sys.stderr, flush=True)
        score(Numbered(item, place, HALVES[-1]), columns)
    if not columns:
        raise ModelProblem(f"No grid of photographs in {options.dataset} has a known cause: name a folder with more.")
    parts = details(columns, corrected_chances(columns))
    report = page("Methods that find the photograph of a class", "known --dataset FOLDER", at, *parts)
    return {"machine": at, "complete": False, "report": report}


def measure_all(options: argparse.Namespace, models: Collection[str]) -> tuple[dict[str, Column], list[Row]]:
    """Return the columns of all protocols, and the findings of some models."""
    halves = HALVES if options.half == BOTH else (options.half,)
    counts = [SHORT if options.short else count for _, count in PROTOCOLS.values()]
    with spawned(os.cpu_count(), single_thread) as pool:
        # Two processes must not store trained weights at once.
        together = map if options.short or networks.digest() != networks.DIGEST else pool.map
        protocols = together(measure, PROTOCOLS, counts, [halves] * len(counts))
        findings = menus.findings_of(together(menus.menu, models, [menus.SCENES] * len(models)))
        columns = {name: of for found in protocols for name, of in found.items()}
    return columns, findings


def markdown(result: Row) -> str:
    return str(result["report"])


def measure(protocol: str, count: int, halves: tuple[str, ...] = HALVES) -> dict[str, Column]:
    """Return the columns of a protocol's pictures in some halves."""
    columns: dict[str, Column] = {}
    for each in numbered(protocol, count):
        if each.half in halves:
            print(f"{protocol}: {each.place}", file=sys.stderr, flush=True)
            score(each, columns)
    return columns


def maps_of(item: Item) -> dict[Line, Map | None]:
    """Return the maps of all methods that explain the network, and the controls."""
    lines = {line: method for line, method in (METHODS | CONTROLS).items() if line not in item.without}
    maps = {line: explain(method, item.network, item.picture, item.target) for line, method in lines.items()}
    return maps | {META: consensus(maps)}


def score(each: Numbered, columns: dict[str, Column]) -> None:
    """Add the measures of all maps of a picture to its columns."""
    item, maps = each.item, maps_of(each.item)
    for name, (mask, region) in item.causes.items():
        high, wide = mask.shape
        down, across = region or (slice(0, high), slice(0, wide))
        box = float(across.start), float(down.start), float(across.stop), float(down.stop)
        blind = baseline_maps(item.pixels, box, each.place, min(4.0, high / 16))
        every = maps | {(BASELINE, key): values for key, values in blind.items()}
        if name not in columns:
            columns[name] = Column(example=draw_example(item, name, every))
        column = columns[name]
        rows = scored(maps, blind, (mask, region))
        if item.more is not None:
            more = {line: item.more(every[line]) for line in rows}
            rows = {line: [*row, *more[line].values()] for line, row in rows.items()}
            column.measures = (*MEASURES, *next(iter(more.values())))
        column.add(rows, item.kind, half=each.half, share=float(mask.mean()))
        shown = column.digest.encode() + item.pixels.tobytes() + mask.tobytes()
        column.digest = hashlib.sha256(shown).hexdigest()[:16]
