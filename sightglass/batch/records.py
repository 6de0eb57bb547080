"""Turn one explained picture into table rows, a small map, and files."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sightglass.common.files import Json, file_stem, npy_bytes, npz_bytes, write_file
from sightglass.explain.maps.heatmap import cells
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.recipe import Recipe
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import VIEWER_STYLE
from sightglass.report import embedded_recipe, table

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.source import Item
    from sightglass.explain.rendering.style import Style

FOLDER = "maps"
SIDE = 320
"""Pixels of the longer side of the written pictures, usually."""
MAX_NAME = 60
"""Letters of a picture's or a class's name in a path."""
QUALITY = 85

Row = dict[str, Any]


def rows(item: Item, explanation: Explanation, stem: str) -> list[Row]:
    """Return one JSON row a map, at least one a picture.

    Adds to the columns of `sightglass.report.table`: `labelled`, the label of the folder or list; `margin`, the lead of
    the best class over the next; `anchor`, the raw candidate of a single detection; `scores`, the best ones; `cells`,
    the small map.
    """
    predictions = explanation.predictions
    left, top, right, bottom = explanation.evidence.geometry.seen
    # Of numbers none leads over the next.
    best = predictions[0] if predictions and not explanation.task.measures else None
    more: Row = {
        "picture": item.key,
        "labelled": item.label,
        "file": f"{stem}.jpg",
        "margin": best.score - (predictions[1].score if predictions[1:] else 0.0) if best else None,
        "scores": json.dumps([[p.label, round(p.score, 6)] for p in predictions[:5]]),
        "seen_left": left,
        "seen_top": top,
        "seen_right": right,
        "seen_bottom": bottom,
        "notes": " ".join(explanation.notes),
    }
    per = explanation.options.per
    map_rows: list[Row] = [
        {
            **row,
            "anchor": heatmap.target.anchors[0] if per == "detection" and heatmap.target.anchors else None,
            "cells": base64.b64encode(cells(heatmap).tobytes()).decode(),
        }
        for row, heatmap in zip(table.rows(explanation), explanation.heatmaps, strict=True)
    ]
    # In a table of one explanation the picture has its bare name.
    return [more | row | {"picture": item.key} for row in map_rows or [table.of_picture(explanation)]]


def stem(item: Item) -> str:
    """Return a unique, safe path for a picture's files, without suffix."""
    digest = hashlib.sha256(item.key.encode()).hexdigest()[:8]
    name = f"{file_stem(PurePosixPath(item.name).stem, max_length=MAX_NAME)}-{digest}"
    return "/".join((FOLDER, file_stem(item.label, max_length=MAX_NAME), name) if item.label else (FOLDER, name))


def write(stem: Path, explanation: Explanation, style: Style, side: int | None) -> None:
    """Write a picture's overlay JPEG with recipe, and its raw maps."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    view = embedded_recipe.view_of(explanation, 0, **changed_colours(style)) if explanation.heatmaps else None
    drawn = embedded_recipe.write(to_jpeg(overlay(explanation, style, side), QUALITY), explanation.recipe, view)
    write_file(stem.with_name(f"{stem.name}.jpg"), drawn)
    if explanation.heatmaps:
        maps = enumerate(explanation.heatmaps)
        raws = {f"{i}_{layer}": raw for i, h in maps for layer, raw in zip(h.layers, h.raw, strict=True)}
        single = len(raws) == 1
        data = npy_bytes(*raws.values()) if single else npz_bytes(raws, compress=False)
        write_file(stem.with_name(f"{stem.name}.{'npy' if single else 'npz'}"), data)


def changed_colours(style: Style) -> dict[str, Any]:
    """Return the non-default colours by name."""
    return {name: new for name in ("colormap", "alpha") if (new := getattr(style, name)) != getattr(VIEWER_STYLE, name)}


def overlay(explanation: Explanation, style: Style, side: int | None = SIDE) -> NDArray[np.uint8]:
    """Return the first map's overlay, uint8 (h, w, 3) RGB."""
    pixels = explanation.image.pixels
    scale = min(1.0, side / max(pixels.shape[:2])) if side else 1.0
    small = pixels
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        # INTER_AREA takes five times as long, and differs only where pixels would be skipped.
        way = cv2.INTER_LINEAR if scale >= 0.5 else cv2.INTER_AREA
        small = np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)
    if not explanation.heatmaps:
        return small
    before, size = ((shape[1], shape[0]) for shape in (pixels.shape, small.shape))
    return render.paint(small, explanation.heatmaps[0].field.scaled(before, size), style)


def recipe(settings: Json, row: Row) -> Recipe:
    """Return the recipe of one row's map; `settings` as in the journal."""
    # In a table, a row without a map has NaN as its class.
    target, anchor = (None if (n := row.get(name)) is None or n != n else int(n) for name in ("class", "anchor"))
    targets = () if target is None else ((anchor, target) if anchor is not None else target,)
    return Recipe.model_validate(
        {
            **settings["recipe"],
            "picture_sha256": row["picture_sha256"],
            "picture_name": PurePosixPath(row["picture"]).name,
            "targets": targets,
        }
    )
