"""Gallery of a run's pictures: sort, filter and select them; mean maps of groups."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass import explain
from sightglass.batch import analysis, journal, labels, table
from sightglass.batch.records import recipe as recipe_of
from sightglass.common.errors import Problem
from sightglass.components.saving import slides
from sightglass.components.session import history_store, page, reopen, state, url_state
from sightglass.components.session.markdown import escape, shorten
from sightglass.components.session.pictures.image_source import Pictures
from sightglass.components.views import charts
from sightglass.deck import rows as deck_rows
from sightglass.deck import views as deck_views
from sightglass.explain.phrases import percent, plural, signed
from sightglass.explain.picture.item import distinct_names
from sightglass.explain.tasks import task_of
from sightglass.export import embedded_recipe
from sightglass.models import catalog
from sightglass.pages.batch.job import Batch, describe_run, frame_of_job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sightglass.batch.analysis import Group
    from sightglass.common.files import Json
    from sightglass.components.viewer import Look
    from sightglass.deck.scene import Scene
    from sightglass.explain.picture.image import Image
    from sightglass.pages.batch.job import BatchJob

    Frame = Any

PAGE = 24
ORDERS = {
    "iou": "Lowest mean IoU",
    "unsure": "Lowest confidence",
    "error": "Largest error",
    "smallest": "Smallest number",
    "largest": "Largest number",
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
    "wrong": "Prediction differs from the label",
    "right": "Prediction matches the label",
    "unsure": "Score below 50 %",
    "apart": "The two models disagree",
    "unproved": "Maps not to trust",
    "unsealed": "Maps that fail a test",
}
NEEDED = {"apart": "disagreement", "unproved": "verdict", "unsealed": "seal"}
"""The column without which a filter is not offered."""


def draw(job: BatchJob) -> None:
    """Draw the pictures' maps, filtered and sorted, one page at a time."""
    frame = frame_of_job(job)
    orders, only = _list_orders(job, frame), {"all": "All"}
    for name, label in ONLY.items():
        if NEEDED.get(name, "picture") in frame and not analysis.filter_rows(frame, only=name).empty:
            only[name] = label
    if not table.read_scores(job.plans[0].folder).sure:
        only.pop("unsure", None)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = url_state.widget(
            st.selectbox,
            "Sort",
            orders,
            first_order(job, frame),
            key="batch-order",
            name="order",
            width=250,
            help="Which pictures come first.",
        )
        subset = url_state.widget(
            st.selectbox,
            "Show",
            only,
            "all",
            key="batch-only",
            name="only",
            width=210,
            help="Show only some. Without other labels a folder's name is the correct class, where the model knows it. "
            "Maps not to trust: hiding what they show changes no more than hiding other places.",
        )
        predicted = st.selectbox(
            "Prediction",
            [None, *sorted(frame["predicted"].dropna().unique())],
            format_func=lambda name: name or "any",
            key="batch-class",
            width=190,
            help="Only pictures with this prediction.",
        )
        tag = _choose_tag(job)
        text = st.text_input(
            "Name",
            key="batch-text",
            width=150,
            placeholder="part of it",
            help="Only pictures with this in their name or folder.",
        )
    chosen = analysis.filter_rows(frame, only=subset, predicted=predicted, text=text.strip(), tag=tag)
    chosen = analysis.order(chosen, order)
    many = len(chosen)
    if not many:
        st.info("No picture matches: show all, or clear the name.", icon=":material/filter_alt_off:")
        return
    pages = -(-many // PAGE)
    page = 1
    if pages > 1:
        page = int(st.pagination(pages, key=f"batch-page-{order}-{subset}-{predicted}-{text}-{tag}"))
    rows = chosen.iloc[PAGE * (page - 1) : PAGE * page]
    st.caption(f"{many:,} of {plural(len(frame), 'picture')}; {PAGE * (page - 1) + 1} to {min(PAGE * page, many)}.")
    batch = state.of(Batch)
    batch.shown, batch.sorted_by = list(rows["picture"]), ORDERS[order] if order != "source" else ""
    actions(job, batch.shown)
    tiles(job, rows, "gallery", order, frame)


def first_order(job: BatchJob, found: Frame) -> str:
    """Return the first order of a run's pictures."""
    orders = _list_orders(job, found)
    return next(name for name in ("unsure", "iou", "error", "smallest", "source") if name in orders)


def _list_orders(job: BatchJob, frame: Frame) -> dict[str, str]:
    scores = table.read_scores(job.plans[0].folder)
    left_out = (
        *(() if scores.sure else ("unsure", "sure", "close")),
        *(() if scores.numbers else ("smallest", "largest")),
    )
    available = {name for name, (column, _) in analysis.ORDERS.items() if column in frame}
    return {name: label for name, label in ORDERS.items() if name in available and name not in left_out}


def _choose_tag(job: BatchJob) -> str | None:
    """Draw the choice of a tag, if there are any."""
    counts = {name: len(tagged) for name, tagged in labels.read_tags(job.plans[0].folder).items()}
    if not counts:
        return None
    return st.selectbox(
        "Tag",
        [None, *counts],
        format_func=lambda name: f"{name} ({counts[name]})" if name else "any",
        key="batch-tag",
        width=150,
        help="Only pictures with this tag.",
    )


def draw_slide_button(job: BatchJob) -> None:
    """Draw *Add to deck* for the run's ticked or first pictures."""

    def draft(_look: Look) -> Scene:
        return _make_run_slide(job)

    slides.button("batch-run", draft)
    slides.draw_added_link("batch-run")


def _make_run_slide(job: BatchJob) -> Scene:
    frame, batch = frame_of_job(job), state.of(Batch)
    by_picture = frame.set_index("picture", drop=False)
    chosen = [picture for picture in batch.selected if picture in by_picture.index]
    which = "Pictures chosen by hand." if chosen else ""
    if not chosen:
        # What the gallery showed last; before it was ever open, its own beginning.
        chosen = [picture for picture in batch.shown if picture in by_picture.index]
        which = f"Shown: {batch.sorted_by.lower()} first." if chosen and batch.sorted_by else ""
    if not chosen:
        order = first_order(job, frame)
        chosen = list(analysis.order(frame, order)["picture"])
        which = "" if order == "source" else f"Shown: {ORDERS[order].lower()} first."
    items = {item.key: item for item in job.source.items}

    def open_picture(picture: str) -> Image:
        if picture not in items:
            raise Problem(f"{picture} is not among the pictures any more: choose them again.")
        return items[picture].open()

    rows = by_picture.loc[chosen].to_dict("records")
    about = f"{describe_run(job)}."
    return deck_rows.of_run(frame, rows, open_picture, journal.settings_of(job.folders[0]), which=which, about=about)


def draw_tick(picture: str, where: str) -> None:
    """Draw a picture's tick box, also if shown in several places."""
    key = f"pick-{where}-{picture}"
    st.session_state[key] = picture in state.of(Batch).selected
    st.checkbox(
        f"Select {picture}",
        key=key,
        label_visibility="collapsed",
        on_change=_toggle,
        args=(picture,),
        help="Select, to tag, export or present.",
    )


def _toggle(picture: str) -> None:
    selected = state.of(Batch).selected
    if picture in selected:
        selected.remove(picture)
    else:
        selected.append(picture)


def actions(job: BatchJob, shown: Sequence[str]) -> None:
    """Draw the actions for selected pictures; `shown`: those below."""
    batch, folder = state.of(Batch), job.plans[0].folder
    rows = frame_of_job(job).set_index("picture", drop=False)
    # Of another run they are none of these.
    selected = batch.selected = [picture for picture in batch.selected if picture in rows.index]
    with st.container(horizontal=True, vertical_alignment="center"):
        if not {*shown} <= {*selected}:
            st.button(
                f"Select these {len(shown)}" if len(shown) > 1 else "Select this one",
                icon=":material/check_box:",
                type="tertiary",
                key="batch-select",
                on_click=_select,
                args=(tuple(shown),),
                help="Select all pictures that are shown below, to tag, export or present them.",
            )
        if not selected:
            return
        st.caption(f"{len(selected):,} selected", width="content")
        if not job.example:
            _tag(job)
        charts.download(
            "Export, .zip",
            partial(analysis.pack_some, folder, tuple(selected)),
            "selected.zip",
            icon=":material/download:",
            key="batch-export",
            help=f"{plural(len(selected), 'picture')} under their maps, the raw maps, and their rows of the table.",
        )
        slides.button_for_several(
            "batch", [partial(_make_slide, job, rows.loc[picture].to_dict()) for picture in selected]
        )
        st.button(
            "Deselect",
            icon=":material/close:",
            type="tertiary",
            key="batch-deselect",
            on_click=_select,
            args=((),),
            help="Clear the selection.",
        )
        slides.draw_added_link("batch")
    page.say_problem(batch)


def _select(pictures: Sequence[str]) -> None:
    batch = state.of(Batch)
    batch.selected = list(dict.fromkeys((*batch.selected, *pictures))) if pictures else []


def _tag(job: BatchJob) -> None:
    folder = job.plans[0].folder
    with st.popover("Tag", icon=":material/sell:", key="batch-tag-selected", help="Give the selected pictures a tag."):
        known = ", ".join(labels.read_tags(folder))
        st.text_input(
            "Tag",
            key="batch-tag-name",
            placeholder=known or "blurred",
            help=f"A keyword of your own, at most {labels.LONGEST_TAG} characters. It is kept beside the table.",
        )
        for label, adds, icon in (("Add the tag", True, "add"), ("Remove the tag", False, "remove")):
            st.button(
                label,
                icon=f":material/{icon}:",
                key=f"batch-tag-{icon}",
                on_click=_change_tag,
                args=(job, adds),
                help="To all selected pictures." if adds else "From all selected pictures.",
            )


def _change_tag(job: BatchJob, adds: bool) -> None:
    batch = state.of(Batch)
    try:
        labels.change_tag(
            job.plans[0].folder, str(st.session_state.get("batch-tag-name") or ""), batch.selected, there=adds
        )
    except Problem as problem:
        batch.problem = str(problem)
    except OSError as error:
        batch.problem = f"The tag cannot be saved ({error.strerror or error}): free some room, then try again."


def _make_slide(job: BatchJob, row: Json) -> tuple[Scene, Sequence[str]]:
    """Return the slide of a picture, explained again from its recipe."""
    item = job.find_item(row["picture"])
    if item is None:
        raise Problem(f"{row['picture']} is not among the pictures any more: choose them again.")
    explanation = explain.replay(recipe_of(journal.settings_of(job.folders[0]), row), item.open())
    return deck_views.of_map(explanation, 0), ()


WIDE = 168
NUMBERS = {
    "border": "{share} at the edges",
    "apart": "other model says {other_predicted}; the maps share {common}",
    "close": "margin {share}",
    "scattered": "half of the evidence on {share}",
    "pointed": "half of the evidence on {share}",
    "random": "{signed} beside random places",
    "seal": "{seal:.0f} of 3 tests passed",
    "iou": "mean IoU {share}",
    "odd": "{oddness:.1f} × the median distance",
}
"""What is written of the column that pictures are sorted by."""
JUDGED: dict[object, tuple[str, str]] = {
    False: (":green[:material/check:] ", ", right"),
    True: (":orange[:material/close:] ", ", wrong"),
}
"""The sign of a right and of a wrong answer, and its words."""


def tiles(job: BatchJob, rows: Frame, where: str, order: str, every: Frame) -> None:
    """Draw pictures with predictions and buttons; `every`: the whole run, for distinct names."""
    names, scores = distinct_names(list(every["picture"])), table.read_scores(job.folders[0])
    with st.container(horizontal=True, gap="small"):
        for row in rows.to_dict("records"):
            with st.container(width=WIDE, gap="xxsmall"):
                _tile(job, row, names[row["picture"]], where, order, scores)


def _tile(job: BatchJob, row: Json, name: str, where: str, order: str, scores: table.Scores) -> None:
    path = job.folders[0] / row["file"]
    # The catalogue may not have the model any more.
    spec = catalog.catalog().get(row["model"])
    nothing = task_of(spec or "").no_answer
    try:
        judged = JUDGED.get(row.get("wrong"), ("", ""))[1]
        st.image(path.read_bytes(), width=WIDE, alt=f"{name} under its map: {row['predicted'] or nothing}{judged}")
    except OSError:
        st.caption("The map's image was deleted: run it again.")
    score = scores.describe(row["predicted_score"], row["predicted"]) if row["predicted"] else ""
    answer = f"**{row['predicted']}** {score}" if row["predicted"] else f"**{nothing}**"
    sign = JUDGED.get(row.get("wrong"), ("", ""))[0]
    answer, more = f"{sign}{answer}", _more(row, order)
    if (true := row.get("true_number")) is not None and true == true:
        more = "  \n".join(filter(None, (f"true: {scores.describe(true, row['predicted'])}", more)))
    st.markdown(f":small[{answer}  \n{more}]" if more else f":small[{answer}]")
    # Fingers need 24 px between the two.
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        draw_tick(row["picture"], where)
        st.button(
            escape(shorten(name, 16)),
            key=f"open-{where}-{row['picture']}",
            type="tertiary",
            icon=":material/visibility:",
            help=f"Open {row['picture']} on Explore.",
            on_click=_take,
            args=(job, row),
        )
        if history_store.writable():
            st.button(
                "",
                key=f"keep-{where}-{row['picture']}",
                type="tertiary",
                icon=":material/bookmark_add:",
                help=f"Save {row['picture']} to History; its map is computed again.",
                on_click=_keep,
                args=(job, row),
            )


def _more(row: Json, order: str) -> str:
    """Return a picture's sort value, differing label and tags."""
    parts = []
    value = row.get(analysis.ORDERS[order][0]) if order in NUMBERS else None
    if value is not None and value == value:
        # How much of their hottest fifths two maps share.
        common = "nothing" if value >= 0.995 else percent(1 - value)
        parts.append(NUMBERS[order].format(**row, share=percent(value), signed=signed(value, "+.2f"), common=common))
    if row.get("wrong"):
        parts.append(f"label: {escape(row['labelled'])}")
    if isinstance(row.get("tags"), str):
        parts.append(f":material/sell: {escape(row['tags'])}")
    return "  \n".join(parts)


def _keep(job: BatchJob, row: Json) -> None:
    """Explain a picture from its recipe and save it, in a callback."""
    item = job.find_item(row["picture"])
    if item is None:
        _say_missing(row)
        return
    recipe = recipe_of(journal.settings_of(job.folders[0]), row)
    history_store.keep_again(item.open, recipe, screen="batch")


def _take(job: BatchJob, row: Json) -> None:
    """Open the picture on Explore, as it is explained here."""
    item = job.find_item(row["picture"])
    if item is None:
        _say_missing(row)
        return
    label = row.get("label")
    how = embedded_recipe.Look(
        label=label[:200] if isinstance(label, str) else None, automatic=not job.plans[0].options.get("layers")
    )
    try:
        reopen.result(item.open(), recipe_of(journal.settings_of(job.folders[0]), row), how)
    except Problem as problem:
        state.of(Pictures).problem = str(problem)


def _say_missing(row: Json) -> None:
    """Report a picture moved since the start of the run."""
    state.of(Pictures).problem = f"{row['picture']} is not there any more: put it back, or choose other pictures."


def draw_groups(groups: Sequence[Group], caption: Callable[[Group], str]) -> None:
    """Draw the mean map of each group over its caption."""
    unseen: Any = "dark" if st.context.theme.type == "dark" else "light"
    with st.container(horizontal=True, gap="small"):
        for group in groups:
            with st.container(width=WIDE, gap="xxsmall"):
                st.image(group.draw_mean(unseen), width=WIDE, alt=f"Mean map of {group.name}, {group.count} pictures")
                st.markdown(f":small[{caption(group)}]")


def describe_group(group: Group, *, right: bool = False) -> str:
    """Return a group's name, number of pictures and mean score."""
    name = f"{escape(group.name)}, right" if right else f"**{escape(group.name)}**"
    mean = float(group.frame["predicted_score"].mean())
    spec = catalog.catalog().get(group.frame["model"].iloc[0])
    score = task_of(spec or "").describe_mean(mean, spec.unit_of(group.name) if spec is not None else "")
    return f"{name}  \n{plural(group.count, 'picture')}, {score}"
