"""Write records as files, for a zip or a folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem
from sightglass.explain.picture.image import to_png
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import Field, Style
from sightglass.export import annotations, embedded_recipe, result_folder, similarity_files
from sightglass.history import encoding
from sightglass.history.store import RECORD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.explain.picture.image import Image
    from sightglass.explain.rendering.style import Unseen
    from sightglass.history.history import History
    from sightglass.history.records import Record, SavedMap


def every(history: History, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of `History.export`."""
    for number, record in enumerate(map(history.get, dict.fromkeys(ids)), 1):
        stem = result_folder.label_stem(record.picture_name.rsplit(".", 1)[0])
        what = record.pair.name.rsplit(".", 1)[0] if record.pair else record.label or record.task
        try:
            files = dict(_files(history, record))
        except Problem as problem:
            # One damaged record must not stop the others.
            files = {"damaged.txt": f"{problem}\n".encode()}
        for name, data in files.items():
            yield f"{number:03}_{stem}_{result_folder.label_stem(what)}/{name}", data


def _files(history: History, record: Record) -> Iterator[tuple[str, bytes]]:
    """Yield the saved files, what is drawn of them, and the record as JSON."""
    if record.damaged:
        raise Problem(record.damaged)
    for name, data in history.files(record).items():
        yield name.replace("picture", "query") if record.pair else name, data
    if record.pair:
        yield from similarity_files.of_similarity(history.similarity(record), record.pair.context)
    elif record.maps:
        picture, item = history.picture(record), history.heatmaps(record)[record.index]
        yield "overlay.png", _with_recipe(draw(picture, item, encoding.visible_style(record.view)), record, picture)
        if record.marks:
            yield "marked.png", mark(record, picture, item, record.index)
    yield RECORD, encoding.to_text(replace(record, recipe=record.checked_recipe), indent=1).encode()


def mark(record: Record, image: Image, item: SavedMap, index: int) -> bytes:
    """Return the overlay with the record's marks, as a PNG."""
    pixels = annotations.draw(draw(image, item, Style.of(record.view.settings)), record.marks)
    view = record.view.model_copy(update={"index": index, "label": item.label[:200]})
    return _with_recipe(pixels, replace(record, view=view), image)


def _with_recipe(pixels: NDArray[np.uint8], record: Record, image: Image) -> bytes:
    assert record.checked_recipe is not None
    original = embedded_recipe.encode(image)
    return embedded_recipe.write(to_png(pixels), record.checked_recipe, record.view, picture=original)


def draw(image: Image, item: SavedMap, style: Style, unseen: Unseen = "light") -> NDArray[np.uint8]:
    """Return the picture under a map, uint8 (H, W, 3); `unseen`: what the rest fades to."""
    field = Field(item.values, item.extent, item.seen, item.kind, cells=item.cells)
    return render.paint(image.pixels, field, style, unseen=unseen)
