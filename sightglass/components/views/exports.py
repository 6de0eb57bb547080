"""Files that Export offers."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sightglass.common.files import file_stem, npy_bytes, npz_bytes, to_json
from sightglass.components.session.jobs import explain_job
from sightglass.components.views import charts
from sightglass.components.views.charts import Files
from sightglass.explain.methods import METHODS
from sightglass.explain.rendering.style import Style
from sightglass.export import animation, detection_images, result_folder, similarity_files
from sightglass.export.figure import figure as draw_figure
from sightglass.export.proof.files import curves as draw_curves
from sightglass.export.proof.files import recipe, summary
from sightglass.export.report import html as html_report
from sightglass.export.report import pdf as pdf_report
from sightglass.export.table import csv, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sightglass.components.viewer import Look
    from sightglass.explain import Explanation
    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.similarity.ranking import Context, Ranking
    from sightglass.explain.similarity.similarity import Similarity


def of_map(explanation: Explanation, index: int, look: Look) -> list[Files]:
    """Return a map's files, with figures coloured by the settings `look`.

    What is made of a map that this session has proved carries the proof.
    """
    begin = stem(explanation, index)
    explanation = explain_job.carrying(explanation)
    proof, colormap = explanation.proofs.get(index), Style.of(look).colormap

    def figure(kind: Any) -> bytes:
        return draw_figure(explanation, index, format=kind, look=look)

    def sweep(_kind: str) -> bytes:
        return animation.sweep(explanation, index, colormap=colormap)

    def report(kind: str) -> str | bytes:
        if kind == "html":
            return html_report.html([explanation], index=index, colormap=colormap)
        return pdf_report.pdf(explanation, index, colormap=colormap)

    def each(name: str, make: Callable[[str], Any], *kinds: str) -> list[charts.Offer]:
        return [(kind.upper(), f"{begin}-{name}.{kind}", partial(make, kind)) for kind in kinds]

    vectors = "Picture, map and overlay with colour bar and caption. In SVG and PDF, boxes and text are vectors."
    page = "HTML: one file that needs no server, with opacity, threshold and class to choose. PDF: for printing."
    if proof is not None:
        page += " Both with the map's proof: its sentence, curves and numbers."
    listed = [
        Files("Figure", vectors, each("figure", figure, "png", "jpg", "svg", "pdf")),
        Files("Report", page, each("report", report, "html", "pdf")),
    ]
    if explanation.segmentation is not None:
        listed.append(_of_segmentation(explanation))
    if proof is not None:
        listed.append(_of_proof(explanation, index, begin))
    if METHODS[explanation.heatmaps[index].method].quick:
        through = "This map at every layer of the model, from the first to the last."
        listed.append(Files("Layer by layer", through, each("layers", sweep, "gif")))
    kind = "npy" if len(explanation.heatmaps[index].raw) == 1 else "npz"
    data: list[charts.Offer] = [
        (f"Raw map, .{kind}", f"{begin}-raw.{kind}", lambda: _raw(explanation, index)),
        ("Statistics, .csv", f"{begin}-statistics.csv", lambda: csv(rows(explanation))),
        ("All numbers, .json", f"{begin}-numbers.json", lambda: json.dumps(explanation.summary(), indent=1)),
        ("Recipe, .json", f"{begin}-recipe.json", lambda: recipe(explanation, index).model_dump_json(indent=1)),
    ]
    about = "The raw values, every number of every map, and the recipe to reproduce them."
    if proof is not None:
        about += " The recipe makes the map's proof again, too."
    return [*listed, Files("Data", about, data)]


def _of_segmentation(explanation: Explanation) -> Files:
    """Return the class of each pixel, drawn and as its index."""
    begin = f"{_begin(explanation.image.name)}-{explanation.model.id}"

    def file(name: str) -> bytes:
        return next(data for filename, data in result_folder.of_segmentation(explanation) if filename == name)

    offers: list[charts.Offer] = [
        ("Over the picture, .png", f"{begin}-segmentation.png", partial(file, "segmentation.png")),
        ("Numbers, .png", f"{begin}-classes.png", partial(file, "classes.png")),
    ]
    about = "The class of each pixel: in colours with names, or a grey picture of the classes' numbers, 255 for none."
    return Files("Classes", about, offers)


def _of_proof(explanation: Explanation, index: int, begin: str) -> Files:
    """Return the files of the proof of one map."""
    proof = explanation.proofs[index]

    def curves(kind: Any) -> bytes:
        return draw_curves(explanation, index, proof, kind)

    def numbers() -> str:
        return to_json(summary(explanation, index, proof))

    offers: list[charts.Offer] = [
        (kind.upper(), f"{begin}-proof.{kind}", partial(curves, kind)) for kind in ("png", "svg", "pdf")
    ]
    offers.append(("Numbers, .json", f"{begin}-proof.json", numbers))
    return Files(
        "Proof", "The sentence with the curves of the map and its controls, and all of them in numbers.", offers
    )


def of_classes(explanation: Explanation, look: Look) -> list[Files]:
    """Return the files of the best map and of all classes."""
    explanation = explain_job.carrying(explanation)
    make = partial(_zip_files, lambda: result_folder.of_picture(explanation, _style(look)))
    name = f"{_begin(explanation.image.name)}-{explanation.model.id}.zip"
    proofs = ", the proofs" if explanation.proofs else ""
    about = f"The map of each class, all of them on a sheet, their raw values and statistics{proofs}, and the recipe."
    return [Files("All classes", about, [("All files, .zip", name, make)]), *of_map(explanation, 0, look)]


def of_boxes(explanation: Explanation, index: int, look: Look) -> list[Files]:
    """Return the files of one box's map and of all boxes."""
    begin = f"{_begin(explanation.image.name)}-{explanation.model.id}"
    pictures: list[charts.Offer] = [
        (label, f"{begin}{end}.zip", partial(_zip_files, partial(detection_images.files, explanation, boxes=boxes)))
        for label, end, boxes in (("With boxes, .zip", "", True), ("Without boxes, .zip", "-no-boxes", False))
    ]
    about = "The original, its boxes, all maps in one, and one picture per map, with boxes or without."
    first, *rest = of_map(explanation, index, look)
    return [first, Files("Pictures of all boxes", about, pictures), *rest]


def of_models(comparison: Comparison, look: Look) -> list[Files]:
    """Return the files of several models on one picture, whose times are measured if they were not."""
    comparison = replace(comparison, explanations=tuple(map(explain_job.carrying, comparison.explanations)))

    def timed() -> Comparison:
        return comparison if comparison.timings else explain_job.measure_times(comparison)

    def numbers() -> str:
        return to_json(result_folder.comparison(timed()))

    begin = f"{_begin(comparison.explanations[0].image.name)}-comparison"
    make = partial(_zip_files, lambda: result_folder.of_comparison(timed(), _style(look)))
    files: list[charts.Offer] = [
        ("All files, .zip", f"{begin}.zip", make),
        ("All numbers, .json", f"{begin}.json", numbers),
    ]
    proofs = ", their proofs" if any(explanation.proofs for explanation in comparison.explanations) else ""
    about = f"Each model's map, all of them on a sheet, their raw values{proofs}, and every number with the recipes."
    return [Files("All models", about, files)]


def of_similarity(found: Similarity, context: Context, ranking: Ranking, _look: Look) -> list[Files]:
    """Return the files of two compared pictures and their gallery."""
    begin = "-".join((*(_begin(side.image.name) for side in found.sides), "similarity"))

    def file(name: str) -> bytes:
        return next(data for filename, data in similarity_files.of_similarity(found, context) if filename == name)

    pictures: list[charts.Offer] = [("Maps, .jpg", f"{begin}.jpg", partial(file, "similarity.jpg"))]
    if found.matches.pairs:
        pictures.append(("Best matches, .jpg", f"{begin}-pairs.jpg", partial(file, "pairs.jpg")))
    data: list[charts.Offer] = [
        ("Maps and vectors, .npz", f"{begin}.npz", partial(file, "maps.npz")),
        ("All numbers, .json", f"{begin}.json", partial(file, "similarity.json")),
        ("Ranking, .csv", f"{begin}-ranking.csv", lambda: similarity_files.of_ranking(ranking)[1]),
    ]
    archive = partial(_zip_files, lambda: similarity_files.of_similarity(found, context))
    return [
        Files("Pictures", "Both pictures with their maps and the score, and the places that match.", pictures),
        Files("Data", "Maps as they are, embeddings, every number, and the scores of all pictures.", data),
        Files("Both pictures", "All files of this pair.", [("All files, .zip", f"{begin}.zip", archive)]),
    ]


def stem(explanation: Explanation, index: int) -> str:
    """Return the start of a map's filenames: `bus-4-person-HiResCAM`."""
    heatmap = explanation.heatmaps[index]
    boxes = explanation.own(index) if explanation.options.per == "detection" else ()
    number = [str(i) for i, prediction in enumerate(explanation.predictions, 1) if boxes and prediction == boxes[0]]
    parts = [
        _begin(explanation.image.name),
        *number,
        heatmap.target.label,
        METHODS[heatmap.method].name_for(explanation.model.task),
    ]
    return "-".join(file_stem(part) for part in parts)


def _begin(name: str) -> str:
    return file_stem(name.rsplit(".", 1)[0])


def _style(look: Look) -> Style:
    """Return the style of a folder's overlays: the viewer's colours and opacity."""
    chosen = Style.of(look)
    return Style(colormap=chosen.colormap, alpha=chosen.alpha)


def _zip_files(files: Callable[[], Iterable[tuple[str, bytes]]]) -> bytes:
    return result_folder.zip_files(files())


def _raw(explanation: Explanation, index: int) -> bytes:
    """Return the map as it was computed, one array for each layer."""
    heatmap = explanation.heatmaps[index]
    if len(heatmap.raw) == 1:
        return npy_bytes(heatmap.raw[0])
    return npz_bytes(dict(zip(heatmap.layers, heatmap.raw, strict=True)))
