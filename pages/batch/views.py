"""What a finished run shows: a gallery, classes, confusions, the odd ones out, and the table."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import streamlit as st

from common.errors import Problem
from components.choices.detection_options import PARTS
from components.session import reopen, url_state
from explain.batch import analysis, journal
from explain.batch.records import recipe as recipe_of
from explain.batch.table import CSV, PARQUET
from explain.methods import METHODS
from explain.phrases import NBSP, listing, percent, plural
from models import catalog

if TYPE_CHECKING:
    from pages.batch.job import Job

    Frame = Any

PAGE = 24
WIDE = 168
ORDERS = {
    "unsure": "Lowest confidence",
    "border": "Most heat at the edges",
    "apart": "Largest disagreement of the two models",
    "close": "Closest to another answer",
    "scattered": "Most scattered heat",
    "pointed": "Most pointed heat",
    "sure": "Highest confidence",
    "source": "As they come",
}
ONLY = {
    "all": "All",
    "wrong": "Not what the folder says",
    "right": "What the folder says",
    "unsure": "Less than half sure",
    "apart": "The two models differ",
}
COLUMNS = (
    *("picture", "labelled", "predicted", "predicted_score", "margin", "other_predicted", "disagreement"),
    *("half_heat_area", "border_share", "entropy_normalised", "gini", "n_regions", "state", "notes"),
)


@st.cache_data(show_spinner=False, max_entries=4)
def frame(first: str, second: str | None, _changed: int) -> Frame:
    """A run's table; read again when it was written anew."""
    return analysis.load(Path(first), Path(second) if second else None)


@st.cache_data(show_spinner=False, max_entries=4)
def _odd(first: str, second: str | None, changed: int) -> tuple[Frame, list[analysis.Group]]:
    return analysis.odd(frame(first, second, changed))


def key(job: Job) -> tuple[str, str | None, int]:
    """What names a run's table for the functions above."""
    first, second = job.folders
    # Stopped before it was its turn, the second has no table yet.
    there = second is not None and len(job.state.summaries) > 1 and job.state.summaries[1].done > 0
    changed = [(folder / PARQUET).stat().st_mtime_ns for folder in (first, *([second] if there and second else []))]
    return str(first), str(second) if there else None, max(changed)


def made(job: Job) -> str:
    """What the results are of: `demo-cls-l, GradCAM at layer4, why this class`; of two models both."""
    return "; compared with ".join(_asked(Path(folder)) for folder in key(job)[:2] if folder)


def _asked(folder: Path) -> str:
    # As the run had it: what was left to the model has a name there.
    recipe = journal.settings_of(folder)["recipe"]
    method, layers = METHODS[recipe["method"]], recipe["layers"]
    at = f" at {listing(layers)}" if layers and method.family != "mask" else ""
    asked = PARTS | {"class": "where it is", "contrast": "why this class"}
    return f"{recipe['model']}, {method.name}{at}, {asked[recipe['part']]}"


def gallery(job: Job) -> None:
    """Pictures under their maps, filtered and sorted, a page at a time."""
    found = frame(*key(job))
    orders = [name for name in ORDERS if name != "apart" or "disagreement" in found]
    only = [name for name in ONLY if (name != "apart" or "disagreement" in found) and _any(found, name)]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        url_state.recall("batch-order", orders, orders[0], name="order")
        order = st.selectbox(
            "Sort", orders, format_func=ORDERS.__getitem__, key="batch-order", width=250, help="Which ones come first."
        )
        url_state.keep("batch-order", order, orders[0], name="order")
        url_state.recall("batch-only", only, "all", name="only")
        shown = st.selectbox(
            "Show",
            only,
            format_func=ONLY.__getitem__,
            key="batch-only",
            width=210,
            help="Only some of them. A folder's name is taken for the right answer where it is the name of a class.",
        )
        url_state.keep("batch-only", shown, "all", name="only")
        names = sorted(found["predicted"].dropna().unique())
        predicted = st.selectbox(
            "Answer",
            [None, *names],
            format_func=lambda name: name or "any",
            key="batch-class",
            width=190,
            help="Only pictures that the model calls this.",
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
        st.info("No picture is like that: show all, or clear the name.", icon=":material/filter_alt_off:")
        return
    pages = -(-many // PAGE)
    page = 1
    if pages > 1:
        page = _page(pages, f"{order}-{shown}-{predicted}-{text}")
    st.caption(f"{many:,} of {plural(len(found), 'picture')}; {PAGE * (page - 1) + 1} to {min(PAGE * page, many)}.")
    tiles(job, chosen.iloc[PAGE * (page - 1) : PAGE * page], "gallery", order)


def _any(found: Frame, name: str) -> bool:
    return name == "all" or not analysis.kept(found, only=name).empty


def _page(pages: int, of: str) -> int:
    return int(st.pagination(pages, key=f"batch-page-{of}"))


def tiles(job: Job, rows: Frame, where: str, order: str = "") -> None:
    """Pictures side by side, each with what was said and a button to Explore."""
    with st.container(horizontal=True, gap="small"):
        for row in rows.to_dict("records"):
            with st.container(width=WIDE, gap="xxsmall"):
                _tile(job, row, where, order)


def _tile(job: Job, row: dict[str, Any], where: str, order: str) -> None:
    path = job.folders[0] / row["file"]
    name = row["picture"].rsplit("/", 1)[-1]
    # The catalogue may have lost the model since.
    spec = catalog.catalog().get(row["model"])
    nothing = "predicts no class" if spec is not None and spec.task == "embed" else "nothing found"
    try:
        st.image(path.read_bytes(), width=WIDE, alt=f"{name} under its map: {row['predicted'] or nothing}")
    except OSError:
        st.caption("The picture of the map is gone: run it again.")
    said = f"**{row['predicted']}** {percent(row['predicted_score'])}" if row["predicted"] else f"**{nothing}**"
    more = _more(row, order)
    st.markdown(f":small[{said}  \n{more}]" if more else f":small[{said}]")
    st.button(
        _shortened(name),
        key=f"open-{where}-{row['picture']}",
        type="tertiary",
        icon=":material/visibility:",
        help=f"Open {row['picture']} on Explore.",
        on_click=_take,
        args=(job, row),
    )


def _more(row: dict[str, Any], order: str) -> str:
    """The number that a picture stands at its place for; else what its folder says."""
    told = {
        "border": lambda: f"{percent(row['border_share'])} at the edges",
        "apart": lambda: f"other model: {row['other_predicted']}; {percent(row['disagreement'])} apart",
        "close": lambda: f"ahead by {percent(row['margin'])}",
        "scattered": lambda: f"half of the heat on {percent(row['half_heat_area'])}",
        "pointed": lambda: f"half of the heat on {percent(row['half_heat_area'])}",
        "odd": lambda: f"{row['oddness']:.1f} times the usual distance",
    }
    number = {"border": "border_share", "apart": "disagreement", "scattered": "half_heat_area"}
    column = number.get(order, "half_heat_area" if order == "pointed" else "oddness" if order == "odd" else "margin")
    if order in told and row.get(column) is not None and row[column] == row[column]:
        return str(told[order]())
    label = row.get("labelled")
    return f"folder: {label}" if label and row.get("wrong") else ""


def _shortened(name: str, most: int = 18) -> str:
    cut = name if len(name) <= most else f"{name[: most - 8]}…{name[-7:]}"
    return cut.replace("*", r"\*").replace("_", r"\_").replace("[", r"\[").replace("`", r"\`").replace("$", r"\$")


def _take(job: Job, row: dict[str, Any]) -> None:
    """The picture as it is explained here, for the screen that comes next."""
    from explain.export.embedded_recipe import View

    item = next((item for item in job.source.items if item.key == row["picture"]), None)
    if item is None:
        return
    label = row.get("label")
    how = View(label=label[:200] if isinstance(label, str) else None, automatic=not job.legs[0].options.get("layers"))
    try:
        reopen.result(item.open(), recipe_of(journal.settings_of(job.folders[0]), row), how)
    except Problem as problem:
        st.session_state["picture_problem"] = str(problem)


def classes(job: Job) -> None:
    """Where the model looks for each class, on average."""
    found = frame(*key(job))
    by = "predicted"
    if found["labelled"].notna().any():
        by = st.segmented_control(
            "Classes by",
            ["predicted", "labelled"],
            format_func={"predicted": "What the model says", "labelled": "What the folder says"}.__getitem__,
            default="predicted",
            required=True,
            key="batch-by",
            help="Whose classes the pictures are sorted into.",
        )
    groups = analysis.classes(found, by)
    if not groups:
        st.info("There are no maps here.", icon=":material/info:")
        return
    st.caption(
        "The mean of each class's maps, every picture squeezed to a square. A warm place that is the same on all of "
        "them, and not where the things are, may be a clue that the model cheats with. Hatched is what it never saw."
    )
    _groups(groups[:PAGE], lambda group: f"**{group.name}**  \n{_numbers(group)}")
    if len(groups) > PAGE:
        st.caption(f"The {PAGE} most frequent of {len(groups)} classes.")


def _numbers(group: analysis.Group) -> str:
    return f"{plural(group.count, 'picture')}, {percent(float(group.frame['predicted_score'].mean()))} sure"


def _groups(groups: list[Any], said: Any) -> None:
    unseen: Any = "dark" if st.context.theme.type == "dark" else "light"
    with st.container(horizontal=True, gap="small"):
        for group in groups:
            with st.container(width=WIDE, gap="xxsmall"):
                st.image(group.drawn(unseen), width=WIDE, alt=f"Mean map of {group.name}, {group.count} pictures")
                st.markdown(f":small[{said(group)}]")


def confusions(job: Job) -> None:
    """What is taken for something else, and what the model looks at then."""
    found = frame(*key(job))
    if found["wrong"].isna().all():
        st.info(
            "What is right is not known here: name the folders like the model's classes, such as minibus/.",
            icon=":material/folder:",
        )
        return
    pairs = analysis.confusions(found)
    if not pairs:
        st.success("Every picture is what its folder says.", icon=":material/check:")
        return
    number = st.selectbox(
        "Confusion",
        range(len(pairs)),
        format_func=lambda i: f"predicted {pairs[i].predicted}, labelled {pairs[i].labelled}: {pairs[i].count:,}",
        key="batch-pair",
        help="What the model says, and what the folder says; the most frequent first.",
    )
    pair = pairs[number or 0]
    st.markdown(
        f"**{plural(pair.count, 'picture')}** labelled {pair.labelled} {'is' if pair.count == 1 else 'are'} called "
        f"**{pair.predicted}**. What they look at, on average, and where the model looks when it is right about either:"
    )
    right = [group for group in analysis.classes(analysis.kept(found, only="right")) if group.name in _either(pair)]
    titles = {id(pair): f"**{pair.name}**  \n{plural(pair.count, 'picture')}"}
    _groups([pair, *right], lambda group: titles.get(id(group)) or f"{group.name}, rightly  \n{_numbers(group)}")
    tiles(job, analysis.ordered(pair.frame, "sure").iloc[:PAGE], "confusion")


def _either(pair: analysis.Confusion) -> set[str]:
    return {pair.predicted, pair.labelled, pair.labelled.replace("_", " ")}


def odd(job: Job) -> None:
    """The maps that are like no other, and the groups that the rest falls into."""
    with st.spinner("Grouping the maps", show_time=False):
        found, groups = _odd(*key(job))
    if not groups:
        st.info(f"At least {analysis.FEWEST} maps are needed to say which is unusual.", icon=":material/scatter_plot:")
        return
    st.markdown("##### The odd ones out")
    st.caption("Their maps lie furthest from the maps most like them: something unusual in the picture, or a mistake.")
    tiles(job, analysis.ordered(found, "odd").iloc[:12], "odd", "odd")
    st.markdown(f"##### {plural(len(groups), 'group')} of maps that look alike")
    st.caption(
        "After SpRAy (Lapuschkin et al. 2019): small maps, grouped by the spectrum of their neighbourhoods. A small "
        "group of its own, in a place that makes no sense, may be a trick that the model has learnt."
    )
    _groups(groups, lambda group: f"{plural(group.count, 'picture')}  \nmostly {_mostly(group)}")


def _mostly(group: analysis.Group) -> str:
    counts = group.frame["predicted"].value_counts()
    return f"{counts.index[0]}, {percent(counts.iloc[0] / group.count)}" if len(counts) else "nothing"


def table(job: Job) -> None:
    """The main columns, and everything to take away."""
    found = frame(*key(job))
    columns = [name for name in COLUMNS if name in found and found[name].notna().any()]
    from explain.maps.statistics import MEANING

    help = {
        "predicted_score": "How sure the model is of its best answer, 0 to 1.",
        "margin": "How far the best answer is ahead of the next.",
        "disagreement": "1 minus the overlap of the two models' hottest fifths: 1 is nothing in common.",
    } | MEANING
    st.dataframe(
        found[columns],
        hide_index=True,
        height=420,
        column_config={name: st.column_config.Column(name.replace("_", " "), help=help.get(name)) for name in columns},
    )
    st.caption(
        f"The main of {len(found.columns)}{NBSP}columns, one row a picture; the tables under Download hold all of them."
    )


def downloads(job: Job) -> None:
    """The table, and all files as one archive, made when it is asked for."""
    with st.popover("Download", icon=":material/download:", help="The table, or everything as one archive."):
        first, second, _ = key(job)
        if second is not None:
            st.download_button(
                "Both models, .csv",
                lambda: frame(*key(job)).to_csv(index=False).encode(),
                file_name="both.csv",
                mime="text/csv",
                on_click="ignore",
                type="tertiary",
                key="get-both",
                help="The first model's table, with what the second one says and how far their maps disagree.",
            )
        for folder in map(Path, filter(None, (first, second))):
            if len(job.legs) > 1:
                st.caption(next(leg.model for leg in job.legs if leg.folder == folder))
            offers = (
                ("Table, .csv", CSV, "text/csv"),
                ("Table, .parquet", PARQUET, "application/vnd.apache.parquet"),
            )
            for label, file, mime in offers:
                st.download_button(
                    label,
                    (folder / file).read_bytes,
                    file_name=file,
                    mime=mime,
                    on_click="ignore",
                    type="tertiary",
                    key=f"get-{folder.name}-{file}",
                    help="Every number of every picture, one row a map.",
                )
            st.download_button(
                "Everything, .zip",
                partial(_everything, folder),
                file_name=f"{folder.name}.zip",
                mime="application/zip",
                on_click="ignore",
                type="tertiary",
                key=f"get-{folder.name}-zip",
                help="The table, every picture under its map, and every raw map.",
            )


def _everything(folder: Path) -> BinaryIO:
    return analysis.packed(folder, folder / "everything.zip").open("rb")
