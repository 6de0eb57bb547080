"""Write records as files, for a zip or a folder."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from common.files import to_json
from explain.export import embedded_recipe
from explain.export import result_folder as names
from explain.phrases import plain_text
from explain.picture.image import Image, to_png
from explain.rendering import render
from explain.rendering.style import Field, Style

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from explain.history.records import Record, SavedMap

COLORMAP, ALPHA = "inferno", 0.9


def folder(number: int, record: Record) -> str:
    """Return the folder of a record's files: `<number>_<picture>_<class>`."""
    stem = names.label_stem(record.picture_name.rsplit(".", 1)[0])
    return f"{number:03}_{stem}_{names.label_stem(record.label or record.task)}"


def files(record: Record, picture: Image, maps: Sequence[SavedMap]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of a record's files: its picture, `maps.npz`, `overlay.png`, `marked.png` if the
    record has marks, and `record.json`."""
    assert record.recipe is not None
    yield _picture(picture)
    if maps:
        yield "maps.npz", _npz(maps)
        chosen = maps[record.index]
        drawn = render.shown(
            picture.pixels,
            Field(chosen.values, chosen.extent, chosen.seen, cells=chosen.cells),
            _style(record),
        )
        yield (
            "overlay.png",
            embedded_recipe.write(to_png(drawn), record.recipe, record.view, picture=embedded_recipe.carried(picture)),
        )
        if record.marks:
            yield "marked.png", marked(record, picture, chosen, record.index)
    yield "record.json", to_json(described(record, maps)).encode()


def marked(record: Record, image: Image, item: SavedMap, index: int) -> bytes:
    """Return the picture under a map and the record's marks, at full size, as a PNG with the recipe."""
    from explain.export import annotations

    data = to_png(annotations.draw(looked(image, item, record.view.settings), record.marks))
    if record.recipe is None:
        return data
    how = record.view.model_copy(update={"index": index, "label": item.label[:200]})
    return embedded_recipe.write(data, record.recipe, how, picture=embedded_recipe.carried(image))


def looked(image: Image, item: SavedMap, settings: Mapping[str, Any], *, dark: bool = False) -> NDArray[np.uint8]:
    """Return the picture under the map with the viewer's settings, uint8 (H, W, 3), at full size."""
    names = ("mode", "colormap", "alpha", "threshold", "even", "invert", "cells")
    kept = {name: value for name, value in settings.items() if name in names}
    try:
        for name in ("alpha", "threshold"):
            if name in kept:
                kept[name] = float(kept[name])
        for name in ("even", "invert", "cells"):
            if name in kept:
                kept[name] = kept[name] in (True, 1, "1", "true")
        style = Style(**kept)
    except (TypeError, ValueError):
        style = Style()
    field = Field(item.values, item.extent, item.seen, cells=item.cells)
    return render.shown(image.pixels, field, style, unseen="dark" if dark else "light")


def described(record: Record, maps: Iterable[SavedMap] = ()) -> dict[str, Any]:
    """Return a record as plain values, ready for `common.files.to_json`."""
    found: dict[str, Any] = {"id": record.id} | vars(record)
    found["created"] = record.created.isoformat()
    found["predictions"] = [asdict(prediction) for prediction in record.predictions]
    found["maps"] = [
        {
            "label": kept.label,
            "score": kept.score,
            "method": kept.method,
            "layers": kept.layers,
            "scale": kept.scale,
            "state": kept.state,
            "raw": kept.raw,
            "seen": kept.seen,
            "extent": kept.extent,
            "looks": plain_text(kept.looks),
            "statistics": kept.statistics,
        }
        for kept in maps
    ]
    return found


def _style(record: Record) -> Style:
    """Return the style in which the record was viewed, if known."""
    from explain.history.encoding import alpha_of, colormap_of

    return Style(colormap=colormap_of(record.view, COLORMAP), alpha=alpha_of(record.view, ALPHA))


def _picture(image: Image) -> tuple[str, bytes]:
    if image.planes is not None:
        out = io.BytesIO()
        np.save(out, image.planes)
        return "picture.npy", out.getvalue()
    return ("picture.jpg", image.jpeg) if image.jpeg else ("picture.png", to_png(image.pixels))


def _npz(maps: Iterable[SavedMap]) -> bytes:
    """Return `maps.npz` as in every result folder: `top1_cat` at the model's input, `top1_cat_raw_<layer>` before."""
    found = {}
    for place, kept in enumerate(maps, 1):
        stem = f"top{place}_{names.label_stem(kept.label)}"
        found[stem] = kept.at_input
        layers = kept.layers if len(kept.layers) == len(kept.layer_maps) else map(str, range(len(kept.layer_maps)))
        found |= {f"{stem}_raw_{layer}": raw for layer, raw in zip(layers, kept.layer_maps, strict=True)}
    return names.npz(found)
