"""HTML report of a batch."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from sightglass.batch import analysis, summary, table
from sightglass.common.errors import Problem
from sightglass.evaluation.intervals import estimate_share
from sightglass.evaluation.kinds import kind_of
from sightglass.explain.phrases import plain_text, plural, quantity
from sightglass.report.html_report import report_html
from sightglass.report.view import Picture, Table, View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sightglass.common.files import Json

LISTED = 24
"""Pictures of each section."""


def html(folder: Path) -> str:
    """Return the offline report of a finished run's folder.

    It lists the least sure predictions, and where there are labels the wrong ones and each class. Raises OSError where
    the folder holds no table.

    >>> from pathlib import Path
    >>> html(Path("explained/photos"))[:15]
    '<!doctype html>'
    """
    frame, scores = analysis.load(folder), table.read_scores(folder)
    numbers = [("Pictures", f"{len(frame):,}")]
    right, judged = analysis.count_right(frame)
    if judged:
        share = estimate_share(right, judged)
        numbers.append(("Right", plain_text(f"{share.percent} of {judged:,}")))
        numbers.append(("95 % interval of that", plain_text(share.percent_range)))
    if (errors := analysis.measure_numbers(frame)) is not None:
        numbers.append(("Mean absolute error", plain_text(quantity(errors.mean, scores.unit))))
    views = [View("", tables=(Table("", rows=tuple(numbers)),)), *_list_sections(folder, frame, scores)]
    # It may have no labels that count.
    with contextlib.suppress(Problem):
        views.append(_list_classes(summary.load(folder)))
    return report_html(
        [[view] for view in views],
        title=f"{plural(len(frame), 'picture')} explained by {' and '.join(sorted(set(frame['model'])))}",
        about="Colour shows the evidence for each picture's prediction, on a scale of its own: how much there is "
        "cannot be compared from picture to picture.",
    )


def _list_classes(evaluation: summary.EvaluationSummary) -> View:
    lines = [f"{line}." for line in (evaluation.headline, evaluation.right_sentence) if line]
    about = "In hundredths, the worst class first."
    if evaluation.problems:
        about += f" {len(evaluation.problems)} masks were left out: evaluation.json lists them."
    table = Table("", (*lines, about), head=evaluation.class_columns, rows=tuple(evaluation.list_classes()))
    return View("How right is each class?", tables=(table,))


def _list_sections(folder: Path, frame: Any, scores: table.Scores) -> Iterator[View]:
    """Yield a view of each kind of picture, unless there is none of it."""

    def view(title: str, about: str, rows: Any, describe: Callable[[Json], str]) -> Iterator[View]:
        pictures = []
        for row in rows.iloc[:LISTED].to_dict("records"):
            label, file = row["predicted"], b""
            answer = (
                f"{label} {plain_text(scores.describe(row['predicted_score'], label))}" if label else "nothing found"
            )
            with contextlib.suppress(OSError):
                file = (folder / row["file"]).read_bytes() if row["file"] else b""
            pictures.append(Picture(row["picture"], file, (0, 0), best=(answer,), rest=describe(row)))
        listed = f"The first {LISTED} of {len(rows):,}." if len(rows) > LISTED else ""
        if pictures:
            yield View(title, tuple(filter(None, (about, listed))), tuple(pictures))

    wrong = analysis.order(frame[frame["wrong"].eq(True)], "sure")
    about = "The prediction is no class that the picture's label, or without one its folder, means."
    yield from view("Wrong, the surest first", about, wrong, lambda row: f"labelled {row['labelled']}")
    captions: dict[str, Callable[[Json], str]] = {
        "iou": lambda row: f"mean IoU {100 * row['mean_iou']:.1f}",
        "error": lambda row: plain_text(f"true: {scores.describe(row['true_number'], row['predicted'])}"),
    }
    for title, about, order in kind_of(scores.task).extremes:
        rows, column = frame, analysis.ORDERS[order][1]
        if order in captions:
            rows = frame[frame[column].notna()] if column in frame else frame.iloc[:0]
        yield from view(title, about.strip(), analysis.order(rows, order), captions.get(order, lambda row: ""))
