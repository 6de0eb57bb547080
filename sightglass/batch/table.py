"""Turn explained pictures into rows and files; write a run's table as Parquet and CSV."""

import base64
import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from sightglass.batch.journal import Journal
from sightglass.common.errors import Unreadable
from sightglass.common.files import Json, atomic_write, csv_files, npy_bytes, npz_bytes, write_file
from sightglass.common.files.keeping import reading
from sightglass.common.names import file_stem
from sightglass.explain.explanation import Explanation
from sightglass.explain.maps.heatmap import CELLS, small_map
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.picture.source import Item
from sightglass.explain.recipe import Recipe
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.explain.tasks import task_of
from sightglass.report import embedded_recipe
from sightglass.report import table as report_table
from sightglass.report.view import reduce

Row = dict[str, Any]
FOLDER = "maps"
SIDE = 320
"""Pixels of the longer side of the written pictures, usually."""
MAX_NAME = 60
"""Letters of a picture's or a class's name in a path."""
QUALITY = 85
"""Quality of the written JPEGs."""
SEEN = "seen_left", "seen_top", "seen_right", "seen_bottom"
"""Columns of the part of the picture that the model saw."""
PARQUET, CSV, PROBLEMS = "results.parquet", "results.csv", "problems.csv"
CHUNK = 512
"""Number of pictures in memory."""
AGAIN = "run these pictures again, which writes it anew from the journal"
"""What to do where a table cannot be read."""
_SCORES = b"sightglass_scores"
"""Key of `Scores` in the metadata of the Parquet file."""


@dataclass(frozen=True)
class Scores:
    """The meaning of a run's scores: confidences, shares, or numbers; and the classes that have them."""

    task: str = ""
    units: Mapping[str, str] = field(default_factory=dict)
    """The unit of each number, by its name."""
    classes: tuple[str, ...] = ()
    """All that the model knows; none of old results."""

    @property
    def sure(self) -> bool:
        """Whether scores are confidences, not shares of the picture or numbers."""
        return task_of(self.task).sure

    def describe(self, score: float | None, label: str) -> str:
        """Format the score of an answer: `62 %`, `12 % of the picture` or `−12.4°`; empty without one."""
        return "" if score is None else task_of(self.task).wording.text(score, self.units.get(label, ""))

    @property
    def unit(self) -> str:
        """The unit of all numbers, or ""."""
        (first, *others) = {*self.units.values()} or {""}
        return "" if others else first


_ADAPTER = TypeAdapter(Scores)


def rows(item: Item, explanation: Explanation, stem: str) -> list[Row]:
    """Return one JSON row a map, at least one a picture.

    Adds to the columns of `sightglass.report.table`: `labelled`, the label of the folder or list; `margin`, the lead of
    the best class over the next; `anchor`, the raw candidate of a single detection; `scores`, the best ones; `boxes`,
    all boxes as [label, score, x0, y0, x1, y1]; `cells`, the small map.
    """
    predictions = explanation.predictions
    more: Row = {
        "picture": item.key,
        "labelled": item.label,
        "file": f"{stem}.jpg",
        "margin": explanation.task.scorer.margin(explanation),
        "scores": json.dumps([[p.label, round(p.score, 6)] for p in predictions[:5]]),
        **dict(zip(SEEN, explanation.evidence.geometry.seen, strict=True)),
        "notes": " ".join(explanation.notes),
    }
    if boxes := [[p.label, round(p.score, 6), *(round(x, 1) for x in p.box)] for p in predictions if p.box]:
        more["boxes"] = json.dumps(boxes)
    per = explanation.options.per
    map_rows: list[Row] = [
        {
            **row,
            "anchor": heatmap.target.anchors[0] if per == "detection" and heatmap.target.anchors else None,
            "cells": base64.b64encode(small_map(heatmap).tobytes()).decode(),
        }
        for row, heatmap in zip(report_table.rows(explanation), explanation.heatmaps, strict=True)
    ]
    # In a table of one explanation the picture has its bare name.
    return [more | row | {"picture": item.key} for row in map_rows or [report_table.picture_columns(explanation)]]


def stem(item: Item) -> str:
    """Return a unique, safe path for a picture's files, without suffix."""
    digest = hashlib.sha256(item.key.encode()).hexdigest()[:8]
    name = f"{file_stem(PurePosixPath(item.name).stem, max_bytes=MAX_NAME)}-{digest}"
    return "/".join((FOLDER, file_stem(item.label, max_bytes=MAX_NAME), name) if item.label else (FOLDER, name))


def write_files(stem: Path, explanation: Explanation, style: Style, side: int | None) -> None:
    """Write the first map's overlay as JPEG with recipe, and all raw maps."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    pixels, maps, view = explanation.image.pixels, explanation.heatmaps, None
    small = reduce(pixels, side) if side else pixels
    if maps:
        before, size = ((shape[1], shape[0]) for shape in (pixels.shape, small.shape))
        small = render.paint(small, maps[0].field.scaled(before, size), style)
        view = embedded_recipe.view_of(explanation, 0, **changed_look(style))
        raws = {
            f"{i}_{layer}": raw
            for i, heatmap in enumerate(maps)
            for layer, raw in zip(heatmap.layers, heatmap.raw, strict=True)
        }
        single = len(raws) == 1
        data = npy_bytes(*raws.values()) if single else npz_bytes(raws, compress=False)
        write_file(stem.with_name(f"{stem.name}.{'npy' if single else 'npz'}"), data)
    overlay = embedded_recipe.write(to_jpeg(small, QUALITY), explanation.recipe, view)
    write_file(stem.with_name(f"{stem.name}.jpg"), overlay)


def find_lost(folder: Path, journal: Journal, items: Iterable[Item]) -> set[str]:
    """Return the keys of pictures that are done, and whose files are no longer all there."""
    here = Counter(path.stem for path in (folder / FOLDER).rglob("*.*"))
    names = {item.key: PurePosixPath(stem(item)).name for item in items if item.key in journal.done}
    outcomes = journal.outcomes([key for key, name in names.items() if here[name] < 2])
    rows = ((outcome["key"], row) for outcome in outcomes for row in outcome.get("rows", ()))
    # The overlay and, of a map, what it was drawn from.
    return {key for key, row in rows if here[names[key]] < (2 if "cells" in row else 1)}


def changed_look(style: Style) -> dict[str, Any]:
    """Return the settings of a style that differ from the viewer's defaults, by name."""
    look = {name: getattr(style, name) for name in ("mode", "colormap", "alpha")}
    return {name: value for name, value in look.items() if value != getattr(VIEWER_STYLE, name)}


def recipe(settings: Json, row: Row) -> Recipe:
    """Return the recipe of one row's map; `settings` as in the journal."""
    # A row without a map has NaN as its class.
    target, anchor = (None if (n := row.get(name)) is None or n != n else int(n) for name in ("class", "anchor"))
    return Recipe.model_validate(
        {
            **settings["recipe"],
            "picture_sha256": row["picture_sha256"],
            "picture_name": PurePosixPath(row["picture"]).name,
            "targets": () if target is None else ((anchor, target) if anchor is not None else target,),
        }
    )


def write(folder: Path, journal: Journal, keys: list[str], scores: Scores) -> tuple[tuple[str, str], ...]:
    """Write `results.parquet`, `results.csv` and, if there are unusable pictures, `problems.csv`; return these.

    What its `scores` are is saved with the table.
    """

    def list_rows(keys: list[str]) -> Iterator[Row]:
        return (row for outcome in journal.outcomes(keys) for row in outcome.get("rows", ()))

    types = _find_types(list_rows(keys))
    chunks = (list_rows(keys[start : start + CHUNK]) for start in range(0, len(keys), CHUNK))
    _write_parquet(folder, types, chunks, scores)
    with atomic_write(folder / CSV) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        csv_files.write(file, [name for name in types if name != "cells"], list_rows(keys))
    failed = [outcome for outcome in journal.outcomes(keys) if "problem" in outcome]
    (folder / PROBLEMS).unlink(missing_ok=True)
    if failed:
        problems = [{"picture": outcome["key"], "problem": outcome["problem"]} for outcome in failed]
        write_file(folder / PROBLEMS, report_table.csv(problems).encode())
    return tuple((outcome["key"], outcome["problem"]) for outcome in failed)


def _find_types(rows: Iterable[Row]) -> dict[str, str]:
    """Return the name of the narrowest type of each column."""
    order = ("null", "bool", "int64", "float64", "string")
    kinds = {type(None): "null", bool: "bool", int: "int64", float: "float64", str: "string"}
    types: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            types[name] = max(types.get(name, "null"), kinds[type(value)], key=order.index)
    return types | ({"cells": "binary"} if "cells" in types else {})


def _write_parquet(folder: Path, types: Mapping[str, str], chunks: Iterable[Iterable[Row]], scores: Scores) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    columns = [(name, pa.type_for_alias(kind)) for name, kind in types.items()]
    schema = pa.schema(columns, {_SCORES: _ADAPTER.dump_json(scores)})
    decoded = ([row | {"cells": base64.b64decode(row.get("cells") or "") or None} for row in chunk] for chunk in chunks)
    with atomic_write(folder / PARQUET) as draft, parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
        for chunk in filter(None, decoded):
            writer.write_table(pa.Table.from_pylist(chunk, schema))


def read(folder: Path) -> Any:
    """Return a result folder's table as a pandas DataFrame, one row a map.

    `cells` are bytes. Raises Unreadable.
    """
    import pandas as pd

    path = folder / PARQUET
    try:
        with reading(path, AGAIN), path.open("rb") as file:
            return pd.read_parquet(file)
    except FileNotFoundError as error:
        raise Unreadable(f"{PARQUET} in {folder} is missing: {AGAIN}.") from error


def read_cells(cells: bytes) -> NDArray[np.uint8] | None:
    """Return the small map of a row, uint8 (CELLS, CELLS); None where it has none."""
    return np.frombuffer(cells, np.uint8).reshape(CELLS, CELLS) if cells else None


def read_problems(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return a result folder's unusable pictures, each with its sentence. Raises Unreadable."""
    path = folder / PROBLEMS
    with contextlib.suppress(FileNotFoundError), reading(path, AGAIN), path.open(newline="", encoding="utf-8") as file:
        return tuple((row["picture"], row["problem"]) for row in csv_files.read(file))
    return ()


def read_scores(folder: Path) -> Scores:
    """Return the kind of a run's scores; confidences before its end.

    Raises Unreadable.
    """
    from pyarrow import parquet

    path = folder / PARQUET
    with contextlib.suppress(FileNotFoundError), reading(path, AGAIN), path.open("rb") as file:
        return _ADAPTER.validate_json((parquet.read_schema(file).metadata or {}).get(_SCORES, b"{}"))
    return Scores()
