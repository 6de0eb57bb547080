"""Files in which results leave: the command line's `--also` and a page's Save read the table FORMATS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sightglass.common.files import npz_bytes, to_json
from sightglass.common.names import file_stem
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.comparison.times import measure_in_turns
from sightglass.explain.methods import METHODS
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.rendering.style import Style
from sightglass.report import figure, html_report, result_folder, similarity_files
from sightglass.report.embedded_recipe import embed, proved_recipe
from sightglass.report.table import csv, rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation
    from sightglass.explain.similarity.ranking import Ranking
    from sightglass.explain.similarity.similarity import Similarity

    ViewSettings = Mapping[str, bool | float | str]
    """Settings of the viewer."""
    Maker = Callable[[Explanation, int, ViewSettings], bytes]
    """Makes the file of the map at an index, drawn by the viewer's settings."""

Offer = tuple[str, str, Callable[[], Any]]
"""A button's label, its file's name, and the function that makes the file."""


@dataclass(frozen=True)
class Files:
    """One row of Save: its title, its help, and its files."""

    title: str
    about: str
    files: Sequence[Offer]


@dataclass(frozen=True)
class Format:
    """A kind of file of a map."""

    row: str
    file: str
    """The end of its name: `figure.svg`."""
    make: Maker
    label: str = ""
    """Label of its button; empty for its suffix."""
    also: str = ""
    """Its name in `--also`; empty where that does not offer it."""


def _figure(kind: figure.Format) -> Maker:
    return lambda item, index, look: figure.figure(item, index, format=kind, look=look)


def _picture(encode: Callable[[NDArray[np.uint8]], bytes]) -> Maker:
    """Return what writes the map over the picture, in the picture's size, with its recipe."""

    def make(explanation: Explanation, index: int, look: ViewSettings) -> bytes:
        drawn = encode(result_folder.one_map(explanation, index, Style.of(look)))
        # A map alone does not show the picture.
        return embed(drawn, explanation, index, {"mode": "overlay", **look}, picture=look.get("mode") != "map")

    return make


ROWS = {
    "Picture": "The map over the picture, in its size.",
    "Figure": "Picture, map and overlay with colour bar and caption. In SVG and PDF, boxes and text are vectors.",
    "Report": "One file that needs no server: each class under the next, with opacity to choose; a browser prints it.",
    "Data": "The raw values, every number of every map, and the recipe to reproduce them.",
}
"""Help of each row of a map's files, by its title."""
FORMATS = (
    Format("Picture", "picture.png", _picture(to_png)),
    Format("Picture", "picture.jpg", _picture(to_jpeg)),
    Format("Figure", "figure.png", _figure("png")),
    Format("Figure", "figure.jpg", _figure("jpg")),
    Format("Figure", "figure.svg", _figure("svg"), also="svg"),
    Format("Figure", "figure.pdf", _figure("pdf"), also="pdf"),
    Format(
        "Report",
        "report.html",
        lambda item, i, look: html_report.html([item], index=i, style=Style.of(look)).encode(),
        also="html",
    ),
    Format(
        "Data",
        "raw.npz",
        lambda item, i, _: npz_bytes(dict(zip(item.heatmaps[i].layers, item.heatmaps[i].raw, strict=True))),
        "Raw map, .npz",
    ),
    Format("Data", "statistics.csv", lambda item, i, _: csv(rows(item)).encode(), "Statistics, .csv"),
    Format("Data", "numbers.json", lambda item, i, _: to_json(item.to_dict()).encode(), "All numbers, .json"),
    Format(
        "Data",
        "recipe.json",
        lambda item, i, _: proved_recipe(item, i).model_dump_json(indent=1).encode(),
        "Recipe, .json",
    ),
)
ALSO = {format.also: format for format in FORMATS if format.also}


def map_downloads(explanation: Explanation, index: int, look: ViewSettings) -> list[Files]:
    """Return a map's files, with figures coloured by the settings `look`."""
    offers: dict[str, list[Offer]] = {}
    for format in FORMATS:
        label = format.label or format.file.rpartition(".")[2].upper()
        picture = explanation.image.name
        # A frozen frame of the camera has a name of its own.
        keeps_name = format.file == "picture.jpg" and picture.startswith("heatmap_")
        name = picture if keeps_name else f"{stem(explanation, index)}-{format.file}"
        offers.setdefault(format.row, []).append((label, name, partial(format.make, explanation, index, look)))
    return [Files(title, ROWS[title], files) for title, files in offers.items()]


def _zip(files: Callable[[], Iterable[tuple[str, bytes]]], name: str) -> list[Offer]:
    return [("All files, .zip", f"{name}.zip", lambda: result_folder.zip_files(files()))]


def class_downloads(explanation: Explanation, look: ViewSettings) -> list[Files]:
    """Return the files of the best map and of all classes."""
    about = "The map of each class, all of them on a sheet, their raw values, statistics and proofs, and the recipe."
    name = f"{_picture_stem(explanation.image.name)}-{explanation.model.id}"
    files = _zip(lambda: result_folder.picture_files(explanation, Style.of(look)), name)
    return [Files("All classes", about, files), *map_downloads(explanation, 0, look)]


def model_downloads(comparison: Comparison, look: ViewSettings) -> list[Files]:
    """Return the files of several models on one picture, with times."""

    def files() -> Iterable[tuple[str, bytes]]:
        times = comparison.timings or measure_in_turns([each.evidence for each in comparison.explanations])
        return result_folder.comparison_files(replace(comparison, timings=times), Style.of(look))

    name = f"{_picture_stem(comparison.explanations[0].image.name)}-comparison"
    about = "Each model's map, all of them on a sheet, their raw values, and every number with the recipes."
    return [Files("All models", about, _zip(files, name))]


def similarity_downloads(similarity: Similarity, ranking: Ranking, _look: ViewSettings) -> list[Files]:
    """Return the files of two compared pictures and their gallery, which are drawn in one way only."""
    name = "-".join((*(_picture_stem(side.image.name) for side in similarity.sides), "similarity"))
    files = _zip(lambda: similarity_files.pair_files(similarity), name)
    about = "Both pictures with their maps, the best matches, maps and embeddings as they are, and every number."
    scores = [("Ranking, .csv", f"{name}-ranking.csv", lambda: similarity_files.ranking_file(ranking)[1])]
    return [Files("Both pictures", about, files), Files("Gallery", "The scores of all pictures.", scores)]


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
