"""Write records as files, for a zip or a folder."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import Json, npy_bytes, npz_bytes, to_json
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import Image, to_png
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import Field, Style
from sightglass.export import embedded_recipe, result_folder, similarity_files, table
from sightglass.export.annotations import draw
from sightglass.history import pairs
from sightglass.history.encoding import visible_style
from sightglass.history.proofs import files as proof_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from sightglass.explain.rendering.style import Unseen
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.explain.trust.proof import Proof
    from sightglass.history.history import History
    from sightglass.history.records import Record, SavedMap


def every(history: History, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of `History.export`."""
    for number, record in enumerate(map(history.get, dict.fromkeys(ids)), 1):
        try:
            if record.pair:
                listed = [*pair_files(record, history.similarity(record))]
            elif record.recipe is None:
                raise Problem(f"{record.id}: {record.damaged}")
            else:
                maps, proofs = history.heatmaps(record), history.proofs(record)
                listed = [*files(record, history.picture(record), maps, proofs)]
        except Problem as problem:
            # One damaged record must not stop the others.
            listed = [("damaged.txt", f"{problem}\n".encode())]
        for name, data in listed:
            yield f"{folder(number, record)}/{name}", data


def folder(number: int, record: Record) -> str:
    """Return a record's folder: `<number>_<picture>_<class>`."""
    stem = result_folder.label_stem(record.picture_name.rsplit(".", 1)[0])
    what = record.pair.name.rsplit(".", 1)[0] if record.pair else record.label or record.task
    return f"{number:03}_{stem}_{result_folder.label_stem(what)}"


def files(
    record: Record, picture: Image, maps: Sequence[SavedMap], proofs: Mapping[int, Proof]
) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of a record's files: its picture, `maps.npz`, `overlay.png`, `marked.png` if the
    record has marks, `proof.png` and `proof.json` if its map was proved, and `record.json`."""
    recipe = record.checked_recipe
    assert recipe is not None
    yield _picture(picture)
    if maps:
        items = ((item.label, item.at_input, item.layers, item.layer_maps) for item in maps)
        yield result_folder.MAPS, npz_bytes(result_folder.named_arrays(items))
        chosen = maps[record.index]
        drawn = to_png(_draw(picture, chosen, visible_style(record.view)))
        original = embedded_recipe.encode(picture)
        yield "overlay.png", embedded_recipe.write(drawn, recipe, record.view, picture=original)
        if record.marks:
            yield "marked.png", mark(record, picture, chosen, record.index)
        yield from proof_files(record, maps, proofs)
    yield "record.json", to_json(describe(record, maps)).encode()


def pair_files(record: Record, found: Similarity) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of a pair's files: both pictures, what `similarity_files` makes of them,
    `ranking.csv` if the second is of a gallery, and `record.json`."""
    assert record.pair is not None
    for place, side in zip(("query", "other"), found.sides, strict=True):
        name, data = _picture(side.image)
        yield name.replace("picture", place), data
    yield from similarity_files.of_similarity(found, pairs.context_of(record))
    if record.pair.ranking:
        listed = [
            {"rank": i, "picture": name, "score": score} for i, (name, score) in enumerate(record.pair.ranking, 1)
        ]
        yield "ranking.csv", table.csv(listed).encode()
    yield "record.json", to_json(describe(record)).encode()


def mark(record: Record, image: Image, item: SavedMap, index: int) -> bytes:
    """Return the overlay with the record's marks, as a PNG."""
    data = to_png(draw(look(image, item, record.view.settings), record.marks))
    recipe = record.checked_recipe
    if recipe is None:
        return data
    how = record.view.model_copy(update={"index": index, "label": item.label[:200]})
    return embedded_recipe.write(data, recipe, how, picture=embedded_recipe.encode(image))


def look(image: Image, item: SavedMap, settings: Mapping[str, Any], *, dark: bool = False) -> NDArray[np.uint8]:
    """Return the overlay with the viewer's settings, uint8 (H, W, 3)."""
    return _draw(image, item, Style.of(settings), "dark" if dark else "light")


def _draw(image: Image, item: SavedMap, style: Style, unseen: Unseen = "light") -> NDArray[np.uint8]:
    field = Field(item.values, item.extent, item.seen, item.kind, cells=item.cells)
    return render.paint(image.pixels, field, style, unseen=unseen)


def describe(record: Record, maps: Iterable[SavedMap] = ()) -> Json:
    """Return a record as plain values, ready for `sightglass.common.files.to_json`."""
    document: Json = {"id": record.id} | vars(record)
    document["created"] = record.created.isoformat()
    document["predictions"] = [asdict(prediction) for prediction in record.predictions]
    document["recipe"] = record.checked_recipe
    document["seals"] = [None if seal is None else seal.summary() for seal in record.seals]
    names = ("label", "score", "method", "layers", "scale", "state", "raw", "seen", "extent", "statistics", "signed")
    document["maps"] = [
        {**{name: getattr(item, name) for name in names}, "looks": plain_text(item.looks)} for item in maps
    ]
    return document


def _picture(image: Image) -> tuple[str, bytes]:
    if image.planes is not None:
        return "picture.npy", npy_bytes(image.planes)
    return ("picture.jpg", image.jpeg) if image.jpeg else ("picture.png", to_png(image.pixels))
