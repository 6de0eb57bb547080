"""Draw a finished run: classes, accuracy, outliers, table, downloads."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import streamlit as st

from sightglass.batch import accuracy, analysis, report, seals
from sightglass.batch.labelled import pixels, summary
from sightglass.batch.labelled.labels import FILE
from sightglass.batch.table import CSV, PARQUET, read_scores
from sightglass.common.errors import Problem
from sightglass.components.session import state
from sightglass.components.session.markdown import escape
from sightglass.components.views import charts, tables
from sightglass.evaluation import stored
from sightglass.explain.maps import statistics
from sightglass.explain.phrases import percent, plural
from sightglass.explain.tasks import task_of
from sightglass.export.table import csv
from sightglass.pages.batch.gallery import actions, describe_group, draw_groups, tiles
from sightglass.pages.batch.job import find_odd, frame_of_job, table_key

if TYPE_CHECKING:
    from pandas import DataFrame

    from sightglass.batch.accuracy import ConfusionMatrix
    from sightglass.batch.labelled.summary import EvaluationSummary
    from sightglass.common.files import Json
    from sightglass.pages.batch.job import BatchJob


PAGE = 24
COLUMNS = (
    *("picture", "tags", "labelled", "predicted", "predicted_score", "margin", "other_predicted", "disagreement"),
    *("true_number", "error", "mean_iou", "pixel_accuracy"),
    *("advantage", "over_random", "verdict", *seals.COLUMNS),
    *("half_heat_area", "border_share", "entropy_normalised", "gini", "n_regions", "proof", "state", "notes"),
)


def classes(job: BatchJob) -> None:
    """Draw the mean map of each class."""
    frame = frame_of_job(job)
    by = "predicted"
    if frame["labelled"].notna().any():
        by = st.segmented_control(
            "Classes by",
            ["predicted", "labelled"],
            format_func={"predicted": "Prediction", "labelled": "Folder"}.__getitem__,
            default="predicted",
            required=True,
            key="batch-by",
            help="Group the pictures by prediction or by folder.",
        )
    groups = analysis.classes(frame, by)
    if not groups:
        st.info("No map was computed in this run.", icon=":material/info:")
        return
    st.caption(
        "The mean map of each class, every picture scaled to a square. A hot place that all of them share, away from "
        "the objects, may be a shortcut of the model. Hatched areas were never seen."
    )
    draw_groups(groups[:PAGE], describe_group)
    if len(groups) > PAGE:
        st.caption(f"The {PAGE} most frequent of {len(groups)} classes.")


def odd(job: BatchJob) -> None:
    """Draw the most unusual maps, and the groups of similar maps."""
    with st.spinner("Grouping the maps…", show_time=False):
        outliers, groups = find_odd(*table_key(job))
    st.markdown("### Outliers")
    rows, words = analysis.farthest(outliers)
    st.caption(words)
    if not rows.empty:
        tiles(job, rows, "odd", "odd", outliers)
    if not groups:
        return
    st.markdown(f"### {plural(len(groups), 'group')} of similar maps")
    st.caption(
        "After SpRAy (Lapuschkin et al. 2019): downscaled maps, grouped by spectral clustering. A small separate group "
        "that looks at an implausible place may be a shortcut that the model has learnt."
    )
    draw_groups(groups, lambda group: f"{plural(group.count, 'picture')}  \n{mostly(group)}")


def mostly(group: analysis.Group) -> str:
    """Name the label of most pictures in a group, if any."""
    counts = group.frame["predicted"].value_counts()
    if not len(counts):
        return "mostly nothing"
    share = counts.iloc[0] / group.count
    first = escape(str(counts.index[0]))
    return f"mostly {first}, {percent(share)}" if share > 0.5 else f"{len(counts)} different answers"


def table(job: BatchJob) -> None:
    """Draw the main columns."""
    frame = frame_of_job(job)
    columns = [name for name in COLUMNS if name in frame and frame[name].notna().any()]
    scores = read_scores(job.plans[0].folder)
    help = {
        "predicted_score": "The share of the picture that has the class."
        if scores.areas
        else "The number that the model gives, in its own unit."
        if scores.numbers
        else "The score of the best prediction.",
        "margin": "The score of the best prediction minus the next one's.",
        "true_number": "The label.",
        "error": "The number minus the label.",
        "mean_iou": "Mean IoU of this picture, over the classes that its mask or its answer has.",
        "pixel_accuracy": "Share of this picture's pixels that have the class of the mask.",
        **seals.PROOF_MEANING,
        **seals.MEANING,
        "disagreement": "100 % minus the overlap of the two models' strongest fifths: 100 % is nothing in common.",
    } | statistics.MEANING
    displayed, config = tables.numbers(
        frame[columns], help, plain=("predicted_score", "true_number", "error") if scores.numbers else ()
    )
    tables.table(displayed, columns=config, height=420)
    st.caption(f"The main columns of {len(frame.columns)}, one row per picture; Download has all of them.")


def _records(frame: DataFrame) -> list[Json]:
    """Return a table's rows, with None for missing values."""
    whole = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in whole.to_dict("records")]


def downloads(job: BatchJob) -> None:
    """Draw the menu of downloads; the archive is made on request."""
    with st.popover("Download", icon=":material/download:", help="The table, or everything as one archive."):
        first, second, _ = table_key(job)
        if second is not None:
            charts.download(
                "Both models, .csv",
                lambda: csv(_records(frame_of_job(job))).encode(),
                "both.csv",
                type="tertiary",
                key="get-both",
                help="The first model's table, with the second model's predictions and the disagreement of their maps.",
            )
        all_numbers = "Every number of every picture, one row per map."
        for folder in filter(None, (first, second)):
            if len(job.plans) > 1:
                st.caption(next(plan.model for plan in job.plans if plan.folder == folder))
            archive = f"{folder.name}.zip"
            offers: tuple[tuple[charts.Offer, str], ...] = (
                (
                    ("Report, .html", "report.html", partial(report.html, folder)),
                    "One page: the least sure and wrong predictions, and the maps unlike all others.",
                ),
                (("Table, .csv", CSV, (folder / CSV).read_bytes), all_numbers),
                (("Table, .parquet", PARQUET, (folder / PARQUET).read_bytes), all_numbers),
                (
                    ("Everything, .zip", archive, partial(_everything, folder)),
                    "The table, every picture under its map, and every raw map.",
                ),
            )
            for (label, file, make), help in offers:
                charts.download(label, make, file, type="tertiary", key=f"get-{folder.name}-{file}", help=help)


def _everything(folder: Path) -> BinaryIO:
    return analysis.pack(folder, folder / "everything.zip").open("rb")


ROW = 35
"""Pixels of a table's row."""
RIGHT, WRONG = "rgba(28, 141, 151, {:.2f})", "rgba(201, 100, 27, {:.2f})"
"""Visible on light and dark pages; the sign says it too."""


def line(job: BatchJob) -> None:
    """Draw how many of the labelled pictures are right; nothing without labels."""
    frame = frame_of_job(job)
    if (counts := accuracy.of_frame(frame)) is not None:
        st.markdown(f":material/rule: {counts.words}.")
    if (errors := analysis.measure_numbers(frame)) is not None:
        st.markdown(f":material/rule: {errors.describe(read_scores(job.plans[0].folder).unit)}.")


def draw(job: BatchJob) -> None:
    """Draw the confusions and the numbers of each class."""
    data = frame_of_job(job)
    frame = accuracy.of_frame(data)
    if frame is None and (evaluated := load(job)) is not None:
        _draw_classes(evaluated)
        return
    if frame is None:
        scores = read_scores(job.plans[0].folder)
        if scores.numbers:
            more = "sort the gallery by Largest error" if "error" in data else "give true numbers as labels"
            st.info(f"This model gives numbers, so no answer is right or wrong: {more}.", icon=":material/123:")
            return
        if scores.areas:
            st.info("There are no masks: give them as labels, and each class has its IoU.", icon=":material/sell:")
            return
        counted = "No label means a class of this model: say below the headline what each counts as."
        without = "There are no labels: put the pictures into folders named after classes."
        st.info(counted if data["labelled"].notna().any() else without, icon=":material/folder:")
        return
    matrix = accuracy.confusions_of_frame(data)
    if not matrix.errors:
        st.success("Every prediction matches its label.", icon=":material/check:")
    else:
        _draw_confusions(job, data, matrix)
    st.markdown(
        "### Classes",
        help="Precision: of the pictures with this answer, those of this class. Recall: of the "
        "pictures of this class, those with this answer. Each with its 95 % interval (Wilson).",
    )
    rows = [dict(zip(accuracy.HEAD, row, strict=True)) for row in accuracy.rows(frame)]
    tables.table(rows, right=accuracy.HEAD[1:], height=min(420, ROW * (len(rows) + 1) + 2))
    st.caption("The lowest recall first.")


def _draw_classes(evaluated: EvaluationSummary) -> None:
    """Draw each class's average precision, or IoU for segmentation."""
    head, listed = evaluated.class_columns, evaluated.list_classes()
    height = min(420, ROW * (len(listed) + 1) + 2)
    if task_of(evaluated.task).gives_pixels:
        st.markdown(
            "### Classes",
            help="IoU: the pixels that mask and model both give the class, of those that either does. Each with its "
            "95 % interval, from redrawn sets of pictures.",
        )
        rows: list[dict[str, Any]] = [
            {head[0]: name, head[1]: 100 * evaluated.by_class[name].value, head[2]: interval}
            for name, _, interval in listed
        ]
        tables.table(rows, right=head[2:], columns={head[1]: tables.points()}, height=height)
        st.caption("The lowest first. Sort the gallery by mean IoU to see the worst pictures.")
        return
    st.markdown("### Classes", help="Average precision (AP) of each class with labels, with its 95 % interval.")
    tables.table([dict(zip(head, row, strict=True)) for row in listed], right=head[1:], height=height)
    st.caption("The lowest first.")


def _draw_confusions(job: BatchJob, frame: Any, matrix: ConfusionMatrix) -> None:
    st.markdown("### What is taken for what")
    cell = _draw_matrix(matrix)
    words = "Click a cell to see its pictures. ✓ is right, ✗ wrong."
    if matrix.shown < matrix.errors:
        words += (
            f" The {len(matrix.truths)} most confused of {matrix.classes} classes, with {matrix.shown:,} of "
            f"{plural(matrix.errors, 'wrong answer')}."
        )
    st.caption(words)
    truth, answer = cell
    pictures = accuracy.pictures_in(frame, matrix, truth, answer)
    of = plural(len(pictures), "picture")
    if truth == answer:
        st.markdown(f":green[:material/check:] **{of}** of {escape(truth)}, answered right.")
    else:
        st.markdown(f":orange[:material/close:] **{of}** of {escape(truth)} with the answer **{escape(answer)}**.")
    if pictures.empty:
        return
    if truth != answer:
        groups = analysis.compare_confused(frame, truth, answer, pictures)
        draw_groups(groups, lambda group: describe_group(group, right=group.name in (truth, answer)))
    rows = analysis.order(pictures, "sure").iloc[:PAGE]
    actions(job, list(rows["picture"]))
    tiles(job, rows, "confusion", "", frame)
    if len(pictures) > PAGE:
        st.caption(f"The {PAGE} surest of {len(pictures):,}; the gallery has all.")


def _draw_matrix(matrix: ConfusionMatrix) -> tuple[str, str]:
    """Draw the matrix; return the chosen cell's true class and answer."""
    import pandas as pd

    signs = [
        [
            f"{'✓' if truth == answer else '✗'} {count:,}" if count else ""
            for answer, count in zip(matrix.answers, row, strict=True)
        ]
        for truth, row in zip(matrix.truths, matrix.counts, strict=True)
    ]
    columns, index = list(matrix.answers), pd.Index(matrix.truths, name="label ↓  answer →")
    colours = [
        [
            f"background-color: {(RIGHT if truth == answer else WRONG).format(0.08 + 0.42 * count / max(1, row.sum()))}"
            if count
            else ""
            for answer, count in zip(matrix.answers, row, strict=True)
        ]
        for truth, row in zip(matrix.truths, matrix.counts, strict=True)
    ]
    row, column = tables.matrix(
        pd.DataFrame(signs, index=index, columns=columns),
        pd.DataFrame(colours, index=index, columns=columns),
        key="batch-matrix",
        chosen=_find_worst(matrix),
        height=ROW * (len(matrix.truths) + 1) + 2,
    )
    return matrix.truths[row], matrix.answers[column]


def _find_worst(matrix: ConfusionMatrix) -> tuple[int, int]:
    wrong = matrix.counts.copy()
    rows = range(len(matrix.truths))
    wrong[rows, rows] = 0
    place = int(wrong.argmax())
    return divmod(place, wrong.shape[1])


def draw_fit(job: BatchJob) -> bool:
    """Draw the fit to the labels; return False without labels."""
    evaluated = load(job)
    if evaluated is None:
        return False
    st.markdown(f"{escape(evaluated.headline)}.")
    if evaluated.problems:
        label = f"{plural(len(evaluated.problems), 'picture')} without a mask that can be used"
        with st.expander(label, icon=":material/warning:"):
            tables.table([{"picture": name, "why": why} for name, why in evaluated.problems[:1000]])
    if evaluated.found:
        st.caption(f"{escape(evaluated.found)}. Page Errors shows what is wrong.")
    return True


def load(job: BatchJob) -> EvaluationSummary | None:
    """Return the first run's summary; None without labels from a file."""
    folder = job.plans[0].folder
    try:
        masked = folder / pixels.FILE
        changed = (masked if masked.exists() else folder / stored.FILE).stat().st_mtime_ns
        (folder / FILE).stat()
        return state.latest("batch-evaluated", (folder, changed), lambda: summary.load(folder))
    except (OSError, Problem):
        return None
