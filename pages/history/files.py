"""Read a record's files and make its downloads."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from sightglass.common.settings import MIB
from sightglass.components.session import history_store
from sightglass.explain.evidence.cache import ByteCache
from sightglass.export import similarity_files
from sightglass.history import export

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.picture.image import Image
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.history import Record, SavedMap


def files(record: Record) -> tuple[Image, tuple[SavedMap, ...]]:
    """Return a record's picture and maps, cached: they never change."""
    store = history_store.store()
    if (found := _cache.get((str(store.folder), record.id))) is None:
        found = (store.picture(record), store.heatmaps(record))
        _cache.put((str(store.folder), record.id), found)
    return found


def pair(record: Record) -> Similarity:
    """Return the comparison of a record of two pictures, cached: it never changes."""
    store = history_store.store()
    if (found := _pairs.get(key := (str(store.folder), record.id))) is None:
        found = store.similarity(record)
        _pairs.put(key, found)
    return found


def render_pair(id: str) -> bytes:
    """Return both pictures of a record under their maps, with the score, as a JPEG."""
    return next(
        data
        for name, data in similarity_files.of_similarity(pair(history_store.store().get(id)), None)
        if name.endswith(".jpg")
    )


def _size(found: tuple[Image, tuple[SavedMap, ...]]) -> int:
    image, maps = found
    grids = (grid for item in maps for grid in (item.values, item.measured, *item.layer_maps))
    return int(image.pixels.nbytes + len(image.jpeg) + sum(grid.nbytes for grid in grids))


_cache: ByteCache[tuple[Image, tuple[SavedMap, ...]]] = ByteCache(100 * MIB, _size)


_pairs: ByteCache[Similarity] = ByteCache(
    64 * MIB, lambda found: sum(s.signed.nbytes + s.image.pixels.nbytes for s in found.sides)
)


def mark(id: str, index: int) -> bytes:
    """Return the picture under the map with its marks, in full size, as a PNG that carries the recipe."""
    record = history_store.store().get(id)
    image, maps = files(record)
    return export.mark(record, image, maps[index], index)


def archive(ids: Sequence[str]) -> bytes:
    """Return a zip with a folder per record: picture, raw maps, numbers and notes, and the map with its marks."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in history_store.store().export(ids):
            packed.writestr(name, data)
    return out.getvalue()
