"""`compare` and `scorecard`: several models, on one picture or on labelled ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.pictures import describe_checks, load_explainer, open_picture
from sightglass.common.errors import Problem
from sightglass.common.files import to_json, write_file
from sightglass.evaluation import errors, ground_truth
from sightglass.evaluation.scorecard import MOST, TOLERANCE, files, run
from sightglass.evaluation.scorecard import card as scorecards
from sightglass.explain import phrases
from sightglass.explain.comparison import detections, models
from sightglass.explain.phrases import listing
from sightglass.explain.picture import source as picture_source
from sightglass.explain.trust import checks
from sightglass.export import result_folder
from sightglass.models import catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.cli.console import Progress
    from sightglass.common.files import Json
    from sightglass.evaluation.scorecard.card import Scorecard
    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.picture.image import Image


@dataclass(frozen=True, kw_only=True)
class CompareOptions(cli.OutputOptions, cli.SealOptions, cli.LoadOptions):
    model: list[str] | None = cli.field("--model -m ID", "Two or more; of one, all sizes of its family.", cli.MODEL)
    each_own: bool = cli.field("--each-own", "Explain each model's own answer.", cli.MAP, default=False)


@cli.verb(
    cli.app,
    "compare",
    """
    sightglass compare bus.jpg -m efficientnet-lite0 -m resnet50
    sightglass compare bus.jpg -m yolo11n -m yolo26n --class bus
    """,
)
def compare(picture: cli.Picture, asked: cli.EngineOptions, options: CompareOptions) -> int:
    """Explain one picture with several models: answers, times and the overlap of maps.

    The folder, explained/<picture>_compared by default, gets comparison.jpg, overlays, maps.npz and comparison.json.
    """
    console, style = Console(options.json), options.style()
    with console.progress("Loading") as progress:
        comparison = _compare(open_picture(picture, console), asked, options, progress)
        more: Json = {"mixed": comparison.mixed}
        name = comparison.explanations[0].image.name.rsplit(".", 1)[0]
        # Not the picture's own folder, whose maps.npz its recipe is held against.
        (folder,) = result_folder.places([f"{name}_compared"], options.out)
        written = result_folder.write(folder, result_folder.of_comparison(comparison, style, more))
    _report(console, comparison)
    console.files(folder, written)
    console.result(result_folder.comparison(comparison) | more | {"folder": folder, "files": written})
    return 0


def _compare(image: Image, asked: cli.EngineOptions, options: CompareOptions, progress: Progress) -> Comparison:
    """Explain a picture with each model and, with --seal, check the first map of each."""
    ids, names = catalog.choose_compared(options.model or ["efficientnet-lite0"])
    explanations, timings = [], []
    for i, name in enumerate(ids):
        progress(i / len(ids), name)
        explainer = load_explainer(name, options.device, progress, asked)
        explanations.append(explainer(image, **cli.with_classes(asked, explainer)))
        timings.append(models.measure(explanations[-1].evidence))
    if not ("targets" in asked or options.each_own):
        explanations = list(detections.same_target(explanations))
    for i, explanation in enumerate(explanations if options.seal else ()):

        def update(share: float, words: str, i: int = i) -> None:
            progress((i + share) / len(ids), f"{names[i]}: {words}")

        checks.check_maps(explanation, 1, progress=update)
    return models.Comparison(tuple(explanations), names, tuple(timings))


def _report(console: Console, comparison: Comparison) -> None:
    console.say(f"{comparison.explanations[0].image.name}: {comparison.verdict}")
    rows, ids = [], [explanation.model.id for explanation in comparison.explanations]
    # A row begins with the size that sentences and pictures call the model by, if any, and with its id.
    names: list[Sequence[str]] = [ids] if ids == [*comparison.names] else [comparison.names, ids]
    for i, explanation in enumerate(comparison.explanations):
        label, sure = result_folder.of_first(explanation)
        rows.append(
            (
                *(column[i] for column in names),
                label,
                sure or "–",
                phrases.milliseconds(comparison.timings[i].median),
                phrases.count(explanation.evidence.resident.parameters),
                comparison.overlap(0, i),
            )
        )
    columns = ("map of", "how sure", "one pass", "parameters", f"overlap with {comparison.names[0]}")
    console.table((*("size", "model")[-len(names) :], *columns), rows, right=columns[1:])
    for name, explanation in zip(comparison.names, comparison.explanations, strict=True):
        if explanation.heatmaps:
            console.say(*describe_checks(explanation.known_checks(0), f"{name}, "))
    console.say(" ".join(filter(None, (comparison.overlaps, comparison.mixed))))


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
    console.warn(*problems, *left, most=LISTED, rest="like these")
    console.say(*(card.verdict.sentences if card.verdict else ()))
    if options.out is not None:
        kind = options.out.suffix.lower().removeprefix(".")
        data = to_json(result).encode() if kind == "json" else errors.write_table(files.list_objects(card), kind)
        write_file(options.out, data)
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
    console.say(*(row.evaluation.left_out for row in card.rows if row.evaluation.unknown))
