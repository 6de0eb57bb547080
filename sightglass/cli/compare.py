"""`compare` and `scorecard`: several models, on one picture or on labelled ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.pictures import describe_checks, load_explainer, open_picture
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import to_json, write_file
from sightglass.evaluation import ground_truth
from sightglass.evaluation.scorecard import MOST, TOLERANCE, files, run
from sightglass.evaluation.scorecard import card as scorecards
from sightglass.explain import phrases
from sightglass.explain.comparison import detections, models
from sightglass.explain.phrases import listing
from sightglass.explain.picture import source as picture_source
from sightglass.explain.tasks import task_of
from sightglass.explain.trust import checks
from sightglass.export import result_folder
from sightglass.models import catalog
from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.cli.console import Progress
    from sightglass.common.files import Json
    from sightglass.evaluation.scorecard.card import Scorecard
    from sightglass.explain.comparison.detections import Side
    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image


MODEL = ("size", "model")
"""Names of the columns that say which model a row is of."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions(cli.OutputOptions, cli.SealOptions, cli.LoadOptions):
    model: list[str] | None = cli.field("--model -m ID", "Two or more; of one, all sizes of its family.", cli.MODEL)
    box: int | None = cli.field("--box N", "The first model's box N, and the same object in the others.", cli.MAP)
    each_own: bool = cli.field("--each-own", "Explain each model's own answer.", cli.MAP, default=False)


@cli.verb(
    cli.app,
    "compare",
    """
    sightglass compare bus.jpg -m efficientnet-lite0 -m resnet50
    sightglass compare bus.jpg -m yolo11n -m yolo26n --box 2
    """,
)
def compare(picture: cli.Picture, asked: cli.EngineOptions, options: CompareOptions) -> int:
    """Explain one picture with several models: answers, times and the overlap of maps.

    The folder, explained/<picture>_compared by default, gets comparison.jpg, overlays, maps.npz and comparison.json.
    """
    box = options.box
    if box is not None and "targets" in asked:
        raise Problem("--box is of one object, and --class of all of a class: leave one of them out.")
    if box is not None:
        cli.box_number(box)
    console, style = Console(options.json), options.style()
    with console.progress("Loading") as progress:
        comparison, sides = _compare(open_picture(picture, console), asked, options, progress)
        if options.seal:
            _seal(comparison, progress)
        more: Json = {"mixed": comparison.mixed}
        if sides:
            more |= {"box": box, "objects": [_object(side, sides[0]) for side in sides]}
        name = comparison.explanations[0].image.name.rsplit(".", 1)[0]
        # Not the picture's own folder, whose maps.npz its recipe is held against.
        (folder,) = result_folder.places([f"{name}_compared"], options.out)
        written = result_folder.write(folder, result_folder.of_comparison(comparison, style, more))
    _report(console, comparison)
    if sides:
        _report_objects(console, more["objects"], comparison, box)
    console.files(folder, written)
    console.result(result_folder.comparison(comparison) | more | {"folder": folder, "files": written})
    return 0


def _compare(
    image: Image, asked: cli.EngineOptions, options: CompareOptions, progress: Progress
) -> tuple[Comparison, list[Side]]:
    """Return the comparison and, with --box, the object in each model."""

    per_box = options.box is not None
    if per_box:
        asked["per"] = "detection"
    ids, names = catalog.choose_compared(options.model or ["efficientnet-lite0"])
    explanations, timings = [], []
    sides: list[Side] = []
    for i, name in enumerate(ids):
        progress(i / len(ids), name)
        explainer = load_explainer(name, options.device, progress, asked)
        if per_box and not task_of(explainer.model).has_boxes:
            raise ModelProblem(f"{name} draws no boxes: leave --box out, or compare detectors.")
        explanation = explainer(image, maps=not per_box, **cli.with_classes(asked, explainer))
        if options.box is not None:
            sides.append(_side(explanation, options.box, sides))
            explanation = sides[-1].explanation
        explanations.append(explanation)
        timings.append(models.measure(explanation.evidence))
    if not (per_box or "targets" in asked or options.each_own):
        explanations = list(detections.same_target(explanations))
    return models.Comparison(tuple(explanations), names, tuple(timings)), sides


def _seal(comparison: Comparison, progress: Progress) -> None:
    """Check the first map of each model."""
    count = len(comparison.explanations)
    for i, explanation in enumerate(comparison.explanations):

        def update(share: float, words: str, i: int = i) -> None:
            progress((i + share) / count, f"{comparison.names[i]}: {words}")

        checks.check_maps(explanation, 1, progress=update)


def _side(explanation: Explanation, number: int, sides: Sequence[Side]) -> Side:
    """Return the first model's box, or the same object in another model."""
    if not sides and number > len(explanation.predictions):
        text = f"{explanation.model.id} shows {len(explanation.predictions)} here"
        raise Problem(f"There is no box {number}: {text}, counted from 1; a lower --score-thr shows more.")
    box = sides[0].prediction if sides else explanation.predictions[number - 1]
    assert box is not None  # the first model's own box
    return detections.side(explanation, box)


def _object(side: Side, first: Side) -> Json:
    """Return one model's side of the comparison as JSON."""
    prediction, reference = side.prediction, first.prediction
    numbers = side.explanation.box_numbers(0) if side.explanation.heatmaps else None
    missing = None if prediction else "It has no candidate there."
    return {
        "model": side.explanation.model.id,
        **{name: getattr(prediction, name, None) for name in ("label", "score", "box")},
        "iou": intersection_over_union(prediction.box, reference.box)
        if prediction and reference and prediction.box and reference.box
        else None,
        "inside": numbers.inside if numbers else None,
        "shares": {name: getattr(numbers, name) for name in ("own_only", "shared", "elsewhere", "outside")}
        if numbers
        else None,
        "missing": phrases.plain_text(side.missing.words) if side.missing else missing,
    }


def _report_objects(console: Console, objects: Sequence[Json], comparison: Comparison, number: int | None) -> None:
    names, named = comparison.names, _begin_rows(comparison)
    console.say(f"Box {number} of {names[0]} in each model:")
    rows = [
        (
            *who,
            row["label"] or "nothing",
            phrases.percent(row["score"]) if row["score"] is not None else "–",
            f"{row['iou']:.2f}" if row["iou"] is not None else "–",
            phrases.percent(row["inside"]) if row["inside"] is not None else "–",
            "no" if row["missing"] else "yes",
        )
        for who, row in zip(named, objects, strict=True)
    ]
    columns = ("object", "how sure", "same box (IoU)", "in its box", "finds it")
    console.table((*MODEL[-len(named[0]) :], *columns), rows, right=columns[1:4])
    console.say(*(f"{name}: {row['missing']}" for name, row in zip(names, objects, strict=True) if row["missing"]))


def _report(console: Console, comparison: Comparison) -> None:
    console.say(f"{comparison.explanations[0].image.name}: {comparison.verdict}")
    rows, named = [], _begin_rows(comparison)
    for i, explanation in enumerate(comparison.explanations):
        label, sure = result_folder.of_first(explanation)
        rows.append(
            (
                *named[i],
                label,
                sure or "–",
                phrases.milliseconds(comparison.timings[i].median),
                phrases.count(explanation.evidence.resident.parameters),
                comparison.overlap(0, i),
            )
        )
    columns = ("map of", "how sure", "one pass", "parameters", f"overlap with {comparison.names[0]}")
    console.table((*MODEL[-len(named[0]) :], *columns), rows, right=columns[1:])
    for name, explanation in zip(comparison.names, comparison.explanations, strict=True):
        if explanation.heatmaps:
            console.say(*describe_checks(explanation.known_checks(0), f"{name}, "))
    console.say(" ".join(filter(None, (comparison.overlaps, comparison.mixed))))


def _begin_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return what begins each model's row: the size that sentences and pictures call it by, if any, and its id."""
    ids = [explanation.model.id for explanation in comparison.explanations]
    if ids == [*comparison.names]:
        return [(id,) for id in ids]
    return [*zip(comparison.names, ids, strict=True)]


MODELS = ("demo-s", "demo-m", "demo-l")
SCORES = ("Model", "AP", "Accuracy", "95 %", "AP50", "Top 5", "Right", "Threshold")
"""Columns of the first table; the second has the others."""
FORMATS = (".json", ".csv", ".parquet")
LISTED = 10
"""Problems that are printed."""
Folder = Annotated[str, typer.Argument(metavar="PICTURES", help="A folder, pattern, list, .zip, or labelled runs.")]


@dataclass(frozen=True, kw_only=True)
class ScorecardOptions(cli.LoadOptions):
    labels: Path | None = cli.field("--labels FILE", "COCO, CSV, YOLO, VOC or a .zip [the pictures' folders].")
    model: list[str] | None = cli.field("--model -m ID", f"1 to {MOST} models [{', '.join(MODELS)}].", cli.MODEL)
    against: str = cli.field("--against ID", "The model that the others are to replace [the largest].", default="")
    tolerance: float = cli.field("--tolerance POINTS", "Points that may be lost.", default=100 * TOLERANCE)
    out: Path | None = cli.field("--out -o FILE", "A .json, or each object as .csv or .parquet.", cli.OUT)
    json: cli.Json = False


@cli.verb(
    cli.app,
    "scorecard",
    """
    sightglass scorecard "images/*.jpg" --labels labels/ -m yolo11n -m yolo26n --tolerance 1
    sightglass scorecard explained/ --out scorecard.json
    """,
)
def compare_on_labels(pictures: Folder, options: ScorecardOptions) -> int:
    """Compare models on labelled pictures: AP or accuracy, speed and size."""
    console, ids = Console(options.json), list(dict.fromkeys(options.model or MODELS))
    scorecards.check_number(ids)
    if options.out is not None and options.out.suffix.lower() not in FORMATS:
        raise Problem(
            f"{options.out.name} is no file that a scorecard is written to: end it with {listing([*FORMATS])}."
        )
    runs = run.find_runs(Path(pictures)) if options.labels is None and options.model is None else []
    problems: list[str] = []
    if runs:
        rows, left = run.score_runs(runs)
    else:
        with console.progress("Reading the labels") as progress:
            labels = ground_truth.read(options.labels) if options.labels is not None else None
            labelled, left = run.gather(list(picture_source.find(pictures)), labels)
            rows = run.score_models(
                ids, lambda name: load_explainer(name, options.device, progress), labelled, tell=progress
            )
        problems = [problem.words for problem in labels.problems] if labels is not None else []
    card = scorecards.compare(rows, tolerance=options.tolerance / 100, against=options.against)
    result = files.to_json(card, problems=problems, left_out=left)
    _print(console, card)
    sentences = [*problems, *left]
    for sentence in sentences[:LISTED]:
        console.warn(sentence)
    if len(sentences) > LISTED:
        console.warn(f"And {len(sentences) - LISTED:,} more like these.")
    console.say(*(card.verdict.sentences if card.verdict else ()))
    if options.out is not None:
        kind = options.out.suffix.lower()
        writers = {".json": lambda: to_json(result).encode(), ".csv": lambda: files.write_csv(card)}
        write_file(options.out, writers.get(kind, lambda: files.to_parquet(card))())
        console.say(f"Written: {options.out}")
    console.result(result)
    return 0


def _print(console: Console, card: Scorecard) -> None:
    first = card.rows[0]
    console.say(f"{first.kind.describe_units(len(first.right), len(first.evaluation.pictures))}.")
    rows = files.list_rows(card)
    for names in (SCORES, [name for name in rows[0] if name not in SCORES[1:]]):
        columns = [name for name in names if name in rows[0]]
        console.table(columns, [[row[name] for name in columns] for row in rows], right=columns[1:])
    for row in card.rows:
        if unknown := row.evaluation.unknown:
            console.say(f"{row.model} has no class for {', '.join(unknown[:LISTED])}: not counted.")
