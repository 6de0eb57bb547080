"""Score models on labelled pictures, by running them or from stored runs.

Pictures are taken one at a time, and nothing of them is cached: what was explained before would take no time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Cancelled, Problem
from sightglass.evaluation import stored
from sightglass.evaluation.ground_truth import GroundTruth, RunLabels
from sightglass.evaluation.kinds import TOP, UNLABELLED, kind_of
from sightglass.evaluation.scorecard.card import ModelFacts, check_number, score
from sightglass.evaluation.stored import LEAST_CONFIDENCE, EvaluatedPicture, Evaluation
from sightglass.explain.options import Options
from sightglass.explain.phrases import plural
from sightglass.explain.tasks import decode, task_of
from sightglass.models import catalog
from sightglass.models.checkpoints import weights
from sightglass.models.labels import match

if TYPE_CHECKING:
    import threading

    from sightglass.common.work.progress import Progress
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.evaluation.scorecard.card import ModelScore
    from sightglass.explain import Explainer
    from sightglass.explain.picture.image import Image
    from sightglass.explain.picture.item import Item
    from sightglass.models.adapter import Prediction
    from sightglass.models.geometry import Box
    from sightglass.models.spec import ModelSpec


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures with labels."""

    items: tuple[Item, ...]
    truth: GroundTruth = field(repr=False)
    """The labels of these pictures alone, by their keys."""


def gather(items: Sequence[Item], labels: GroundTruth | None) -> tuple[LabelledPictures, list[str]]:
    """Return the readable labelled pictures, and a sentence on each other.

    `labels` None: the folder of a picture is its class. Raises Problem where no picture has labels.
    """
    labelled: list[Item] = []
    left: list[str] = []
    boxes: dict[str, tuple[TrueBox, ...]] = {}
    named: dict[str, str] = {}
    for item in items:
        of_picture = None if labels is None else labels.find(item.key)
        label = item.label if labels is None else labels.find_class(item.key)
        if of_picture is None and label is None:
            left.append(f"{item.key}: it has no labels.")
            continue
        try:
            item.open()
        except Problem as problem:
            left.append(f"{item.key}: {problem}")
            continue
        labelled.append(item)
        boxes |= {} if of_picture is None else {item.key: of_picture}
        named |= {} if label is None else {item.key: label}
    if not labelled and labels is None:
        raise Problem("None of the pictures has a label: put them into folders named after classes, or give labels.")
    if not labelled:
        raise Problem(UNLABELLED)
    return LabelledPictures(tuple(labelled), GroundTruth(boxes, named=named)), left


def score_models(
    names: Sequence[str],
    load: Callable[[str], Explainer],
    pictures: LabelledPictures,
    *,
    tell: Progress | None = None,
    cancel: threading.Event | None = None,
) -> list[ModelScore]:
    """Run models one after the other; return their rows."""
    check_number(names)
    evaluations, facts = [], []
    for number, name in enumerate(names):

        def count_pictures(done: int, of: int, number: int = number, name: str = name) -> None:
            if tell is not None:
                tell((number + done / max(of, 1)) / len(names), f"{name}: {done:,} of {of:,}")

        explainer = load(name)
        evaluations.append(evaluate(explainer, pictures, tell=count_pictures, cancel=cancel))
        facts.append(describe(explainer))
    return list(map(score, keep_common(evaluations)[0], facts))


def find_runs(folder: Path) -> list[Path]:
    """Return the folders of labelled runs in a folder, by name."""
    if (folder / stored.FILE).is_file():
        return [folder]
    return sorted(file.parent for file in folder.glob(f"*/{stored.FILE}"))


def score_runs(
    folders: Sequence[Path], load: Callable[[Path], Evaluation] = stored.load
) -> tuple[list[ModelScore], list[str]]:
    """Return the rows of stored runs on their common pictures.

    Runs of the same model are called after their folders. `load` reads the evaluation of each. Raises Problem for more
    runs than a scorecard takes, a run without an evaluation, and runs without a common picture.
    """
    check_number([str(folder) for folder in folders])
    evaluations = [load(folder) for folder in folders]
    names = [evaluation.called for evaluation in evaluations]
    times = Counter(names)
    named = [
        replace(evaluation, name=name if times[name] == 1 else folder.name)
        for evaluation, name, folder in zip(evaluations, names, folders, strict=True)
    ]
    common, left = keep_common(named)
    return [score(evaluation, _describe_stored(evaluation)) for evaluation in common], (
        [f"{plural(left, 'picture')} that not every run has."] if left else []
    )


def keep_common(evaluations: Sequence[Evaluation]) -> tuple[list[Evaluation], int]:
    """Return evaluations of the common pictures, and the number dropped.

    Labels that are no class of one of the models count for none. Raises Problem for no common picture.
    """
    by_key = [{picture.key: picture for picture in each.pictures} for each in evaluations]
    common = sorted(set.intersection(*map(set, by_key)))
    if not common:
        raise Problem("These runs have no picture in common: choose runs over the same pictures.")
    counted: dict[str, set[Box]] = {}
    if len({each.unknown for each in evaluations}) > 1:
        counted = {
            key: set.intersection(*({truth.box for truth in keyed[key].truths} for keyed in by_key)) for key in common
        }

    def keep(picture: EvaluatedPicture) -> EvaluatedPicture:
        boxes = counted.get(picture.key)
        if boxes is None:
            return picture
        return replace(picture, truths=tuple(truth for truth in picture.truths if truth.box in boxes))

    kept = [
        replace(each, pictures=tuple(keep(keyed[key]) for key in common))
        for each, keyed in zip(evaluations, by_key, strict=True)
    ]
    return kept, len(set.union(*map(set, by_key))) - len(common)


def _describe_stored(evaluation: Evaluation) -> ModelFacts:
    """Return an unloaded model's facts: its file's size."""
    try:
        return ModelFacts(file_bytes=_measure_file(catalog.spec(evaluation.model)))
    except Problem:
        return ModelFacts()


def describe(explainer: Explainer) -> ModelFacts:
    """Return how large a loaded model is."""
    return ModelFacts(explainer.resident.parameters, explainer.resident.nbytes, _measure_file(explainer.model))


def _measure_file(model: ModelSpec) -> int | None:
    file = weights.find(model)
    return file.stat().st_size if file is not None and file.is_file() else None


def evaluate(
    explainer: Explainer,
    pictures: LabelledPictures,
    *,
    tell: Callable[[int, int], object] | None = None,
    cancel: threading.Event | None = None,
) -> Evaluation:
    """Return a model's answers on labelled pictures, one at a time.

    `tell(done, total)` is called after each picture. Raises Problem for a model that names no classes, or where no
    picture has the labels that it needs, and Cancelled once `cancel` is set.
    """
    task, kind, truth = task_of(explainer.model), kind_of(explainer.model), pictures.truth
    if not task.scored:
        raise Problem(f"{explainer.model.id} {task.gives}: choose detectors or classifiers.")
    usable = [item for item in pictures.items if kind.has(truth, item.key)]
    if not usable:
        raise Problem(f"{explainer.model.id} cannot be judged by these labels: it needs {kind.needs}.")
    named = match(truth.classes, explainer.labels)
    labels = RunLabels(truth, {label: tuple(sorted(classes)) for label, classes in named.items()})
    options = Options(confidence=LEAST_CONFIDENCE, per=kind.per, top_k=TOP)
    done = []
    for number, item in enumerate(usable):
        if cancel is not None and cancel.is_set():
            raise Cancelled
        image = item.open()
        if not number:
            # The first pass of a model prepares what the others use.
            _answer(explainer, image, options)
        answers, milliseconds = _answer(explainer, image, options)
        size = image.width, image.height
        if (placed := kind.place(labels, item.key, size, answers)) is not None:
            done.append(EvaluatedPicture(item.key, size, found=answers, milliseconds=milliseconds, **placed))
        if tell is not None:
            tell(number + 1, len(usable))
    done.sort(key=lambda picture: picture.key)
    threshold = kind.threshold(Options().confidence)
    return Evaluation(
        explainer.model.id, "", kind.task, explainer.labels, threshold, labels.unknown, pictures=tuple(done)
    )


def _answer(explainer: Explainer, image: Image, options: Options) -> tuple[tuple[Prediction, ...], float]:
    """Return a model's answers for a picture and their milliseconds."""

    def work(resident: Any, _notes: tuple[str, ...]) -> tuple[tuple[Prediction, ...], float]:
        begun = time.perf_counter()
        evidence, _ = explainer.fresh_evidence(resident, image, options)
        predictions = decode(evidence, options)
        return predictions, (time.perf_counter() - begun) * 1e3

    return explainer.with_oom_fallback(work)
