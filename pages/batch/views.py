"""Draw a finished run: classes, outliers, table, downloads."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import streamlit as st

from sightglass.batch import analysis, journal, report, seals
from sightglass.batch.table import CSV, PARQUET, read_scores
from sightglass.components.session.markdown import escape
from sightglass.components.views import charts, tables
from sightglass.explain.maps import statistics
from sightglass.explain.methods import describe_setup
from sightglass.explain.phrases import percent, plural
from sightglass.export.table import csv
from sightglass.pages.batch.job import find_odd, frame_of_job, read_frame, table_key
from sightglass.pages.batch.tiles import describe_group, draw_groups, tiles

if TYPE_CHECKING:
    from pandas import DataFrame

    from sightglass.common.files import Json
    from sightglass.pages.batch.job import BatchJob


PAGE = 24
COLUMNS = (
    *("picture", "tags", "labelled", "predicted", "predicted_score", "margin", "other_predicted", "disagreement"),
    *("true_number", "error", "mean_iou", "pixel_accuracy"),
    *("advantage", "over_random", "verdict", *seals.COLUMNS),
    *("half_heat_area", "border_share", "entropy_normalised", "gini", "n_regions", "proof", "state", "notes"),
)


def describe_run(job: BatchJob) -> str:
    """Describe the run, `demo-cls-l, GradCAM at layer4 (Where is it?)`, with what came of proving its maps; with two
    models both."""
    first, second, changed = table_key(job)
    return "; compared with ".join(_describe(folder, changed) for folder in (first, second) if folder)


def _describe(folder: str, changed: int) -> str:
    # The journal names what the choices left to the model.
    recipe = journal.settings_of(Path(folder))["recipe"]
    made = describe_setup(recipe["model"], recipe["method"], recipe["layers"], recipe["part"])
    proved = seals.describe_proofs(read_frame(folder, None, changed))
    return f"{made}: {proved}" if proved else made


def classes(job: BatchJob) -> None:
    """Draw where the model looks for each class, on average."""
    found = frame_of_job(job)
    by = "predicted"
    if found["labelled"].notna().any():
        by = st.segmented_control(
            "Classes by",
            ["predicted", "labelled"],
            format_func={"predicted": "Prediction", "labelled": "Folder"}.__getitem__,
            default="predicted",
            required=True,
            key="batch-by",
            help="Group the pictures by prediction or by folder.",
        )
    groups = analysis.classes(found, by)
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
        found, groups = find_odd(*table_key(job))
    st.markdown("### Outliers")
    rows, words = analysis.farthest(found)
    st.caption(words)
    if not rows.empty:
        tiles(job, rows, "odd", "odd", found)
    if not groups:
        return
    st.markdown(f"### {plural(len(groups), 'group')} of similar maps")
    st.caption(
        "After SpRAy (Lapuschkin et al. 2019): downscaled maps, grouped by spectral clustering. A small separate group "
        "that looks at an implausible place may be a shortcut that the model has learnt."
    )
    draw_groups(groups, lambda group: f"{plural(group.count, 'picture')}  \n{mostly(group)}")


def mostly(group: analysis.Group) -> str:
    """Say what most pictures of a group are called, or that no answer is in the majority."""
    counts = group.frame["predicted"].value_counts()
    if not len(counts):
        return "mostly nothing"
    share = counts.iloc[0] / group.count
    first = escape(str(counts.index[0]))
    return f"mostly {first}, {percent(share)}" if share > 0.5 else f"{len(counts)} different answers"


def table(job: BatchJob) -> None:
    """Draw the main columns."""
    found = frame_of_job(job)
    columns = [name for name in COLUMNS if name in found and found[name].notna().any()]
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
    shown, config = tables.numbers(
        found[columns], help, plain=("predicted_score", "true_number", "error") if scores.numbers else ()
    )
    tables.table(shown, columns=config, height=420)
    st.caption(f"The main columns of {len(found.columns)}, one row per picture; Download has all of them.")


def _records(found: DataFrame) -> list[Json]:
    """Return a table's rows, with None for what is missing."""
    whole = found.astype(object).where(found.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in whole.to_dict("records")]


def downloads(job: BatchJob) -> None:
    """Draw the menu of downloads: tables, and an archive that is made when it is requested."""
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
        every = "Every number of every picture, one row per map."
        for folder in map(Path, filter(None, (first, second))):
            if len(job.plans) > 1:
                st.caption(next(plan.model for plan in job.plans if plan.folder == folder))
            archive = f"{folder.name}.zip"
            offers: tuple[tuple[charts.Offer, str], ...] = (
                (
                    ("Report, .html", "report.html", partial(_report, folder)),
                    "One page: the least sure and wrong predictions, and the maps unlike all others.",
                ),
                (("Table, .csv", CSV, (folder / CSV).read_bytes), every),
                (("Table, .parquet", PARQUET, (folder / PARQUET).read_bytes), every),
                (
                    ("Everything, .zip", archive, partial(_everything, folder)),
                    "The table, every picture under its map, and every raw map.",
                ),
            )
            for (label, file, make), help in offers:
                charts.download(label, make, file, type="tertiary", key=f"get-{folder.name}-{file}", help=help)


def _report(folder: Path) -> bytes:
    return report.html(folder).encode()


def _everything(folder: Path) -> BinaryIO:
    return analysis.pack(folder, folder / "everything.zip").open("rb")
