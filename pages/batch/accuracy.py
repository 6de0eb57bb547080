"""How often the answers are right: accuracy, classes, confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.batch import accuracy, analysis
from sightglass.batch.table import read_scores
from sightglass.components.session.markdown import escape
from sightglass.components.views import tables
from sightglass.explain.phrases import plural
from sightglass.pages.batch import folders, labels, selection
from sightglass.pages.batch.job import frame_of_job
from sightglass.pages.batch.tiles import describe_group, draw_groups, tiles

if TYPE_CHECKING:
    from sightglass.batch.accuracy import ConfusionMatrix
    from sightglass.batch.labelled.summary import EvaluationSummary
    from sightglass.pages.batch.job import BatchJob

PAGE = 24
ROW = 35
"""Pixels of a table's row."""
RIGHT, WRONG = "rgba(28, 141, 151, {:.2f})", "rgba(201, 100, 27, {:.2f})"
"""Visible on light and dark pages; the sign says it too."""


def line(job: BatchJob) -> None:
    """Draw how many of the labelled pictures are right; nothing without labels."""
    frame = frame_of_job(job)
    if (found := accuracy.of_frame(frame)) is not None:
        st.markdown(f":material/rule: {found.words}.")
    if (errors := analysis.measure_numbers(frame)) is not None:
        st.markdown(f":material/rule: {errors.describe(read_scores(job.plans[0].folder).unit)}.")


def draw(job: BatchJob) -> None:
    """Draw what is mistaken for what, and the numbers of each class."""
    found = frame_of_job(job)
    every = accuracy.of_frame(found)
    if every is None and (evaluated := labels.load(job)) is not None:
        _draw_classes(evaluated)
        return
    if every is None:
        scores = read_scores(job.plans[0].folder)
        if scores.numbers:
            more = "sort the gallery by Largest error" if "error" in found else "give true numbers as labels"
            st.info(f"This model gives numbers, so no answer is right or wrong: {more}.", icon=":material/123:")
            return
        if scores.areas:
            st.info("There are no masks: give them as labels, and each class has its IoU.", icon=":material/sell:")
            return
        st.info(
            folders.describe_left_out(job) or "There are no labels: put the pictures into folders named after classes.",
            icon=":material/folder:",
        )
        return
    matrix = accuracy.confusions_of_frame(found)
    if not matrix.errors:
        st.success("Every prediction matches its label.", icon=":material/check:")
    else:
        _draw_confusions(job, found, matrix)
    st.markdown(
        "### Classes",
        help="Precision: of the pictures with this answer, those of this class. Recall: of the "
        "pictures of this class, those with this answer. Each with its 95 % interval (Wilson).",
    )
    rows = [dict(zip(accuracy.HEAD, row, strict=True)) for row in accuracy.rows(every)]
    tables.table(rows, right=accuracy.HEAD[1:], height=min(420, ROW * (len(rows) + 1) + 2))
    st.caption(" ".join(filter(None, ("The lowest recall first.", folders.describe_left_out(job)))))


def _draw_classes(evaluated: EvaluationSummary) -> None:
    """Draw the average precision of each class of labelled boxes, or the IoU of each class of a segmentation."""
    head, every = evaluated.class_columns, evaluated.list_classes()
    height = min(420, ROW * (len(every) + 1) + 2)
    if evaluated.task == "segment":
        st.markdown(
            "### Classes",
            help="IoU: the pixels that mask and model both give the class, of those that either does. Each with its "
            "95 % interval, from redrawn sets of pictures.",
        )
        rows: list[dict[str, Any]] = [
            {head[0]: name, head[1]: 100 * evaluated.by_class[name].value, head[2]: interval}
            for name, _, interval in every
        ]
        tables.table(rows, right=head[2:], columns={head[1]: tables.points()}, height=height)
        st.caption("The lowest first. Sort the gallery by mean IoU to see the worst pictures.")
        return
    st.markdown("### Classes", help="Average precision (AP) of each class with labels, with its 95 % interval.")
    tables.table([dict(zip(head, one, strict=True)) for one in every], right=head[1:], height=height)
    st.caption("The lowest first. Page Errors shows what is wrong.")


def _draw_confusions(job: BatchJob, found: Any, matrix: ConfusionMatrix) -> None:
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
    pictures = accuracy.pictures_in(found, matrix, truth, answer)
    of = plural(len(pictures), "picture")
    if truth == answer:
        st.markdown(f":green[:material/check:] **{of}** of {escape(truth)}, answered right.")
    else:
        st.markdown(f":orange[:material/close:] **{of}** of {escape(truth)} with the answer **{escape(answer)}**.")
    if pictures.empty:
        return
    if truth != answer:
        groups = analysis.compare_confused(found, truth, answer, pictures)
        draw_groups(groups, lambda group: describe_group(group, right=group.name in (truth, answer)))
    rows = analysis.order(pictures, "sure").iloc[:PAGE]
    selection.actions(job, list(rows["picture"]))
    tiles(job, rows, "confusion", "", found)
    if len(pictures) > PAGE:
        st.caption(f"The {PAGE} surest of {len(pictures):,}; the gallery has all.")


def _draw_matrix(matrix: ConfusionMatrix) -> tuple[str, str]:
    """Draw the matrix, and return the true class and the answer of the chosen cell: at first the most wrong answers."""
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
