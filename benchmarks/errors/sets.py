"""Evaluate the demo models on drawn scenes with a planted cause.

An evaluation is made as a run with labels makes it, with maps, and stored: the analyses are then repeated in seconds.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.batch.labelled.labels import RunLabels, match_names
from sightglass.batch.labelled.measure import NAME, measure_picture
from sightglass.evaluation import ground_truth, known_cause, looks, stored
from sightglass.evaluation.evaluation import EvaluatedPicture
from sightglass.evaluation.ground_truth import GroundTruth, TrueBox
from sightglass.evaluation.stored import EvaluationFacts
from sightglass.explain.explainer import EVIDENCE, Explainer
from sightglass.explain.maps.cells import cells
from sightglass.explain.options import Options
from sightglass.explain.picture.quality import measure_quality
from sightglass.explain.picture.source import find

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sightglass.evaluation.known_cause import AnswerKey, Cause, Task
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.item import Item

CLEAN = "clean"
WRONG: Cause = "wrong labels"
MODELS: Mapping[Task, str] = {"detect": "demo-s", "classify": "demo-cls-s"}
BEST = 5
"""Answers of a classifier that are kept."""


def place_of(into: Path, task: Task, cause: str, seed: int) -> Path:
    """Return the folder of one evaluation."""
    return into / f"{task}-{cause.replace(' ', '-')}-{seed}"


def evaluate(into: Path, task: Task, seeds: Iterable[int], causes: Iterable[Cause] = ()) -> None:
    """Draw the sets of each seed and store the evaluation of each, with its key, unless it is there.

    Those of the set with wrong labels are two: the other is held against the right labels, so it is clean.
    """
    explainer: Explainer | None = None
    for seed in seeds:
        for cause in causes or known_cause.OF_TASK[task]:
            if (place_of(into, task, cause, seed) / stored.FILE).is_file():
                continue
            explainer = explainer or Explainer(MODELS[task], device="cpu")
            _evaluate_set(explainer, into, task, cause, seed)


def evaluate_pictures(explainer: Explainer, source: Path, truths: Mapping[Path, GroundTruth]) -> None:
    """Explain the pictures of a folder once, and store their evaluation by each of several labels in its folder."""
    task: Task = "detect" if explainer.model.task == "detect" else "classify"
    named = {folder: match_names(truth, explainer.labels, {}) for folder, truth in truths.items()}
    rows: dict[Path, list[dict[str, Any]]] = {folder: [] for folder in named}
    for item in find(str(source)):
        made = _explain(explainer, item)
        for folder, labels in named.items():
            rows[folder] += _to_rows(labels, item, made)
    for folder, labels in named.items():
        folder.mkdir(parents=True, exist_ok=True)
        threshold = Options().confidence if task == "detect" else 0.0
        model = explainer.model
        facts = EvaluationFacts(model.id, model.name, task, explainer.labels, threshold, labels.unknown)
        stored.write(folder / stored.FILE, [rows[folder]], facts)


def _evaluate_set(explainer: Explainer, into: Path, task: Task, cause: Cause, seed: int) -> None:
    with tempfile.TemporaryDirectory(prefix="known-cause-") as drawn:
        key = known_cause.make(Path(drawn), (cause,), seed, task=task)
        truths: dict[str, GroundTruth] = {cause: ground_truth.read(Path(drawn, known_cause.LABELS[task]))}
        if cause == WRONG:
            truths = {CLEAN: _correct_labels(key), **truths}
        folders = {name: place_of(into, task, name, seed) for name in truths}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(drawn, known_cause.KEY), folder)
        evaluate_pictures(explainer, Path(drawn), {folders[name]: truth for name, truth in truths.items()})


def _explain(explainer: Explainer, item: Item) -> Explanation:
    # Of a detector each box has a map of its own, made when it is held against the labels.
    found = explainer(item.open(), maps=False) if explainer.model.task == "detect" else explainer(item.open(), top_k=1)
    EVIDENCE.discard(lambda evidence: evidence is found.evidence)
    return found


def _to_rows(labels: RunLabels, item: Item, made: Explanation) -> list[dict[str, Any]]:
    """Return a picture as a row of an evaluation; none without labels."""
    sharpness, brightness = measure_quality(made.image.pixels)
    if made.model.task == "detect":
        found = measure_picture(labels, item, made).get(NAME)
        quality = {"sharpness": sharpness, "brightness": brightness}
        return [found | quality | {"maps": base64.b64decode(found["maps"])}] if found else []
    size = made.image.width, made.image.height
    maps = {0: cells(made.heatmaps[0])}
    seen = looks.measure_looks(maps, {}, (), size, made.evidence.geometry.seen)
    return [
        stored.to_row(
            EvaluatedPicture(
                *(item.key, size, (), truth, made.predictions[:BEST], seen, maps),
                brightness=brightness,
                sharpness=sharpness,
            )
        )
        for truth in labels.find_classes(item.key)[:1]
    ]


def _correct_labels(key: AnswerKey) -> GroundTruth:
    """Return the labels of a set as they ought to be."""
    if key.task == "classify":
        return GroundTruth({}, (), {one.file: one.label for one in key.objects})
    files = dict.fromkeys(one.file for one in key.objects)
    return GroundTruth(
        {file: tuple(TrueBox(one.label, one.box) for one in key.objects if one.file == file) for file in files}
    )
