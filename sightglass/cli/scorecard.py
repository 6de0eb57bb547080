"""`scorecard`: compare detectors on labelled pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.pictures import load_explainer
from sightglass.common.errors import Problem
from sightglass.evaluation import ground_truth, scorecard
from sightglass.evaluation.error_types import MEANINGS
from sightglass.explain.phrases import plural
from sightglass.explain.picture import source as picture_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.evaluation.scorecard import ModelScore

MODELS = ("demo-s", "demo-m", "demo-l")
MOST = 6
LISTED = 10
"""Problems that are printed."""
COLUMNS = ("model", "AP", "AP, 95 %", "AP50", "found", "ms a picture")
Folder = Annotated[str, typer.Argument(metavar="PICTURES", help="A folder, a pattern, a list or a .zip.")]


@dataclass(frozen=True, kw_only=True)
class ScorecardOptions(cli.LoadOptions):
    labels: Path | None = cli.field(
        "--labels FILE", "COCO .json, .csv with file,x0,y0,x1,y1,label, or a folder of YOLO .txt or VOC .xml files."
    )
    model: list[str] | None = cli.field(
        "--model -m ID", f"1 to {MOST} detectors, one option each \\[{', '.join(MODELS)}].", cli.MODEL
    )
    json: cli.Json = False


@cli.verb(
    cli.app,
    "scorecard",
    """
    sightglass scorecard photos/ --labels annotations.json
    sightglass scorecard "images/*.jpg" --labels labels/ -m yolo11n -m yolo26n
    sightglass scorecard images.zip --labels boxes.csv -m demo-s -m demo-l --json
    """,
)
def compare_on_labels(pictures: Folder, options: ScorecardOptions) -> int:
    """Say which of some detectors can be shipped: average precision on labelled pictures with its 95 % interval, what
    kinds of errors cost how much of it, and how long a picture takes here.
    """
    console, ids = Console(options.json), options.model or [*MODELS]
    if options.labels is None:
        raise Problem("Say where the labels are with --labels: a COCO .json, a .csv, or a folder of YOLO or VOC files.")
    if len(ids) > MOST:
        raise Problem(f"A scorecard compares at most {MOST} models: leave some out.")
    rows: list[ModelScore] = []
    with console.progress("Reading the labels") as progress:
        found = ground_truth.read(options.labels)
        labelled, left = scorecard.gather(list(picture_source.find(pictures)), found)
        for number, name in enumerate(dict.fromkeys(ids)):
            explainer = load_explainer(name, options.device, progress)

            def tell(done: int, total: int, number: int = number, name: str = name) -> None:
                progress((number + done / total) / len(ids), f"{name}: {done} of {total}")

            rows.append(scorecard.score(explainer, labelled, tell=tell))
    _print(console, rows)
    _warn(console, [*(one.words for one in found.problems), *left])
    sentence = scorecard.verdict(rows)
    console.say(*filter(None, [sentence]))
    console.result(
        {
            "verdict": sentence,
            "models": [scorecard.to_json(row) for row in rows],
            "problems": [one.words for one in found.problems],
            "left_out": left,
        }
    )
    return 0


def _print(console: Console, rows: Sequence[ModelScore]) -> None:
    of = rows[0].scores
    console.say(f"{plural(of.objects, 'labelled object')} in {plural(of.pictures, 'picture')}.")
    cells = [
        (
            row.model,
            row.scores.ap.points,
            row.scores.ap.range,
            row.scores.ap50.points,
            f"{row.found} of {row.scores.objects}",
            f"{row.milliseconds:.0f}",
        )
        for row in rows
    ]
    console.table(COLUMNS, cells, right=COLUMNS[1:])
    console.say("Errors at the threshold in use, and the AP50 that mending all of a kind would add:")
    kinds = [
        (kind, *(f"{row.counts[kind]} ({100 * row.costs[kind]:+.1f})" for row in rows), meaning)
        for kind, meaning in MEANINGS.items()
    ]
    names = [row.model for row in rows]
    console.table(("error", *names, "meaning"), kinds, right=names)
    for row in rows:
        if row.unknown:
            named = ", ".join(row.unknown[:LISTED])
            console.say(f"{row.model} has no class for {named}: these objects count as missed.")


def _warn(console: Console, sentences: Sequence[str]) -> None:
    for sentence in sentences[:LISTED]:
        console.warn(sentence)
    if len(sentences) > LISTED:
        console.warn(f"And {len(sentences) - LISTED:,} more like these.")
