"""`scorecard`: compare models on labelled pictures, and say which can be shipped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.pictures import load_explainer
from sightglass.common.errors import Problem
from sightglass.common.files import to_json, write_file
from sightglass.evaluation import ground_truth
from sightglass.evaluation.scorecard import MOST, TOLERANCE, files, run
from sightglass.evaluation.scorecard import card as scorecards
from sightglass.explain.phrases import listing, plural
from sightglass.explain.picture import source as picture_source

if TYPE_CHECKING:
    from sightglass.evaluation.scorecard.card import Scorecard

MODELS = ("demo-s", "demo-m", "demo-l")
SCORES = ("Model", "AP", "Accuracy", "95 %", "AP50", "Top 5", "Right", "Threshold")
"""Columns of the first table; the second has the others."""
FORMATS = (".json", ".csv", ".parquet")
LISTED = 10
"""Problems that are printed."""
Folder = Annotated[
    str, typer.Argument(metavar="PICTURES", help="A folder, a pattern, a list or a .zip; or a folder of labelled runs.")
]


@dataclass(frozen=True, kw_only=True)
class ScorecardOptions(cli.LoadOptions):
    labels: Path | None = cli.field(
        "--labels FILE",
        "COCO .json, .csv (file,x0,y0,x1,y1,label or file,label), a folder of YOLO .txt or VOC .xml files, or a .zip "
        "of any of these; without it, the folder of a picture is its class.",
    )
    model: list[str] | None = cli.field(
        "--model -m ID", f"1 to {MOST} models, one option each \\[{', '.join(MODELS)}].", cli.MODEL
    )
    against: str = cli.field("--against ID", "The model that the others are to replace [the largest].", default="")
    tolerance: float = cli.field(
        "--tolerance POINTS", "Points of AP or accuracy that may be lost.", default=100 * TOLERANCE
    )
    out: Path | None = cli.field("--out -o FILE", "Write a .json, or each object as .csv or .parquet.")
    json: cli.Json = False


@cli.verb(
    cli.app,
    "scorecard",
    """
    sightglass scorecard photos/ --labels annotations.json
    sightglass scorecard "images/*.jpg" --labels labels/ -m yolo11n -m yolo26n --tolerance 1
    sightglass scorecard by-class/ -m efficientnet-lite0 -m efficientnet-lite4 --json
    sightglass scorecard images.zip --labels boxes.csv -m demo-s -m demo-l --out objects.parquet
    sightglass scorecard explained/ --out scorecard.json
    """,
)
def compare_on_labels(pictures: Folder, options: ScorecardOptions) -> int:
    """Say which of some models can be shipped: AP or accuracy on labelled pictures with its 95 % interval, speed and
    size.
    """
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
            found, left = run.gather(list(picture_source.find(pictures)), labels)
            rows = run.score_models(
                ids, lambda name: load_explainer(name, options.device, progress), found, tell=progress
            )
        problems = [one.words for one in labels.problems] if labels is not None else []
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
        made = {".json": lambda: to_json(result).encode(), ".csv": lambda: files.write_csv(card)}
        write_file(options.out, made.get(kind, lambda: files.to_parquet(card))())
        console.say(f"Written: {options.out}")
    console.result(result)
    return 0


def _print(console: Console, card: Scorecard) -> None:
    first = card.rows[0]
    what = "labelled object" if first.detects else "labelled picture"
    pictures = f" in {plural(len(first.evaluation.pictures), 'picture')}" if first.detects else ""
    console.say(f"{plural(len(first.right), what)}{pictures}.")
    rows = files.list_rows(card)
    for names in (SCORES, [name for name in rows[0] if name not in SCORES[1:]]):
        shown = [name for name in names if name in rows[0]]
        console.table(shown, [[row[name] for name in shown] for row in rows], right=shown[1:])
    for row in card.rows:
        if unknown := row.evaluation.unknown:
            console.say(f"{row.model} has no class for {', '.join(unknown[:LISTED])}: these count as missed.")
