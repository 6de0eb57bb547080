"""Files that Save offers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sightglass.common.files import file_stem, npy_bytes, npz_bytes
from sightglass.explain.comparison.models import measure_in_turns
from sightglass.explain.methods import METHODS
from sightglass.explain.rendering.style import Style
from sightglass.report import result_folder, similarity_files
from sightglass.report.embedded_recipe import proved_recipe
from sightglass.report.formats import FORMATS, ROWS
from sightglass.report.table import csv, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sightglass.explain import Explanation
    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.similarity.ranking import Context, Ranking
    from sightglass.explain.similarity.similarity import Similarity

    ViewSettings = Mapping[str, bool | float | str]
    """Settings of the viewer."""

Offer = tuple[str, str, "Callable[[], Any]"]
"""A label, a file's name or the end of it, and what makes the file."""


@dataclass(frozen=True)
class Files:
    """One row of Save: a title, its help, and files, each a label, a file's name and what makes the file."""

    title: str
    about: str
    files: Sequence[Offer]


def map_downloads(explanation: Explanation, index: int, look: ViewSettings) -> list[Files]:
    """Return a map's files, with figures coloured by the settings `look`."""
    prefix = stem(explanation, index)
    rows_of_files = []
    for row, (title, about) in ROWS.items():
        offers: list[Offer] = [
            (
                format.file.rpartition(".")[2].upper(),
                f"{prefix}-{format.file}",
                partial(format.make, explanation, index, look),
            )
            for format in FORMATS
            if format.row == row and format.fits(explanation, index)
        ]
        if offers:
            rows_of_files.append(Files(title, about, offers))
    if explanation.segmentation is not None:
        rows_of_files.append(_segmentation_downloads(explanation))
    kind = "npy" if len(explanation.heatmaps[index].raw) == 1 else "npz"
    data: list[Offer] = [
        (f"Raw map, .{kind}", f"{prefix}-raw.{kind}", lambda: _raw(explanation, index)),
        ("Statistics, .csv", f"{prefix}-statistics.csv", lambda: csv(rows(explanation))),
        ("All numbers, .json", f"{prefix}-numbers.json", lambda: json.dumps(explanation.to_dict(), indent=1)),
        ("Recipe, .json", f"{prefix}-recipe.json", lambda: _recipe(explanation, index)),
    ]
    about = "The raw values, every number of every map, and the recipe to reproduce them."
    return [*rows_of_files, Files("Data", about, data)]


def _recipe(explanation: Explanation, index: int) -> str:
    return proved_recipe(explanation, index).model_dump_json(indent=1)


def _segmentation_downloads(explanation: Explanation) -> Files:
    """Return the class of each pixel, drawn and as its index."""
    prefix = _download_prefix(explanation)
    about = "The class of each pixel: in colours with names, or a grey picture of the classes' numbers, 255 for none."
    labels = {"segmentation.png": "Over the picture, .png", "classes.png": "Numbers, .png"}
    make = partial(result_folder.of_segmentation, explanation)
    return Files("Classes", about, [(labels[name], f"{prefix}-{name}", _pick(make, name)) for name in labels])


def _pick(files: Callable[[], Iterable[tuple[str, bytes]]], name: str) -> Callable[[], bytes]:
    """Return what makes one of several files."""
    return lambda: next(data for filename, data in files() if filename == name)


def _zip(files: Callable[[], Iterable[tuple[str, bytes]]], name: str) -> list[Offer]:
    return [("All files, .zip", f"{name}.zip", lambda: result_folder.zip_files(files()))]


def class_downloads(explanation: Explanation, look: ViewSettings) -> list[Files]:
    """Return the files of the best map and of all classes."""
    proofs = ", the proofs" if explanation.proofs else ""
    about = f"The map of each class, all of them on a sheet, their raw values and statistics{proofs}, and the recipe."
    files = _zip(lambda: result_folder.of_picture(explanation, _style(look)), _download_prefix(explanation))
    return [Files("All classes", about, files), *map_downloads(explanation, 0, look)]


def model_downloads(comparison: Comparison, look: ViewSettings) -> list[Files]:
    """Return the files of several models on one picture, with times."""

    def files() -> Iterable[tuple[str, bytes]]:
        times = comparison.timings or measure_in_turns([each.evidence for each in comparison.explanations])
        return result_folder.of_comparison(replace(comparison, timings=times), _style(look))

    name = f"{_picture_stem(comparison.explanations[0].image.name)}-comparison"
    about = "Each model's map, all of them on a sheet, their raw values, and every number with the recipes."
    return [Files("All models", about, _zip(files, name))]


def similarity_downloads(similarity: Similarity, context: Context, ranking: Ranking, _: ViewSettings) -> list[Files]:
    """Return the files of two compared pictures and their gallery."""
    name = "-".join((*(_picture_stem(side.image.name) for side in similarity.sides), "similarity"))
    files = _zip(lambda: similarity_files.of_similarity(similarity, context), name)
    about = "Both pictures with their maps, the best matches, maps and embeddings as they are, and every number."
    scores = [("Ranking, .csv", f"{name}-ranking.csv", lambda: similarity_files.of_ranking(ranking)[1])]
    return [Files("Both pictures", about, files), Files("Gallery", "The scores of all pictures.", scores)]


def _download_prefix(explanation: Explanation) -> str:
    return f"{_picture_stem(explanation.image.name)}-{explanation.model.id}"


def stem(explanation: Explanation, index: int) -> str:
    """Return the start of a map's filenames: `bus-4-person-HiResCAM`."""
    heatmap = explanation.heatmaps[index]
    boxes = explanation.own(index) if explanation.options.per == "detection" else ()
    number = [str(i) for i, prediction in enumerate(explanation.predictions, 1) if boxes and prediction == boxes[0]]
    parts = [
        _picture_stem(explanation.image.name),
        *number,
        heatmap.target.label,
        METHODS[heatmap.method].name_for(explanation.model.task),
    ]
    return "-".join(file_stem(part) for part in parts)


def _picture_stem(name: str) -> str:
    return file_stem(name.rsplit(".", 1)[0])


def _style(look: ViewSettings) -> Style:
    """Return the style of a folder's overlays: the viewer's colours and opacity."""
    chosen = Style.of(look)
    return Style(colormap=chosen.colormap, alpha=chosen.alpha)


def _raw(explanation: Explanation, index: int) -> bytes:
    """Return the map as it was computed, one array for each layer."""
    heatmap = explanation.heatmaps[index]
    if len(heatmap.raw) == 1:
        return npy_bytes(heatmap.raw[0])
    return npz_bytes(dict(zip(heatmap.layers, heatmap.raw, strict=True)))
