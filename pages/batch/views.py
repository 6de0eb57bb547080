"""Draw a finished run: the gallery, classes, confusions, outliers, and the table."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import streamlit as st

from common.errors import Problem
from components.choices.detection_options import PARTS
from components.session import reopen, state, url_state
from components.session.image_source import Pictures
from components.session.markdown import escaped, shortened
from components.views import charts
from explain.batch import analysis, journal
from explain.batch.records import recipe as recipe_of
from explain.batch.table import CSV, PARQUET
from explain.methods import METHODS
from explain.phrases import NBSP, listing, percent, plural
from models import catalog

if TYPE_CHECKING:
    from collections.abc import Callable

    from pages.batch.job import Job

    Frame = Any

PAGE = 24
WIDE = 168
ORDERS = {
    "unsure": "Lowest confidence",
    "border": "Most heat at the edges",
    "apart": "Largest disagreement between the models",
    "close": "Smallest margin",
    "scattered": "Most scattered heat",
    "pointed": "Most concentrated heat",
    "sure": "Highest confidence",
    "source": "Original order",
}
ONLY = {
    "all": "All",
    "wrong": "Prediction differs from the folder",
    "right": "Prediction matches the folder",
    "unsure": "Score below 50 %",
    "apart": "The two models disagree",
}
NUMBERS = {
    "border": ("border_share", "{share} at the edges"),
    "apart": ("disagreement", "other model: {other_predicted}; {share} disagreement"),
    "close": ("margin", "margin {share}"),
    "scattered": ("half_heat_area", "half of the heat on {share}"),
    "pointed": ("half_heat_area", "half of the heat on {share}"),
    "odd": ("oddness", "{oddness:.1f} × the usual distance"),
}
"""The column that pictures are sorted by, and what is written of it."""
COLUMNS = (
    *("picture", "labelled", "predicted", "predicted_score", "margin", "other_predicted", "disagreement"),
    *("half_heat_area", "border_share", "entropy_normalised", "gini", "n_regions", "state", "notes"),
)


@st.cache_data(show_spinner=False, max_entries=4)
def frame(first: str, second: str | None, _changed: int) -> Frame:
    """Return a run's table, read again when the file has changed."""
    return analysis.load(Path(first), Path(second) if second else None)


@st.cache_data(show_spinner=False, max_entries=4)
def _odd(first: str, second: str | None, changed: int) -> tuple[Frame, list[analysis.Group]]:
    return analysis.odd(frame(first, second, changed))


def key(job: Job) -> tuple[str, str | None, int]:
    """Return what identifies a run's table for the cached functions above."""
    first, second = job.folders
    # The second model has no table if the run was stopped before it started.
    there = second is not None and len(job.status.summaries) > 1 and job.status.summaries[1].done > 0
    changed = [(folder / PARQUET).stat().st_mtime_ns for folder in (first, *([second] if there and second else []))]
    return str(first), str(second) if there else None, max(changed)


def made(job: Job) -> str:
    """Describe the run, `demo-cls-l, GradCAM at layer4, why this class`; with two models both."""
    return "; compared with ".join(_described(Path(folder)) for folder in key(job)[:2] if folder)


def _described(folder: Path) -> str:
    # The journal names what the choices left to the model.
    recipe = journal.settings_of(folder)["recipe"]
    method, layers = METHODS[recipe["method"]], recipe["layers"]
    at = f" at {listing(layers)}" if layers and method.family != "mask" else ""
    parts = PARTS | {"class": "where it is", "contrast": "why this class"}
    return f"{recipe['model']}, {method.name}{at}, {parts[recipe['part']]}"


def gallery(job: Job) -> None:
    """Draw the pictures under their maps, filtered and sorted, a page at a time."""
    found = frame(*key(job))
    two = "disagreement" in found
    orders = {name: label for name, label in ORDERS.items() if name != "apart" or two}
    only = {name: label for name, label in ONLY.items() if (name != "apart" or two) and _any(found, name)}
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
            help="Show only some. A folder's name counts as the correct class if it is the name of one.",
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
    chosen = analysis.ordered(analysis.kept(found, only=shown, predicted=predicted, text=text.strip()), order)
    many = len(chosen)
    if not many:
        st.info("No picture matches: show all, or clear the name.", icon=":material/filter_alt_off:")
        return
    pages = -(-many // PAGE)
    page = 1
    if pages > 1:
        page = int(st.pagination(pages, key=f"batch-page-{order}-{shown}-{predicted}-{text}"))
    st.caption(f"{many:,} of {plural(len(found), 'picture')}; {PAGE * (page - 1) + 1} to {min(PAGE * page, many)}.")
    tiles(job, chosen.iloc[PAGE * (page - 1) : PAGE * page], "gallery", order)


def _any(found: Frame, name: str) -> bool:
    return name == "all" or not analysis.kept(found, only=name).empty


def tiles(job: Job, rows: Frame, where: str, order: str = "") -> None:
    """Draw pictures side by side, each with its prediction and a button to Explore."""
    with st.container(horizontal=True, gap="small"):
        for row in rows.to_dict("records"):
            with st.container(width=WIDE, gap="xxsmall"):
                _tile(job, row, where, order)


def _tile(job: Job, row: dict[str, Any], where: str, order: str) -> None:
    path = job.folders[0] / row["file"]
    name = row["picture"].rsplit("/", 1)[-1]
    # The catalogue may not have the model any more.
    spec = catalog.catalog().get(row["model"])
    nothing = "predicts no class" if spec is not None and spec.task == "embed" else "nothing found"
    try:
        st.image(path.read_bytes(), width=WIDE, alt=f"{name} under its map: {row['predicted'] or nothing}")
    except OSError:
        st.caption("The map's image was deleted: run it again.")
    answer = f"**{row['predicted']}** {percent(row['predicted_score'])}" if row["predicted"] else f"**{nothing}**"
    more = _more(row, order)
    st.markdown(f":small[{answer}  \n{more}]" if more else f":small[{answer}]")
    st.button(
        escaped(shortened(name, 18)),
        key=f"open-{where}-{row['picture']}",
        type="tertiary",
        icon=":material/visibility:",
        help=f"Open {row['picture']} on Explore.",
        on_click=_take,
        args=(job, row),
    )


def _more(row: dict[str, Any], order: str) -> str:
    """Return the number that a picture is sorted by; else the class of its folder, if the prediction differs."""
    column, number = NUMBERS.get(order, ("", ""))
    if (value := row.get(column)) is not None and value == value:
        return number.format(**row, share=percent(value))
    label = row.get("labelled")
    return f"folder: {label}" if label and row.get("wrong") else ""


def _take(job: Job, row: dict[str, Any]) -> None:
    """Open the picture on Explore, as it is explained here."""
    from explain.export.embedded_recipe import View

    item = next((item for item in job.source.items if item.key == row["picture"]), None)
    if item is None:
        return
    label = row.get("label")
    how = View(label=label[:200] if isinstance(label, str) else None, automatic=not job.plans[0].options.get("layers"))
    try:
        reopen.result(item.open(), recipe_of(journal.settings_of(job.folders[0]), row), how)
    except Problem as problem:
        state.of(Pictures).problem = str(problem)


def classes(job: Job) -> None:
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
    _groups(groups[:PAGE], lambda group: f"**{group.name}**  \n{_numbers(group)}")
    if len(groups) > PAGE:
        st.caption(f"The {PAGE} most frequent of {len(groups)} classes.")


def _numbers(group: analysis.Group) -> str:
    return f"{plural(group.count, 'picture')}, {percent(float(group.frame['predicted_score'].mean()))} mean score"


def _groups(groups: list[Any], caption: Callable[[Any], str]) -> None:
    unseen: Any = "dark" if st.context.theme.type == "dark" else "light"
    with st.container(horizontal=True, gap="small"):
        for group in groups:
            with st.container(width=WIDE, gap="xxsmall"):
                st.image(group.drawn(unseen), width=WIDE, alt=f"Mean map of {group.name}, {group.count} pictures")
                st.markdown(f":small[{caption(group)}]")


def confusions(job: Job) -> None:
    """Draw what is mistaken for what, and where the model looks then."""
    found = frame(*key(job))
    if found["wrong"].isna().all():
        st.info(
            "The correct classes are not known: name the folders after the model's classes, such as minibus/.",
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
        f"**{plural(pair.count, 'picture')}** labelled {pair.labelled} {'is' if pair.count == 1 else 'are'} predicted "
        f"as **{pair.predicted}**. Their mean map, and the mean maps of the correct predictions of both classes:"
    )
    either = {pair.predicted, pair.labelled, pair.labelled.replace("_", " ")}
    right = [group for group in analysis.classes(analysis.kept(found, only="right")) if group.name in either]
    titles = {id(pair): f"**{pair.name}**  \n{plural(pair.count, 'picture')}"}
    _groups([pair, *right], lambda group: titles.get(id(group)) or f"{group.name}, correct  \n{_numbers(group)}")
    tiles(job, analysis.ordered(pair.frame, "sure").iloc[:PAGE], "confusion")


def odd(job: Job) -> None:
    """Draw the most unusual maps, and the groups of similar maps."""
    with st.spinner("Grouping the maps…", show_time=False):
        found, groups = _odd(*key(job))
    if not groups:
        st.info(f"At least {analysis.FEWEST} maps are needed to find unusual ones.", icon=":material/scatter_plot:")
        return
    st.markdown("### Outliers")
    st.caption("Their maps differ most from the most similar ones: an unusual picture, or a mistake.")
    tiles(job, analysis.ordered(found, "odd").iloc[:12], "odd", "odd")
    st.markdown(f"### {plural(len(groups), 'group')} of similar maps")
    st.caption(
        "After SpRAy (Lapuschkin et al. 2019): downscaled maps, grouped by spectral clustering. A small separate group "
        "that looks at an implausible place may be a shortcut that the model has learnt."
    )
    _groups(groups, lambda group: f"{plural(group.count, 'picture')}  \nmostly {_mostly(group)}")


def _mostly(group: analysis.Group) -> str:
    counts = group.frame["predicted"].value_counts()
    return f"{counts.index[0]}, {percent(counts.iloc[0] / group.count)}" if len(counts) else "nothing"


def table(job: Job) -> None:
    """Draw the main columns."""
    found = frame(*key(job))
    columns = [name for name in COLUMNS if name in found and found[name].notna().any()]
    from explain.maps.statistics import MEANING

    help = {
        "predicted_score": "The score of the best prediction, 0 to 1.",
        "margin": "The score of the best prediction minus the next one's.",
        "disagreement": "1 minus the overlap of the two models' hottest fifths: 1 is nothing in common.",
    } | MEANING
    st.dataframe(
        found[columns],
        hide_index=True,
        height=420,
        column_config={name: st.column_config.Column(name.replace("_", " "), help=help.get(name)) for name in columns},
    )
    st.caption(f"The main ones of {len(found.columns)}{NBSP}columns, one row per picture; Download has all of them.")


def downloads(job: Job) -> None:
    """Draw the menu of downloads: tables, and an archive that is made when it is requested."""
    with st.popover("Download", icon=":material/download:", help="The table, or everything as one archive."):
        first, second, _ = key(job)
        if second is not None:
            charts.download(
                "Both models, .csv",
                lambda: frame(*key(job)).to_csv(index=False).encode(),
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
                (("Table, .csv", CSV, (folder / CSV).read_bytes), every),
                (("Table, .parquet", PARQUET, (folder / PARQUET).read_bytes), every),
                (
                    ("Everything, .zip", archive, partial(_everything, folder)),
                    "The table, every picture under its map, and every raw map.",
                ),
            )
            for (label, file, make), help in offers:
                charts.download(label, make, file, type="tertiary", key=f"get-{folder.name}-{file}", help=help)


def _everything(folder: Path) -> BinaryIO:
    return analysis.packed(folder, folder / "everything.zip").open("rb")
