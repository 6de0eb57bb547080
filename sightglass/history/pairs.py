"""Records of two compared pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import npz_bytes
from sightglass.explain.recipe import versions
from sightglass.explain.similarity.similarity import CellEdges, ComparedImage, Matches, Similarity
from sightglass.history import encoding
from sightglass.history.records import Record, SavedPair
from sightglass.models.spec import ModelSpec
from sightglass.report import similarity_files
from sightglass.report.result_folder import MAPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.explain.picture.image import Image
    from sightglass.explain.similarity.ranking import Context

    Box = tuple[int, int, int, int]

FIELDS = ("method", "of", "state", "preprocessing", "subject", "weights_sha256", "device", "automatic", "score")
"""What a record keeps of a comparison as it is."""
HEIGHT = 160
"""Of the two pictures of a thumbnail, in pixels, before it is shrunk."""
_NAMES = ("query", "gallery")


def encode(found: Similarity, context: Context | None) -> tuple[Record, encoding.Files]:
    """Return the record and the files of a comparison."""
    query, other = (side.image for side in found.sides)
    pair = SavedPair(
        name=other.name,
        sha256=other.sha256,
        how={name: getattr(found, name) for name in FIELDS} | {"versions": versions()},
        geometries=(found.query.geometry, found.gallery.geometry),
        matches=found.matches.pairs,
        context=context,
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
