"""Folders of results: which files lie in them, what those are called, and how each is whole or not there at all.

The names are those of the tools that people come from, whatever the method: `gradcam_prediction.png` of a map by
LayerCAM too. Which method it was stands in `analysis_summary.json`.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import ModelProblem, Problem
from common.files import file_stem, write_file
from explain.evidence.targets import decode
from explain.export import command, detection_images, embedded_recipe, table
from explain.findings.diagnosis import answer, diagnose, headline, looks
from explain.methods import METHODS
from explain.phrases import percent
from explain.picture.image import Image, to_jpeg, to_png
from explain.rendering import contact_sheet
from explain.rendering.colormaps import colormaps, lut
from explain.rendering.style import Style

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from explain.comparison import Comparison
    from explain.explanation import Explanation

    File = tuple[str, bytes]

SUMMARY, RECIPE, MAPS = "analysis_summary.json", "recipe.json", "maps.npz"
OURS = re.compile(r"(top_predictions/)?[\w-][\w.+-]*\.(png|jpg|npy|npz|csv|json|svg|pdf|html|gif|mp4)")
"""Names that a summary may list as its own."""
CELL = 240
"""Pixels of a picture's side on a sheet of many."""
LONGEST = 60
"""Letters of a label in the name of a file."""


@dataclass(frozen=True)
class Look:
    """How maps are drawn in files; an unknown colormap or an alpha beyond 0..1 is a Problem."""

    colormap: str = "inferno"
    alpha: float = 0.5

    def __post_init__(self) -> None:
        lut(self.colormap)
        if not 0 <= self.alpha <= 1:
            raise Problem(f"alpha is {self.alpha:g}: it goes from 0 to 1.")

    @property
    def hot(self) -> str:
        """The word for the hottest colour."""
        return next(known.hot for known in colormaps() if known.name == self.colormap)


def write(folder: Path, files: Iterable[File]) -> list[str]:
    """Put files (a name that may have folders in it, bytes) into a folder; each is whole or not there.

    What has their names already is replaced, and where a summary is among them the files of the summary that it
    replaces go: a folder is of one explanation. Raises OSError.
    """
    names: list[str] = []
    before: list[str] | None = None
    for name, data in files:
        if name == SUMMARY:
            before = _listed(folder)
        to = folder / name
        to.parent.mkdir(parents=True, exist_ok=True)
        write_file(to, data)
        names.append(name)
    for name in before or ():
        if name not in names:
            (folder / name).unlink(missing_ok=True)
    return names


def _listed(folder: Path) -> list[str]:
    """The files that a summary in a folder names, those in that folder."""
    try:
        named = json.loads((folder / SUMMARY).read_text("utf-8"))["files"]
        return [name for name in named if OURS.fullmatch(name)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def places(names: Sequence[str], out: Path | None) -> list[Path]:
    """A folder for each picture: `out` itself for a single one, else one in it for each, named after the picture.

    Without `out` they lie in `explained`.
    """
    if out is not None and len(names) == 1:
        return [out]
    taken: set[str] = set()
    found = []
    for name in names:
        base = plain(name.rsplit(".", 1)[0])
        free = next(given for given in (base, *(f"{base}_{i}" for i in range(2, len(names) + 2))) if given not in taken)
        taken.add(free)
        found.append((out or Path("explained")) / free)
    return found


def check(folder: Path) -> None:
    """Raise ModelProblem where files cannot be written to a folder that is yet to be made: before minutes of work."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ModelProblem(f"{there} is a file: name a folder to write to.")
    if not os.access(there, os.W_OK):
        raise ModelProblem(f"{there} cannot be written to: name another folder.")


def plain(text: str) -> str:
    """A label as a part of a file's name: `Egyptian cat` is `Egyptian_cat`."""
    return file_stem(text, separator="_", keep="-", max_length=LONGEST)


def to_json(value: Any) -> str:
    """Plain values, dataclasses and pydantic's models as JSON; what is not a finite number is null."""
    return json.dumps(_plain(value), indent=1)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(mode="json"))
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def summary(explanation: Explanation, look: Look) -> dict[str, Any]:
    """Everything that is known of an explanation but its pixels, ready for `to_json`."""
    recipe = explanation.recipe
    said = {"headline": read(headline(explanation, look.hot)), **explanation.summary()}
    return said | {"recipe": recipe, "command": command.line(recipe)}


def stem(explanation: Explanation, index: int) -> str:
    """`top1_minibus`: what a map is called in every file that is of it alone."""
    return f"top{index + 1}_{plain(explanation.heatmaps[index].target.label)}"


def with_summary(files: Iterable[File], said: dict[str, Any]) -> Iterator[File]:
    """The files and, after all of them, what is `said` as their summary: where it is, the others are."""
    names = []
    for name, data in files:
        names.append(name)
        yield name, data
    yield SUMMARY, to_json(said | {"files": [*names, SUMMARY]}).encode()


def of_picture(explanation: Explanation, look: Look, *, npy: bool = False) -> Iterator[File]:
    """The folder of one picture: the best map as a figure, every class's overlay, and all of them on a sheet.

    `npy`: also each map on the picture's own grid, float32 (H, W) in 0..1.
    """
    if explanation.heatmaps:
        yield "gradcam_prediction.png", _figure(explanation, 0, look)
    tagged = _tagger(explanation, look)
    for i in range(len(explanation.heatmaps)):
        name = f"top_predictions/gradcam_{stem(explanation, i)}"
        yield f"{name}.png", tagged(to_png(explanation.overlay(i, colormap=look.colormap, alpha=look.alpha)), i)
        if npy:
            yield f"{name}.npy", _npy(explanation.heatmaps[i].values)
    if len(explanation.heatmaps) > 1:
        yield "topk_comparison.jpg", tagged(to_jpeg(_sheet(explanation, look)), 0)
    yield from _numbers(explanation)


def of_class(explanation: Explanation, index: int, analysis: dict[str, Any], look: Look) -> Iterator[File]:
    """What speaks for one class: its `class_analysis` and its map."""
    label = plain(explanation.heatmaps[index].target.label)
    yield f"gradcam_class_{label}.png", _figure(explanation, index, look)
    yield f"gradcam_class_{label}.npy", _npy(explanation.heatmaps[index].values)
    yield f"class_analysis_{label}.json", to_json(analysis).encode()


def class_analysis(explanation: Explanation, index: int) -> dict[str, Any]:
    """One class among all that the model knows: its place, its score, its map in numbers, what is to be said against
    it, and how far it is the map of the best class. Ready for `to_json`; a quick method runs no model for it."""
    heatmap = explanation.heatmaps[index]
    target, scores = heatmap.target, _scores(explanation)
    assert target.index is not None  # a class was asked for
    best = max(range(len(scores)), key=scores.__getitem__)
    rank = 1 + sum(score > scores[target.index] for score in scores)
    likeness = None
    if best != target.index and METHODS[heatmap.method].quick:
        likeness = asdict(explanation.with_targets(target.index, best).agreement(0, 1))
    said = f"{target.label} is answer {rank} of {len(scores)}, {percent(scores[target.index])}. "
    return {
        "picture": explanation.image.name,
        "model": explanation.model.id,
        "headline": read(said + looks(explanation, index)),
        "label": target.label,
        "index": target.index,
        "score": scores[target.index],
        "rank": rank,
        "classes": len(scores),
        "best": {"index": best, "label": explanation.evidence.resident.adapter.labels[best], "score": scores[best]},
        "same_place_as_best": likeness,
        "method": heatmap.method,
        "layers": heatmap.layers,
        "state": heatmap.state,
        "raw": heatmap.raw_range,
        "statistics": explanation.statistics[index],
        "diagnosis": [read(finding.text) for finding in diagnose(explanation, index)],
        "recipe": explanation.recipe,
        "command": command.line(explanation.recipe),
    }


def _scores(explanation: Explanation) -> list[float]:
    """How sure the model is of each class it knows, 0..1; of a detector its strongest candidate's."""
    evidence, options = explanation.evidence, explanation.options
    if explanation.model.task == "detect":
        found: list[float] = evidence.outputs.scores[0].amax(1).tolist()
        return found
    count = len(evidence.resident.adapter.labels)
    every = {p.index: p.score for p in decode(evidence, replace(options, top_k=count, classes=()))}
    return [every.get(index, 0.0) for index in range(count)]


def of_boxes(explanation: Explanation, look: Look, *, everything: bool) -> Iterator[File]:
    """`*_original.jpg`, `*_detection.jpg` and `*_gradcam.jpg`; with `everything` each box's own picture and map too."""
    drawn = list(detection_images.files(explanation, Style(colormap=look.colormap, alpha=look.alpha)))
    yield drawn[0]
    yield from drawn[1:] if everything else drawn[1:3]
    if everything:
        for i, heatmap in enumerate(explanation.heatmaps):
            name = f"{drawn[0][0].removesuffix('_original.jpg')}_{i + 1:02}_{plain(heatmap.target.label)}"
            yield f"{name}.npy", _npy(heatmap.values)
        if len(explanation.heatmaps) > 1:
            yield "topk_comparison.jpg", _tagger(explanation, look)(to_jpeg(_sheet(explanation, look)), 0)
    yield from _numbers(explanation)


def thumbnail(explanation: Explanation, look: Look) -> tuple[NDArray[np.uint8], str]:
    """A picture under its best map, small, and what was said of it: a cell of a sheet of many."""
    image = explanation.image
    drawn = explanation.overlay(0, colormap=look.colormap, alpha=look.alpha) if explanation.heatmaps else image.pixels
    return Image(drawn).thumbnail(CELL), read(f"{image.name}: {answer(explanation)}")


def of_many(cells: Sequence[tuple[NDArray[np.uint8], str]]) -> Iterator[File]:
    """The sheet of several pictures."""
    panels, captions = zip(*cells, strict=True)
    yield "grid.jpg", to_jpeg(contact_sheet.grid(panels, captions, height=CELL))


def of_comparison(compared: Comparison, look: Look, more: dict[str, Any] | None = None) -> Iterator[File]:
    """The models' maps on one sheet, and each as a file of its own; `more` is said in comparison.json besides."""
    panels, captions = [], []
    for i, explanation in enumerate(compared.explanations):
        if explanation.heatmaps:
            panels.append(explanation.overlay(0, colormap=look.colormap, alpha=look.alpha))
            data = _tagger(explanation, look)(to_png(panels[-1]), 0)
            yield f"gradcam_{plain(explanation.model.id)}.png", data
        else:
            panels.append(explanation.image.pixels)
        captions.append(read(f"{compared.names[i]}: {' '.join(of_first(explanation))}"))
    # One file, one recipe: the first model's.
    yield "comparison.jpg", _tagger(compared.explanations[0], look)(to_jpeg(contact_sheet.grid(panels, captions)), 0)
    yield MAPS, _npz({plain(e.model.id): m for e, m in zip(compared.explanations, compared.maps, strict=True)})
    yield "comparison.json", to_json(comparison(compared) | (more or {})).encode()


def of_first(explanation: Explanation) -> tuple[str, str]:
    """What the first map is of and how sure the model is of that, as words; of a model without a map what it says."""
    if not explanation.heatmaps:
        return answer(explanation), ""
    target = explanation.heatmaps[0].target
    if target.index is None:
        return target.label, ""
    sure = max((p.score for p in explanation.own(0)), default=None)
    return target.label, percent(_scores(explanation)[target.index] if sure is None else sure)


def comparison(compared: Comparison) -> dict[str, Any]:
    """What models said of one picture and how far they agree, ready for `to_json`."""
    every = range(len(compared.names))
    return {
        "picture": compared.explanations[0].image.name,
        "verdict": compared.verdict,
        "fastest": compared.fastest,
        "common": compared.common,
        "models": [
            {"name": name, "timing": timing, **explanation.summary(), "recipe": explanation.recipe}
            for name, timing, explanation in zip(compared.names, compared.timings, compared.explanations, strict=True)
        ],
        "agreement": [[compared.agreement(a, b) for b in every] for a in every],
    }


def _numbers(explanation: Explanation) -> Iterator[File]:
    """The maps and their statistics as numbers, and the recipe."""
    if explanation.heatmaps:
        yield MAPS, _npz(arrays(explanation))
        yield "statistics.csv", table.csv(table.rows(explanation)).encode()
    yield RECIPE, explanation.recipe.model_dump_json(indent=1).encode()


def arrays(explanation: Explanation) -> dict[str, NDArray[np.float32]]:
    """Each map as `top1_cat`, float32 (h, w) in 0..1 at the model's input, and as `top1_cat_raw_<layer>` before that:
    signed, on the layer's own grid."""
    found = {}
    for i, heatmap in enumerate(explanation.heatmaps):
        found[stem(explanation, i)] = heatmap.at_input
        layers = heatmap.layers if len(heatmap.layers) == len(heatmap.raw) else map(str, range(len(heatmap.raw)))
        found |= {f"{stem(explanation, i)}_raw_{layer}": raw for layer, raw in zip(layers, heatmap.raw, strict=True)}
    return found


def _figure(explanation: Explanation, index: int, look: Look) -> bytes:
    from explain.export.figure import figure

    return figure(explanation, index, colormap=look.colormap, alpha=look.alpha)


def _sheet(explanation: Explanation, look: Look) -> NDArray[np.uint8]:
    """Every map over the picture, with its class and how sure the model is of it."""
    panels, captions = [], []
    for i, heatmap in enumerate(explanation.heatmaps):
        panels.append(explanation.overlay(i, colormap=look.colormap, alpha=look.alpha))
        score = next(
            (p.score for p in explanation.own(i) or explanation.predictions if p.index == heatmap.target.index), None
        )
        captions.append(read(f"{i + 1} {heatmap.target.label}" + (f" {percent(score)}" if score is not None else "")))
    return contact_sheet.grid(panels, captions)


def _tagger(explanation: Explanation, look: Look) -> Callable[[bytes, int], bytes]:
    """Makes a PNG or JPG say how it was made."""
    return embedded_recipe.tagger(explanation, mode="overlay", colormap=look.colormap, alpha=look.alpha, even=True)


def read(text: str) -> str:
    """A sentence for a terminal or a drawn line: no emphasis, and no space that does not break."""
    return text.replace("**", "").replace("\N{NO-BREAK SPACE}", " ").strip()


def _npy(values: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _npz(found: dict[str, NDArray[np.float32]]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **found)  # type: ignore[arg-type]
    return buffer.getvalue()
