"""Summarise finished runs over the same pictures: tables, headline, models, classes and causes of errors.

Maps are the first of each picture, on the table's square grid over it (`explain.maps.heatmap.CELLS`).
"""

import contextlib
import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from operator import itemgetter
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from sightglass.batch import journal, labels, run_store, table
from sightglass.batch.run_store import RunPlan
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import Json, modified
from sightglass.common.files.keeping import read_json, replace_file
from sightglass.common.settings import MIB
from sightglass.common.work.progress import Progress
from sightglass.evaluation import label_changes, stored
from sightglass.evaluation.boxes import RIGHT
from sightglass.evaluation.causes import Cause, Trial, group_trials, try_errors
from sightglass.evaluation.decision import Decision, decide, find_size, score_runs
from sightglass.evaluation.errors import ErrorReport, EvaluationSummary
from sightglass.evaluation.intervals import Estimate, EstimateSoFar, estimate_median
from sightglass.evaluation.kinds import KINDS, NAMES, TYPE_NAMES, Agreement, ErrorUnit, kind_of
from sightglass.evaluation.label_files.values import to_number
from sightglass.evaluation.stored import Evaluation
from sightglass.explain import Explainer
from sightglass.explain.comparison.times import NOT_MEASURABLE
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import capital, milliseconds, plural, quantity
from sightglass.explain.picture.image import Image
from sightglass.explain.tasks import task_of
from sightglass.models import catalog
from sightglass.models.adapter import Prediction
from sightglass.models.labels import same_classes
from sightglass.models.spec import FINE_METHOD

Frame = Any

ORDERS: dict[str, tuple[str, str, bool]] = {
    "iou": ("Lowest mean IoU", "mean_iou", True),
    "unsure": ("Least sure first", "predicted_score", True),
    "sure": ("Surest first", "predicted_score", False),
    "error": ("Largest error", "absolute_error", False),
    "smallest": ("Smallest number", "predicted_score", True),
    "largest": ("Largest number", "predicted_score", False),
    "source": ("By name", "place", True),
}
"""Ways to sort: the title, the column, and whether the smallest comes first."""


def load(folder: Path) -> Frame:
    """Return one row a picture, with what its labels say of it.

    `labelled`: by the labels that were given, else by the folder. Of a classifier: `truth`, the class that this means
    in the run's evaluation, and `wrong`, whether it is another one than the prediction; None for a picture without a
    label, and where that name is not counted. Of a model of numbers: `true_number` where labels were given, `error`,
    the number minus it, and `absolute_error`.
    """
    frame, kind = _read_answers(folder), kind_of(table.read_scores(folder).task)
    evaluation = stored.load(folder) if kind.by_folders and (folder / stored.FILE).is_file() else None
    if (truth := labels.read_labels(folder)) is not None:
        # Labels of boxes give no label to the picture.
        labels_pictures = kind.by_folders or not kind.names_classes
        frame["labelled"] = [truth.find_class(key) if labels_pictures else None for key in frame["picture"]]
        if not kind.names_classes:
            frame["true_number"] = [to_number(label) for label in frame["labelled"]]
            frame["error"] = frame["predicted_score"] - frame["true_number"].astype(float)
            frame["absolute_error"] = frame["error"].abs()
    truths = {picture.key: picture.truth for picture in evaluation.pictures} if evaluation is not None else {}
    rights = [truths.get(key) for key in frame["picture"]]
    judged = zip(frame["predicted"], rights, strict=True)
    frame["truth"], frame["wrong"] = rights, [answer != right if right else None for answer, right in judged]
    return frame


def _read_answers(folder: Path) -> Frame:
    """Return the first row of each picture in a run's table; `place` numbers them."""
    frame = table.read(folder).drop_duplicates("picture", ignore_index=True)
    # A run in which nothing was found has no map, and no answer that tells the type of these columns.
    frame = frame.assign(**{name: None for name in ("cells", "boxes", "label") if name not in frame})
    frame["predicted"] = frame["predicted"].astype(object).where(frame["predicted"].notna(), None)
    frame["predicted_score"] = frame["predicted_score"].astype(float)
    frame["place"] = np.arange(len(frame))
    return frame


def list_rows(frame: Frame) -> list[Json]:
    """Return a frame's rows, with None for each value that is missing."""
    frame = frame.astype(object)
    rows: list[Json] = frame.where(frame.notna(), None).to_dict("records")
    return rows


def order(frame: Frame, by: str) -> Frame:
    """Sort by one of `ORDERS`, rows without a number last."""
    _, column, rising = ORDERS[by]
    if column not in frame:
        return frame
    return frame.sort_values(column, ascending=rising, kind="stable", na_position="last")


NAMED = 3
"""Wrong answers that a row of a class names."""
SPEED = "speed.json"
"""In a run's folder: the least, median and largest milliseconds of its model; none where they varied too much."""


def describe_time(folder: Path) -> str:
    """Return `34 ms (30 to 40 ms)`; that it could not be measured; empty of a run whose time nobody asked for."""
    try:
        times = read_times(folder)
    except Problem:
        return f"{SPEED} cannot be read"
    if times is None:
        return ""
    if not times:
        return NOT_MEASURABLE
    least, median, largest = map(milliseconds, times)
    return f"{median} ({least} to {largest})"


def read_times(folder: Path) -> tuple[float, ...] | None:
    """Return the least, median and largest milliseconds of a run's model.

    None of them where they varied too much; None without the file. Raises Unreadable.
    """
    return read_json(folder / SPEED, _TIMES)


def write_times(folder: Path, times: Sequence[float]) -> None:
    """Keep the milliseconds of a run's model beside its table."""
    replace_file(folder / SPEED, json.dumps(list(times)).encode(), partial(read_times, folder))


@dataclass(frozen=True, eq=False)
class Result:
    """Everything that the page shows of a finished run, except pictures."""

    plans: tuple[RunPlan, ...]
    frames: tuple[Frame, ...]
    """The table of each model (`load`), over the same pictures."""
    reports: tuple[ErrorReport | None, ...]
    """The errors of each model; None without labels of classes or boxes."""
    fits: tuple[EvaluationSummary | None, ...]
    """How well the answers of each model fit the labels; None without any."""
    agreements: Mapping[tuple[int, int], tuple[str, set[str] | None]]
    """How far the answers of two models agree, by their places (`EvaluationKind.compare`)."""
    decision: Decision | None
    """Which model to take; None of one model, or where they cannot be compared."""
    stopped: bool
    """Whether a run has no answers to some of its pictures yet."""
    left_out: str
    """What was not counted, as a sentence."""

    @property
    def names(self) -> list[str]:
        """The models' names, each once."""
        return [name_of(plan.model) for plan in self.plans]

    def find_differing(self, place: int | None = None) -> set[str] | None:
        """Return the pictures on which a model, or any, differs from another one; None where that has no meaning."""
        pairs = [differing for pair, (_, differing) in self.agreements.items() if place in (None, pair[0])]
        comparable = [differing for differing in pairs if differing is not None]
        return set[str]().union(*comparable) if comparable else None

    def list_by_right(self, place: int) -> dict[str, tuple[str, set[str]]]:
        """Return the units that only one of two models has right, and those that neither has.

        The models are the one at `place` and the one that it is compared with. `first`, `second` and `neither` have a
        title, as `Only Demo-s right`, and the ids of the units. Empty without labels of both.
        """
        other = self._find_other(place)
        report = self.reports[place]
        beside = self.reports[other] if other is not None else None
        if other is None or report is None or beside is None:
            return {}
        first, second = _list_right(report), _list_right(beside)
        ids = first.keys() & second.keys()
        return {
            "first": (f"Only {self.names[place]} right", {id for id in ids if first[id] and not second[id]}),
            "second": (f"Only {self.names[other]} right", {id for id in ids if second[id] and not first[id]}),
            "neither": ("Both wrong", {id for id in ids if not (first[id] or second[id])}),
        }

    def _find_other(self, place: int) -> int | None:
        """Return the place of the model that one is compared with; None of one model alone."""
        reference = [] if self.decision is None else [self.decision.reference.model]
        for name in (*reference, *self.names):
            if name in self.names and name != self.names[place]:
                return self.names.index(name)
        return None


def name_of(model: str) -> str:
    """Return what people call a model."""
    spec = catalog.catalog().get(model)
    return spec.name if spec is not None else model


_results: ByteCache[tuple[Result, int]] = ByteCache(64 * MIB, itemgetter(1))
"""Results, each with its bytes; sessions and requests share them, and change nothing in them."""


def read(plans: Sequence[RunPlan]) -> Result:
    """Return the result of finished runs over the same pictures, computed again where their files changed."""
    result, _ = _results.get_or_make(stamp(*(plan.folder for plan in plans)), lambda: _read(plans))
    return result


def stamp(*folders: Path) -> tuple[Hashable, ...]:
    """Return what changes with the tables, evaluations, corrections and states of runs."""
    names = (table.PARQUET, stored.FILE, SPEED, labels.FILE, labels.CORRECTIONS, label_changes.FILE, run_store.FILE)
    return tuple((folder, *(modified(folder / name) for name in names)) for folder in folders)


def _read(plans: Sequence[RunPlan]) -> tuple[Result, int]:
    """Return the result, and about how many bytes it takes."""
    reports, fits = zip(*map(_judge, plans), strict=True)
    frames = tuple(load(plan.folder) for plan in plans)
    size = sum(int(frame.memory_usage(deep=True).sum()) for frame in frames)
    size += sum(report.evaluation.nbytes for report in reports if report)
    agreements = _compare_answers(plans, frames)
    folders, decision = [plan.folder for plan in plans], None
    # There may be nothing to compare.
    with contextlib.suppress(Problem):
        decision = decide_runs({p.folder: r.evaluation for p, r in zip(plans, reports, strict=True) if r})
    left_out = _list_left_out(folders, [text for fit in fits if fit is not None for text in fit.label_sentences])
    stopped = any(map(run_store.is_stopped, folders))
    return Result(tuple(plans), frames, reports, fits, agreements, decision, stopped, left_out), size


def _compare_answers(plans: Sequence[RunPlan], frames: Sequence[Frame]) -> dict[tuple[int, int], Agreement]:
    """Return how far the answers of two models agree, by their places."""
    scores = [table.read_scores(plan.folder) for plan in plans]
    kind, by_picture = kind_of(scores[0].task), [{row["picture"]: row for row in list_rows(frame)} for frame in frames]
    agreements = {}
    for (i, first), (j, second) in combinations(enumerate(by_picture), 2):
        rename = _find_names(scores[j].classes, scores[i].classes)
        pairs = {key: (first[key], rename(second[key])) for key in first if key in second}
        agreements[i, j] = agreements[j, i] = kind.compare(pairs, scores[0].unit)
    return agreements


def _find_names(classes: tuple[str, ...], others: tuple[str, ...]) -> Callable[[Json], Json]:
    """Return what gives a row's answers the names of another model's classes."""
    if classes == others or not (classes and others):
        return lambda row: row
    # A class that the other model lacks has a name that is none of its own.
    names = {name: f"\0{name}" for name in classes}
    names |= {classes[place]: others[other] for place, other in same_classes(classes, others).items()}

    def rename(row: Json) -> Json:
        boxes = [[names.get(label, label), *box] for label, *box in json.loads(row["boxes"] or "[]")]
        return row | {"predicted": names.get(row["predicted"]), "boxes": json.dumps(boxes)}

    return rename


def decide_runs(runs: Mapping[Path, Evaluation]) -> Decision:
    """Return the decision between the models of runs over the same labelled pictures. Raises Problem."""
    if len(runs) < 2:
        raise Problem("A decision takes two models or more: run others over the same pictures.")
    rows, left_out = score_runs([*runs], runs.__getitem__)
    counts = (kind_of(each.task).describe_not_counted(each.not_counted) for each in runs.values())
    corrected = (label_changes.describe(each.corrected) for each in runs.values())
    sentences = filter(None, (_list_left_out(runs, [*counts, *corrected]), *left_out))
    return replace(decide(rows), left_out=" ".join(sentences))


def _list_left_out(folders: Collection[Path], counts: Iterable[str]) -> str:
    runs = [labels.match_run(folder) for folder in folders if (folder / table.PARQUET).is_file()]
    names = labels.describe_not_counted([*{row.label: row for run in runs for row in run if not row.classes}.values()])
    truths = [truth for folder in folders if (truth := labels.read_labels(folder)) is not None]
    lines = max((len(truth.problems) for truth in truths), default=0)
    unclear = max((len(truth.unclear) for truth in truths), default=0)
    files = len({name for folder in folders for name, _ in table.read_problems(folder)})
    unusable = [f"Not usable: {plural(lines, 'line')} of the labels."] if lines else []
    unusable += [f"Unclear of which picture: {plural(unclear, 'labelled file')}."] if unclear else []
    unusable += [f"{plural(files, 'file')} could not be read."] if files else []
    return " ".join(filter(None, (names, *unusable, *(f"{count}." for count in sorted({*counts} - {""})))))


def _list_right(report: ErrorReport) -> dict[str, bool]:
    """Return whether each labelled unit is right, by its id."""
    return {unit.id: not unit.wrong for unit in report.units if unit.kind != "box"}


def _judge(plan: RunPlan) -> tuple[ErrorReport | None, EvaluationSummary | None]:
    """Return a labelled run's errors, unless pixels are judged, and its summary."""
    if not (plan.folder / stored.FILE).is_file():
        labels.check_not_lost(plan.folder)
        return None, None
    evaluation = replace(stored.load(plan.folder), name=name_of(plan.model))
    report = None if kind_of(evaluation.task).counts_pixels else ErrorReport(evaluation)
    return report, labels.load_summary(plan.folder) if evaluation.pictures else None


CAUSES = "causes.json"
"""In a run's folder: what hiding the evidence of its wrong answers did (`explain_errors`)."""
_TRIALS = TypeAdapter(tuple[Trial, ...])
_TIMES: TypeAdapter[tuple[float, ...]] = TypeAdapter(tuple[()] | tuple[float, float, float])


def read_causes(folder: Path, report: ErrorReport) -> tuple[Cause, ...] | None:
    """Return the causes of those errors of a run that were tried.

    None without any, or after another evaluation.

    Raises Unreadable.
    """
    if modified(folder / CAUSES) <= modified(folder / stored.FILE):
        return None
    labels_of = {unit.id: unit.label for unit in report.errors}
    trials = _read_trials(folder) or ()
    return group_trials([trial for trial in trials if labels_of.get(trial.unit) == trial.label])


def _read_trials(folder: Path) -> tuple[Trial, ...] | None:
    return read_json(folder / CAUSES, _TRIALS)


def _look_closer(
    explainer: Explainer, options: Mapping[str, Any], image: Image, unit: ErrorUnit
) -> NDArray[np.uint8] | None:
    """Return a finer map of a wrong answer, uint8 (h, w); None where its model has none."""
    try:
        heatmaps = explainer(image, **{**options, "method": FINE_METHOD}).heatmaps
    except ModelProblem:
        return None
    place = 0 if unit.kind == "picture" else unit.found
    if not 0 <= place < len(heatmaps):
        return None
    return (255 * heatmaps[place].values).astype(np.uint8)


def explain_errors(
    plan: RunPlan, find: Callable[[str], Image], *, progress: Progress = lambda *_: None, cancel: Event | None = None
) -> tuple[Cause, ...]:
    """Return the causes of a labelled run's wrong answers, and keep what they rest on with it.

    `find` returns a picture by its key. Raises Problem for a run without labels, and Cancelled.
    """
    report, explainer = ErrorReport(stored.load(plan.folder)), Explainer(plan.model)
    rows = {row["picture"]: row for row in list_rows(load(plan.folder))}
    maps = {key: (table.read_cells(row["cells"]), tuple(row[edge] for edge in table.SEEN)) for key, row in rows.items()}

    def answer(image: Image) -> Sequence[Prediction]:
        return explainer(image, maps=False, **plan.options).predictions

    heatmaps = explainer(find(report.errors[0].picture.key), **plan.options).heatmaps if report.errors else ()
    grid, look = None, None
    if heatmaps and heatmaps[0].method != FINE_METHOD:
        rows, columns = max((raw.shape for raw in heatmaps[0].raw), key=math.prod)
        grid = rows, columns
        look = partial(_look_closer, explainer, plan.options)
    trials = try_errors(report, maps, find, answer, look, grid, progress=progress, cancel=cancel)
    with journal.writing(plan.folder):
        replace_file(plan.folder / CAUSES, _TRIALS.dump_json(trials), partial(_read_trials, plan.folder))
    return group_trials(trials)


def describe(result: Result) -> tuple[str, str]:
    """Return the decision and its remarks, or the headline of the first model and a sentence; plain text."""
    if result.decision is not None:
        return f"{result.decision.headline}.", result.decision.remarks
    title, words = _describe_first(result)
    return title, "Stopped: the other pictures may differ." if result.stopped else words


def _describe_first(result: Result) -> tuple[str, str]:
    frame, report, fit = result.frames[0], result.reports[0], result.fits[0]
    scores = table.read_scores(result.plans[0].folder)
    kind, pictures = kind_of(scores.task), plural(len(frame), "picture")
    if not any(result.reports) and (differing := result.find_differing()) is not None:
        common, (what, _) = set.intersection(*({*f["picture"]} for f in result.frames)), kind.agreement
        return f"{what} by all models: {len(common - differing):,} of {plural(len(common), 'picture')}.", ""
    if report is not None and fit is not None:
        of, so_far = plural(fit.pictures, "labelled picture"), " so far" if result.stopped else ""
        if kind.counts_objects:
            return f"{fit.right:,} of {plural(fit.objects, 'object')} found{so_far} ({of}).", f"{report.headline}."
        return f"{fit.scores['accuracy'].percent} right{so_far} ({of}).", ""
    if fit is not None:
        return f"{fit.headline}.", ""
    if (errors := measure_numbers(frame, result.stopped)) is not None:
        return f"{errors.describe(scores.unit)}.", ""
    if not kind.names_classes:
        return f"{pictures}.", "Drop a .csv with file,label to see how far the numbers are off."
    if not (answers := frame["predicted"].nunique()):
        return f"{pictures}: {task_of(scores.task).no_answer}.", ""
    if kind.counts_objects:
        return f"{plural(int(frame['predictions'].sum()), 'box')} in {pictures}.", ""
    return f"{pictures}, {plural(answers, 'different answer')}.", ""


def list_classes(frame: Frame) -> list[dict[str, Any]]:
    """Return a row for each labelled class of a classifier, the least often right first."""
    rows: list[dict[str, Any]] = []
    for name, pictures in frame[frame["truth"].notna()].groupby("truth"):
        wrong = Counter(pictures[pictures["wrong"].eq(True)]["predicted"])
        largest, right = wrong.most_common(NAMED), len(pictures) - wrong.total()
        others = [f"{answer} {count}" for answer, count in largest]
        if more := wrong.total() - sum(count for _, count in largest):
            others.append(f"other {more}")
        row = {"class": name, "pictures": len(pictures), "right": right, "share": 100 * right / len(pictures)}
        rows.append(row | {"taken for": ", ".join(others)})
    return sorted(rows, key=lambda row: (row["share"], row["class"]))


def list_object_classes(report: ErrorReport) -> list[dict[str, Any]]:
    """Return a row for each class of a detector: its objects, each found or of one type of errors, and extra boxes."""
    objects = Counter(unit.about for unit in report.units if unit.kind == "object")
    right = Counter(unit.about for unit in report.units if unit.type == RIGHT)
    wrong = {kind: Counter(unit.about for unit in report.select(kind)) for kind in TYPE_NAMES}
    rows: list[dict[str, Any]] = [
        {"class": name, "objects": objects[name], "found": right[name]}
        | {title.lower(): wrong[kind][name] for kind, title in TYPE_NAMES.items()}
        for name in sorted({*objects, *(unit.about for unit in report.errors)})
    ]
    return sorted(rows, key=lambda row: (row["found"] / row["objects"] if row["objects"] else 2.0, row["class"]))


def list_area_classes(fit: EvaluationSummary) -> list[dict[str, Any]]:
    """Return a row for each class of a segmentation, the worst first."""
    return [
        {"class": name, "IoU": None if math.isnan(score) else 100 * score} | ({} if fit.stopped else {"95 %": interval})
        for name, _, interval in fit.list_classes()
        for score in (fit.by_class[name].value,)
    ]


MEANINGS = dict(kind.agreement for kind in KINDS.values()) | {
    "95 %": "The interval that holds the number of all such pictures in 95 of 100 sets; of too few, how many they are.",
    "Time": "Of one pass on the first picture: the median of several, and the fastest to the slowest.",
}
"""Help of the columns of `list_models`."""


def list_models(result: Result, against: int) -> list[dict[str, Any]]:
    """Return a row of texts for each model, without columns that are empty."""
    rows = []
    agreed = {place: text for (place, other), (text, _) in result.agreements.items() if other == against}
    if any(agreed.values()):
        agreed[against] = "reference"
    for place, plan in enumerate(result.plans):
        row: dict[str, Any] = {"Model": result.names[place]}
        kind = kind_of(table.read_scores(plan.folder).task)
        if (fit := result.fits[place]) is not None:
            name, score = next(iter(fit.scores.items()))
            is_accuracy = name == "accuracy"
            row[capital(NAMES[name])] = score.percent if is_accuracy else score.points
            interval = score.percent_range if is_accuracy else score.range_or_pictures
            row["95 %"] = "" if fit.stopped else interval
            if kind.counts_objects:
                row["Found"] = f"{fit.right:,} of {fit.objects:,}"
        row[kind.agreement[0]] = agreed.get(place, "")
        size = find_size(plan.model)
        row["Size"] = quantity(size / 1e6, "MB") if size is not None else ""
        row["Time"] = describe_time(plan.folder)
        rows.append(row)
    filled = dict.fromkeys(name for row in rows for name, text in row.items() if text)
    return [{name: row.get(name, "") for name in filled} for row in rows]


@dataclass(frozen=True)
class NumberErrors:
    """Statistics of the absolute errors of a model's numbers, in their unit."""

    mean: float
    """Without an interval: no number of pictures bounds how far a few others may be off."""
    median: Estimate

    def describe(self, unit: str) -> str:
        """Describe the mean and median error, the latter with its interval."""
        median = self.median
        ends = f"{quantity(median.low)} to {quantity(median.high, unit)}"
        described = median.describe(quantity(median.value, unit), ends)
        so_far = " so far" if isinstance(median, EstimateSoFar) else ""
        sample = f"{plural(median.pictures, 'labelled picture')}{so_far}"
        return f"Wrong by {quantity(self.mean, unit)} in the mean, {described} in the median: {sample}"


def measure_numbers(frame: Frame, stopped: bool) -> NumberErrors | None:
    """Return a regression model's mean and median absolute error; None without labels or for classifiers.

    `stopped`: whether its run was: the median then has no interval.
    """
    if "absolute_error" not in frame or frame["absolute_error"].isna().all():
        return None
    sizes = frame["absolute_error"].dropna().to_numpy(np.float64)
    median = estimate_median(sizes)
    return NumberErrors(float(sizes.mean()), EstimateSoFar.of(median) if stopped else median)
