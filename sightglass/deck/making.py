"""Make scenes of explanations."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.deck.scene import (
    MAX_BOXES,
    MAX_CHECKS,
    MAX_MADE,
    MAX_NOTES,
    MAX_SENTENCE,
    MAX_SIDE,
    MAX_TITLE,
    PICTURE_SIDE,
    Panel,
    Scene,
    SceneMap,
    SceneProof,
    SceneView,
)
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import capital, kinds, listing, percent
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.tasks import task_of
from sightglass.export.caption import label_ends
from sightglass.export.proof.chart import titles
from sightglass.models.catalog import catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.deck.scene import Fraction, Kind
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.picture.image import Image
    from sightglass.explain.result import Result
    from sightglass.explain.tasks.task import Task
    from sightglass.explain.trust.checks import Checks
    from sightglass.explain.trust.proof import Proof
    from sightglass.history.records import Record
    from sightglass.models.adapter import Prediction

QUALITY = 88
ANSWERS = 5
"""Of a classifier."""
MAX_WORDS = 9
"""Of a title."""


def scene(
    image: Image,
    panels: Sequence[Panel],
    *,
    title: str,
    sentence: str,
    notes: str = "",
    kind: Kind = "picture",
    proof: SceneProof | None = None,
    view: SceneView | None = None,
    commands: Sequence[str] = (),
    day: str = "",
    **more: Any,
) -> Scene:
    """Return a scene of a picture and what models answered about it; long texts are cut at a word. `day`: of the
    explanation, by default today; `more`: other fields of a scene."""
    picture, size = jpeg(image)
    return Scene(
        kind,
        shorten(title, MAX_TITLE),
        shorten(sentence, MAX_SENTENCE),
        shorten(notes, MAX_NOTES),
        picture,
        size,
        tuple(panels),
        proof,
        view=view or SceneView(),
        commands=tuple(commands),
        date=day or date.today().isoformat(),
        **more,
    )


def made_by(results: Sequence[Result], index: int = 0) -> str:
    """Return models and method, `EfficientNet-Lite0 · HiResCAM`."""
    models = list(dict.fromkeys(result.model.name for result in results))
    first = results[0]
    used = first.heatmaps[index].method if index < len(first.heatmaps) else ""
    method = METHODS[used].name if used in METHODS else used
    return " · ".join(filter(None, (listing(models), method)))[:MAX_MADE]


def statement(*texts: str) -> str:
    """Return the first short text as a title, else the last, cut."""
    words = next((text for text in texts if text and len(text.split(" ")) <= MAX_WORDS), "")
    if not words:
        words = f"{' '.join(texts[-1].split(' ')[:MAX_WORDS]).rstrip(',;:')}…"
    words = words.strip().removesuffix(".")
    return shorten(capital(words), MAX_TITLE)


def answer_title(task: Task, predictions: Sequence[Prediction], otherwise: str) -> str:
    """Return an answer as a title: `Minibus, 62 %`, else `otherwise`."""
    if not predictions or not task.sure:
        return statement(otherwise)
    if predictions[0].box is not None:
        counted = Counter(prediction.label for prediction in predictions).most_common()
        return statement(kinds(counted, 3), kinds(counted, 2), kinds(counted, 1))
    best = predictions[0]
    answer = f"{best.label}, {percent(best.score)}"
    return statement(f"Unsure: {answer}" if not task.is_sure(best.score) else answer)


def jpeg(image: Image, most: int = PICTURE_SIDE) -> tuple[bytes, tuple[int, int]]:
    """Return a picture as a JPEG, with its width and height."""
    pixels = image.thumbnail(most)
    return to_jpeg(pixels, QUALITY), (pixels.shape[1], pixels.shape[0])


def shorten(text: str, most: int) -> str:
    """Cut a text at a word, with an ellipsis."""
    text = text.strip()
    if len(text) <= most:
        return text
    return f"{text[: most - 1].rsplit(maxsplit=1)[0]}…"


def panel(result: Result, index: int = 0, *, name: str = "") -> Panel:
    """Return a panel of a model's answers and the map at `index`, where there is one.

    >>> from sightglass import Explainer
    >>> panel(Explainer()("bus.jpg", top_k=1)).maps[0].values.shape
    (960, 720)
    """
    maps = []
    if index < len(result.heatmaps):
        heatmap, own = result.heatmaps[index], result.own(index)
        label, score = result.task.describe_saved(result, index)
        unit = result.model.unit_of(heatmap.target.label)
        maps.append(_map(heatmap, result.task, label, score, own, result.known_checks(index), unit))
    size = result.image.width, result.image.height
    return _panel(name or result.model.name, result.task, result.predictions, maps, size)


def saved_panel(record: Record, maps: Sequence[Heatmap]) -> Panel:
    """Return a panel of a saved record with its selected map, without loading the model."""
    spec, task = catalog().get(record.model), task_of(record.task)
    drawn = [
        _map(item, task, info.label, info.score, info.boxes, record.checks_of(record.index), info.unit)
        for item, info in list(zip(maps, record.maps, strict=True))[record.index : record.index + 1]
    ]
    return _panel(spec.name if spec else record.model, task, record.predictions, drawn, (record.width, record.height))


def _panel(
    name: str, task: Task, predictions: Sequence[Prediction], maps: Sequence[SceneMap], size: tuple[int, int]
) -> Panel:
    answers = [(prediction.label[:200], _share(prediction.score)) for prediction in predictions[:MAX_BOXES]]
    boxes = [
        (fraction(prediction.box, size), *answer)
        for prediction, answer in zip(predictions, answers, strict=False)
        if prediction.box is not None
    ]
    # On a slide any score would read as how sure the model is.
    listed = answers[: max(len(boxes), ANSWERS)] if task.sure else ()
    return Panel(name[:200], tuple(listed), tuple(maps), tuple(boxes))


def _map(
    item: Heatmap,
    task: Task,
    label: str,
    score: float | None,
    boxes: Sequence[Prediction],
    checks: Checks | None,
    unit: str,
) -> SceneMap:
    """Return a map for a slide; `unit`: of its signed values."""
    geometry = item.geometry
    (height, width), scale = geometry.original, min(1.0, MAX_SIDE / max(geometry.original))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    by = height / size[0], width / size[1]
    small = replace(geometry, original=size, scale=(geometry.scale[0] * by[0], geometry.scale[1] * by[1]))
    grown = small.to_original(item.at_input)
    values = np.rint(128 + np.clip(grown, -1, 1) * 127 if item.signed else np.clip(grown, 0, 1) * 255).astype(np.uint8)
    whole = geometry.seen == (0, 0, width, height)
    corners = [prediction.box for prediction in boxes if prediction.box is not None]
    return SceneMap(
        label[:200],
        None if score is None or not task.sure else _share(score),
        values,
        fraction(corners[0], (width, height)) if len(corners) == 1 else None,
        None if whole else fraction(geometry.seen, (width, height)),
        seal="" if checks is None else checks.line[:MAX_CHECKS],
        signed=item.signed,
        ends=label_ends(item.ends, unit) if item.signed else ("", ""),
    )


def fraction(box: tuple[float, float, float, float], size: tuple[int, int]) -> Fraction:
    """Return an xyxy box in pixels as shares of the picture."""
    left, top, right, bottom = (float(np.clip(at / of, 0, 1)) for at, of in zip(box, (*size, *size), strict=True))
    return left, top, right, bottom


def proof(measured: Proof, *, panel: int = 0) -> SceneProof:
    """Return a proof's first filling, with its strongest control's mean."""
    shares = measured.map.shares
    control = "strongest" if measured.of("strongest") else "random"
    hide, keep = (
        [np.interp(shares, curve.shares, getattr(curve, way).score) for curve in measured.of(control)]
        for way in ("deletion", "insertion")
    )
    return SceneProof(
        measured.label[:200],
        tuple(shares.tolist()),
        _scores(measured.map.deletion.score),
        _scores(measured.map.insertion.score),
        _scores(np.mean(hide, axis=0)),
        _scores(np.mean(keep, axis=0)),
        measured.sentence,
        titles(measured)[control],
        panel,
    )


def _scores(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(_share(float(value)) for value in values)


def _share(value: float) -> float:
    return round(min(max(float(value), 0.0), 1.0), 5)
