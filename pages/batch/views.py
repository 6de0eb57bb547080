"""Draw a finished run: the gallery, classes, confusions, outliers, and the table."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import streamlit as st

from sightglass.batch import analysis, journal, labels, matrix, output, proofs, report, seals
from sightglass.batch.table import CSV, PARQUET
from sightglass.batch.table import classes as read_classes
from sightglass.common import users
from sightglass.components.session import url_state
from sightglass.components.session.markdown import escape, shorten
from sightglass.components.views import charts, method_matrix, tables
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.maps import statistics
from sightglass.explain.methods import describe_setup
from sightglass.explain.phrases import percent, plural
from sightglass.export.table import csv
from sightglass.models import catalog
from sightglass.pages.batch.tiles import WIDE, tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pandas import DataFrame

    from sightglass.common.files import Json
    from sightglass.pages.batch.job import BatchJob

    Frame = Any

PAGE = 24
METHODS = "Every quick method at each layer, with its mean over pictures and how sure that is."
ORDERS = {
    "unsure": "Lowest confidence",
    "border": "Most evidence at the edges",
    "apart": "Largest disagreement between the models",
    "random": "Weakest against random places",
    "seal": "Fewest tests passed",
    "close": "Smallest margin",
    "scattered": "Most scattered evidence",
    "pointed": "Most concentrated evidence",
    "sure": "Highest confidence",
    "source": "Original order",
}
ONLY = {
    "all": "All",
    "wrong": "Prediction differs from the folder",
    "right": "Prediction matches the folder",
    "unsure": "Score below 50 %",
    "apart": "The two models disagree",
    "unproved": "Maps not to trust",
    "unsealed": "Maps that fail a test",
}
NEEDED = {"apart": "disagreement", "random": "over_random", "unproved": "verdict", "seal": "seal", "unsealed": "seal"}
"""The column without which an order, or a filter, is not offered."""
COLUMNS = (
    *("picture", "labelled", "predicted", "predicted_score", "margin", "other_predicted", "disagreement"),
    *("advantage", "over_random", "verdict", *seals.COLUMNS),
    *("half_heat_area", "border_share", "entropy_normalised", "gini", "n_regions", "proof", "state", "notes"),
)


_tables: ByteCache[tuple[Any, int]] = ByteCache("tables", itemgetter(1))
"""Tables, and what was found in them, each with its bytes; sessions share them, and change nothing in them."""


def frame(first: str, second: str | None, changed: int) -> Frame:
    """Return a run's table, read again when the file has changed, or when it made room."""

    def read() -> tuple[Frame, int]:
        made = analysis.load(Path(first), Path(second) if second else None)
        return made, _nbytes(made)

    return _tables.get_or_make((first, second, changed), read)[0]


def _odd(first: str, second: str | None, changed: int) -> tuple[Frame, list[analysis.Group]]:
    def find() -> tuple[tuple[Frame, list[analysis.Group]], int]:
        made, groups = analysis.odd(frame(first, second, changed))
        # The groups are parts of the table.
        return (made, groups), 2 * _nbytes(made)

    found: tuple[Frame, list[analysis.Group]] = _tables.get_or_make(("odd", first, second, changed), find)[0]
    return found


def _nbytes(table: Frame) -> int:
    return int(table.memory_usage(deep=True).sum())


def key(job: BatchJob) -> tuple[str, str | None, int]:
    """Return what identifies a run's table for the cached functions above."""
    first, second = job.folders
    # The second model has no table if the run was stopped before it started.
    there = second is not None and len(job.status.summaries) > 1 and job.status.summaries[1].done > 0
    changed = [(folder / PARQUET).stat().st_mtime_ns for folder in (first, *([second] if there and second else []))]
    if (corrected := first / labels.FILE).exists():
        changed.append(corrected.stat().st_mtime_ns)
    return str(first), str(second) if there else None, sum(changed)


def describe_run(job: BatchJob) -> str:
    """Describe the run, `demo-cls-l, GradCAM at layer4 (Where is it?)`, with what came of proving its maps; with two
    models both."""
    first, second, changed = key(job)
    return "; compared with ".join(_describe(folder, changed) for folder in (first, second) if folder)


def _describe(folder: str, changed: int) -> str:
    # The journal names what the choices left to the model.
    recipe = journal.settings_of(Path(folder))["recipe"]
    made = describe_setup(recipe["model"], recipe["method"], recipe["layers"], recipe["part"])
    proved = proofs.describe_proofs(frame(folder, None, changed))
    return f"{made}: {proved}" if proved else made


def gallery(job: BatchJob) -> None:
    """Draw the pictures under their maps, filtered and sorted, a page at a time."""
    found = frame(*key(job))
    orders = {name: label for name, label in ORDERS.items() if NEEDED.get(name, "picture") in found}
    only = {name: label for name, label in ONLY.items() if _any(found, name)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = url_state.widget(
            st.selectbox,
            "Sort",
            orders,
            "unsure",
            key="batch-order",
            name="order",
            width=250,
            help="Which pictures come first.",
        )
        shown = url_state.widget(
            st.selectbox,
            "Show",
            only,
            "all",
            key="batch-only",
            name="only",
            width=210,
            help="Show only some. A folder's name counts as the correct class where it means one that the model knows; "
            "hiding what a map not to trust shows changes no more than hiding other places.",
        )
        names = sorted(found["predicted"].dropna().unique())
        predicted = st.selectbox(
            "Prediction",
            [None, *names],
            format_func=lambda name: name or "any",
            key="batch-class",
            width=190,
            help="Only pictures with this prediction.",
        )
        text = st.text_input(
            "Name",
            key="batch-text",
            width=150,
            placeholder="part of it",
            help="Only pictures with this in their name or folder.",
        )
    chosen = analysis.order(analysis.filter_rows(found, only=shown, predicted=predicted, text=text.strip()), order)
    many = len(chosen)
    if not many:
        st.info("No picture matches: show all, or clear the name.", icon=":material/filter_alt_off:")
        return
    pages = -(-many // PAGE)
    page = 1
    if pages > 1:
        page = int(st.pagination(pages, key=f"batch-page-{order}-{shown}-{predicted}-{text}"))
    counted = f"{many:,} of {plural(len(found), 'picture')}; {PAGE * (page - 1) + 1} to {min(PAGE * page, many)}."
    st.caption(" ".join(filter(None, (counted, labels_left_out(job)))))
    tiles(job, chosen.iloc[PAGE * (page - 1) : PAGE * page], "gallery", order, found)


def labels_left_out(job: BatchJob) -> str:
    """Say which folders' pictures are not counted; empty where all are, or there are none."""
    found = find_labels(job)
    if found and not any(one.classes for one in found):
        return "No folder name matches a class of this model."
    return escape(labels.describe_left_out([replace(one, folder=shorten(one.folder, 24)) for one in found]))


def find_labels(job: BatchJob) -> list[labels.FolderLabel]:
    """Return what each folder of a run counts as."""
    return labels.find_labels(frame(*key(job)), job.plans[0].folder)


def folders(job: BatchJob) -> None:
    """Draw which class each folder counts as, and the way to correct it; nothing for pictures without folders."""
    found = find_labels(job)
    if not found:
        return
    counted, every = (sum(one.pictures for one in some) for some in ([one for one in found if one.classes], found))
    with st.expander(
        f"Folders as labels: {counted:,} of {plural(every, 'picture')} counted",
        icon=":material/folder:",
        # What is asked there changes the numbers below.
        expanded=counted < every and users.may_save(),
    ):
        rows = [
            {
                "folder": one.folder,
                "class": ", ".join(one.classes)
                or ("not counted" + (f": did you mean {one.suggestion}?" if one.suggestion else "")),
                "pictures": one.pictures,
            }
            for one in found
        ]
        tables.table(rows, height=min(300, 36 * (len(rows) + 1)))
        if users.may_save():
            _correct(job, {one.folder: one for one in found})


def _correct(job: BatchJob, found: Mapping[str, labels.FolderLabel]) -> None:
    """Draw the choice of a folder and of the classes that it counts as."""
    folder = job.plans[0].folder
    known = sorted({*read_classes(folder), *(name for one in found.values() for name in one.classes)})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Folder", list(found), key="batch-label-folder", width=220, help="Those that are not counted come first."
        )
        one = found[name]
        named = st.multiselect(
            "Counts as",
            known,
            default=list(one.classes) or ([one.suggestion] if one.suggestion else []),
            # Another key for each folder: its own classes are shown first.
            key=f"batch-label-{name}",
            width=320,
            placeholder="no class: not counted",
            help="A prediction of any of these is right. Without a class these pictures are not counted.",
        )
        if st.button("Use", icon=":material/check:", disabled=set(named) == set(one.classes), help="Count it so."):
            try:
                labels.correct(folder, {name: named})
            except OSError as error:
                raise output.unwritable(folder, error) from error
            st.rerun()


def _any(found: Frame, name: str) -> bool:
    return name == "all" or (NEEDED.get(name, "picture") in found and not analysis.filter_rows(found, only=name).empty)


def classes(job: BatchJob) -> None:
    """Draw where the model looks for each class, on average."""
    found = frame(*key(job))
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
        "The mean map of each class, every picture scaled to a square. A hot place shared by all of them, away from "
        "the objects, may be a shortcut that the model relies on. Hatched areas were never seen."
    )
    _groups(groups[:PAGE], lambda group: f"**{escape(group.name)}**  \n{_numbers(group)}")
    if len(groups) > PAGE:
        st.caption(f"The {PAGE} most frequent of {len(groups)} classes.")


def _numbers(group: analysis.Group) -> str:
    return f"{plural(group.count, 'picture')}, {percent(float(group.frame['predicted_score'].mean()))} mean score"


def _groups(groups: list[Any], caption: Callable[[Any], str]) -> None:
    unseen: Any = "dark" if st.context.theme.type == "dark" else "light"
    with st.container(horizontal=True, gap="small"):
        for group in groups:
            with st.container(width=WIDE, gap="xxsmall"):
                st.image(group.draw_mean(unseen), width=WIDE, alt=f"Mean map of {group.name}, {group.count} pictures")
                st.markdown(f":small[{caption(group)}]")


def confusions(job: BatchJob) -> None:
    """Draw what is mistaken for what, and where the model looks then."""
    found = frame(*key(job))
    if found["wrong"].isna().all():
        st.info(
            labels_left_out(job) or "There are no labels: put the pictures into folders named after classes.",
            icon=":material/folder:",
        )
        return
    pairs = analysis.confusions(found)
    if not pairs:
        st.success("Every prediction matches its folder.", icon=":material/check:")
        return
    number = st.selectbox(
        "Confusion",
        range(len(pairs)),
        format_func=lambda i: f"predicted {pairs[i].predicted}, labelled {pairs[i].labelled}: {pairs[i].count:,}",
        key="batch-pair",
        help="Prediction and folder; the most frequent first.",
    )
    pair = pairs[number or 0]
    st.markdown(
        f"**{plural(pair.count, 'picture')}** labelled {escape(pair.labelled)} "
        f"{'is' if pair.count == 1 else 'are'} predicted as **{escape(pair.predicted)}**. Their mean map, and the "
        "mean maps of the correct predictions of both classes:"
    )
    right = analysis.right_beside(found, pair)
    titles = {id(pair): f"**{escape(pair.name)}**  \n{plural(pair.count, 'picture')}"}
    _groups(
        [pair, *right], lambda group: titles.get(id(group)) or f"{escape(group.name)}, correct  \n{_numbers(group)}"
    )
    if left_out := labels_left_out(job):
        st.caption(left_out)
    tiles(job, analysis.order(pair.frame, "sure").iloc[:PAGE], "confusion", "", found)


def odd(job: BatchJob) -> None:
    """Draw the most unusual maps, and the groups of similar maps."""
    with st.spinner("Grouping the maps…", show_time=False):
        found, groups = _odd(*key(job))
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
    _groups(groups, lambda group: f"{plural(group.count, 'picture')}  \n{mostly(group)}")


def mostly(group: analysis.Group) -> str:
    """Say what most pictures of a group are called, or that no answer is in the majority."""
    counts = group.frame["predicted"].value_counts()
    if not len(counts):
        return "mostly nothing"
    share = counts.iloc[0] / group.count
    first = escape(str(counts.index[0]))
    return f"mostly {first}, {percent(share)}" if share > 0.5 else f"{len(counts)} different answers"


def compare(job: BatchJob) -> bool:
    """Whether methods and layers were compared in this run."""
    return (job.plans[0].folder / matrix.FILE).is_file()


def methods(job: BatchJob) -> None:
    """Draw the matrix of methods and layers of each model, and the way to explain again with the best."""
    for plan in job.plans:
        if (found := matrix.read(plan.folder)) is None:
            continue
        if len(job.plans) > 1:
            st.markdown(f"### {plan.model}")
        st.caption(
            "For every quick method at each layer the hottest parts are hidden, then alone kept, on "
            f"{plural(found.pictures, 'picture')} drawn from this run: the more the scores hang on those parts, the "
            "larger the number."
        )
        method_matrix.matrix(found, f"{method_matrix.HELP} The mean over the pictures.")
        st.markdown(f":material/fact_check: {escape(found.sentence)}")
        spec = catalog.catalog().get(plan.model)
        if found.best is not None and spec is not None:
            help = (
                "Choose this method and this layer in the sidebar; Explain again above then makes the maps with them."
            )
            method_matrix.use(found.best, spec, "", help)
        with st.expander("How sure is that?", icon=":material/scatter_plot:"):
            st.caption(
                "The 95 % interval is of the mean over pictures. Ahead on: the pictures on which no other method and "
                "layer is better."
            )
            rows = [dict(zip(map(str.capitalize, matrix.HEAD), row, strict=True)) for row in matrix.rows(found)]
            tables.table(rows, right=[name.capitalize() for name in matrix.HEAD[2:]], height=420)


def table(job: BatchJob) -> None:
    """Draw the main columns."""
    found = frame(*key(job))
    columns = [name for name in COLUMNS if name in found and found[name].notna().any()]
    help = {
        "predicted_score": "The score of the best prediction.",
        "margin": "The score of the best prediction minus the next one's.",
        **proofs.MEANING,
        **seals.MEANING,
        "disagreement": "100 % minus the overlap of the two models' strongest fifths: 100 % is nothing in common.",
    } | statistics.MEANING
    shown, config = tables.numbers(found[columns], help)
    tables.table(shown, columns=config, height=420)
    st.caption(f"The main columns of {len(found.columns)}, one row per picture; Download has all of them.")


def _records(found: DataFrame) -> list[Json]:
    """Return a table's rows, with None for what is missing."""
    whole = found.astype(object).where(found.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in whole.to_dict("records")]


def downloads(job: BatchJob) -> None:
    """Draw the menu of downloads: tables, and an archive that is made when it is requested."""
    with st.popover("Download", icon=":material/download:", help="The table, or everything as one archive."):
        first, second, _ = key(job)
        if second is not None:
            charts.download(
                "Both models, .csv",
                lambda: csv(_records(frame(*key(job)))).encode(),
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
            if (folder / matrix.FILE).is_file():
                offers += ((("Methods and layers, .csv", matrix.FILE, (folder / matrix.FILE).read_bytes), METHODS),)
            for (label, file, make), help in offers:
                charts.download(label, make, file, type="tertiary", key=f"get-{folder.name}-{file}", help=help)


def _report(folder: Path) -> bytes:
    return report.html(folder).encode()


def _everything(folder: Path) -> BinaryIO:
    return analysis.pack(folder, folder / "everything.zip").open("rb")
