"""HTML report of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightglass.batch import accuracy, analysis, seals, table
from sightglass.batch.labelled import pixels, summary
from sightglass.evaluation import stored
from sightglass.evaluation.kinds import NAMES, kind_of
from sightglass.explain.phrases import plain_text, plural, quantity
from sightglass.explain.picture.item import distinct_names
from sightglass.explain.tasks import task_of
from sightglass.export import offline_page

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

    It lists the least sure predictions, the maps that are farthest from all others, where there are labels the wrong
    ones, where maps were proved those not to trust, and where they were sealed those that fail a test. Raises OSError
    where the folder holds no table.

    >>> from pathlib import Path
    >>> html(Path("explained/photos"))[:15]
    '<!doctype html>'
    """
    frame = analysis.load(folder)
    far, farthest = analysis.farthest(analysis.unusual(frame))
    names = distinct_names(list(frame["picture"]))
    unsure, wrong = analysis.filter_rows(frame, only="unsure"), analysis.filter_rows(frame, only="wrong")
    right = accuracy.of_frame(frame)
    scores = table.read_scores(folder)
    numbers = [("Pictures", f"{len(frame):,}"), *([("Below 50 % sure", f"{len(unsure):,}")] if scores.sure else [])]
    numbers += _count_boxes(folder)
    if (wrong_by := analysis.measure_numbers(frame)) is not None:
        numbers.append(("Mean absolute error", plain_text(quantity(wrong_by.mean, scores.unit))))
    if right is not None:
        numbers.append(("Right", plain_text(f"{right.right.percent} of {right.right.total:,}")))
        numbers.append(("95 % interval of that", plain_text(right.right.range)))
    if scores.sure and (uncounted := int(frame["labelled"].notna().sum() - frame["wrong"].notna().sum())):
        numbers.append(("With labels that are no class", f"{uncounted:,}"))
    if (proved := seals.add_up_proofs(frame)) is not None:
        numbers.append(("Supported maps", f"{proved[0]:,} of {proved[1]:,}"))
    if (sealed := seals.add_up(frame)) is not None:
        numbers.append(("Maps that pass all three tests", f"{sealed[0]:,} of {sealed[1]:,}"))
    sections = [
        (
            "Wrong, the surest first",
            f"The prediction is no class that the picture's label, or without one its folder, means. {_most(wrong)}",
            _tiles(folder, analysis.order(wrong, "sure"), names, lambda row: f"labelled {row['labelled']}"),
        ),
        *_write_extremes(folder, frame, names, scores),
        *_write_untrusted(folder, frame, names),
        (
            "Maps unlike all others",
            farthest,
            _tiles(folder, far, names, lambda row: f"{row['oddness']:.1f} times the median distance"),
        ),
    ]
    models = " and ".join(sorted(set(frame["model"])))
    return offline_page.fill(
        "batch/report.html",
        ["export/report/page.css", "batch/report.css"],
        title=f"{plural(len(frame), 'picture')} explained by {models}",
        numbers=numbers,
        sections=[section for section in sections if section[2]],
        masks=_sum_up_masks(folder),
    )


def _count_boxes(folder: Path) -> list[tuple[str, str]]:
    """Return a detector's evaluation numbers; empty for other runs."""
    about = stored.read_facts(folder)
    if about is None or not task_of(about.task).has_boxes:
        return []
    evaluation = summary.load(folder)
    numbers = [
        number
        for name, score in evaluation.scores.items()
        for number in ((NAMES[name], score.points), ("95 % interval of that", score.range))
    ]
    return [*numbers, ("Labelled objects found", f"{evaluation.right:,} of {evaluation.objects:,}")]


def _sum_up_masks(folder: Path) -> Json | None:
    """Return a segmentation's evaluation by class; None without masks."""
    if not (folder / pixels.FILE).is_file():
        return None
    evaluation = summary.load(folder)
    rows = [
        (name, points, f"{100 * evaluation.by_class[name].value:.1f}", range_)
        for name, points, range_ in evaluation.list_classes()
    ]
    problems = evaluation.problems[:LISTED]
    return {
        "sentence": f"{evaluation.headline}.",
        "rows": rows,
        "problems": problems,
        "left": len(evaluation.problems) - len(problems),
    }


def _write_extremes(folder: Path, frame: Any, names: dict[str, str], scores: table.Scores) -> Iterator[Section]:
    """Yield sections on the least sure answers and worst masks."""
    captions: dict[str, Callable[[Json], str]] = {
        "iou": lambda row: f"mean IoU {100 * row['mean_iou']:.1f}",
        "error": lambda row: plain_text(f"true: {scores.describe(row['true_number'], row['predicted'])}"),
    }
    for title, about, order in kind_of(scores.task).extremes:
        rows, column = frame, analysis.ORDERS[order][0]
        if order in captions:
            rows = frame[frame[column].notna()] if column in frame else frame.iloc[:0]
        tiles = _tiles(folder, analysis.order(rows, order), names, captions.get(order, lambda row: ""))
        yield title, f"{about}{_most(rows)}", tiles


def _write_untrusted(folder: Path, frame: Any, names: dict[str, str]) -> Iterator[Section]:
    """Yield sections on unsupported maps and failed checks."""
    if seals.add_up_proofs(frame) is not None:
        rows = analysis.order(analysis.filter_rows(frame, only="unproved"), "random")
        about = f"Maps of other pictures matter as much to these answers. The worst are first. {_most(rows)}"
        tiles = _tiles(folder, rows, names, lambda row: f"{row['over_random']:+.2f} beside random places")
        yield "Maps not to trust", about, tiles
    if seals.add_up(frame) is not None:
        rows = analysis.order(analysis.filter_rows(frame, only="unsealed"), "seal")
        about = (
            "A map should depend on the model, matter to the answer and hold still. Those that pass the fewest tests "
            f"are first. {_most(rows)}"
        )

        def name_failed(row: Json) -> str:
            return ", ".join(words for column, words in seals.FAILED.items() if row[column] == "no")

        yield "Maps that fail a test", about, _tiles(folder, rows, names, name_failed)


def _most(rows: Any) -> str:
    return f"The first {LISTED} of {len(rows):,}." if len(rows) > LISTED else ""


def _tiles(folder: Path, rows: Any, names: dict[str, str], more: Any) -> list[dict[str, str]]:
    """Return an overlay tile a picture, with its prediction."""
    scores = table.read_scores(folder)
    return [
        {
            "name": names[row["picture"]],
            "answer": row["predicted"] or "nothing found",
            "score": plain_text(scores.describe(row["predicted_score"], row["predicted"])) if row["predicted"] else "",
            "more": more(row),
            "picture": _url(folder / row["file"]) if row["file"] else "",
        }
        for row in rows.iloc[:LISTED].to_dict("records")
    ]


def _url(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError:
        return ""
    return offline_page.data_url(data, "png" if path.suffix == ".png" else "jpeg")
