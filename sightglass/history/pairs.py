"""Records of two compared pictures, and the comparison of two records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import npz_bytes
from sightglass.explain.maps import statistics
from sightglass.explain.phrases import percent
from sightglass.explain.recipe import versions
from sightglass.explain.rendering import render
from sightglass.explain.similarity.similarity import CellEdges, ComparedImage, Matches, Similarity
from sightglass.export import similarity_files
from sightglass.export.result_folder import MAPS
from sightglass.history import encoding
from sightglass.history.records import Record, RecordComparison, SavedPair
from sightglass.models.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.picture.image import Image
    from sightglass.explain.similarity.ranking import Context, Ranking
    from sightglass.history.records import SavedMap

    Box = tuple[int, int, int, int]

FIELDS = ("method", "of", "state", "preprocessing", "subject", "weights_sha256", "device", "automatic", "score")
"""What a record keeps of a comparison as it is."""
MAX_RANKED = 200
"""Maximum number of a gallery's names in a record."""
HEIGHT = 160
"""Of the two pictures of a thumbnail, in pixels, before it is shrunk."""
_NAMES = ("query", "gallery")


def encode(found: Similarity, context: Context | None, ranking: Ranking | None) -> tuple[Record, encoding.Files]:
    """Return the record and the files of a comparison."""
    query, other = (side.image for side in found.sides)
    hits = ranking.hits[:MAX_RANKED] if ranking is not None else ()
    pair = SavedPair(
        name=other.name,
        sha256=other.sha256,
        how={name: getattr(found, name) for name in FIELDS} | {"versions": versions()},
        geometries=(found.query.geometry, found.gallery.geometry),
        matches=found.matches.pairs,
        context=context,
        # A query's gallery of one picture ranks nothing.
        ranking=tuple((hit.name, hit.score) for hit in hits) if len(hits) > 1 else (),
    )
    record = Record(
        **encoding.about_picture(query),
        model=found.model.id,
        task=found.model.task,
        method=found.method,
        headline=similarity_files.headline(found, context),
        layers=found.layers,
        labels=(query.name, other.name),
        score=found.score,
        notes=found.notes,
        screen="similarity",
        pair=pair,
    )
    arrays = similarity_files.arrays(found)
    for name, edges in zip(_NAMES, (found.matches.query, found.matches.gallery), strict=True):
        arrays |= {f"{name}_down": edges.down, f"{name}_across": edges.across}
    pictures = encoding.picture_file("picture", query) | encoding.picture_file("other", other)
    return record, {MAPS: npz_bytes(arrays)} | encoding.thumbnail(_beside(found)) | pictures


def _beside(found: Similarity) -> NDArray[np.uint8]:
    """Return both pictures under their maps side by side, equally high."""
    panels = similarity_files.draw_pair(found)
    widths = [max(1, round(HEIGHT * panel.shape[1] / panel.shape[0])) for panel in panels]
    pairs = zip(panels, widths, strict=True)
    return np.hstack([cv2.resize(panel, (width, HEIGHT), interpolation=cv2.INTER_AREA) for panel, width in pairs])


def restore(record: Record, images: tuple[Image, Image], arrays: encoding.Arrays) -> Similarity:
    """Return `encode`'s comparison. Raises Problem where a map is damaged."""
    pair = record.pair
    assert pair is not None
    sides, grids = [], []
    try:
        for name, image, geometry in zip(_NAMES, images, pair.geometries, strict=True):
            raw = tuple(arrays[f"{name}_raw_{layer}"] for layer in record.layers)
            signed, vector = encoding.content(geometry, arrays[name]), arrays[f"{name}_vector"]
            sides.append(ComparedImage(image, geometry, vector, raw, signed))
            grids.append(CellEdges(arrays[f"{name}_down"], arrays[f"{name}_across"]))
        matches = Matches(grids[0], grids[1], arrays["cells"], pair.matches)
    except KeyError as error:
        raise Problem(encoding.DAMAGED_MAP) from error
    # The model may have left the catalogue since.
    spec = ModelSpec(record.model, "", "", "", "", record.task, "")
    how = {name: pair.how[name] for name in FIELDS}
    query, gallery = sides
    return Similarity(spec, query, gallery, layers=record.layers, matches=matches, notes=record.notes, **how)


ALIKE, APART = 0.6, 0.3
"""Overlap of the halves of the evidence: from ALIKE two maps look at the same place, below APART at different ones."""


def compare(one: Record, other: Record, maps: Sequence[SavedMap], other_maps: Sequence[SavedMap]) -> RecordComparison:
    """Compare two records' selected maps; raise Problem for a pair."""
    if one.pair or other.pair:
        raise Problem("A comparison of two pictures cannot be compared with another record: open each by itself.")
    first, second = _select(one, maps), _select(other, other_maps)
    same = one.picture_sha256 == other.picture_sha256

    def result(heading: str, detail: str = "", measured: tuple[Any, ...] = (None,) * 4) -> RecordComparison:
        agreement, overlap, difference, seen = measured
        return RecordComparison(one, other, same, agreement, overlap, difference, seen, heading, detail)

    if not same:
        return result("These are two pictures", "their maps cannot be laid over each other, so compare their numbers.")
    if first is None or second is None:
        return result("It is one picture, and not both records have a map")
    if (seen := _common(first.seen, second.seen)) is None:
        return result("It is one picture, and no part of it was seen by both models")
    a, b = _cut(first, seen), _cut(second, seen)
    halves = [render.hottest_mask(values, statistics.describe(values).half_heat_area) for values in (a, b)]
    agreement, overlap = statistics.compare(a, b), statistics.iou(*halves)
    measured = agreement, overlap, render.share_difference(a, b), seen
    if np.array_equal(first.measured, second.measured) and first.geometry == second.geometry:
        return result("It is one picture, and the two maps are the same in every cell", "", measured)
    # Of a map that random weights draw as well, nobody looked anywhere.
    checks = [record.checks_of(record.index) for record in (one, other)]
    independent = any(check is not None and check.shows for check in checks)
    verb = "their maps mark" if independent else "they look at"
    where = (
        "the same place" if overlap >= ALIKE else "other places" if overlap < APART else "places that partly overlap"
    )
    detail = (
        f"the areas with half of the evidence overlap by {percent(overlap)}. "
        f"Their order of warm and cold agrees by {agreement.rank_correlation:.2f} (1 is the same, 0 is chance)."
    )
    return result(f"It is one picture, and {verb} {where}", detail, measured)


def _common(one: Box, other: Box) -> Box | None:
    """Return the boxes' intersection, or None."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _cut(item: SavedMap, seen: Box) -> NDArray[np.float32]:
    """Return a map's part, float32 (h, w), at most 320 cells."""
    left, top, right, bottom = seen
    values = np.clip(item.geometry.to_original(item.geometry.to_input(item.measured)), 0, 1)
    return statistics.coarse(values[top:bottom, left:right])


def _select(record: Record, maps: Sequence[SavedMap]) -> SavedMap | None:
    return maps[record.index] if record.index < len(maps) and maps[record.index].state == "ok" else None
