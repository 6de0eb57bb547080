"""HTML report of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightglass.batch import analysis, summary, table
from sightglass.common.errors import Problem
from sightglass.evaluation.intervals import estimate_share
from sightglass.evaluation.kinds import kind_of
from sightglass.explain.phrases import plain_text, plural, quantity
from sightglass.explain.picture.item import distinct_names
from sightglass.report import offline_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sightglass.common.files import Json

    Section = tuple[str, str, list[dict[str, str]]]
    """Its title, what is said of it, and its tiles."""

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
    try:
        evaluation: summary.EvaluationSummary | None = summary.load(folder)
    except Problem:
        # It has no labels that count.
        evaluation = None
    return offline_page.fill(
        "batch/report.html",
        ["report/page.css", "batch/report.css"],
        title=f"{plural(len(frame), 'picture')} explained by {' and '.join(sorted(set(frame['model'])))}",
        numbers=numbers,
        sections=[section for section in _list_sections(folder, frame, scores) if section[2]],
        evaluation=evaluation,
    )


def _list_sections(folder: Path, frame: Any, scores: table.Scores) -> Iterator[Section]:
    names = distinct_names(list(frame["picture"]))

    def list_tiles(rows: Any, describe: Callable[[Json], str]) -> list[dict[str, str]]:
        """Return an overlay tile a picture, with its prediction."""
        return [
            {
                "name": names[row["picture"]],
                "answer": row["predicted"] or "nothing found",
                "score": plain_text(scores.describe(row["predicted_score"], row["predicted"]))
                if row["predicted"]
                else "",
                "more": describe(row),
                "picture": _url(folder / row["file"]) if row["file"] else "",
            }
            for row in rows.iloc[:LISTED].to_dict("records")
        ]

    wrong = analysis.order(frame[frame["wrong"].eq(True)], "sure")
    about = f"The prediction is no class that the picture's label, or without one its folder, means. {_most(wrong)}"
    yield "Wrong, the surest first", about, list_tiles(wrong, lambda row: f"labelled {row['labelled']}")
    captions: dict[str, Callable[[Json], str]] = {
        "iou": lambda row: f"mean IoU {100 * row['mean_iou']:.1f}",
        "error": lambda row: plain_text(f"true: {scores.describe(row['true_number'], row['predicted'])}"),
    }
    for title, about, order in kind_of(scores.task).extremes:
        rows, column = frame, analysis.ORDERS[order][0]
        if order in captions:
            rows = frame[frame[column].notna()] if column in frame else frame.iloc[:0]
        tiles = list_tiles(analysis.order(rows, order), captions.get(order, lambda row: ""))
        yield title, f"{about}{_most(rows)}", tiles


def _most(rows: Any) -> str:
    return f"The first {LISTED} of {len(rows):,}." if len(rows) > LISTED else ""


def _url(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError:
        return ""
    return offline_page.data_url(data, "png" if path.suffix == ".png" else "jpeg")
