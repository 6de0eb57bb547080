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
from sightglass.evaluation.kinds import TOP, kind_of
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
    from sightglass.evaluation.ground_truth import GroundTruth, TrueBox
    from sightglass.evaluation.scorecard.card import ModelScore
    from sightglass.explain import Explainer
    from sightglass.explain.picture.image import Image
    from sightglass.explain.picture.item import Item
    from sightglass.models.adapter import Prediction


@dataclass(frozen=True)
class LabelledPicture:
    """A picture with its labelled boxes in pixels, or with the class of all of it."""

    item: Item
    boxes: tuple[TrueBox, ...] | None = field(default=None, repr=False)
    """None where only the whole picture is labelled."""
    label: str | None = None
    """The class of the whole picture, as the labels name it."""


def gather(items: Sequence[Item], labels: GroundTruth | None) -> tuple[list[LabelledPicture], list[str]]:
    """Return the pictures that have labels, and a sentence on each other.

    A picture with labelled boxes is opened once for its size. `labels` None: the folder of a picture is its class.
    Raises Problem where no picture has labels.
    """
    found, left = [], []
    for item in items:
        boxes = None if labels is None else labels.find(item.key)
        label = item.label if labels is None else labels.find_class(item.key)
        if boxes is None and label is None:
            left.append(f"{item.key}: it has no labels.")
            continue
        if boxes is not None:
            try:
                image = item.open()
            except Problem as problem:
                left.append(f"{item.key}: {problem}")
                continue
            boxes = tuple(one.in_pixels((image.width, image.height)) for one in boxes)
        found.append(LabelledPicture(item, boxes, label))
    if not found and labels is None:
        raise Problem("None of the pictures has a label: put them into folders named after classes, or give labels.")
    if not found:
        raise Problem("None of the pictures has labels: the file names in the labels are those of other pictures.")
    return found, left


def score_models(
    names: Sequence[str],
    load: Callable[[str], Explainer],
    pictures: Sequence[LabelledPicture],
    *,
    tell: Progress | None = None,
    cancel: threading.Event | None = None,
) -> list[ModelScore]:
    """Run models over labelled pictures, one after the other, and return their rows; raise what `evaluate` does."""
    check_number(names)
    rows = []
    for number, name in enumerate(names):

        def count_pictures(done: int, of: int, number: int = number, name: str = name) -> None:
            if tell is not None:
                tell((number + done / max(of, 1)) / len(names), f"{name}: {done:,} of {of:,}")

        explainer = load(name)
        evaluation = evaluate(explainer, pictures, tell=count_pictures, cancel=cancel)
        rows.append(score(evaluation, describe(explainer)))
    return rows


def find_runs(folder: Path) -> list[Path]:
    """Return the folders of runs with labels: the folder itself, or those directly in it, by name."""
    if (folder / stored.FILE).is_file():
        return [folder]
    return sorted(file.parent for file in folder.glob(f"*/{stored.FILE}"))


def score_runs(
    folders: Sequence[Path], load: Callable[[Path], Evaluation] = stored.load
) -> tuple[list[ModelScore], list[str]]:
    """Return the rows of stored runs on the pictures that all have, and a sentence on those that only some have.

    Runs of the same model are called after their folders. `load` reads the evaluation of each. Raises Problem for more
    runs than a scorecard takes, a run without an evaluation, and runs without a common picture.
    """
    check_number([str(folder) for folder in folders])
    found = [load(folder) for folder in folders]
    names = [one.name or one.model for one in found]
    times = Counter(names)
    named = [
        replace(one, name=name if times[name] == 1 else folder.name)
        for one, name, folder in zip(found, names, folders, strict=True)
    ]
    common, left = keep_common(named)
    return [score(one, _describe_stored(one)) for one in common], (
        [f"{plural(left, 'picture')} that not every run has."] if left else []
    )


def keep_common(evaluations: Sequence[Evaluation]) -> tuple[list[Evaluation], int]:
    """Return evaluations of the pictures that all have, in one order, and how many pictures that leaves out.

    Raises Problem where they have none in common.
    """
    keys = [{one.key for one in each.pictures} for each in evaluations]
    common = set.intersection(*keys)
    if not common:
        raise Problem("These runs have no picture in common: choose runs over the same pictures.")
    left = len(set.union(*keys)) - len(common)
    if not left and len({tuple(one.key for one in each.pictures) for each in evaluations}) == 1:
        return [*evaluations], 0
    return [
        replace(
            each, pictures=tuple(sorted((one for one in each.pictures if one.key in common), key=lambda one: one.key))
        )
        for each in evaluations
    ], left


def _describe_stored(one: Evaluation) -> ModelFacts:
    """Return what is known of a model that is not loaded: the size of its file, where it is on this machine."""
    try:
        file = weights.find(catalog.spec(one.model))
    except Problem:
        return ModelFacts()
    return ModelFacts(file_bytes=file.stat().st_size if file is not None and file.is_file() else None)


def describe(explainer: Explainer) -> ModelFacts:
    """Return how large a loaded model is."""
    file = weights.find(explainer.model)
    size = file.stat().st_size if file is not None and file.is_file() else None
    return ModelFacts(explainer.resident.parameters, explainer.resident.nbytes, size)


def evaluate(
    explainer: Explainer,
    pictures: Sequence[LabelledPicture],
    *,
    tell: Callable[[int, int], object] | None = None,
    cancel: threading.Event | None = None,
) -> Evaluation:
    """Run a model on labelled pictures, one at a time, and return its answers beside the labels.

    `tell(done, total)` is called after each picture. Raises Problem for a model that names no classes, or where no
    picture has the labels that it needs, and Cancelled once `cancel` is set.
    """
    task, kind = task_of(explainer.model), kind_of(explainer.model)
    if not task.scored:
        raise Problem(f"{explainer.model.id} {task.gives}: choose detectors or classifiers.")
    labels = [kind.labels_of(picture.boxes, picture.label) for picture in pictures]
    usable = [picture for picture, names in zip(pictures, labels, strict=True) if names is not None]
    if not usable:
        raise Problem(f"{explainer.model.id} cannot be judged by these labels: it needs {kind.needs}.")
    wanted = sorted(set().union(*filter(None, labels)))
    named = match(wanted, explainer.labels)
    options = Options(confidence=LEAST_CONFIDENCE, per=kind.per, top_k=TOP)
    done = []
    for number, picture in enumerate(usable):
        if cancel is not None and cancel.is_set():
            raise Cancelled
        image = picture.item.open()
        if not number:
            # The first pass of a model prepares what the others use.
            _answer(explainer, image, options)
        found, milliseconds = _answer(explainer, image, options)
        label = picture.label
        done.append(
            EvaluatedPicture(
                key=picture.item.key,
                size=(image.width, image.height),
                # Under the names of the model's classes.
                truths=tuple(replace(one, label=min(named.get(one.label, {one.label}))) for one in picture.boxes or ()),
                truth=None if label is None else min(named.get(label, {label})),
                found=found,
                milliseconds=milliseconds,
            )
        )
        if tell is not None:
            tell(number + 1, len(usable))
    done.sort(key=lambda one: one.key)
    unknown = tuple(label for label in wanted if label not in named)
    return Evaluation(
        explainer.model.id, kind.task, explainer.labels, kind.threshold(Options().confidence), tuple(done), unknown
    )


def _answer(explainer: Explainer, image: Image, options: Options) -> tuple[tuple[Prediction, ...], float]:
    """Return a model's answers for a picture and the milliseconds from its pixels to them."""

    def work(resident: Any, _notes: tuple[str, ...]) -> tuple[tuple[Prediction, ...], float]:
        begun = time.perf_counter()
        evidence, _ = explainer.fresh_evidence(resident, image, options)
        found = decode(evidence, options)
        return found, (time.perf_counter() - begun) * 1e3

    return explainer.with_oom_fallback(work)
