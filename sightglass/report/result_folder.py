"""Write folders of results.

The names are those of the tools that people come from, whatever the method: `gradcam_prediction.png` may hold a map by
LayerCAM. The method is in `analysis_summary.json`.
"""

import io
import itertools
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json, npy_bytes, npz_bytes, to_json, write_file
from sightglass.common.names import file_stem, file_stems, fold
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.explanation import Explanation
from sightglass.explain.methods import METHODS, list_methods
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import Image, to_jpeg, to_png
from sightglass.explain.recipe import Recipe
from sightglass.explain.rendering import render
from sightglass.explain.rendering.marks import contact_sheet, draw_marks, draw_segments
from sightglass.explain.rendering.style import VIEWER_STYLE, Style, parse_color
from sightglass.explain.result import Result
from sightglass.explain.tasks import describe_score
from sightglass.explain.tasks.segment import is_background
from sightglass.explain.trust.proof import Proof
from sightglass.models.adapter import Prediction
from sightglass.report import charts, embedded_recipe, figure, results, table
from sightglass.report.embedded_recipe import checked_recipe, embed, proved_recipe

File = tuple[str, bytes]
SUMMARY, RECIPE, MAPS = "analysis_summary.json", "recipe.json", "maps.npz"
MAX_LABEL = 60
"""Bytes of a label in a file's name."""


def save(explanation: Result, folder: Path) -> None:
    """Write one picture's folder with its summary, made whole before; raise ModelProblem if it cannot be written."""
    (folder,) = choose_folders([explanation.image.name], folder)
    values = results.Explained.build(explanation).to_dict()
    write(folder, list(with_summary(picture_files(explanation, VIEWER_STYLE, bare=True), values)))


def write(folder: Path, files: Iterable[File]) -> list[str]:
    """Write files (name, bytes) into a folder, each atomically, and return their names; raises OSError.

    Existing files of these names are replaced, and all others stay.
    """
    names: list[str] = []
    for name, data in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)
        names.append(name)
    return names


def find_other(folder: Path, image: Image) -> str | None:
    """Return the name of the picture whose results are in a folder; None without one, or where it is this picture."""
    try:
        recipe = Recipe.model_validate_json((folder / RECIPE).read_bytes())
    except (OSError, ValueError):
        return None
    return recipe.picture_name if recipe.picture_sha256 != image.sha256 else None


def choose_folders(names: Sequence[str], out: Path | None, suffix: str = "") -> list[Path]:
    """Return a folder per picture (`place_folders`), named after it without its ending."""
    return place_folders([label_stem(name.rsplit(".", 1)[0]) for name in names], out, suffix)


def place_folders(stems: Sequence[str], out: Path | None, suffix: str = "") -> list[Path]:
    """Return a folder per stem: `out` for a single one, else inside it.

    `out` defaults to `explained`, which gets a folder even for a single picture. Raises ModelProblem if unwritable.
    """
    folders = [out] if out is not None and len(stems) == 1 else []
    taken = set[str]()
    for stem in stems if not folders else ():
        base = (out or Path("explained")) / f"{stem}{suffix}"
        numbered = (base.with_name(f"{base.name}_{i}") for i in itertools.count(2))
        # On some disks `Cat` and `cat` are one folder.
        folder = next(free for free in itertools.chain((base,), numbered) if fold(free.name) not in taken)
        folders.append(folder)
        taken.add(fold(folder.name))
    existing = next(path for path in (folders[0], *folders[0].absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ModelProblem(f"{existing} is a file: name a folder to write to.")
    if not os.access(existing, os.W_OK):
        raise ModelProblem(f"{existing} is not writable: name another folder.")
    return folders


def label_stem(label: str) -> str:
    """Return a label as a file name of at most 60 bytes: `Egyptian cat` is `Egyptian_cat`."""
    return file_stem(label, separator="_", max_bytes=MAX_LABEL)


def label_stems(labels: Sequence[str]) -> list[str]:
    """Return a file name for each label; different labels never share one."""
    return file_stems(labels, separator="_", max_bytes=MAX_LABEL)


def source_stem(source: Path) -> str:
    """Return the name of a folder or a file for its results: `photos.2024/` and `photos.2024.zip` are `photos.2024`."""
    whole = Path(os.path.abspath(source))
    return label_stem(whole.name if whole.is_dir() else whole.stem)


def zip_files(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return files as one archive, uncompressed: pictures would not get smaller."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


def stem(explanation: Result, index: int) -> str:
    """Return the name of a map's own files, with its answer's rank: `top1_minibus`."""
    return map_name(_number(explanation, index), explanation.heatmaps[index].target.label)


def _number(explanation: Result, index: int) -> int:
    """Return the rank of a map's answer, or its own number where ranks do not tell the maps apart."""
    rank, distinct = explanation.ranks[index], {*explanation.ranks} - {None}
    return rank if rank is not None and len(distinct) == len(explanation.ranks) else index + 1


def map_name(number: int, label: str) -> str:
    """Return the name of a map by its number: `top1_minibus`."""
    return f"top{number}_{label_stem(label)}"


def with_summary(files: Iterable[File], values: Json) -> Iterator[File]:
    """Yield the files, then their summary."""
    names = []
    for name, data in files:
        names.append(name)
        yield name, data
    yield SUMMARY, to_json(values | {"files": [*names, SUMMARY]}).encode()


def result_files(explanation: Result, style: Style, *, everything: bool) -> Iterator[File]:
    """Return the files of boxes of a detector, else of a picture; `everything`: also each map as a file."""
    if explanation.task.explains("detection"):
        return box_files(explanation, style, everything=everything)
    return picture_files(explanation, style, npy=everything)


def picture_files(explanation: Result, style: Style, *, npy: bool = False, bare: bool = False) -> Iterator[File]:
    """Yield one picture's files: of a segmentation the class of each pixel, the figure, overlays, and a sheet.

    `npy`: also each map at the picture's size, float32 (H, W) in 0..1, a signed one in -1..1. `bare`: also each map
    without the picture.
    """
    if (classes := explanation.segmentation) is not None:
        labels = explanation.evidence.loaded.adapter.labels
        plain = [p.index for p in explanation.predictions if is_background(explanation, p.index)]
        yield "segmentation.png", to_png(draw_segments(explanation.image.pixels, classes, labels, plain=plain))
        # 255 for none.
        yield "classes.png", to_png(np.where(classes < 0, 255, classes).clip(0, 255).astype(np.uint8))
    if explanation.heatmaps:
        yield "gradcam_prediction.png", figure.figure(explanation, look=asdict(style))
    for i in range(len(explanation.heatmaps)):
        name = f"top_predictions/gradcam_{stem(explanation, i)}"
        yield f"{name}.png", embed(to_png(explanation.overlay(i, **style.overlay)), explanation, i, style.overlay)
        if bare:
            yield f"{name}_heatmap.png", embed(to_png(bare_map(explanation, i, style)), explanation, i, picture=False)
        if npy:
            yield f"{name}.npy", npy_bytes(explanation.heatmaps[i].values)
    if len(explanation.heatmaps) > 1:
        yield "topk_comparison.jpg", _sheet(explanation, style)
    yield from _data_files(explanation)


def class_files(explanation: Result, index: int, style: Style, values: Json, *, npy: bool = False) -> Iterator[File]:
    """Yield one class's figure and analysis, under names that no other class has.

    `values`: the explanation as `results.Explained`. `npy`: also the map.
    """
    target, labels = explanation.heatmaps[index].target, explanation.evidence.loaded.adapter.labels
    name = _name_class(target.index, target.label, tuple(labels))
    look: dict[str, bool | float | str] = {"colormap": style.colormap, "alpha": style.alpha}
    yield f"gradcam_class_{name}.png", figure.figure(explanation, index, look=look)
    if npy:
        yield f"gradcam_class_{name}.npy", npy_bytes(explanation.heatmaps[index].values)
    analysis = {field: value for field, value in values.items() if field not in ("heatmaps", "boxes")}
    analysis |= values["heatmaps"][index] | {"index": target.index, "classes": len(labels)}
    analysis |= {field: values[field] and values[field][index] for field in ("statistics", "checks")}
    yield f"class_analysis_{name}.json", to_json(analysis).encode()


def _name_class(index: int | None, label: str, labels: tuple[str, ...]) -> str:
    """Return a class's name in files, which no other class of the model has."""
    if index is None:
        return label_stem(label)
    stems = _stem_classes(labels)
    return stems[index] + f"_{index}" * (stems.count(stems[index]) > 1)


@lru_cache(maxsize=8)
def _stem_classes(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(label_stems(labels))


def every_map(explanation: Result, style: Style = VIEWER_STYLE, *, boxes: bool = True) -> NDArray[np.uint8]:
    """Draw all maps and boxes over the picture, the hottest map foremost."""
    pixels = explanation.image.pixels
    if explanation.heatmaps:
        hottest = np.maximum.reduce([heatmap.strength for heatmap in explanation.heatmaps])
        pixels = render.paint(pixels, replace(explanation.heatmaps[0].field, values=hottest, kind="heat"), style)
    return _draw_boxes(explanation, pixels, explanation.predictions if boxes else (), style)


def one_map(explanation: Result, index: int, style: Style = VIEWER_STYLE, *, boxes: bool = True) -> NDArray[np.uint8]:
    """Draw one map over the picture, with its `boxes`."""
    pixels = render.paint(explanation.image.pixels, explanation.heatmaps[index].field, style)
    predictions = explanation.own(index) if boxes else ()
    return _draw_boxes(explanation, pixels, predictions, style, chosen=0 if len(predictions) == 1 else None)


def bare_map(explanation: Result, index: int, style: Style) -> NDArray[np.uint8]:
    """Draw one map's values without the picture, black where the model saw nothing."""
    heatmap = explanation.heatmaps[index]
    levels = 128 + 127 * heatmap.values if heatmap.signed else 255 * heatmap.values
    pixels = render.map_lut(heatmap.kind, style.colormap)[np.rint(levels).astype(np.uint8)]
    x0, y0, x1, y1 = heatmap.seen
    alone = np.zeros_like(pixels)
    alone[y0:y1, x0:x1] = pixels[y0:y1, x0:x1]
    return alone


def _draw_boxes(
    explanation: Result,
    pixels: NDArray[np.uint8],
    predictions: Sequence[Prediction],
    style: Style,
    chosen: int | None = None,
) -> NDArray[np.uint8]:
    if not style.outlines:
        return pixels
    answers = explanation.task.wording.answers(explanation, predictions)
    items = [(answer.marks, plain_text(answer.line)) for answer in answers]
    return draw_marks(pixels, items, chosen=chosen, color=parse_color(style.boxes))


def box_files(
    explanation: Result, style: Style = VIEWER_STYLE, *, everything: bool, boxes: bool = True
) -> Iterator[File]:
    """Yield `*_original.jpg`, `*_detection.jpg`, `*_gradcam.jpg`; with `everything` also each box's picture and map.

    All pictures but the first carry the recipe; the two with all boxes carry that of the first map. `boxes` False: maps
    are drawn without their boxes; `*_detection.jpg` is about the boxes and has them.

        for name, data in box_files(Explainer("yolo11n")("bus.jpg"), everything=True):
            Path(name).write_bytes(data)
    """
    pixels, prefix = explanation.image.pixels, file_stem(explanation.image.name.rsplit(".", 1)[0])

    def encode(picture: NDArray[np.uint8], index: int = 0) -> bytes:
        return embed(to_jpeg(picture), explanation, index, style.overlay)

    yield f"{prefix}_original.jpg", to_jpeg(pixels)
    yield f"{prefix}_detection.jpg", encode(_draw_boxes(explanation, pixels, explanation.predictions, style))
    yield f"{prefix}_gradcam.jpg", encode(every_map(explanation, style, boxes=boxes))
    if everything:
        for i, heatmap in enumerate(explanation.heatmaps):
            label, number = heatmap.target.label, _number(explanation, i)
            yield f"{prefix}_{number:02}_{file_stem(label)}.jpg", encode(one_map(explanation, i, style, boxes=boxes), i)
            yield f"{prefix}_{number:02}_{label_stem(label)}.npy", npy_bytes(heatmap.values)
        if len(explanation.heatmaps) > 1:
            yield "topk_comparison.jpg", _sheet(explanation, style)
    yield from _data_files(explanation)


def _data_files(explanation: Result) -> Iterator[File]:
    """Yield maps, statistics, proofs and the recipe; proofs after the first are named after their maps."""
    if explanation.heatmaps:
        yield MAPS, npz_bytes(arrays(explanation))
        yield "statistics.csv", table.csv(table.rows(explanation)).encode()
    for number, (index, proof) in enumerate(sorted(explanation.proofs.items())):
        yield from proof_files(explanation, index, proof, f"{stem(explanation, index)}_" if number else "")
    yield RECIPE, checked_recipe(explanation).model_dump_json(indent=1).encode()


def arrays(explanation: Result, names: Sequence[str] = ()) -> dict[str, NDArray[np.float32]]:
    """Return the maps by name, by default that of their files, as they are computed.

    `top1_cat` is a map at the size of the model's input, float32 (h, w) in 0..1, a signed one in -1..1.
    `top1_cat_raw_<layer>` is a raw map of it, signed, on the layer's grid.
    """
    by_name = {}
    for i, heatmap in enumerate(explanation.heatmaps):
        name, layers = names[i] if names else stem(explanation, i), heatmap.layers
        by_name[name] = heatmap.at_input
        paths = layers if len(layers) == len(heatmap.raw) else map(str, range(len(heatmap.raw)))
        by_name |= {f"{name}_raw_{path}": raw for path, raw in zip(paths, heatmap.raw, strict=True)}
    return by_name


def method_files(explanation: Explanation, style: Style) -> Iterator[File]:
    """Yield a sheet with the first map by each quick method, no control."""
    offered = list_methods(explanation.evidence.loaded)
    names = [method.id for method in offered if method.quick and method.family != "control"]
    panels = [item.overlay(0, **style.overlay) for item in explanation.with_methods(*names)]
    sheet = contact_sheet(
        [explanation.image.pixels, *panels],
        ["picture", *[METHODS[name].name_for(explanation.model.task) for name in names]],
        columns=4,
        title=f"{explanation.model.id}: {_name_map(explanation, 0)}",
    )
    yield "methods.jpg", to_jpeg(sheet)


def _sheet(explanation: Result, style: Style) -> bytes:
    """Return all maps in one JPEG, with the recipe."""
    indices = range(len(explanation.heatmaps))
    panels = [explanation.overlay(i, **style.overlay) for i in indices]
    sheet = contact_sheet(panels, [f"{i + 1} {_name_map(explanation, i)}" for i in indices])
    return embed(to_jpeg(sheet), explanation, 0, style.overlay)


def _name_map(explanation: Result, index: int) -> str:
    """Return a map's label and score."""
    label, score = explanation.heatmaps[index].target.label, explanation.task.scorer.score(explanation, index)
    return plain_text(label if score is None else f"{label} {describe_score(score, explanation.model, label)}")


def comparison_files(compared: Comparison, style: Style) -> Iterator[File]:
    """Yield the models' maps, sheet, proofs and comparison.json."""
    models = label_stems([explanation.model.id for explanation in compared.explanations])
    panels, captions = [], []
    for model, name, explanation in zip(models, compared.names, compared.explanations, strict=True):
        panel = explanation.overlay(0, **style.overlay) if explanation.heatmaps else explanation.image.pixels
        if explanation.heatmaps:
            yield f"gradcam_{model}.png", embed(to_png(panel), explanation, 0, style.overlay)
        if (proof := explanation.proofs.get(0)) is not None:
            yield from proof_files(explanation, 0, proof, f"{model}_")
        panels.append(panel)
        captions.append(plain_text(f"{name}: {' '.join(first_answer(explanation))}"))
    # One file, one recipe: the first model's.
    yield "comparison.jpg", embed(to_jpeg(contact_sheet(panels, captions)), compared.explanations[0], 0, style.overlay)
    yield MAPS, npz_bytes(dict(zip(models, compared.maps, strict=True)))
    yield "comparison.json", to_json(results.ComparisonResult.build(compared).to_dict()).encode()


def first_answer(explanation: Explanation) -> tuple[str, str]:
    """Return the first map's label and score, else the answer."""
    if not explanation.heatmaps:
        return explanation.task.wording.answer(explanation), ""
    label, score = explanation.heatmaps[0].target.label, explanation.task.scorer.score(explanation, 0)
    return label, "" if score is None else describe_score(score, explanation.model, label)


def proof_files(explanation: Result, index: int, proof: Proof, prefix: str = "") -> Iterator[File]:
    """Yield proof.png, the curves' figure with the recipe, then proof.json; `prefix`: what their names begin with."""
    curves, view = charts.figure(charts.describe_proof(proof)), embedded_recipe.view_of(explanation, index)
    yield f"{prefix}proof.png", embedded_recipe.write(curves, proved_recipe(explanation, index, proof), view)
    yield f"{prefix}proof.json", to_json(results.ProofResult.build(explanation, index, proof).to_dict()).encode()
